/**
 * How the meaning of an SSE row serves its VEX forms (SDM vol. 1, 14.1.1): the same in each 128-bit lane, with a destination that
 * is not an operand. The meaning is given operands that look like those it knows: a destination that reads as the first
 * source, and one lane of operands twice as wide. What it writes is kept until both lanes are computed, as all
 * of an instruction faults, or nothing.
 */
import { i32 } from "../../wasm/index.ts";
import type { AnyInt, Context, Half, I32, I64, Meaning, Operand, Vec } from "../context.ts";
import { together } from "../float/sse-guard.ts";
import { highOf, lowOf, pick } from "../vector/value.ts";

/** An operand that is another one but for what is overridden. */
class Same implements Operand {
  readonly bits: number;
  readonly isMemory: boolean;
  readonly known: bigint | undefined;
  protected readonly whole: Operand;

  constructor(whole: Operand, bits = whole.bits, known = whole.known) {
    this.whole = whole;
    this.bits = bits;
    this.isMemory = whole.isMemory;
    this.known = known;
  }
  read(): AnyInt {
    return this.whole.read();
  }
  write(value: AnyInt): void {
    this.whole.write(value);
  }
  readVec(half?: Half): Vec {
    return this.whole.readVec(half);
  }
  writeVec(value: Vec, half?: Half): void {
    this.whole.writeVec(value, half);
  }
  offset(): I64 {
    return this.whole.offset();
  }
  linear(displacement?: number): I64 {
    return this.whole.linear(displacement);
  }
  linearAt(displacement: I64): I64 {
    return this.whole.linearAt(displacement);
  }
  number(): I32 {
    return this.whole.number();
  }
}

/** A destination that reads as the first source. */
class Destination extends Same {
  readonly #first: Operand;

  constructor(whole: Operand, first: Operand) {
    super(whole);
    this.#first = first;
  }
  override readVec(half?: Half): Vec {
    return this.#first.readVec(half);
  }
}

/** What a lane wrote. */
interface Written {
  vector?: Vec;
  integer?: I32;
}

/** What the lane of number `half` has of an operand; `bits` is what the SSE row's operand has. */
class Lane extends Same {
  readonly #half: Half;
  readonly #m: Context;
  readonly #written: Written;
  readonly #shift: number;

  constructor(m: Context, whole: Operand, half: Half, bits: number, shift: number, written: Written) {
    super(whole, bits, whole.known === undefined ? undefined : whole.known >> BigInt(shift));
    this.#half = half;
    this.#m = m;
    this.#shift = shift;
    this.#written = written;
  }
  /** Immediates move on by `shift` bits; of vectors it is the low part of the lane, or a part of what all lanes share. */
  override read(): AnyInt {
    const { whole, bits } = this;
    if (whole.bits <= 8) return this.#shift ? (whole.read() as I32).shrU(this.#shift) : whole.read();
    if (whole.bits === 256) return this.#low(whole.readVec(this.#half));
    if (whole.bits === 128) return this.#half ? highOf(whole.readVec()) : lowOf(whole.readVec());
    const all = whole.read();
    if (bits === 32) return (this.#half ? (all as I64).shrU(32) : (all as I64)).wrap();
    return this.#half ? (all as I32).shrU(bits) : (all as I32).and(0xffff);
  }
  #low(vector: Vec): AnyInt {
    return this.bits === 64 ? lowOf(vector) : vector.lane("i32x4", 0);
  }
  /** What is as wide as a lane is for all of them, as a count to shift by; of what is twice as wide as it would be, the lane has a half. */
  override readVec(): Vec {
    const { whole, bits } = this;
    if (whole.bits === 256) return whole.readVec(this.#half);
    const all = whole.readVec();
    if (bits === 128 || this.#half === 0) return all;
    return all.shuffle(
      all,
      Array.from({ length: 16 }, (_, i) => (i + bits / 8) % 16),
    );
  }
  override writeVec(value: Vec): void {
    this.#written.vector = this.#m.f.let(value);
  }
  override write(value: AnyInt): void {
    this.#written.integer = this.#m.f.let(value as I32);
  }
}

/** The halves of an operand: one, or both. */
export const halvesOf = (o: Operand): readonly Half[] => (o.bits === 256 ? [0, 1] : [0]);

/** Writes what `compute` gives for each half, once all are computed. */
export function writeHalves(m: Context, dst: Operand, compute: (half: Half) => Vec): void {
  const values = halvesOf(dst).map((half) => m.f.let(compute(half)));
  values.forEach((value, half) => {
    dst.writeVec(value, half as Half);
  });
}

/** An instruction with `dst, src` operands as one whose SSE form had the same register for both. */
export const withItself =
  (meaning: Meaning): Meaning =>
  (m, dst, src, ...rest) =>
    meaning(m, new Destination(dst!, src!), src, ...rest);

/** For instructions that do not check the alignment of their elements, whatever EFLAGS.AC says. */
export const unaligned =
  (meaning: Meaning): Meaning =>
  (m, ...operands) => {
    m.set("alignmentFree", i32(1));
    meaning(m, ...operands);
    m.set("alignmentFree", i32(0));
  };

/** How the two lanes of a 256-bit form differ from the SSE row. */
export interface Lanes {
  /** Widths of the SSE row's operands. */
  readonly bits: readonly number[];
  /** The upper lane has the immediate from this bit on. */
  readonly immediateBits?: number;
  /** Bits a lane gives of a mask in a general register. */
  readonly maskBits?: number;
}

/** The meaning of a nondestructive form: the destination, the source that the SSE row's destination was, the others. */
export const nondestructive =
  (meaning: Meaning): Meaning =>
  (m, dst, first, ...rest) =>
    meaning(m, new Destination(dst!, first!), ...rest);

/** The meaning of a 256-bit form by that of 128 bits. */
export const bothLanes =
  (meaning: Meaning, { bits, immediateBits = 0, maskBits = 0 }: Lanes): Meaning =>
  (m, ...operands) => {
    const written: [Written, Written] = [{}, {}];
    together(m, () => {
      for (const half of [0, 1] as const) {
        const shift = half * immediateBits;
        const lane = operands.map((o, i) => new Lane(m, o, half, bits[i]!, shift, written[half]));
        meaning(m, ...lane);
      }
    });
    const [dst] = operands;
    const [lower, upper] = written;
    if (lower.integer && upper.integer) dst!.write(m.f.let(lower.integer.or(upper.integer.shl(maskBits))));
    if (!lower.vector || !upper.vector) return;
    if (dst!.bits === 256) {
      dst!.writeVec(lower.vector, 0);
      dst!.writeVec(upper.vector, 1);
    } else dst!.writeVec(pick(lower.vector, upper.vector, 8, 0, 2));
  };
