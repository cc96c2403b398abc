/**
 * Addition, multiplication, division and square root of unpacked numbers. Each writes code that sets an unrounded
 * result for roundPack or roundExtended, and raises IE, DE and ZE.
 */
import { type I32, type I64, i32, i64, select } from "../../wasm/index.ts";
import { FLAG, ROUNDING } from "./format.ts";
import { invalid, pass, propagate, set } from "./nan.ts";
import { shiftRightSticky } from "./round.ts";
import { type FloatUnit, is, KIND, NAN, raise, rounding, type Unpacked, type Unrounded, unrounded } from "./unit.ts";
import { divideWide, multiplyWide, squareRootWide } from "./wide.ts";

const LEADING = 1n << 63n;

/** Raises DE where an operand is a denormal. NaNs and invalid operations come first (SDM vol. 1, 4.9.2). */
export function denormalOperand(u: FloatUnit, kinds: I32): void {
  u.f.if(is(kinds, KIND.denormal), () => raise(u, FLAG.DE));
}

/** The NaN result where an operand is a NaN, else `otherwise`. */
function unlessNan(u: FloatUnit, out: Unrounded, a: Unpacked, b: Unpacked, otherwise: () => void): void {
  u.f.if(is(a.kind.or(b.kind), NAN | KIND.unsupported), () => propagate(u, out, a, b), otherwise);
}

/** A number with 64 more bits of significand: an exact product. */
export interface Wide extends Unpacked {
  readonly low: I64;
}

/** a + b, or a - b where `negate` is 1. */
export function add(u: FloatUnit, a: Unpacked, b: Unpacked, negate: I32 = i32(0)): Unrounded {
  const out = unrounded(u.f);
  unlessNan(u, out, a, b, () => addNumbers(u, out, { ...a, low: i64(0) }, { ...b, sign: u.f.let(b.sign.xor(negate)) }));
  return out;
}

/** a + b, neither being a NaN. `operands` are the kinds of what DE is to be raised for. */
export function addNumbers(u: FloatUnit, out: Unrounded, a: Wide, b: Unpacked, operands = a.kind.or(b.kind)): void {
  const { f } = u;
  const bSign = b.sign;
  const differ = f.let(a.sign.xor(bSign));
  const negativeZero = f.let(rounding(u).eq(ROUNDING.down));
  const both = f.let(a.kind.and(b.kind));
  f.if(
    is(both, KIND.infinite).nez().and(differ),
    () => invalid(u, out),
    () => {
      denormalOperand(u, operands);
      f.if(
        is(a.kind, KIND.infinite),
        () => set(out, a.kind, a.sign, a.exponent, a.mantissa),
        () =>
          f.if(
            is(b.kind, KIND.infinite),
            () => set(out, b.kind, bSign, b.exponent, b.mantissa),
            () =>
              f.if(
                is(both, KIND.zero),
                () => set(out, i32(KIND.zero), select(differ, negativeZero, a.sign), i32(0), i64(0)),
                () =>
                  f.if(
                    is(b.kind, KIND.zero),
                    () => {
                      set(out, a.kind, a.sign, a.exponent, a.mantissa);
                      out.low.set(a.low);
                    },
                    () =>
                      f.if(
                        is(a.kind, KIND.zero),
                        () => set(out, b.kind, bSign, b.exponent, b.mantissa),
                        () => addFinite(u, out, a, b, differ, negativeZero),
                      ),
                  ),
              ),
          ),
      );
    },
  );
}

