/** Packs, unpacks, shuffles, alignment and blends (SDM vol. 1, 5.4.2, 5.5.1.5, 5.5.3, 5.6.1.5, 5.6.3, 5.8, 5.10.4). */
import { type I32, i32, select, type Vec } from "../../wasm/index.ts";
import type { Context, Meaning, Operand } from "../context.ts";
import { insn, type Row } from "../row.ts";
import { type Binary, both, joined, lanewise, onXmm, read32, read64, same, upper, xmmOnly } from "./forms.ts";
import { writeMmx } from "./mmx.ts";
import { highOf, IOTA, lanes, low64, lowOf, maskFromBits, pair, pick, shiftDown, shiftUp, splat } from "./value.ts";

/** Lanes of `width` bytes taken in turn from destination and source, from their low or high halves. */
function interleave(width: number, half: "low" | "high"): Binary {
  const count = 16 / width;
  const first = half === "low" ? 0 : count / 2;
  const from = Array.from({ length: count }, (_, i) => first + Math.floor(i / 2) + (i % 2) * count);
  return (a, b) => pick(a, b, width, ...from);
}

/** PUNPCKL*, PUNPCKH*: the MMX forms of the low ones read 32 bits of memory. */
function unpack(suffixLow: string, low: string, suffixHigh: string, high: string, width: number): Row[] {
  const lower = interleave(width, "low");
  return [
    ...insn(`PUNPCKL${suffixLow}`, lanewise(lower), `NP ${low} /r | rw:mm, mmm32 | mmx`),
    ...insn(`PUNPCKH${suffixHigh}`, upper(lower), `NP ${high} /r | rw:mm, mmm64 | mmx`),
    ...xmmOnly(`PUNPCKL${suffixLow}`, low, "sse2", lower),
    ...xmmOnly(`PUNPCKH${suffixHigh}`, high, "sse2", interleave(width, "high")),
  ];
}

/** The four two-bit fields of an immediate. */
const fields = (imm: bigint) => [0, 2, 4, 6].map((at) => Number((imm >> BigInt(at)) & 3n));

/** Each two-bit field of the immediate in its own doubleword, then in both of its words. */
const fieldsInLanes = (imm: I32): Vec =>
  splat("i32x4", imm)
    .op("i32x4.mul", lanes(32, 64, 16, 4, 1))
    .op("i32x4.shr_u", i32(6))
    .and(lanes(32, 3));

/** Doublewords of `a` chosen by the immediate. */
export function chooseDoublewords(a: Vec, imm: I32): Vec {
  if (imm.known !== undefined) return pick(a, a, 4, ...fields(imm.known));
  const bytes = fieldsInLanes(imm).op("i32x4.mul", lanes(32, 0x04040404)).op("i32x4.add", lanes(32, 0x03020100));
  return a.op("i8x16.swizzle", bytes);
}

/** Words 0 to 3, or 4 to 7, chosen among themselves; the others stay. */
function chooseWords(a: Vec, imm: I32, first: 0 | 4): Vec {
  const stay = [0, 1, 2, 3].map((i) => i + 4 - first);
  if (imm.known !== undefined) {
    const chosen = fields(imm.known).map((i) => i + first);
    return pick(a, a, 2, ...(first === 0 ? [...chosen, ...stay] : [...stay, ...chosen]));
  }
  const words = splat("i16x8", imm)
    .op("i16x8.mul", lanes(16, 64, 16, 4, 1))
    .op("i16x8.shr_u", i32(6))
    .and(lanes(16, 3))
    .op("i16x8.mul", lanes(16, 0x0202))
    .op("i16x8.add", lanes(16, 0x0100 + first * 0x0202));
  const bytes = first === 0 ? pick(words, IOTA, 8, 0, 3) : pick(IOTA, words, 8, 0, 3);
  return a.op("i8x16.swizzle", bytes);
}

export const pshufd = (_: Context, dst: Operand, src: Operand, imm: Operand) =>
  dst.writeVec(chooseDoublewords(src.readVec(), read32(imm)));
const shuffleWords =
  (first: 0 | 4): Meaning =>
  (_, dst, src, imm) =>
    dst!.writeVec(chooseWords(src!.readVec(), read32(imm!), first));
const pshufw = (m: Context, dst: Operand, src: Operand, imm: Operand) =>
  writeMmx(m, dst, lowOf(chooseWords(low64(read64(src)), read32(imm), 0)));

const shufps = (_: Context, dst: Operand, src: Operand, imm: Operand) => {
  const a = dst.readVec();
  const b = src.readVec();
  const by = read32(imm);
  dst.writeVec(pick(chooseDoublewords(a, by), chooseDoublewords(b, by), 8, 0, 3));
};
export const shufpd = (_: Context, dst: Operand, src: Operand, imm: Operand) => {
  const a = dst.readVec();
  const b = src.readVec();
  const by = read32(imm);
  dst.writeVec(pair(select(by.and(1), highOf(a), lowOf(a)), select(by.and(2), highOf(b), lowOf(b))));
};

/** A control byte with bit 7 set gives zero; else its low bits are the position. WebAssembly gives zero from 16 on. */
const pshufb: Binary = (a, b) => a.op("i8x16.swizzle", b.and(lanes(8, 0x8f)));
const pshufbMmx: Binary = (a, b) => a.op("i8x16.swizzle", b.and(lanes(8, 0x87)));

