/**
 * Fused multiply-add (SDM vol. 1, 14.5): a * b + c with one rounding. The quick functions compute what WebAssembly's arithmetic
 * gives exactly, and answer with all ones, which no number is, where they cannot; the others are exact integer arithmetic.
 *
 * binary32: the product of two is exact in binary64, and the rounded sum rounds once more to the right binary32 number unless it
 * lies in the middle between two. binary64: product and sums as pairs of numbers (Dekker, Knuth), the last parts added with
 * rounding to odd, after which a second rounding does no harm (Boldo and Melquiond, Emulation of FMA and correctly rounded sums,
 * IEEE Transactions on Computers 57, 2008).
 */
import { type FunctionBuilder, i32, select, type Vec, v128 } from "../../wasm/index.ts";
import { type RuntimeEnv, type RuntimeFunction, runtime } from "../runtime/define.ts";
import { fusedMultiplyAdd } from "./arithmetic.ts";
import { BINARY32, BINARY64 } from "./format.ts";
import { roundPack } from "./round.ts";
import { instruction, laneBits, laneCount, laneFunction, withBits } from "./sse-unit.ts";
import { unpack } from "./unpack.ts";

/** Round to nearest, PE set and masked: what the quick functions want of MXCSR. */
const RC_PM_PE = 0x7020;
const PM_PE = 0x1020;

const words = (low: number, high: number): Vec =>
  v128(Array.from({ length: 16 }, (_, i) => ((i % 8 < 4 ? low : high) >>> (8 * (i % 4))) & 0xff));
/** A binary64 constant in both lanes, by its value. */
const doubles = (value: number): Vec => {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  return words(view.getUint32(4), view.getUint32(0));
};
const UNFIT = words(-1, -1);

/** Answers at once with UNFIT where MXCSR is unusual. */
function unlessUnusual(f: FunctionBuilder, env: RuntimeEnv): void {
  f.if(env.get("mxcsr").and(RC_PM_PE).ne(PM_PE), () => f.return(UNFIT));
}

/** Neither denormals nor NaNs nor infinities have these; infinite and NaN sums are found by their size. */
function noDenormals(f: FunctionBuilder, ...operands: Vec[]): Vec {
  const top = words(0x7fff_ffff, 0x7fff_ffff);
  // 2x - 1 with its sign flipped: zeros are the largest of all, denormals the least.
  const flipped = operands.map((x) => x.op("i32x4.shl", i32(1)).op("i32x4.add", top));
  const least = flipped.reduce((a, b) => a.op("i32x4.min_s", b));
  return f.let(least.op("i32x4.gt_s", words(-0x7f00_0002, -0x7f00_0002)));
}

const QUICK_SINGLE = runtime("fma.quick.ps", "v128 v128 v128", "v128", (f, env) => {
  unlessUnusual(f, env);
  const [a, b, c] = [0, 1, 2].map((i) => f.param(i, "v128").get()) as [Vec, Vec, Vec];
  const half = (x: Vec, high: boolean) =>
    (high ? x.shuffle(x, [8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15]) : x).op(
      "f64x2.promote_low_f32x4",
    );
  const sums = [false, true].map((high) =>
    f.let(half(a, high).op("f64x2.mul", half(b, high)).op("f64x2.add", half(c, high))),
  ) as [Vec, Vec];
  const fits = sums.map((sum) => {
    const size = f.let(sum.op("f64x2.abs"));
    const normal = size.op("f64x2.ge", doubles(2 ** -126)).and(size.op("f64x2.lt", doubles(2 ** 127)));
    const middle = sum.and(words(0x1fff_ffff, 0)).op("i64x2.eq", words(0x1000_0000, 0));
    return normal.or(size.op("f64x2.eq", doubles(0))).op("v128.andnot", middle);
  }) as [Vec, Vec];
  const fit = noDenormals(f, a, b, c).and(fits[0]).and(fits[1]).test("i32x4.all_true");
  const [low, high] = sums.map((sum) => sum.op("f32x4.demote_f64x2_zero")) as [Vec, Vec];
  const result = low.shuffle(high, [0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23]);
  f.return(select(fit, result, UNFIT));
});

/** Operands at least this large, or zero: then no part of a product or of a sum is denormal. */
const SMALLEST = 2 ** -440;
const LARGEST = 2 ** 1000;

