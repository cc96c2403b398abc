/**
 * The fast path of SSE arithmetic. WebAssembly's own arithmetic rounds to nearest, knows no flags and promises nothing about NaNs; it is
 * exact to the bit and to the flag where this holds, in the order it is looked at:
 *
 * 1. Nothing but PE can come of the operands. First, by few instructions, whether all are in the middle of the range of exponents. Where
 *    one is not, whether it is zero or just large: sums and products of such numbers are zero or normal, if they are finite; a quotient
 *    has to be normal too.
 * 2. MXCSR rounds to nearest, and PE is set and masked: then it need not be known whether the result is exact.
 * 3. Or PE is masked, not set yet, and the result is exact. The error of a sum is had by Knuth's TwoSum (Muller et al., Handbook of
 *    Floating-Point Arithmetic, 4.3). A product is exact where the significands of its factors have no more bits together than one has,
 *    a quotient or root where the way back is such a product. What is not found exact goes the slow way, which sets PE: programs with
 *    results that are not exact come to 2 soon, and others compute with small numbers.
 *
 * The other flags and masks, DAZ and FTZ may have any value: what they are about does not happen. All else is done by a runtime function
 * (cpu/float/sse-*.ts).
 */
import { f32, f64, type I32, type I64, type Vec, v128 } from "../../wasm/index.ts";
import type { Context } from "../context.ts";
import { asBits, type Precision, type Real, real, SINGLE, splat, usual } from "./sse-guard.ts";

export type Operation = "add" | "sub" | "mul" | "div" | "sqrt";

const PM = 0x1000;
const PE = 0x20;
const RC = 0x6000;
/** What decides whether an inexact result changes something, with nothing but PM set: it sets PE. */
const setsPrecision = (m: Context): I32 =>
  m
    .get("mxcsr")
    .and(RC | PM | PE)
    .eq(PM);

/** A result, and what has to be known of it. */
interface Attempt {
  readonly result: Vec;
  /** Not zero where an operand is outside the middle of the range. */
  readonly outside: I32;
  /** Then: not zero where nevertheless nothing comes of it but PE. */
  readonly harmless: () => I32;
  /** Not zero where the result is surely exact. */
  readonly exact: () => I32;
  readonly slow: () => Vec;
}

function attempt(m: Context, { result, outside, harmless, exact, slow }: Attempt): Vec {
  const { f } = m;
  const out = f.variable(result);
  f.block((done) => {
    f.block((unfit) => {
      f.if(outside, () => f.brIf(unfit, harmless().eqz()));
      f.brIf(done, usual(m));
      f.brIf(unfit, setsPrecision(m).eqz());
      f.brIf(done, exact());
    });
    out.set(slow());
  });
  return out.get();
}

const doubled = (p: Precision, x: Vec): Vec => x.op(`${p.int}.add`, x);
/** Bits of the exponent's middle: its two upper bits differ, 2^-63 to 2^65 for binary32, 2^-511 to 2^513 for binary64. */
const middle = (p: Precision, vectors: readonly Vec[]): Vec =>
  doubled(
    p,
    vectors.map((x) => doubled(p, x).xor(x)).reduce((a, b) => a.and(b)),
  );

/** 2^-63 (2^-511), without the sign and in the place of 2x. */
const smallest = (p: Precision): bigint => 1n << BigInt(p.bits - 2);
/**
 * All ones in lanes whose magnitude is from 2^-63 to 2^63 (2^-511 to 2^511): products and quotients of two are normal.
 * It is one comparison of integers, moved to where the range begins with the smallest of all.
 */
function modest(p: Precision, x: Vec): Vec {
  const top = 1n << BigInt(p.bits - 1);
  const range = BigInt(2 ** (p === SINGLE ? 7 : 10) - 2) << BigInt(p.fractionBits + 1);
  const moved = doubled(p, x).op(`${p.int}.add`, splat(p, top - smallest(p)));
  return splat(p, range + top).op(`${p.int}.gt_s`, moved);
}
/** All ones in lanes that are zero, or not smaller than 2^-63 (2^-511). */
function notSmall(p: Precision, x: Vec): Vec {
  const top = 1n << BigInt(p.bits - 1);
  // 2x - 1 is largest for zero.
  const flipped = doubled(p, x).op(`${p.int}.add`, splat(p, top - 1n));
  return flipped.op(`${p.int}.gt_s`, splat(p, smallest(p) + top - 2n));
}
const INFINITE = Number.POSITIVE_INFINITY;
const bitsOf = (p: Precision, value: number): bigint =>
  p === SINGLE
    ? BigInt(new Uint32Array(new Float32Array([value]).buffer)[0]!)
    : new BigUint64Array(new Float64Array([value]).buffer)[0]!;
