/**
 * Shifts and rotates (SDM vol. 1, 5.1.5; vol. 2 SAL/SAR/SHL/SHR, RCL/RCR/ROL/ROR, SHLD, SHRD).
 *
 * The architecture defines OF for shifts by one only, and leaves AF undefined. Measured on Intel server processors (2023):
 * OF is the same for every count that is not zero, as if the operand had been shifted by one, and AF is 0. So it is
 * here. A count that is zero after masking changes no flag, yet still zeroes the upper half of a 32-bit destination.
 */
import { i32, i64, select } from "../../wasm/index.ts";
import type { AnyInt, Bits, Context, I32, Operand } from "../context.ts";
import { insn } from "../row.ts";
import { bit, bits, cut, literal, resize, signed, unsigned64 } from "./width.ts";

/** The count as the processor takes it: modulo 64 for 64-bit operands, else modulo 32. */
const count = (m: Context, width: Bits, o: Operand): I32 =>
  m.f.let(
    o
      .read()
      .wrap()
      .and(width === 64 ? 63 : 31),
  );

/** `c` modulo the operand size, as an expression: wasm shifts take their count modulo 32 or 64. */
const minus = (width: Bits, n: number, c: AnyInt): AnyInt => literal(width, n).sub(c);

const top = (width: Bits, value: AnyInt): I32 => bit(value, width - 1);
/** The two top bits differ: OF of anything that moves bits to the left. */
const leftOverflow = (width: Bits, value: AnyInt): I32 => top(width, value.xor(value.shl(1)));

interface Shifted {
  readonly result: AnyInt;
  /** Only used where the count is not zero. */
  readonly cf: I32;
  readonly of: I32;
}
type Shift = (width: Bits, value: AnyInt, by: AnyInt) => Shifted;

const shl: Shift = (width, value, by) => ({
  result: cut(width, value.shl(by)),
  cf: width < 32 ? bit(value.shl(by), width) : bit(value, minus(width, width, by)),
  of: leftOverflow(width, value),
});

const shr: Shift = (width, value, by) => ({
  result: value.shrU(by),
  cf: bit(value, by.sub(1)),
  of: top(width, value),
});

const sar: Shift = (width, value, by) => {
  const filled = signed(width, value);
  return { result: cut(width, filled.shrS(by)), cf: filled.shrS(by.sub(1)).wrap().and(1), of: i32(0) };
};

const shift = (compute: Shift) => (m: Context, dst: Operand, src: Operand) => {
  const width = bits(dst);
  const value = dst.read();
  const by = count(m, width, src);
  const shifted = compute(width, value, m.f.let(resize(width, by)));
  const result = m.f.let(shifted.result);
  dst.write(result);
  m.f.if(by, () => m.flags.result(width, result, shifted.cf, shifted.of));
};

/**
 * ROL and ROR. Measured: a register rotated by an immediate other than one keeps OF; memory, and a count in CL, behave
 * like the shifts.
 */
function rotateFlags(m: Context, by: I32, cf: I32, of: I32, keepsOf: boolean) {
  m.f.if(by, () => m.flags.setCfOf(cf, keepsOf ? select(by.eq(1), of, m.f.let(m.flags.of())) : of));
}

const rol = (immediate: boolean) => (m: Context, dst: Operand, src: Operand) => {
  const width = bits(dst);
  const value = dst.read();
  const by = count(m, width, src);
  const result = m.f.let(rotateLeft(width, value, by));
  dst.write(result);
  rotateFlags(m, by, bit(result, 0), leftOverflow(width, value), immediate && !dst.isMemory);
};

const ror = (immediate: boolean) => (m: Context, dst: Operand, src: Operand) => {
  const width = bits(dst);
  const value = dst.read();
  const by = count(m, width, src);
  const result = m.f.let(rotateLeft(width, value, i32(0).sub(by)));
  dst.write(result);
  rotateFlags(m, by, top(width, result), top(width, value).xor(bit(value, 0)), immediate && !dst.isMemory);
};

function rotateLeft(width: Bits, value: AnyInt, by: I32): AnyInt {
  if (width >= 32) return value.rotl(resize(width, by));
  const inside = by.and(width - 1);
  return cut(width, value.shl(inside).or(value.shrU(i32(width).sub(inside))));
}

/** Rotates through carry turn width + 1 bits; for 8 and 16 bits the count is taken modulo that. */
function carryCount(m: Context, width: Bits, src: Operand): I32 {
  const by = count(m, width, src);
  if (width >= 32) return by;
  return by.known === undefined ? m.f.let(by.remU(width + 1)) : i32(by.known % BigInt(width + 1));
}

const rcl = (m: Context, dst: Operand, src: Operand) => {
  const width = bits(dst);
  const value = dst.read();
  const by = carryCount(m, width, src);
  const n = m.f.let(by.extendU());
  const carry = m.flags.cf().extendU();
  if (width === 64) {
    const turned = value
      .shl(n)
      .or(carry.shl(n.sub(1)))
      .or(value.shrU(1).shrU(i64(64).sub(n)));
    const result = m.f.let(select<AnyInt>(by, turned, value));
    dst.write(result);
    m.f.if(by, () => m.flags.setCfOf(bit(value, i64(64).sub(n)), leftOverflow(64, value)));
    return;
  }
  const wide = m.f.let(unsigned64(value).or(carry.shl(width)));
  const turned = m.f.let(wide.shl(n).or(wide.shrU(i64(width + 1).sub(n))));
  dst.write(cut(width, turned.wrap()));
  m.f.if(by, () => m.flags.setCfOf(bit(turned, width), leftOverflow(width, value)));
};