const QUICK_DOUBLE = runtime("fma.quick.pd", "v128 v128 v128", "v128", (f, env) => {
  unlessUnusual(f, env);
  const [a, b, c] = [0, 1, 2].map((i) => f.param(i, "v128").get()) as [Vec, Vec, Vec];
  const op = (name: string, x: Vec, y: Vec): Vec => f.let(x.op(`f64x2.${name}`, y));
  const [add, sub, mul] = ["add", "sub", "mul"].map((name) => (x: Vec, y: Vec) => op(name, x, y)) as [
    (x: Vec, y: Vec) => Vec,
    (x: Vec, y: Vec) => Vec,
    (x: Vec, y: Vec) => Vec,
  ];
  const twoSum = (x: Vec, y: Vec): [Vec, Vec] => {
    const sum = add(x, y);
    const other = sub(sum, x);
    return [sum, add(sub(x, sub(sum, other)), sub(y, other))];
  };
  const split = (x: Vec): [Vec, Vec] => {
    const large = mul(x, doubles(2 ** 27 + 1));
    const high = sub(large, sub(large, x));
    return [high, sub(x, high)];
  };
  const product = mul(a, b);
  const [[aHigh, aLow], [bHigh, bLow]] = [split(a), split(b)];
  const rest = add(add(sub(mul(aHigh, bHigh), product), mul(aHigh, bLow)), mul(aLow, bHigh));
  const error = add(rest, mul(aLow, bLow));
  const [middle, low] = twoSum(c, error);
  const [high, next] = twoSum(product, middle);
  const [last, lost] = twoSum(low, next);
  // Rounded to odd: where something was lost of an even number, its neighbour on that side.
  const towards = last.xor(lost).op("i64x2.shr_s", i32(63)).or(words(1, 0));
  const even = last.and(words(1, 0)).op("i64x2.eq", words(0, 0));
  const inexact = lost.op("f64x2.ne", doubles(0));
  const odd = last.op("i64x2.add", towards.and(even).and(inexact));
  // With a product of zero the sum is exact already, and has the right sign where it is zero.
  const zero = product.op("f64x2.eq", doubles(0));
  const result = f.let(product.op("f64x2.add", c).op("v128.bitselect", high.op("f64x2.add", odd), zero));
  const limit = doubles(SMALLEST);
  const notSmall = (x: Vec) =>
    x
      .op("f64x2.abs")
      .op("f64x2.ge", limit)
      .or(x.op("f64x2.eq", doubles(0)));
  const fit = notSmall(a)
    .and(notSmall(b))
    .and(notSmall(c))
    .and(result.op("f64x2.abs").op("f64x2.lt", doubles(LARGEST)));
  f.return(select(fit.test("i64x2.all_true"), result, UNFIT));
});

/** Exact: (a, b, c, negate); bit 0 of `negate` negates the product, bits 1 and 2 the addends of even and odd lanes. */
const EXACT: RuntimeFunction[] = (
  [
    ["s", BINARY32, "i32x4"],
    ["d", BINARY64, "i64x2"],
  ] as const
).flatMap(([letter, format, shape]) => {
  const lane = laneFunction(`fma.lane.${letter}`, "i64 i64 i64 i32", "i64", (u, f) => {
    const [a, b, c] = ([0, 1, 2] as const).map((i) => unpack(u, format, f.param(i, "i64").get()));
    return roundPack(u, format, fusedMultiplyAdd(u, a!, b!, c!, f.param(3, "i32").get()));
  });
  const whole = (name: string, count: number) =>
    instruction(`fma.${name}${letter}`, "v128 v128 v128 i32", (f, env) => {
      const operands = ([0, 1, 2] as const).map((i) => f.param(i, "v128").get());
      const negate = f.param(3, "i32").get();
      const out = f.variable(operands[0]!);
      for (let i = 0; i < count; i++) {
        const bits = operands.map((v) => laneBits(v, shape, i));
        const own = f.let(negate.and(1).or(negate.shrU(i % 2).and(2)));
        out.set(withBits(out.get(), shape, i, f.callFor("i64", env.fn(lane.name), ...bits, own)));
      }
      env.set("floatVector", out.get());
    });
  return [lane, whole("s", 1), whole("p", laneCount(shape))];
});

export const FMA_FUNCTIONS: readonly RuntimeFunction[] = [QUICK_SINGLE, QUICK_DOUBLE, ...EXACT];