/** Sixteen bytes of source (low) and destination (high) put together, from byte `imm` on. */
const palignr = (_: Context, dst: Operand, src: Operand, imm: Operand) => {
  const by = read32(imm);
  const a = dst.readVec();
  const b = src.readVec();
  if (by.known !== undefined && by.known <= 16n) {
    const first = Number(by.known);
    dst.writeVec(
      b.shuffle(
        a,
        Array.from({ length: 16 }, (_, i) => first + i),
      ),
    );
    return;
  }
  const low = shiftDown(b, by);
  // Up to 16 the destination moves up, beyond that down.
  dst.writeVec(low.or(select(by.ltU(16), shiftUp(a, i32(16).sub(by)), shiftDown(a, by.sub(16)))));
};
const palignrMmx = (m: Context, dst: Operand, src: Operand, imm: Operand) => {
  const a = read64(dst);
  writeMmx(m, dst, lowOf(shiftDown(pair(read64(src), a), read32(imm))));
};

export const blendByImmediate =
  (shape: "i16x8" | "i32x4" | "i64x2"): Meaning =>
  (m, dst, src, imm) => {
    const a = dst!.readVec();
    const b = src!.readVec();
    dst!.writeVec(b.op("v128.bitselect", a, maskFromBits(m.f, shape, read32(imm!))));
  };
/** By the sign bits of the mask's lanes. */
const blendBySign =
  (shape: "i8x16" | "i32x4" | "i64x2", bits: number): Meaning =>
  (_, dst, src, mask) => {
    const a = dst!.readVec();
    const b = src!.readVec();
    dst!.writeVec(b.op("v128.bitselect", a, mask!.readVec().op(`${shape}.shr_s`, i32(bits - 1))));
  };

export const SHUFFLES = [
  ...both("PACKSSWB", "0F 63", "- sse2", same("i8x16.narrow_i16x8_s"), joined),
  ...both("PACKSSDW", "0F 6B", "- sse2", same("i16x8.narrow_i32x4_s"), joined),
  ...both("PACKUSWB", "0F 67", "- sse2", same("i8x16.narrow_i16x8_u"), joined),
  ...xmmOnly("PACKUSDW", "0F 38 2B", "sse41", same("i16x8.narrow_i32x4_u")),
  ...unpack("BW", "0F 60", "BW", "0F 68", 1),
  ...unpack("WD", "0F 61", "WD", "0F 69", 2),
  ...unpack("DQ", "0F 62", "DQ", "0F 6A", 4),
  ...xmmOnly("PUNPCKLQDQ", "0F 6C", "sse2", interleave(8, "low")),
  ...xmmOnly("PUNPCKHQDQ", "0F 6D", "sse2", interleave(8, "high")),
  ...insn("UNPCKLPS", onXmm(interleave(4, "low")), "NP 0F 14 /r | rw:xmm, xmmm128 | sse"),
  ...insn("UNPCKHPS", onXmm(interleave(4, "high")), "NP 0F 15 /r | rw:xmm, xmmm128 | sse"),
  ...insn("UNPCKLPD", onXmm(interleave(8, "low")), "66 0F 14 /r | rw:xmm, xmmm128 | sse sse2"),
  ...insn("UNPCKHPD", onXmm(interleave(8, "high")), "66 0F 15 /r | rw:xmm, xmmm128 | sse sse2"),

  ...insn("PSHUFD", pshufd, "66 0F 70 /r | w:xmm, xmmm128, imm8 | sse sse2"),
  ...insn("PSHUFLW", shuffleWords(0), "F2 0F 70 /r | w:xmm, xmmm128, imm8 | sse sse2"),
  ...insn("PSHUFHW", shuffleWords(4), "F3 0F 70 /r | w:xmm, xmmm128, imm8 | sse sse2"),
  ...insn("PSHUFW", pshufw, "NP 0F 70 /r | w:mm, mmm64, imm8 | mmx"),
  ...insn("SHUFPS", shufps, "NP 0F C6 /r | rw:xmm, xmmm128, imm8 | sse"),
  ...insn("SHUFPD", shufpd, "66 0F C6 /r | rw:xmm, xmmm128, imm8 | sse sse2"),
  ...insn("PSHUFB", onXmm(pshufb), "66 0F 38 00 /r | rw:xmm, xmmm128 | sse ssse3"),
  ...insn("PSHUFB", lanewise(pshufbMmx), "NP 0F 38 00 /r | rw:mm, mmm64 | mmx ssse3"),
  ...insn("PALIGNR", palignr, "66 0F 3A 0F /r | rw:xmm, xmmm128, imm8 | sse ssse3"),
  ...insn("PALIGNR", palignrMmx, "NP 0F 3A 0F /r | rw:mm, mmm64, imm8 | mmx ssse3"),

  ...insn("PBLENDW", blendByImmediate("i16x8"), "66 0F 3A 0E /r | rw:xmm, xmmm128, imm8 | sse sse41"),
  ...insn("BLENDPS", blendByImmediate("i32x4"), "66 0F 3A 0C /r | rw:xmm, xmmm128, imm8 | sse sse41"),
  ...insn("BLENDPD", blendByImmediate("i64x2"), "66 0F 3A 0D /r | rw:xmm, xmmm128, imm8 | sse sse41"),
  ...insn("PBLENDVB", blendBySign("i8x16", 8), "66 0F 38 10 /r | rw:xmm, xmmm128, xmm0 | sse sse41"),
  ...insn("BLENDVPS", blendBySign("i32x4", 32), "66 0F 38 14 /r | rw:xmm, xmmm128, xmm0 | sse sse41"),
  ...insn("BLENDVPD", blendBySign("i64x2", 64), "66 0F 38 15 /r | rw:xmm, xmmm128, xmm0 | sse sse41"),
];