function addFinite(u: FloatUnit, out: Unrounded, a: Wide, b: Unpacked, differ: I32, negativeZero: I32): void {
  const { f } = u;
  const aLarger = f.let(a.exponent.gtS(b.exponent).or(a.exponent.eq(b.exponent).and(a.mantissa.geU(b.mantissa))));
  const largeLow = f.let(select(aLarger, a.low, i64(0)));
  const exponent = f.let(select(aLarger, a.exponent, b.exponent));
  const distance = f.let(exponent.sub(select(aLarger, b.exponent, a.exponent)));
  const large = f.let(select(aLarger, a.mantissa, b.mantissa));
  const high = f.variable(select(aLarger, b.mantissa, a.mantissa));
  const low = f.variable(select(aLarger, i64(0), a.low));
  out.kind.set(i32(KIND.finite));
  out.sign.set(select(aLarger, a.sign, b.sign));
  out.exponent.set(exponent);
  f.if(distance, () => shiftRightSticky(u, high, low, distance));
  f.if(
    differ,
    () => {
      // The sticky bit below makes the difference too small by less than the last place kept.
      const borrow = f.let(largeLow.ltU(low.get()).extendU());
      out.low.set(largeLow.sub(low.get()));
      out.high.set(large.sub(high.get()).sub(borrow));
      f.if(
        out.high.get().or(out.low.get()).eqz(),
        () => {
          out.kind.set(i32(KIND.zero));
          out.sign.set(negativeZero);
        },
        () => normalise(u, out),
      );
    },
    () => {
      const sumLow = f.let(largeLow.add(low.get()));
      const half = f.let(large.add(high.get()));
      const sum = f.let(half.add(sumLow.ltU(largeLow).extendU()));
      f.if(
        half.ltU(large).or(sum.ltU(half)),
        () => {
          out.low.set(sumLow.shrU(1).or(sumLow.and(1)).or(sum.shl(63)));
          out.high.set(sum.shrU(1).or(LEADING));
          out.exponent.set(exponent.add(1));
        },
        () => {
          out.low.set(sumLow);
          out.high.set(sum);
        },
      );
    },
  );
}

/** Brings the leading one of high:low, which is not zero, to the top. */
export function normalise(u: FloatUnit, n: Unrounded): void {
  const { f } = u;
  f.if(n.high.get().eqz(), () => {
    n.high.set(n.low.get());
    n.low.set(i64(0));
    n.exponent.set(n.exponent.get().sub(64));
  });
  const shift = f.let(n.high.get().clz());
  f.if(shift.nez(), () => {
    n.high.set(
      n.high
        .get()
        .shl(shift)
        .or(n.low.get().shrU(i64(64).sub(shift))),
    );
    n.low.set(n.low.get().shl(shift));
    n.exponent.set(n.exponent.get().sub(shift.wrap()));
  });
}

export function multiply(u: FloatUnit, a: Unpacked, b: Unpacked): Unrounded {
  const { f } = u;
  const out = unrounded(f);
  unlessNan(u, out, a, b, () => {
    const kinds = f.let(a.kind.or(b.kind));
    const sign = f.let(a.sign.xor(b.sign));
    f.if(
      kinds.and(KIND.infinite | KIND.zero).eq(KIND.infinite | KIND.zero),
      () => invalid(u, out),
      () => {
        denormalOperand(u, kinds);
        f.if(
          is(kinds, KIND.infinite | KIND.zero),
          () => set(out, kinds.and(KIND.infinite | KIND.zero), sign, i32(0), i64(0)),
          () => {
            out.kind.set(i32(KIND.finite));
            out.sign.set(sign);
            multiplyFinite(u, out, a, b);
          },
        );
      },
    );
  });
  return out;
}

/** Sets exponent and significand of the exact product of finite numbers. */
function multiplyFinite(u: FloatUnit, out: Unrounded, a: Unpacked, b: Unpacked): void {
  const product = multiplyWide(u.f, a.mantissa, b.mantissa);
  const carried = u.f.let(product.high.shrU(63).wrap());
  out.exponent.set(a.exponent.add(b.exponent).add(carried));
  out.high.set(select(carried, product.high, product.high.shl(1).or(product.low.shrU(63))));
  out.low.set(select(carried, product.low, product.low.shl(1)));
}

/**
 * a * b + c with one rounding (SDM vol. 1, 14.5.3). `negate`: bit 0 negates the product, bit 1 the addend; NaNs keep their signs.
 * Of several NaNs the first in this order is the result; with one, the product is not looked at.
 */