const splatReal = (p: Precision, value: number): Vec => splat(p, bitsOf(p, value));
const constant = (p: Precision, value: number): Real => (p === SINGLE ? f32(value) : f64(value));
const smallestNormal = (p: Precision): number => (p === SINGLE ? 2 ** -126 : 2 ** -1022);

// ---- one lane

const compare = (a: Real, name: "eq" | "lt" | "ge", b: Real): I32 => a.compare(name, b as never);

/** Both numbers in the low lanes of one vector, so that one test does for them. */
export function paired(p: Precision, a: Vec, b: Vec): Vec {
  const size = p.bits / 8;
  // Of the interleaved lanes the upper ones are not looked at.
  return a.shuffle(
    b,
    Array.from({ length: 16 }, (_, i) => {
      const number = Math.floor(i / size);
      return (number & 1) * 16 + (number >> 1) * size + (i % size);
    }),
  );
}
export const lowLanes = (p: Precision, mask: Vec, count: 1 | 2): I32 => {
  const bits = mask.test(`${p.int}.bitmask`);
  const all = (1 << count) - 1;
  return (p.lanes === count ? bits : bits.and(all)).eq(all);
};

/** The bits of significands below the last one that is set, of both together: none but zeros in the lower half of the product. */
function exactProduct(p: Precision, x: Real, y: Real): I32 {
  // Where the significand is a power of two, the first bit is found in the exponent, or nowhere: further up.
  const zeros = (v: Real) => (asBits(v) as I64).ctz();
  return zeros(x)
    .add(zeros(y))
    .geU(p.fractionBits + 1);
}

function exactScalar(m: Context, p: Precision, name: Operation, x: Real, y: Real, result: Real): I32 {
  const { f } = m;
  switch (name) {
    case "add":
    case "sub": {
      const other = f.let(real("sub", result, x));
      const first = real("sub", x, real("sub", result, other));
      // The error is first + (±y - other).
      return compare(first, "eq", name === "add" ? real("sub", other, y) : real("add", other, y));
    }
    case "mul":
      return exactProduct(p, x, y);
    case "div":
      return exactProduct(p, result, y).and(compare(real("mul", result, y), "eq", x));
    default:
      return exactProduct(p, result, result).and(compare(real("mul", result, result), "eq", y));
  }
}

/** The lowest lane of `a` op that of `b`, the rest of `a` beside it. */
export function scalarResult(m: Context, p: Precision, name: Operation, a: Vec, b: Vec, slow: () => Vec): Vec {
  const { f } = m;
  const shape = p.float;
  const lane = (v: Vec): Real => (shape === "f32x4" ? v.lane("f32x4", 0) : v.lane("f64x2", 0));
  const [x, y] = [f.let(lane(a)), f.let(lane(b))];
  const result = f.let(name === "sqrt" ? y.sqrt() : real(name, x, y));
  const finite = () => compare(real("abs", result), "lt", constant(p, INFINITE));
  const zero = constant(p, 0);
  const both = f.let(name === "sqrt" ? b : paired(p, a, b));
  const exact = () => exactScalar(m, p, name, x, y, result);
  const whole = { result: a.withLane(shape, 0, result), exact, slow };
  switch (name) {
    case "add":
    case "sub":
      return attempt(m, {
        ...whole,
        outside: lowLanes(p, middle(p, [both]), 2).eqz(),
        harmless: () => lowLanes(p, notSmall(p, both), 2).and(finite()),
      });
    case "mul":
      return attempt(m, {
        ...whole,
        outside: lowLanes(p, modest(p, both), 2).eqz(),
        harmless: () => lowLanes(p, notSmall(p, both), 2).and(finite()),
      });
    case "div": {
      const normal = () =>
        compare(real("abs", result), "ge", constant(p, smallestNormal(p))).or(compare(x, "eq", zero));
      return attempt(m, {
        ...whole,
        outside: lowLanes(p, modest(p, both), 2).eqz(),
        harmless: () => lowLanes(p, notSmall(p, both), 2).and(finite()).and(normal()),
      });
    }
    default:
      return attempt(m, {
        ...whole,
        outside: lowLanes(p, middle(p, [both]).op("v128.andnot", both), 1).eqz(),
        harmless: () => compare(y, "eq", zero),
      });
  }
}

