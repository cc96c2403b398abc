/** From the encodings in registers and memory to the unpacked form (SDM vol. 1, 4.2.2 and 4.8.3). */
import { type FunctionBuilder, type I32, type I64, i32, i64, select } from "../../wasm/index.ts";
import { CONTROL, EXTENDED80, type Format, minExponent } from "./format.ts";
import { type FloatUnit, KIND, type Unpacked } from "./unit.ts";

const QUIET_BIT = 1n << 62n;
const LEADING = 1n << 63n;

/** QNaN or SNaN, by the bit under the leading one. */
const nanKind = (mantissa: I64): I32 => select(mantissa.and(QUIET_BIT).eqz(), i32(KIND.signalling), i32(KIND.quiet));

/** Unpacks a binary32 or binary64 number; binary32 is zero-extended. With DAZ a denormal is a zero. */
export function unpack(u: FloatUnit, format: Format, packed: I64): Unpacked {
  const { f } = u;
  const fractionBits = format.precision - 1;
  const fraction = f.let(packed.and((1n << BigInt(fractionBits)) - 1n));
  const biasedMax = 2 ** format.exponentBits - 1;
  const biased = f.let(packed.shrU(fractionBits).wrap().and(biasedMax));
  const sign = f.let(packed.shrU(fractionBits + format.exponentBits).wrap());
  const out = { kind: f.local("i32"), exponent: f.local("i32"), mantissa: f.local("i64") };
  const shifted = f.let(fraction.shl(63 - fractionBits));
  out.kind.set(i32(KIND.finite));
  out.exponent.set(biased.sub(format.bias));
  out.mantissa.set(shifted.or(LEADING));
  f.if(
    biased.eqz(),
    () =>
      f.if(
        fraction.eqz().or(u.control.and(CONTROL.daz)),
        () => out.kind.set(i32(KIND.zero)),
        () => {
          const shift = f.let(shifted.clz());
          out.kind.set(i32(KIND.finite | KIND.denormal));
          out.mantissa.set(shifted.shl(shift));
          out.exponent.set(i32(minExponent(format)).sub(shift.wrap()));
        },
      ),
    () =>
      f.if(biased.eq(biasedMax), () =>
        out.kind.set(select(fraction.eqz(), i32(KIND.infinite), nanKind(out.mantissa.get()))),
      ),
  );
  return { kind: out.kind.get(), sign, exponent: out.exponent.get(), mantissa: out.mantissa.get() };
}

/** Unpacks an 80-bit number: sign and exponent in the low 16 bits of `top`, and the mantissa. */
export function unpackExtended(u: FloatUnit, top: I32, packed: I64): Unpacked {
  const { f } = u;
  const biased = f.let(top.and(0x7fff));
  const sign = f.let(top.shrU(15).and(1));
  const out = { kind: f.local("i32"), exponent: f.local("i32"), mantissa: f.local("i64") };
  out.kind.set(i32(KIND.finite));
  out.exponent.set(biased.sub(EXTENDED80.bias));
  out.mantissa.set(packed);
  f.if(
    biased.eqz(),
    () =>
      f.if(
        packed.eqz(),
        () => out.kind.set(i32(KIND.zero)),
        () => {
          // Also pseudo-denormals, whose leading one is there: they count as denormal operands.
          const shift = f.let(packed.clz());
          out.kind.set(i32(KIND.finite | KIND.denormal));
          out.mantissa.set(packed.shl(shift));
          out.exponent.set(i32(minExponent(EXTENDED80)).sub(shift.wrap()));
        },
      ),
    () =>
      f.if(
        packed.geS(0),
        () => out.kind.set(i32(KIND.unsupported)),
        () =>
          f.if(biased.eq(0x7fff), () => out.kind.set(select(packed.shl(1).eqz(), i32(KIND.infinite), nanKind(packed)))),
      ),
  );
  return { kind: out.kind.get(), sign, exponent: out.exponent.get(), mantissa: out.mantissa.get() };
}

/** A signed integer of 64 bits (narrower ones sign-extended) in unpacked form. */
export function unpackInteger(f: FunctionBuilder, value: I64): Unpacked {
  const magnitude = f.let(select(value.ltS(0), i64(0).sub(value), value));
  const shift = f.let(magnitude.clz());
  return {
    kind: f.let(select(value.eqz(), i32(KIND.zero), i32(KIND.finite))),
    sign: f.let(value.shrU(63).wrap()),
    exponent: f.let(i32(63).sub(shift.wrap())),
    mantissa: f.let(magnitude.shl(shift)),
  };
}
