/** Multiplication of polynomials over GF(2), for PCLMULQDQ. */
import { type FunctionBuilder, type I64, op, type Vec } from "../../wasm/index.ts";
import { runtime } from "./define.ts";

const every4 = (bit: number): bigint => 0x1111_1111_1111_1111n << BigInt(bit);

/**
 * The low 64 bits. Each factor falls apart into four with a set bit at most every fourth place. Such products add up to
 * 16 ones in a place; those carry into places that are masked off, and the lowest bit of each count is its parity. Where
 * all 16 meet the carry would reach the next place kept, but that is past bit 63.
 */
function lowProduct(f: FunctionBuilder, a: I64, b: I64): I64 {
  const parts = (x: I64) => [0, 1, 2, 3].map((bit) => f.let(x.and(every4(bit))));
  const x = parts(a);
  const y = parts(b);
  return [0, 1, 2, 3]
    .map((place) => {
      const products = [0, 1, 2, 3].map((i) => x[i]!.mul(y[(place - i + 4) % 4]!));
      return products.reduce((sum, product) => sum.xor(product)).and(every4(place));
    })
    .reduce((sum, part) => sum.or(part));
}

/** All 64 bits in reverse order. */
function reverse(f: FunctionBuilder, value: I64): I64 {
  let x = value;
  const swap = (mask: bigint, by: number) => {
    const now = f.let(x);
    x = now.shrU(by).and(mask).or(now.and(mask).shl(by));
  };
  swap(0x5555_5555_5555_5555n, 1);
  swap(0x3333_3333_3333_3333n, 2);
  swap(0x0f0f_0f0f_0f0f_0f0fn, 4);
  swap(0x00ff_00ff_00ff_00ffn, 8);
  swap(0x0000_ffff_0000_ffffn, 16);
  return f.let(f.let(x).rotl(32));
}

export const VECTOR_CLMUL = [
  /** The 127-bit product. Its high half is the low half of the product of the factors reversed, reversed and moved by one. */
  runtime("carrylessMultiply", "i64 i64", "v128", (f) => {
    const a = f.param(0, "i64").get();
    const b = f.param(1, "i64").get();
    const low = f.let(lowProduct(f, a, b));
    const high = reverse(f, lowProduct(f, reverse(f, a), reverse(f, b))).shrU(1);
    f.return((op("i64x2.splat", low) as Vec).withLane("i64x2", 1, high));
  }),
];
