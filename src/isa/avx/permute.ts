/**
 * Moves of elements and lanes that SSE has none of: broadcasts, permutations, insertion and extraction of 128 bits, and
 * VZEROUPPER (SDM vol. 1, 14.1 and 14.6).
 */
import { type I32, i32, select } from "../../wasm/index.ts";
import type { Context, Meaning, Operand, Vec } from "../context.ts";
import { insn, type Row } from "../row.ts";
import { read32, read64 } from "../vector/forms.ts";
import { blendByImmediate, pshufd, shufpd } from "../vector/shuffle.ts";
import { highOf, lanes, lowOf, pair, pick, splat } from "../vector/value.ts";
import { bothLanes, halvesOf, nondestructive, withItself, writeHalves } from "./lanes.ts";

type Shape = "i8x16" | "i16x8" | "i32x4" | "i64x2";

const write = (dst: Operand, value: Vec): void => {
  for (const half of halvesOf(dst)) dst.writeVec(value, half);
};

/** The lowest element everywhere. */
const broadcast =
  (shape: Shape): Meaning =>
  (m, dst, src) => {
    const element = shape === "i64x2" ? read64(src!) : read32(src!);
    write(dst!, m.f.let(splat(shape, element)));
  };
const broadcastRegister =
  (shape: "i32x4" | "i64x2"): Meaning =>
  (m, dst, src) => {
    const from = src!.readVec();
    write(dst!, m.f.let(splat(shape, shape === "i64x2" ? lowOf(from) : from.lane("i32x4", 0))));
  };
const broadcastLane: Meaning = (_, dst, src) => write(dst!, src!.readVec());

/** Doublewords of a lane chosen by the low bits of those of another vector. */
const byDoublewords = (a: Vec, control: Vec): Vec =>
  a.op(
    "i8x16.swizzle",
    control.and(lanes(32, 3)).op("i32x4.mul", lanes(32, 0x04040404)).op("i32x4.add", lanes(32, 0x03020100)),
  );
const permilps: Meaning = (m, dst, src, control) =>
  writeHalves(m, dst!, (half) => byDoublewords(src!.readVec(half), control!.readVec(half)));
/** Bit 1 of the control chooses. */
const permilpd: Meaning = (m, dst, src, control) =>
  writeHalves(m, dst!, (half) => {
    const a = src!.readVec(half);
    const upper = control!.readVec(half).op("i64x2.shl", i32(62)).op("i64x2.shr_s", i32(63));
    return pick(a, a, 8, 1, 1).op("v128.bitselect", pick(a, a, 8, 0, 0), upper);
  });

/** Eight doublewords of the source, chosen by bits 2:0 of those of the first operand. */
const permuteDoublewords: Meaning = (m, dst, control, src) => {
  const [low, high] = [src!.readVec(0), src!.readVec(1)];
  writeHalves(m, dst!, (half) => {
    const by = control!.readVec(half);
    const upper = by.op("i32x4.shl", i32(29)).op("i32x4.shr_s", i32(31));
    return byDoublewords(high, by).op("v128.bitselect", byDoublewords(low, by), upper);
  });
};

/** Four quadwords of the source, chosen by two bits of the immediate each. */
const permuteQuadwords: Meaning = (m, dst, src, imm) => {
  const [low, high] = [src!.readVec(0), src!.readVec(1)];
  const by = read32(imm!);
  const chosen = (position: number) => {
    const field = by.shrU(2 * position);
    const half = (of: Vec) => select(field.and(1), highOf(of), lowOf(of));
    return m.f.let(select(field.and(2), half(high), half(low)));
  };
  writeHalves(m, dst!, (half) => pair(chosen(2 * half), chosen(2 * half + 1)));
};

/** Each lane of the result is one of the four lanes of the sources, or zero. */
const permuteLanes: Meaning = (m, dst, a, b, imm) => {
  const by = read32(imm!);
  const all = [a!.readVec(0), a!.readVec(1), b!.readVec(0), b!.readVec(1)] as const;
  writeHalves(m, dst!, (half) => {
    const field = by.shrU(4 * half);
    const [first, second] = [select(field.and(1), all[1], all[0]), select(field.and(1), all[3], all[2])];
    return select(field.and(8), lanes(8, 0), select(field.and(2), second, first));
  });
};

