/** Comparison, conversion to integers and rounding to integral values. */
import { type I32, type I64, i32, i64, select } from "../../wasm/index.ts";
import { denormalOperand } from "./arithmetic.ts";
import { FLAG, ROUNDED_UP } from "./format.ts";
import { pass, set } from "./nan.ts";
import { roundsUp, shiftRightSticky } from "./round.ts";
import { type FloatUnit, is, KIND, NAN, raise, type Unpacked, type Unrounded, unrounded } from "./unit.ts";

/** How two numbers compare. */
export const ORDER = { less: 1, equal: 2, greater: 4, unordered: 8 } as const;

/**
 * One of ORDER. A quiet comparison raises IE for SNaNs alone, a signalling one for any NaN
 * (SDM vol. 1, 4.2.2 of IEEE 754-2008: UCOMIS, FUCOM are quiet; COMIS, FCOM signal).
 */
export function compare(u: FloatUnit, a: Unpacked, b: Unpacked, quiet: boolean | I32): I32 {
  const { f } = u;
  const out = f.local("i32");
  const kinds = f.let(a.kind.or(b.kind));
  f.if(
    is(kinds, NAN | KIND.unsupported),
    () => {
      const silent = typeof quiet === "boolean" ? i32(quiet ? 1 : 0) : quiet;
      f.if(silent.eqz().or(is(kinds, KIND.signalling | KIND.unsupported)), () => raise(u, FLAG.IE));
      out.set(i32(ORDER.unordered));
    },
    () => {
      denormalOperand(u, kinds);
      // Rank of the kinds: zero, finite, infinite are 1, 2, 4 already.
      const [aKind, bKind] = [f.let(a.kind.and(7)), f.let(b.kind.and(7))];
      const bothFinite = f.let(aKind.and(bKind).and(KIND.finite));
      const larger = (x: Unpacked, y: Unpacked, xKind: I32, yKind: I32) =>
        xKind
          .gtU(yKind)
          .or(
            bothFinite
              .nez()
              .and(x.exponent.gtS(y.exponent).or(x.exponent.eq(y.exponent).and(x.mantissa.gtU(y.mantissa)))),
          );
      const magnitude = f.let(
        select(
          larger(a, b, aKind, bKind),
          i32(ORDER.greater),
          select(larger(b, a, bKind, aKind), i32(ORDER.less), i32(ORDER.equal)),
        ),
      );
      const reversed = select(magnitude.eq(ORDER.equal), magnitude, magnitude.xor(ORDER.less | ORDER.greater));
      out.set(
        select(
          aKind.and(bKind).and(KIND.zero),
          i32(ORDER.equal),
          select(
            a.sign.ne(b.sign),
            select(a.sign, i32(ORDER.less), i32(ORDER.greater)),
            select(a.sign, reversed, magnitude),
          ),
        ),
      );
    },
  );
  return out.get();
}

/** The magnitude of a finite number as an integer (below 2^64, else `huge`) and the fraction in units of 2^-64. */
function integerPart(u: FloatUnit, a: Unpacked): { kept: I64; rest: I64; huge: I32 } {
  const { f } = u;
  const high = f.variable(a.mantissa);
  const low = f.local("i64");
  const distance = f.let(i32(63).sub(a.exponent));
  f.if(distance.gtS(0), () => shiftRightSticky(u, high, low, distance));
  return { kept: high.get(), rest: low.get(), huge: f.let(distance.ltS(0)) };
}

/**
 * Rounds to a signed integer of `bits`, as the control word says or towards zero. What does not fit raises IE and
 * gives the integer indefinite, -2^(bits-1). Raises PE where inexact. A denormal operand raises nothing of its own.
 */
export function toInteger(u: FloatUnit, a: Unpacked, bits: 16 | 32 | 64, truncate = false): I64 {
  const { f } = u;
  const limit = 1n << BigInt(bits - 1);
  const out = f.variable(i64(-limit));
  const bad = f.variable(i32(1));
  f.if(is(a.kind, KIND.zero), () => {
    out.set(i64(0));
    bad.set(i32(0));
  });
  f.if(is(a.kind, KIND.finite), () => {
    const { kept, rest, huge } = integerPart(u, a);
    const up = truncate ? i32(0) : f.let(roundsUp(u, a.sign, kept, rest));
    const magnitude = f.let(kept.add(up.extendU()));
    const tooLarge = select(a.sign, magnitude.gtU(limit), magnitude.geU(limit));
    const wrapped = up.and(magnitude.eqz());
    f.if(huge.or(tooLarge).or(wrapped).eqz(), () => {
      bad.set(i32(0));
      out.set(select(a.sign, i64(0).sub(magnitude), magnitude));
      f.if(rest.ne(0), () => raise(u, select(up, i32(FLAG.PE | ROUNDED_UP), i32(FLAG.PE))));
    });
  });
  f.if(bad.get(), () => raise(u, FLAG.IE));
  return out.get();
}

/** Rounds to an integral value in floating point (ROUNDSD, FRNDINT). Raises PE where inexact, DE where the caller asks. */
export function roundToIntegral(u: FloatUnit, a: Unpacked): Unrounded {
  const { f } = u;
  const out = unrounded(f);
  pass(u, out, a);
  f.if(is(a.kind, KIND.finite).nez().and(a.exponent.ltS(63)), () => {
    const { kept, rest } = integerPart(u, a);
    f.if(rest.ne(0), () => {
      const up = f.let(roundsUp(u, a.sign, kept, rest));
      raise(u, select(up, i32(FLAG.PE | ROUNDED_UP), i32(FLAG.PE)));
      const magnitude = f.let(kept.add(up.extendU()));
      const shift = f.let(magnitude.clz());
      const kind = select(magnitude.eqz(), i32(KIND.zero), i32(KIND.finite));
      set(out, kind, a.sign, i32(63).sub(shift.wrap()), magnitude.shl(shift));
    });
  });
  return out;
}

/** A number as it is, for packing in another format or after a conversion from an integer. SNaNs raise IE, denormals DE. */
export function convert(u: FloatUnit, a: Unpacked): Unrounded {
  const out = unrounded(u.f);
  pass(u, out, a);
  denormalOperand(u, a.kind);
  return out;
}
