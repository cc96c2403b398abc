/** Binary floating-point numbers of any format as big integers, and rounded from them: what arithmetic is to give. */
import { type Format, minExponent } from "../src/cpu/float/format.ts";

/** Numbers by sign, significand and the exponent of its last bit. */
export interface Exact {
  readonly value: bigint;
  readonly scale: number;
}

export const fractionBits = (of: Format) => of.precision - 1;

export function exact(format: Format, bits: bigint): Exact {
  const fraction = bits & ((1n << BigInt(fractionBits(format))) - 1n);
  const biased = Number((bits >> BigInt(fractionBits(format))) & ((1n << BigInt(format.exponentBits)) - 1n));
  const magnitude = biased === 0 ? fraction : fraction | (1n << BigInt(fractionBits(format)));
  const negative = bits >> BigInt(fractionBits(format) + format.exponentBits) !== 0n;
  return { value: negative ? -magnitude : magnitude, scale: Math.max(biased, 1) - format.bias - fractionBits(format) };
}

export interface Rounded {
  readonly bits: bigint;
  readonly inexact: boolean;
}

/** The nearest number, ties to even; undefined where it overflows or is an exact zero, whose sign this does not know. */
export function nearest(format: Format, { value, scale }: Exact): Rounded | undefined {
  if (value === 0n) return undefined;
  const magnitude = value < 0n ? -value : value;
  const length = magnitude.toString(2).length;
  const last = Math.max(scale + length - format.precision, minExponent(format) - fractionBits(format));
  const drop = BigInt(last - scale);
  let kept = drop > 0n ? magnitude >> drop : magnitude << -drop;
  if (drop > 0n) {
    const rest = magnitude - (kept << drop);
    const half = 1n << (drop - 1n);
    if (rest > half || (rest === half && (kept & 1n) === 1n)) kept++;
  }
  const isNormal = kept >> BigInt(fractionBits(format)) !== 0n;
  const biased = BigInt(last + fractionBits(format) + format.bias);
  const bits = isNormal ? kept + ((biased - 1n) << BigInt(fractionBits(format))) : kept;
  if (bits >> BigInt(fractionBits(format)) >= (1n << BigInt(format.exponentBits)) - 1n) return undefined;
  const inexact = drop > 0n && (magnitude & ((1n << drop) - 1n)) !== 0n;
  const sign = value < 0n ? 1n << BigInt(fractionBits(format) + format.exponentBits) : 0n;
  return { bits: bits | sign, inexact };
}
