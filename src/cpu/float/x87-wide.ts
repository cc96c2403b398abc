/**
 * Arithmetic with 128-bit mantissas, for functions whose results must round right to 64 bits: the error of a whole
 * evaluation stays under 2^-120, so that about one result in 2^55 rounds wrong.
 *
 * A positive number is high:low / 2^127 * 2^exponent, with bit 127 set. Fixed point means high:low / 2^127 alone: 0 to 2.
 */
import { type FunctionBuilder, type I32, type I64, i32, i64, select } from "../../wasm/index.ts";
import type { RuntimeEnv } from "../runtime/define.ts";
import { multiplyWide } from "./wide.ts";
import { x87 } from "./x87-registers.ts";

export interface Fixed {
  readonly high: I64;
  readonly low: I64;
}
export interface Wide extends Fixed {
  readonly exponent: I32;
}

const ONE = 1n << 127n;
const HALF_MASK = (1n << 64n) - 1n;
/** Steps of series below this many bits are left out. */
const PRECISION = 132n;

export const fixed = (value: bigint): Fixed => ({ high: i64(value >> 64n), low: i64(value & HALF_MASK) });

/** A constant from its fixed-point value with 255 bits behind the point. */
export function constant(value: bigint): Wide {
  const length = value.toString(2).length;
  return { ...fixed(value >> BigInt(length - 128)), exponent: i32(length - 256) };
}

/** Writes the fields a branch decides on into one set of locals. */
export function choice(f: FunctionBuilder) {
  const into = { high: f.local("i64"), low: f.local("i64"), exponent: f.local("i32") };
  return {
    take: (from: Wide): void => {
      into.high.set(from.high);
      into.low.set(from.low);
      into.exponent.set(from.exponent);
    },
    value: (): Wide => ({ high: into.high.get(), low: into.low.get(), exponent: into.exponent.get() }),
  };
}

/**
 * Cut to the 67 bits that Intel's processors keep between the steps of an evaluation. That they do so, and where, was
 * found by comparing: with it all results agree wherever the series is the same.
 */
export const cut = <N extends Fixed>(f: FunctionBuilder, a: N): N => ({ ...a, low: f.let(a.low.and(i64(7n << 61n))) });
/** What `cut` leaves off; may be zero. */
export const rest = (f: FunctionBuilder, a: Fixed): Fixed => ({
  high: i64(0),
  low: f.let(a.low.and((1n << 61n) - 1n)),
});

/** The calls below as expressions on numbers. */
export function arithmetic(f: FunctionBuilder, env: RuntimeEnv) {
  const pair = (name: string, ...values: (I32 | I64)[]): Fixed => {
    const [high, low] = f.callForAll(env.fn(`x87.${name}`), ...values) as [I64, I64];
    return { high, low };
  };
  const triple = (name: string, ...values: (I32 | I64)[]): Wide => {
    const [high, low, exponent] = f.callForAll(env.fn(`x87.${name}`), ...values) as [I64, I64, I32];
    return { high, low, exponent };
  };
  const shiftRight = (a: Fixed, count: I32): Fixed => pair("wideShift", a.high, a.low, count);
  return {
    pair,
    triple,
    shiftRight,
    /** a as fixed point; below 2. */
    toFixed: (a: Wide): Fixed => shiftRight(a, f.let(i32(0).sub(a.exponent))),
    /** A fixed-point number that is not zero, times 2^exponent. */
    normalise: (a: Fixed, exponent: I32 | number): Wide =>
      triple("wideNormalise", a.high, a.low, typeof exponent === "number" ? i32(exponent) : exponent),
    multiply: (a: Wide, b: Wide): Wide => {
      const product = pair("wideMultiply", a.high, a.low, b.high, b.low);
      return triple("wideNormalise", product.high, product.low, f.let(a.exponent.add(b.exponent).add(1)));
    },
    /** a * s, s being fixed point and at least 1/4. */
    scale: (a: Wide, s: Fixed): Wide => {
      const product = pair("wideMultiply", a.high, a.low, s.high, s.low);
      return triple("wideNormalise", product.high, product.low, f.let(a.exponent.add(1)));
    },
    divide: (a: Wide, b: Wide): Wide => {
      const q = triple("wideDivide", a.high, a.low, b.high, b.low);
      return { ...q, exponent: f.let(a.exponent.sub(b.exponent).sub(q.exponent)) };
    },
    /** a + b, or a - b where `negate` is 1; a must be the larger. */
    add: (a: Wide, b: Wide, negate: I32): Wide =>
      triple("wideAdd", a.high, a.low, a.exponent, b.high, b.low, b.exponent, negate),
    /** The square of a number below 1, as fixed point. */
    square: (a: Wide): Fixed => {
      const product = pair("wideMultiply", a.high, a.low, a.high, a.low);
      return shiftRight(product, f.let(i32(-1).sub(a.exponent.shl(1))));
    },
  };
}