// ---- all lanes

const allLanes = (p: Precision, mask: Vec): I32 => mask.test(`${p.int}.bitmask`).eq((1 << p.lanes) - 1);

/** Both factors have half the bits of a significand at most. */
function exactProducts(p: Precision, ...factors: Vec[]): I32 {
  const lower = (1n << BigInt(Math.ceil((p.fractionBits + 1) / 2))) - 1n;
  return factors
    .reduce((a, b) => a.or(b))
    .and(splat(p, lower))
    .test("v128.any_true")
    .eqz();
}

function exactPacked(m: Context, p: Precision, name: Operation, a: Vec, b: Vec, result: Vec): I32 {
  const { f } = m;
  const arithmetic = (x: Vec, name: string, y: Vec) => x.op(`${p.float}.${name}`, y);
  const equal = (x: Vec, y: Vec) => allLanes(p, arithmetic(x, "eq", y));
  switch (name) {
    case "add":
    case "sub": {
      const other = f.let(arithmetic(result, "sub", a));
      const first = arithmetic(a, "sub", arithmetic(result, "sub", other));
      const second = name === "add" ? arithmetic(other, "sub", b) : arithmetic(other, "add", b);
      return equal(first, second);
    }
    case "mul":
      return exactProducts(p, a, b);
    case "div":
      return exactProducts(p, result, b).and(equal(arithmetic(result, "mul", b), a));
    default:
      return exactProducts(p, result).and(equal(arithmetic(result, "mul", result), b));
  }
}

/** `a` op `b`, lane by lane. */
export function packedResult(m: Context, p: Precision, name: Operation, a: Vec, b: Vec, slow: () => Vec): Vec {
  const { f } = m;
  const result = f.let(name === "sqrt" ? b.op(`${p.float}.sqrt`) : a.op(`${p.float}.${name}`, b));
  const magnitude = () => result.op(`${p.float}.abs`);
  const finite = () => magnitude().op(`${p.float}.lt`, splatReal(p, INFINITE));
  const zero = v128(new Uint8Array(16));
  const whole = { result, exact: () => exactPacked(m, p, name, a, b, result), slow };
  const harmless = () => notSmall(p, a).and(notSmall(p, b)).and(finite());
  switch (name) {
    case "add":
    case "sub":
      return attempt(m, {
        ...whole,
        outside: allLanes(p, middle(p, [a, b])).eqz(),
        harmless: () => allLanes(p, harmless()),
      });
    case "mul":
      return attempt(m, {
        ...whole,
        outside: allLanes(p, modest(p, a).and(modest(p, b))).eqz(),
        harmless: () => allLanes(p, harmless()),
      });
    case "div": {
      const normal = () =>
        magnitude()
          .op(`${p.float}.ge`, splatReal(p, smallestNormal(p)))
          .or(a.op(`${p.float}.eq`, zero));
      return attempt(m, {
        ...whole,
        outside: allLanes(p, modest(p, a).and(modest(p, b))).eqz(),
        harmless: () => allLanes(p, harmless().and(normal())),
      });
    }
    default: {
      const positive = () => middle(p, [b]).op("v128.andnot", b);
      return attempt(m, {
        ...whole,
        outside: allLanes(p, positive()).eqz(),
        // Lanes of any kind together: zeros beside those in the middle.
        harmless: () => lanesFit(p, positive(), b.op(`${p.float}.eq`, zero)),
      });
    }
  }
}

/** Every lane has the sign bit set in the one mask or the other. */
const lanesFit = (p: Precision, one: Vec, other: Vec): I32 => allLanes(p, one.or(other));
