/** What FXSAVE, XSAVE and their kin need beyond the x87's own functions: vector registers by number, initial state. */
import { type FunctionBuilder, type I32, i32, i64, type Vec, v128 } from "../../wasm/index.ts";
import { type RuntimeEnv, type RuntimeFunction, runtime } from "../runtime/define.ts";

const HALF = 16;
const ZERO = v128(new Uint8Array(HALF));

/** Address of a half of vector register `number`. */
function vectorAddress(f: FunctionBuilder, env: RuntimeEnv, number: I32, upper: I32): I32 {
  const first = env.address("ymm0");
  return f.let(
    number
      .mul(env.address("ymm1") - first)
      .add(first)
      .add(upper.mul(HALF)),
  );
}

export const SAVE_FUNCTIONS: readonly RuntimeFunction[] = [
  /** (number, upper) */
  runtime("save.vector", "i32 i32", "v128", (f, env) =>
    f.return(f.load("v128.load", vectorAddress(f, env, f.param(0, "i32").get(), f.param(1, "i32").get()))),
  ),
  runtime("save.setVector", "i32 i32 v128", "", (f, env) =>
    f.store(
      "v128.store",
      vectorAddress(f, env, f.param(0, "i32").get(), f.param(1, "i32").get()),
      f.param(2, "v128").get(),
    ),
  ),
  /** Whether a bit of an upper half is set: the XINUSE of AVX. */
  runtime("save.avxInUse", "", "i32", (f, env) => {
    let any: Vec = ZERO;
    for (let i = 0; i < 16; i++) any = any.or(f.load("v128.load", i32(0), env.address(`ymm${i}`) + HALF));
    f.return(any.test("v128.any_true"));
  }),
  /** Zeroes the upper halves (upper: 1) or the lower ones of the first eight registers, or of all where `count` is more. */
  runtime("save.zeroVectors", "i32 i32", "", (f, env) => {
    const half = f.let(f.param(1, "i32").get().mul(HALF));
    const zero = (first: number) => {
      for (let i = first; i < first + 8; i++) f.store("v128.store", half, ZERO, env.address(`ymm${i}`));
    };
    zero(0);
    f.if(f.param(0, "i32").get().gtU(8), () => zero(8));
  }),
  /** The x87's initial configuration (SDM vol. 1, 13.6): as FNINIT leaves it, and the registers zero. */
  runtime("save.initX87", "", "", (f, env) => {
    f.call(env.fn("x87.init"));
    for (let i = 0; i < 8; i++) f.call(env.fn("x87.put"), i32(i), i64(0), i32(0));
  }),
];
