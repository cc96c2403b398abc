/** Lanes that each have a count of their own to be shifted by (AVX2): (value, counts) → result. WebAssembly shifts all by one. */
import { type I32, type I64, i32, i64, select } from "../../wasm/index.ts";
import { type RuntimeFunction, runtime } from "./define.ts";

type Shift = "shl" | "shrU" | "shrS";

/** A count too large gives zero, or the sign alone. */
const shift = (name: string, shape: "i32x4" | "i64x2", how: Shift): RuntimeFunction =>
  runtime(name, "v128 v128", "v128", (f) => {
    const [value, counts] = [f.param(0, "v128").get(), f.param(1, "v128").get()];
    const [lanes, bits] = shape === "i32x4" ? [4, 32] : [2, 64];
    const out = f.variable(value);
    for (let i = 0; i < lanes; i++) {
      const [x, by] = [value.lane(shape as "i32x4", i), counts.lane(shape as "i32x4", i)] as [I32 | I64, I32 | I64];
      const [a, n] = [x as I32, by as I32];
      const zero = (bits === 32 ? i32(0) : i64(0)) as I32;
      const last = (bits === 32 ? i32(bits - 1) : i64(bits - 1)) as I32;
      const shifted = how === "shrS" ? a.shrS(select(n.ltU(bits), n, last)) : select(n.ltU(bits), a[how](n), zero);
      out.set(out.get().withLane(shape, i, shifted));
    }
    f.return(out.get());
  });

export const VECTOR_EACH = [
  shift("each.shl.32", "i32x4", "shl"),
  shift("each.shrU.32", "i32x4", "shrU"),
  shift("each.shrS.32", "i32x4", "shrS"),
  shift("each.shl.64", "i64x2", "shl"),
  shift("each.shrU.64", "i64x2", "shrU"),
];