const rcr = (m: Context, dst: Operand, src: Operand) => {
  const width = bits(dst);
  const value = dst.read();
  const by = carryCount(m, width, src);
  const n = m.f.let(by.extendU());
  const cf = m.f.let(m.flags.cf());
  const of = top(width, value).xor(cf);
  const carry = cf.extendU();
  if (width === 64) {
    const turned = value
      .shrU(n)
      .or(carry.shl(i64(64).sub(n)))
      .or(value.shl(1).shl(i64(64).sub(n)));
    const result = m.f.let(select<AnyInt>(by, turned, value));
    dst.write(result);
    m.f.if(by, () => m.flags.setCfOf(bit(value, n.sub(1)), of));
    return;
  }
  const wide = m.f.let(unsigned64(value).or(carry.shl(width)));
  const turned = m.f.let(wide.shrU(n).or(wide.shl(i64(width + 1).sub(n))));
  dst.write(cut(width, turned.wrap()));
  m.f.if(by, () => m.flags.setCfOf(bit(turned, width), of));
};

/**
 * SHLD and SHRD. A 16-bit operand with a count over 16 has an undefined result; Intel processors shift the
 * 48 bits destination:source:destination, which is what is done here for 16 bits at any count.
 */
const shld = (m: Context, dst: Operand, src: Operand, by: Operand) => {
  const width = bits(dst);
  const value = dst.read();
  const filler = src.read();
  const n = count(m, width, by);
  let result: AnyInt;
  let cf: I32;
  if (width === 64) {
    const c = m.f.let(n.extendU());
    result = select<AnyInt>(n, value.shl(c).or(filler.shrU(i64(64).sub(c))), value);
    cf = bit(value, i64(64).sub(c));
  } else if (width === 32) {
    const wide = m.f.let(value.extendU().shl(32).or(filler.extendU()).shl(n.extendU()));
    result = wide.shrU(32).wrap();
    cf = bit(value, i32(32).sub(n));
  } else {
    const wide = m.f.let(surround(value, filler).shl(n.extendU()));
    result = cut(16, wide.shrU(32).wrap());
    cf = bit(wide, 48);
  }
  const made = m.f.let(result);
  const of = leftOverflow(width, value);
  dst.write(made);
  m.f.if(n, () => m.flags.result(width, made, cf, of));
};

const shrd = (m: Context, dst: Operand, src: Operand, by: Operand) => {
  const width = bits(dst);
  const value = dst.read();
  const filler = src.read();
  const n = count(m, width, by);
  let result: AnyInt;
  let cf: I32;
  if (width === 64) {
    const c = m.f.let(n.extendU());
    result = select<AnyInt>(n, value.shrU(c).or(filler.shl(i64(64).sub(c))), value);
    cf = bit(value, c.sub(1));
  } else {
    const wide =
      width === 32 ? m.f.let(filler.extendU().shl(32).or(value.extendU())) : m.f.let(surround(value, filler));
    const c = m.f.let(n.extendU());
    result = cut(width, wide.shrU(c).wrap());
    cf = bit(wide, c.sub(1));
  }
  const made = m.f.let(result);
  const of = top(width, value).xor(bit(filler, 0));
  dst.write(made);
  m.f.if(n, () => m.flags.result(width, made, cf, of));
};

const surround = (value: AnyInt, filler: AnyInt) =>
  value.extendU().shl(32).or(filler.extendU().shl(16)).or(value.extendU());

type Meaning = (m: Context, dst: Operand, src: Operand) => void;

/** The group D0-D3, C0, C1: one digit per operation. */
const group = (mnemonic: string, digit: number, meaning: Meaning, byImmediate: Meaning = meaning) => [
  ...insn(
    mnemonic,
    meaning,
    `
    D0 /${digit} | rw:rm8, one
    D1 /${digit} | rw:rmv, one
    D2 /${digit} | rw:rm8, cl
    D3 /${digit} | rw:rmv, cl
    `,
  ),
  ...insn(mnemonic, byImmediate, `C0 /${digit} | rw:rm8, imm8\n C1 /${digit} | rw:rmv, imm8`),
];

export const SHIFTS = [
  ...group("ROL", 0, rol(false), rol(true)),
  ...group("ROR", 1, ror(false), ror(true)),
  ...group("RCL", 2, rcl),
  ...group("RCR", 3, rcr),
  ...group("SHL", 4, shift(shl)),
  ...group("SHR", 5, shift(shr)),
  ...group("SHL", 6, shift(shl)),
  ...group("SAR", 7, shift(sar)),
  ...insn("SHLD", shld, "0F A4 /r | rw:rmv, rv, imm8\n 0F A5 /r | rw:rmv, rv, cl"),
  ...insn("SHRD", shrd, "0F AC /r | rw:rmv, rv, imm8\n 0F AD /r | rw:rmv, rv, cl"),
];