const insertLane: Meaning = (m, dst, a, b, imm) => {
  const lane = b!.readVec();
  const upper = read32(imm!).and(1);
  writeHalves(m, dst!, (half) => {
    const stays = a!.readVec(half);
    return half ? select(upper, lane, stays) : select(upper, stays, lane);
  });
};
const extractLane: Meaning = (m, dst, src, imm) =>
  dst!.writeVec(m.f.let(select(read32(imm!).and(1), src!.readVec(1), src!.readVec(0))));

/** Shifts by counts of their own. */
const shiftEach =
  (how: string): Meaning =>
  (m, dst, src, counts) =>
    writeHalves(m, dst!, (half) => m.runtimeFor("v128", `each.${how}`, src!.readVec(half), counts!.readVec(half)));

/** ZF and CF by the sign bits, as PTEST has them by all bits. */
const testSigns =
  (shape: "i32x4" | "i64x2"): Meaning =>
  (m, dst, src) => {
    const none = (op: (a: Vec, b: Vec) => Vec): I32 =>
      halvesOf(dst!)
        .map((half) => op(dst!.readVec(half), src!.readVec(half)))
        .reduce((x, y) => x.or(y))
        .test(`${shape}.bitmask`)
        .eqz();
    const zf = none((a, b) => a.and(b));
    const cf = none((a, b) => b.op("v128.andnot", a));
    m.flags.set(zf.shl(6).or(cf));
  };

const zeroHalves = (all: boolean) => (m: Context) => {
  const count = i32(m.mode64 ? 16 : 8);
  m.runtime("save.zeroVectors", count, i32(1));
  if (all) m.runtime("save.zeroVectors", count, i32(0));
};

const both = (meaning: Meaning, bits: number[], immediateBits: number) => bothLanes(meaning, { bits, immediateBits });