/**
 * A power series at a fixed-point argument below 1, the first coefficient being 1: c0 + t (c1 + t (c2 ...)), or
 * alternating. The result is never exactly 1, so that an argument too small to be seen still makes it inexact.
 */
function series(name: string, alternating: boolean, coefficients: readonly bigint[]) {
  return x87(name, "i64 i64", "i64 i64", (f, env) => {
    const [tHigh, tLow] = [f.param(0, "i64").get(), f.param(1, "i64").get()];
    const { pair } = arithmetic(f, env);
    let sum = fixed(coefficients.at(-1)!);
    for (let k = coefficients.length - 2; k >= 0; k--) {
      const product = pair("wideMultiply", tHigh, tLow, sum.high, sum.low);
      // Twice, back to fixed point; the last bit stands for what is cut off.
      const step: Fixed = {
        high: f.let(product.high.shl(1).or(product.low.shrU(63))),
        low: f.let(product.low.shl(1).or(1)),
      };
      const c = fixed(coefficients[k]!);
      const low = f.let(alternating ? c.low.sub(step.low) : c.low.add(step.low));
      const carry = f.let((alternating ? c.low.ltU(step.low) : low.ltU(step.low)).extendU());
      const high = alternating ? c.high.sub(step.high).sub(carry) : c.high.add(step.high).add(carry);
      sum = { high: f.let(high), low };
    }
    f.return(sum.high, sum.low);
  });
}

/** 1/d(0), 1/d(1), …, as long as limit^k / d(k) matters; `limit` is the largest argument, in units of 1/1000. */
function reciprocals(limit: bigint, divisor: (k: bigint) => bigint): bigint[] {
  const out: bigint[] = [];
  let power = 1n << PRECISION;
  for (let k = 0n; power / divisor(k) > 0n; k++) {
    out.push(ONE / divisor(k));
    power = (power * limit) / 1000n;
  }
  return out;
}

function factorial(n: bigint): bigint {
  let product = 1n;
  for (let i = 2n; i <= n; i++) product *= i;
  return product;
}

