/**
 * The fast path of SSE arithmetic. WebAssembly's own arithmetic rounds to nearest, knows no flags and promises nothing about NaNs; it is
 * exact to the bit and to the flag where this holds, in the order it is looked at:
 *
 * 1. Nothing but PE can come of the operands. First, by few instructions, whether the numbers are in the middle of the range of exponents.
 *    Where one is not, whether it is zero or just large: sums and products of such numbers are zero or normal, if they are finite; a
 *    quotient has to be normal too.
 * 2. MXCSR rounds to nearest, and PE is set and masked: then it need not be known whether the result is exact.
 * 3. Or PE is masked, not set yet, and the result is exact. The error of a sum is had by Knuth's TwoSum (Muller et al., Handbook of
 *    Floating-Point Arithmetic, 4.3). A product is exact where the significands of its factors have no more bits together than one has,
 *    a quotient or root where the way back is such a product. What is not found exact goes the slow way, which sets PE: programs with
 *    results that are not exact come to 2 soon, and others compute with small numbers.
 *
 * The usual case, numbers in the middle and 2, is one branch: the state field `sseQuick` has all bits of a lane mask set after MXCSR was seen
 * to be so, and is zero after each write of MXCSR.
 *
 * The other flags and masks, DAZ and FTZ may have any value: what they are about does not happen. All else is done by a runtime function
 * (cpu/float/sse-*.ts).
 */
import { type F32, type F64, f32, f64, type I32, type I64, i32, op, type Vec, v128 } from "../../wasm/index.ts";
import type { Context } from "../context.ts";
import { asBits, DOUBLE, type Precision, plainLanes, type Real, real, SINGLE, splat, splatBytes } from "./sse-guard.ts";

export type Operation = "add" | "sub" | "mul" | "div" | "sqrt";

const PM = 0x1000;
const PE = 0x20;
const RC = 0x6000;
/** Lane masks that `sseQuick` lets through: four lanes at most. */
const ALL = 15;

/** A result, and what has to be known of it. */
interface Attempt {
  readonly result: Vec;
  /** A mask of lanes that has all `wanted` bits where the numbers are in the middle of the range. */
  readonly inMiddle: I32;
  readonly wanted: number;
  /** Where they are not: not zero where nevertheless nothing comes of them but PE. */
  readonly harmless: () => I32;
  /** Not zero where the result is surely exact. */
  readonly exact: () => I32;
  readonly slow: () => Vec;
}

function attempt(m: Context, { result, inMiddle, wanted, harmless, exact, slow }: Attempt): Vec {
  const { f } = m;
  const out = f.variable(result);
  const lanes = f.let(inMiddle);
  f.block((done) => {
    f.block((unfit) => {
      f.brIf(done, lanes.and(m.get("sseQuick")).eq(wanted));
      f.if(lanes.ne(wanted), () => f.brIf(unfit, harmless().eqz(), false));
      const mode = f.let(m.get("mxcsr").and(RC | PM | PE));
      f.if(mode.eq(PM | PE), () => {
        m.set("sseQuick", i32(ALL));
        f.br(done);
      });
      f.brIf(unfit, mode.ne(PM), false);
      f.brIf(done, exact(), true);
    });
    out.set(slow());
  });
  return out.get();
}

const doubled = (p: Precision, x: Vec): Vec => x.op(`${p.int}.add`, x);

/** Exponent fields from which on numbers are taken to be in the middle of the range: half of all, up to 2^65 or 2^513 and more. */
interface Middle {
  readonly first: number;
  /** Of the second number, where both are in one vector. */
  readonly second: number;
}
const halfBias = (p: Precision): number => (p === SINGLE ? 64 : 512);
/** Sums of two numbers from 2^-63 (2^-511) on are zero or normal. */
const ofSum = (p: Precision): Middle => ({ first: halfBias(p), second: halfBias(p) });
/** Product and one factor, in an order that makes the other factor normal: it is the quotient of these, 2^-126 (2^-1022) at least. */
const ofProduct = (p: Precision): Middle => ({ first: halfBias(p) + 2, second: halfBias(p) });
/** Quotient and divisor: the dividend is their product. */
const ofQuotient = (p: Precision): Middle => ({ first: halfBias(p) + 1, second: halfBias(p) + 1 });

/** What moves twice a number, as an integer, so that its top bit is set in the middle of the range, half of all there are. */
const distance = (p: Precision, field: number): bigint =>
  BigInt.asUintN(p.bits, (1n << BigInt(p.bits - 1)) - (BigInt(field) << BigInt(p.fractionBits + 1)));
/** The state field that holds it for even and for odd lanes: V8 takes up to six instructions for such a constant. */
const distancesIn = (p: Precision, even: number, odd: number): string => `middle.${p.letter}.${even}.${odd}`;
/** These fields and what is in them, always. */
export const DISTANCES: ReadonlyMap<string, readonly number[]> = new Map(
  [SINGLE, DOUBLE].flatMap((p) => {
    const { first, second } = ofProduct(p);
    const quotient = ofQuotient(p).first;
    const pairs: [number, number][] = [
      [second, second],
      [first, second],
      [first, first],
      [quotient, quotient],
    ];
    return pairs.map(([even, odd]) => [distancesIn(p, even, odd), splatBytes(p, distance(p, even), distance(p, odd))]);
  }),
);
/** The sign bits of the result say which lanes are in the middle. */
const middle = (m: Context, p: Precision, x: Vec, even: number, odd = even): Vec =>
  doubled(p, x).op(`${p.int}.add`, m.get(distancesIn(p, even, odd), "v128"));