export const AVX_PERMUTE: readonly Row[] = [
  ...insn(
    "VBROADCASTSS",
    broadcast("i32x4"),
    `
    VEX.128.66.0F38.W0 18 /r | w:xmm, m32 | sse avx
    VEX.256.66.0F38.W0 18 /r | w:ymm, m32 | sse avx
    `,
  ),
  ...insn(
    "VBROADCASTSS",
    broadcastRegister("i32x4"),
    `
    VEX.128.66.0F38.W0 18 /r | w:xmm, xmmrm | sse avx2
    VEX.256.66.0F38.W0 18 /r | w:ymm, xmmrm | sse avx2
    `,
  ),
  ...insn("VBROADCASTSD", broadcast("i64x2"), "VEX.256.66.0F38.W0 19 /r | w:ymm, m64 | sse avx"),
  ...insn("VBROADCASTSD", broadcastRegister("i64x2"), "VEX.256.66.0F38.W0 19 /r | w:ymm, xmmrm | sse avx2"),
  ...insn("VBROADCASTF128", broadcastLane, "VEX.256.66.0F38.W0 1A /r | w:ymm, m128 | sse unaligned avx"),
  ...insn("VBROADCASTI128", broadcastLane, "VEX.256.66.0F38.W0 5A /r | w:ymm, m128 | sse unaligned avx2"),
  ...(
    [
      ["B", "78", "i8x16", 8],
      ["W", "79", "i16x8", 16],
      ["D", "58", "i32x4", 32],
      ["Q", "59", "i64x2", 64],
    ] as const
  ).flatMap(([letter, opcode, shape, bits]) =>
    insn(
      `VPBROADCAST${letter}`,
      broadcast(shape),
      `
      VEX.128.66.0F38.W0 ${opcode} /r | w:xmm, xmmm${bits} | sse avx2
      VEX.256.66.0F38.W0 ${opcode} /r | w:ymm, xmmm${bits} | sse avx2
      `,
    ),
  ),

  ...insn(
    "VPERMILPS",
    permilps,
    `
    VEX.128.66.0F38.W0 0C /r | w:xmm, xmmv, xmmm128 | sse unaligned avx
    VEX.256.66.0F38.W0 0C /r | w:ymm, ymmv, ymmm256 | sse unaligned avx
    `,
  ),
  ...insn(
    "VPERMILPD",
    permilpd,
    `
    VEX.128.66.0F38.W0 0D /r | w:xmm, xmmv, xmmm128 | sse unaligned avx
    VEX.256.66.0F38.W0 0D /r | w:ymm, ymmv, ymmm256 | sse unaligned avx
    `,
  ),
  ...insn("VPERMILPS", pshufd, "VEX.128.66.0F3A.W0 04 /r | w:xmm, xmmm128, imm8 | sse unaligned avx"),
  ...insn(
    "VPERMILPS",
    both(pshufd, [128, 128, 8], 0),
    "VEX.256.66.0F3A.W0 04 /r | w:ymm, ymmm256, imm8 | sse unaligned avx",
  ),
  ...insn("VPERMILPD", withItself(shufpd), "VEX.128.66.0F3A.W0 05 /r | w:xmm, xmmm128, imm8 | sse unaligned avx"),
  ...insn(
    "VPERMILPD",
    withItself(both(shufpd, [128, 128, 8], 2)),
    "VEX.256.66.0F3A.W0 05 /r | w:ymm, ymmm256, imm8 | sse unaligned avx",
  ),
  ...insn("VPERMD", permuteDoublewords, "VEX.256.66.0F38.W0 36 /r | w:ymm, ymmv, ymmm256 | sse unaligned avx2"),
  ...insn("VPERMPS", permuteDoublewords, "VEX.256.66.0F38.W0 16 /r | w:ymm, ymmv, ymmm256 | sse unaligned avx2"),
  ...insn("VPERMQ", permuteQuadwords, "VEX.256.66.0F3A.W1 00 /r | w:ymm, ymmm256, imm8 | sse unaligned avx2"),
  ...insn("VPERMPD", permuteQuadwords, "VEX.256.66.0F3A.W1 01 /r | w:ymm, ymmm256, imm8 | sse unaligned avx2"),
  ...insn("VPERM2F128", permuteLanes, "VEX.256.66.0F3A.W0 06 /r | w:ymm, ymmv, ymmm256, imm8 | sse unaligned avx"),
  ...insn("VPERM2I128", permuteLanes, "VEX.256.66.0F3A.W0 46 /r | w:ymm, ymmv, ymmm256, imm8 | sse unaligned avx2"),
  ...insn("VINSERTF128", insertLane, "VEX.256.66.0F3A.W0 18 /r | w:ymm, ymmv, xmmm128, imm8 | sse unaligned avx"),
  ...insn("VINSERTI128", insertLane, "VEX.256.66.0F3A.W0 38 /r | w:ymm, ymmv, xmmm128, imm8 | sse unaligned avx2"),
  ...insn("VEXTRACTF128", extractLane, "VEX.256.66.0F3A.W0 19 /r | w:xmmm128, ymm, imm8 | sse unaligned avx"),
  ...insn("VEXTRACTI128", extractLane, "VEX.256.66.0F3A.W0 39 /r | w:xmmm128, ymm, imm8 | sse unaligned avx2"),

  // BLENDPS by another name.
  ...insn(
    "VPBLENDD",
    nondestructive(blendByImmediate("i32x4")),
    "VEX.128.66.0F3A.W0 02 /r | w:xmm, xmmv, xmmm128, imm8 | sse unaligned avx2",
  ),
  ...insn(
    "VPBLENDD",
    nondestructive(both(blendByImmediate("i32x4"), [128, 128, 8], 4)),
    "VEX.256.66.0F3A.W0 02 /r | w:ymm, ymmv, ymmm256, imm8 | sse unaligned avx2",
  ),
  ...(
    [
      ["VPSLLVD", "47", "W0", "shl.32"],
      ["VPSLLVQ", "47", "W1", "shl.64"],
      ["VPSRLVD", "45", "W0", "shrU.32"],
      ["VPSRLVQ", "45", "W1", "shrU.64"],
      ["VPSRAVD", "46", "W0", "shrS.32"],
    ] as const
  ).flatMap(([name, opcode, w, how]) =>
    insn(
      name,
      shiftEach(how),
      `
      VEX.128.66.0F38.${w} ${opcode} /r | w:xmm, xmmv, xmmm128 | sse unaligned avx2
      VEX.256.66.0F38.${w} ${opcode} /r | w:ymm, ymmv, ymmm256 | sse unaligned avx2
      `,
    ),
  ),
  ...(
    [
      ["VTESTPS", "0E", "i32x4"],
      ["VTESTPD", "0F", "i64x2"],
    ] as const
  ).flatMap(([name, opcode, shape]) =>
    insn(
      name,
      testSigns(shape),
      `
      VEX.128.66.0F38.W0 ${opcode} /r | xmm, xmmm128 | sse unaligned avx
      VEX.256.66.0F38.W0 ${opcode} /r | ymm, ymmm256 | sse unaligned avx
      `,
    ),
  ),
  ...insn("VZEROUPPER", zeroHalves(false), "VEX.128.NP.0F.WIG 77 | | sse mode avx"),
  ...insn("VZEROALL", zeroHalves(true), "VEX.256.NP.0F.WIG 77 | | sse mode avx"),
];