export const WIDE_FUNCTIONS = [
  /** The high 128 bits of a product, at most 2 too small. */
  x87("wideMultiply", "i64 i64 i64 i64", "i64 i64", (f) => {
    const [aHigh, aLow] = [f.param(0, "i64").get(), f.param(1, "i64").get()];
    const [bHigh, bLow] = [f.param(2, "i64").get(), f.param(3, "i64").get()];
    const top = multiplyWide(f, aHigh, bHigh);
    const [one, other] = [multiplyWide(f, aHigh, bLow).high, multiplyWide(f, aLow, bHigh).high];
    const first = f.let(top.low.add(one));
    const second = f.let(first.add(other));
    f.return(top.high.add(first.ltU(one).extendU()).add(second.ltU(other).extendU()), second);
  }),

  /** a / b of normalised mantissas, normalised; and 1 where that took a doubling. A bit at a time. */
  x87("wideDivide", "i64 i64 i64 i64", "i64 i64 i32", (f) => {
    const [bHigh, bLow] = [f.param(2, "i64").get(), f.param(3, "i64").get()];
    const high = f.variable(f.param(0, "i64").get());
    const low = f.variable(f.param(1, "i64").get());
    const [qHigh, qLow] = [f.local("i64"), f.local("i64")];
    const fits = () =>
      high
        .get()
        .gtU(bHigh)
        .or(high.get().eq(bHigh).and(low.get().geU(bLow)));
    const subtract = () => {
      const borrow = f.let(low.get().ltU(bLow).extendU());
      low.set(low.get().sub(bLow));
      high.set(high.get().sub(bHigh).sub(borrow));
      qLow.set(qLow.get().or(1));
    };
    const below = f.let(fits().eqz());
    f.if(below.eqz(), subtract);
    const left = f.variable(below.add(127));
    f.loop((again) => {
      const carry = f.let(high.get().shrU(63).wrap());
      high.set(high.get().shl(1).or(low.get().shrU(63)));
      low.set(low.get().shl(1));
      qHigh.set(qHigh.get().shl(1).or(qLow.get().shrU(63)));
      qLow.set(qLow.get().shl(1));
      f.if(carry.or(fits()), subtract);
      left.set(left.get().sub(1));
      f.brIf(again, left.get());
    });
    f.return(qHigh.get(), qLow.get(), below);
  }),

  x87("wideShift", "i64 i64 i32", "i64 i64", (f) => {
    const [high, low, count] = [f.param(0, "i64").get(), f.param(1, "i64").get(), f.param(2, "i32").get()];
    f.if(count.eqz(), () => f.return(high, low));
    f.if(count.geU(128), () => f.return(i64(0), i64(0)));
    const n = f.let(count.extendU());
    f.if(count.geU(64), () => f.return(i64(0), high.shrU(n)));
    f.return(high.shrU(n), low.shrU(n).or(high.shl(i64(64).sub(n))));
  }),

  /** Brings the leading one of a number that is not zero to bit 127. */
  x87("wideNormalise", "i64 i64 i32", "i64 i64 i32", (f) => {
    const high = f.variable(f.param(0, "i64").get());
    const low = f.variable(f.param(1, "i64").get());
    const exponent = f.variable(f.param(2, "i32").get());
    f.if(high.get().eqz(), () => {
      high.set(low.get());
      low.set(i64(0));
      exponent.set(exponent.get().sub(64));
    });
    const shift = f.let(high.get().clz());
    f.if(shift.nez(), () => {
      high.set(
        high
          .get()
          .shl(shift)
          .or(low.get().shrU(i64(64).sub(shift))),
      );
      low.set(low.get().shl(shift));
      exponent.set(exponent.get().sub(shift.wrap()));
    });
    f.return(high.get(), low.get(), exponent.get());
  }),

  x87("wideAdd", "i64 i64 i32 i64 i64 i32 i32", "i64 i64 i32", (f, env) => {
    const a: Wide = { high: f.param(0, "i64").get(), low: f.param(1, "i64").get(), exponent: f.param(2, "i32").get() };
    const given: Fixed = { high: f.param(3, "i64").get(), low: f.param(4, "i64").get() };
    const { shiftRight, normalise } = arithmetic(f, env);
    const b = shiftRight(given, f.let(a.exponent.sub(f.param(5, "i32").get())));
    f.if(f.param(6, "i32").get(), () => {
      const low = f.let(a.low.sub(b.low));
      const high = f.let(a.high.sub(b.high).sub(a.low.ltU(b.low).extendU()));
      const r = normalise({ high, low }, a.exponent);
      f.return(r.high, r.low, r.exponent);
    });
    const low = f.let(a.low.add(b.low));
    const carry = f.let(low.ltU(b.low).extendU());
    const high = f.let(a.high.add(b.high).add(carry));
    // Both have at most one bit above: a sum that is smaller than a overflowed.
    const over = f.let(high.ltU(a.high).or(high.eq(a.high).and(b.high.or(carry).ne(0))));
    f.return(
      select(over, high.shrU(1).or(i64(1n << 63n)), high),
      select(over, low.shrU(1).or(high.shl(63)), low),
      a.exponent.add(over),
    );
  }),

  // Arguments: squares of at most pi/4, |x| ln 2, squares of at most 1/31 and of (sqrt 2 - 1) / (sqrt 2 + 1).
  series(
    "seriesSine",
    true,
    reciprocals(618n, (k) => factorial(2n * k + 1n)),
  ),
  series(
    "seriesCosine",
    true,
    reciprocals(618n, (k) => factorial(2n * k)),
  ),
  series(
    "seriesExponential",
    false,
    reciprocals(694n, (k) => factorial(k + 1n)),
  ),
  series(
    "seriesExponentialNegative",
    true,
    reciprocals(694n, (k) => factorial(k + 1n)),
  ),
  series(
    "seriesArctangent",
    true,
    reciprocals(2n, (k) => 2n * k + 1n),
  ),
  series(
    "seriesLogarithm",
    false,
    reciprocals(30n, (k) => 2n * k + 1n),
  ),
];

// Constants with 255 bits behind the point.
const SCALE = 1n << 255n;

/** arctan(n/d) by Euler's series, whose terms shrink by x²/(1+x²). */
export function arctangent(n: bigint, d: bigint): bigint {
  let term = (SCALE * n * d) / (n * n + d * d);
  let sum = 0n;
  for (let k = 1n; term > 0n; k++) {
    sum += term;
    term = (term * 2n * k * n * n) / ((2n * k + 1n) * (n * n + d * d));
  }
  return sum;
}

export const PI = 16n * arctangent(1n, 5n) - 4n * arctangent(1n, 239n);

/** ln 2 as the sum of 1 / (k 2^k). */
function logarithmOf2(): bigint {
  let sum = 0n;
  for (let k = 1n; k <= 255n; k++) sum += (SCALE >> k) / k;
  return sum;
}
export const LN2 = logarithmOf2();
/** 2 / ln 2. */
export const TWO_OVER_LN2 = (2n * SCALE * SCALE) / LN2;

/** `value` to so many bits, toward zero or to nearest. */
function shortened(value: bigint, bits: number, nearest: boolean): bigint {
  const drop = BigInt(value.toString(2).length - bits);
  return ((value + (nearest ? 1n << (drop - 1n) : 0n)) >> drop) << drop;
}
/** ln 2 and 1 / ln 2 as Intel's processors have them for small arguments: found by comparing. */
export const SHORT_LN2 = shortened(LN2, 66, false);
export const SHORT_LOG2_E = shortened(TWO_OVER_LN2 / 2n, 66, true);