/** 2^-63 (2^-511), without the sign and in the place of 2x. */
const smallest = (p: Precision): bigint => 1n << BigInt(p.bits - 2);
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

const compare = (a: Real, name: "eq" | "lt" | "gt", b: Real): I32 => a.compare(name, b as never);

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
/** The sign bits of the two lowest lanes. */
function twoLanes(p: Precision, mask: Vec): I32 {
  const bits = mask.test(`${p.int}.bitmask`);
  return p.lanes === 2 ? bits : bits.and(3);
}
/** Not zero where both numbers of a pair are in the middle of the range: neither NaNs nor denormals. */
export const pairInMiddle = (m: Context, p: Precision, both: Vec): I32 =>
  twoLanes(p, middle(m, p, both, halfBias(p))).eq(3);
/** 1 where the lowest lane is neither a NaN nor a denormal. */
export const plainLowest = (m: Context, p: Precision, x: Vec): I32 =>
  m.f.choose(
    middle(m, p, x, halfBias(p)).test(`${p.int}.bitmask`).and(1),
    () => i32(1),
    () => plainLanes(p, x).test(`${p.int}.bitmask`).and(1),
  );
/** A binary64 number as binary32, in the lowest lane of `before`. */
export function demoted(m: Context, before: Vec, number: F64, slow: () => Vec): Vec {
  const single = m.f.let(op("f32.demote_f64", number) as F32);
  const result = m.f.let(before.withLane("f32x4", 0, single));
  return attempt(m, {
    result,
    // A result in the middle of the range of binary32 has an operand in that of binary64.
    inMiddle: middle(m, SINGLE, result, halfBias(SINGLE)).test("i32x4.bitmask").and(1),
    wanted: 1,
    harmless: () => number.compare("eq", f64(0)),
    exact: () => (op("f64.promote_f32", single) as F64).compare("eq", number),
    slow,
  });
}
/** Not zero where both are neither NaNs nor denormals. */
export const pairPlain = (p: Precision, both: Vec): I32 => twoLanes(p, plainLanes(p, both)).eq(3);

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
  const number = f.let(name === "sqrt" ? y.sqrt() : real(name, x, y));
  const result = f.let(a.withLane(shape, 0, number));
  const within = (one: Vec, { first, second }: Middle) => twoLanes(p, middle(m, p, paired(p, one, b), first, second));
  const magnitude = () => real("abs", number);
  const harmless = () =>
    twoLanes(p, notSmall(p, paired(p, a, b)))
      .eq(3)
      .and(compare(magnitude(), "lt", constant(p, INFINITE)));
  const zero = constant(p, 0);
  const whole = { result, wanted: 3, harmless, exact: () => exactScalar(m, p, name, x, y, number), slow };
  switch (name) {
    case "add":
    case "sub":
      return attempt(m, { ...whole, inMiddle: within(a, ofSum(p)) });
    case "mul":
      return attempt(m, { ...whole, inMiddle: within(result, ofProduct(p)) });
    case "div": {
      const normal = () => compare(magnitude(), "gt", constant(p, smallestNormal(p))).or(compare(x, "eq", zero));
      return attempt(m, {
        ...whole,
        inMiddle: within(result, ofQuotient(p)),
        harmless: () => harmless().and(normal()),
      });
    }
    default:
      return attempt(m, {
        ...whole,
        inMiddle: positive(m, p, b).test(`${p.int}.bitmask`).and(1),
        wanted: 1,
        harmless: () => compare(y, "eq", zero),
      });
  }
}

/** The sign bits say which lanes are in the middle of the range, and positive. */
const positive = (m: Context, p: Precision, x: Vec): Vec => middle(m, p, x, halfBias(p)).op("v128.andnot", x);

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
  const wanted = (1 << p.lanes) - 1;
  const within = (one: Vec, { first, second }: Middle) =>
    middle(m, p, one, first)
      .and(middle(m, p, b, second))
      .test(`${p.int}.bitmask`);
  const magnitude = () => result.op(`${p.float}.abs`);
  const harmless = () =>
    notSmall(p, a)
      .and(notSmall(p, b))
      .and(magnitude().op(`${p.float}.lt`, splatReal(p, INFINITE)));
  const zeros = (x: Vec) => x.op(`${p.float}.eq`, v128(new Uint8Array(16)));
  const whole = {
    result,
    wanted,
    harmless: () => allLanes(p, harmless()),
    exact: () => exactPacked(m, p, name, a, b, result),
    slow,
  };
  switch (name) {
    case "add":
    case "sub":
      return attempt(m, { ...whole, inMiddle: within(a, ofSum(p)) });
    case "mul":
      return attempt(m, { ...whole, inMiddle: within(result, ofProduct(p)) });
    case "div": {
      const normal = () =>
        magnitude()
          .op(`${p.float}.gt`, splatReal(p, smallestNormal(p)))
          .or(zeros(a));
      return attempt(m, {
        ...whole,
        inMiddle: within(result, ofQuotient(p)),
        harmless: () => allLanes(p, harmless().and(normal())),
      });
    }
    default:
      return attempt(m, {
        ...whole,
        inMiddle: positive(m, p, b).test(`${p.int}.bitmask`),
        harmless: () => allLanes(p, positive(m, p, b).or(zeros(b))),
      });
  }
}
