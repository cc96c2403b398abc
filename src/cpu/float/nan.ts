/** Invalid operands and NaN results (SDM vol. 1, 4.8.3.4 to 4.8.3.7). */
import { type I32, type I64, i32, i64, select } from "../../wasm/index.ts";
import { FLAG } from "./format.ts";
import { type FloatUnit, is, KIND, NAN, raise, type Unpacked, type Unrounded } from "./unit.ts";

const QUIET_BIT = 1n << 62n;
const LEADING = 1n << 63n;

/** The answer to an invalid operation: real indefinite, a negative quiet NaN without payload. Raises IE. */
export function invalid(u: FloatUnit, out: Unrounded): void {
  raise(u, FLAG.IE);
  set(out, i32(KIND.quiet), i32(1), i32(0), i64(LEADING | QUIET_BIT));
}

/** Sets a result that needs no rounding. */
export function set(out: Unrounded, kind: I32, sign: I32, exponent: I32, high: I64): void {
  out.kind.set(kind);
  out.sign.set(sign);
  out.exponent.set(exponent);
  out.high.set(high);
  out.low.set(i64(0));
}

/** The operand itself, to be rounded and packed; an SNaN is made quiet and raises IE. */
export function pass(u: FloatUnit, out: Unrounded, a: Unpacked): void {
  set(out, a.kind, a.sign, a.exponent, a.mantissa);
  u.f.if(is(a.kind, KIND.signalling), () => {
    raise(u, FLAG.IE);
    out.kind.set(i32(KIND.quiet));
    out.high.set(a.mantissa.or(QUIET_BIT));
  });
  u.f.if(is(a.kind, KIND.unsupported), () => invalid(u, out));
}

/** Sets `out` to the NaN that operands, of which one is a NaN or unsupported, give. Raises IE for an SNaN. */
export function propagate(u: FloatUnit, out: Unrounded, a: Unpacked, b: Unpacked): void {
  const { f } = u;
  f.if(
    is(a.kind.or(b.kind), KIND.unsupported),
    () => invalid(u, out),
    () => {
      f.if(is(a.kind.or(b.kind), KIND.signalling), () => raise(u, FLAG.IE));
      const first = f.let(u.nan === "sse" ? is(a.kind, NAN).nez() : firstByX87(u, a, b));
      set(
        out,
        i32(KIND.quiet),
        select(first, a.sign, b.sign),
        i32(0),
        select(first, a.mantissa, b.mantissa).or(QUIET_BIT),
      );
    },
  );
}

/** x87: a QNaN beats an SNaN, then the larger significand, then the positive one (SDM vol. 1, table 4-7). */
function firstByX87(u: FloatUnit, a: Unpacked, b: Unpacked): I32 {
  const { f } = u;
  const larger = select(a.mantissa.eq(b.mantissa), a.sign.leU(b.sign), a.mantissa.gtU(b.mantissa));
  const quieter = f.let(is(a.kind, KIND.quiet).nez());
  const both = is(a.kind, NAN).nez().and(is(b.kind, NAN).nez());
  const alike = a.kind.eq(b.kind);
  return select(both, select(alike, larger, quieter), is(a.kind, NAN).nez());
}
