/**
 * What the writers of floating point code share: the function being written, its control word, its flags, and the
 * forms a number has between unpacking and packing.
 *
 * A finite number is (-1)^sign * mantissa * 2^(exponent - 63), the mantissa being a 64-bit integer with its leading
 * one at bit 63. A NaN has its payload below bit 63, with the quiet bit at 62, in every format: so formats convert
 * by unpacking from one and packing to another.
 */
import type { FunctionBuilder, I32, I64, Local } from "../../wasm/index.ts";
import { CONTROL } from "./format.ts";

export interface FloatUnit {
  readonly f: FunctionBuilder;
  /** See CONTROL in format.ts. */
  readonly control: I32;
  /** Exception flags raised so far by this function. */
  readonly flags: Local<"i32">;
  /** Which of two NaNs an operation returns: SDM vol. 1, table 4-7. */
  readonly nan: "sse" | "x87";
}

/** Kinds of number, a bit each. A denormal is FINITE too, and normalised. */
export const KIND = {
  zero: 1,
  finite: 2,
  infinite: 4,
  quiet: 8,
  signalling: 16,
  /** x87 encodings that are invalid operands: pseudo-NaN, pseudo-infinity, unnormal (SDM vol. 1, 8.2.2). */
  unsupported: 32,
  denormal: 64,
} as const;
export const NAN = KIND.quiet | KIND.signalling;

/** An operand. */
export interface Unpacked {
  readonly kind: I32;
  /** 0 or 1. */
  readonly sign: I32;
  readonly exponent: I32;
  readonly mantissa: I64;
}

/** A result to be rounded: the mantissa has 64 further bits below, of which the last is sticky. */
export interface Unrounded {
  readonly kind: Local<"i32">;
  readonly sign: Local<"i32">;
  readonly exponent: Local<"i32">;
  readonly high: Local<"i64">;
  readonly low: Local<"i64">;
}

export function unrounded(f: FunctionBuilder): Unrounded {
  return {
    kind: f.local("i32"),
    sign: f.local("i32"),
    exponent: f.local("i32"),
    high: f.local("i64"),
    low: f.local("i64"),
  };
}

export function raise(u: FloatUnit, flags: number | I32): void {
  u.flags.set(u.flags.get().or(flags));
}

/** Not zero where this exception is masked. */
export const masked = (u: FloatUnit, flag: number): I32 => u.control.and(flag << CONTROL.maskShift);

export const rounding = (u: FloatUnit): I32 => u.control.shrU(CONTROL.roundingShift).and(3);

/** Not zero where the kind is one of `kinds` (bits of KIND). */
export const is = (kind: I32, kinds: number): I32 => kind.and(kinds);