export function fusedMultiplyAdd(u: FloatUnit, a: Unpacked, b: Unpacked, c: Unpacked, negate: I32): Unrounded {
  const { f } = u;
  const out = unrounded(f);
  const kinds = f.let(a.kind.or(b.kind).or(c.kind));
  f.if(
    is(kinds, NAN),
    () =>
      f.if(
        is(a.kind.or(b.kind), NAN),
        () => {
          f.if(is(c.kind, KIND.signalling), () => raise(u, FLAG.IE));
          propagate(u, out, a, b);
        },
        () => pass(u, out, c),
      ),
    () =>
      f.if(
        a.kind
          .or(b.kind)
          .and(KIND.infinite | KIND.zero)
          .eq(KIND.infinite | KIND.zero),
        () => invalid(u, out),
        () => {
          const either = f.let(a.kind.or(b.kind).and(KIND.infinite | KIND.zero));
          const product = unrounded(f);
          const sign = f.let(a.sign.xor(b.sign).xor(negate.and(1)));
          set(product, select(either, either, i32(KIND.finite)), sign, i32(0), i64(0));
          f.if(either.eqz(), () => multiplyFinite(u, product, a, b));
          const wide = {
            kind: product.kind.get(),
            sign,
            exponent: product.exponent.get(),
            mantissa: product.high.get(),
            low: product.low.get(),
          };
          addNumbers(u, out, wide, { ...c, sign: f.let(c.sign.xor(negate.shrU(1).and(1))) }, kinds);
        },
      ),
  );
  return out;
}

export function divide(u: FloatUnit, a: Unpacked, b: Unpacked): Unrounded {
  const { f } = u;
  const out = unrounded(f);
  unlessNan(u, out, a, b, () => {
    const sign = f.let(a.sign.xor(b.sign));
    const both = f.let(a.kind.and(b.kind));
    f.if(
      is(both, KIND.infinite | KIND.zero),
      () => invalid(u, out),
      () => {
        f.if(
          is(b.kind, KIND.zero),
          () => {
            // Infinity / 0 is exact; a finite dividend raises ZE, and DE is not looked for.
            f.if(is(a.kind, KIND.finite), () => raise(u, FLAG.ZE));
            set(out, i32(KIND.infinite), sign, i32(0), i64(0));
          },
          () => {
            denormalOperand(u, a.kind.or(b.kind));
            f.if(
              is(a.kind, KIND.infinite | KIND.zero).or(is(b.kind, KIND.infinite)),
              () =>
                set(out, select(is(a.kind, KIND.infinite), i32(KIND.infinite), i32(KIND.zero)), sign, i32(0), i64(0)),
              () => {
                const below = f.let(a.mantissa.ltU(b.mantissa));
                // Dividend a * 2^63, or a * 2^64 where that keeps the quotient under 64 bits.
                const { quotient, remainder } = divideWide(
                  f,
                  f.let(select(below, a.mantissa, a.mantissa.shrU(1))),
                  f.let(select(below, i64(0), a.mantissa.shl(63))),
                  b.mantissa,
                );
                out.kind.set(i32(KIND.finite));
                out.sign.set(sign);
                out.exponent.set(a.exponent.sub(b.exponent).sub(below));
                out.high.set(quotient);
                // Guard bit: is twice the remainder at least the divisor; and sticky.
                const half = f.let(b.mantissa.sub(remainder).leU(remainder).extendU());
                out.low.set(half.shl(63).or(remainder.ne(0).and(b.mantissa.sub(remainder).ne(remainder)).extendU()));
              },
            );
          },
        );
      },
    );
  });
  return out;
}

export function squareRoot(u: FloatUnit, a: Unpacked): Unrounded {
  const { f } = u;
  const out = unrounded(f);
  f.if(
    is(a.kind, NAN | KIND.unsupported | KIND.zero),
    () => pass(u, out, a),
    () =>
      f.if(
        a.sign,
        () => invalid(u, out),
        () => {
          denormalOperand(u, a.kind);
          f.if(
            is(a.kind, KIND.infinite),
            () => pass(u, out, a),
            () => {
              // mantissa * 2^63 (even exponent) or 2^64 (odd): its root has 64 bits.
              const odd = f.let(a.exponent.and(1));
              const { root, half, inexact } = squareRootWide(
                f,
                f.let(select(odd, a.mantissa, a.mantissa.shrU(1))),
                f.let(select(odd, i64(0), a.mantissa.shl(63))),
              );
              set(out, i32(KIND.finite), i32(0), a.exponent.shrS(1), root);
              out.low.set(half.shl(63).or(inexact));
            },
          );
        },
      ),
  );
  return out;
}
