/** Single lanes in and out, and lanes widened (SDM vol. 1, 5.5.3, 5.6.3, 5.10.7, 5.10.8). */
import type { I32, Vec } from "../../wasm/index.ts";
import type { Context, Meaning, Operand } from "../context.ts";
import { insn, type Row } from "../row.ts";
import { read32, read64 } from "./forms.ts";
import { enterMmx, writeMmx } from "./mmx.ts";
import { laneToFront, low64, lowOf, maskFromBits, splat, withLaneAt } from "./value.ts";

type Shape = "i8x16" | "i16x8" | "i32x4" | "i64x2";

const insert =
  (shape: Shape): Meaning =>
  (m, dst, src, imm) => {
    const value = shape === "i64x2" ? read64(src!) : read32(src!);
    dst!.writeVec(withLaneAt(m.f, shape, dst!.readVec(), read32(imm!), value));
  };
const insertMmx = (m: Context, dst: Operand, src: Operand, imm: Operand) => {
  const value = read32(src);
  writeMmx(m, dst, lowOf(withLaneAt(m.f, "i16x8", low64(read64(dst)), read32(imm).and(3), value)));
};

const first = (shape: Shape, from: Vec, imm: Operand) => {
  const lane = laneToFront(shape, from, read32(imm));
  return shape === "i64x2" ? lowOf(lane) : lane.lane(shape, 0);
};
const extract =
  (shape: Shape): Meaning =>
  (_, dst, src, imm) =>
    dst!.write(first(shape, src!.readVec(), imm!));
const extractMmx = (m: Context, dst: Operand, src: Operand, imm: Operand) => {
  dst.write(laneToFront("i16x8", low64(read64(src)), read32(imm).and(3)).lane("i16x8", 0));
  enterMmx(m);
};

/** Immediate: bits 7:6 lane of a source register, 5:4 lane written, 3:0 lanes zeroed. */
function insertSingle(m: Context, dst: Operand, value: I32, imm: I32): void {
  const inserted = withLaneAt(m.f, "i32x4", dst.readVec(), imm.shrU(4), value);
  dst.writeVec(inserted.op("v128.andnot", maskFromBits(m.f, "i32x4", imm)));
}
const insertpsMemory = (m: Context, dst: Operand, src: Operand, imm: Operand) =>
  insertSingle(m, dst, read32(src), read32(imm));
const insertpsRegister = (m: Context, dst: Operand, src: Operand, imm: Operand) => {
  const by = read32(imm);
  insertSingle(m, dst, laneToFront("i32x4", src.readVec(), by.shrU(6)).lane("i32x4", 0), by);
};

const STEPS = ["i16x8.extend_low_i8x16", "i32x4.extend_low_i16x8", "i64x2.extend_low_i32x4"];
/** PMOVSX*, PMOVZX*: `from` and `to` count the doublings of a byte. */
function widen(suffix: string, opcode: number, from: number, to: number): Row[] {
  const bits = 128 >> (to - from);
  const meaning =
    (sign: "s" | "u"): Meaning =>
    (_, dst, src) => {
      const low = bits === 64 ? splat("i64x2", read64(src!)) : splat("i32x4", read32(src!));
      dst!.writeVec(STEPS.slice(from, to).reduce((v, step) => v.op(`${step}_${sign}`), low));
    };
  return [
    ...insn(`PMOVSX${suffix}`, meaning("s"), `66 0F 38 2${opcode} /r | w:xmm, xmmm${bits} | sse sse41`),
    ...insn(`PMOVZX${suffix}`, meaning("u"), `66 0F 38 3${opcode} /r | w:xmm, xmmm${bits} | sse sse41`),
  ];
}

export const LANE_MOVES = [
  ...insn(
    "PINSRB",
    insert("i8x16"),
    "66 0F 3A 20 /r | rw:xmm, m8, imm8 | sse sse41\n 66 0F 3A 20 /r | rw:xmm, r32rm, imm8 | sse sse41",
  ),
  ...insn(
    "PINSRW",
    insert("i16x8"),
    "66 0F C4 /r | rw:xmm, m16, imm8 | sse sse2\n 66 0F C4 /r | rw:xmm, r32rm, imm8 | sse sse2",
  ),
  ...insn("PINSRW", insertMmx, "NP 0F C4 /r | rw:mm, m16, imm8 | mmx\n NP 0F C4 /r | rw:mm, r32rm, imm8 | mmx"),
  ...insn("PINSRD", insert("i32x4"), "66 W0 0F 3A 22 /r | rw:xmm, rm32, imm8 | sse sse41"),
  ...insn("PINSRQ", insert("i64x2"), "66 REX.W 0F 3A 22 /r | rw:xmm, rm64, imm8 | sse sse41"),
  ...insn(
    "PEXTRB",
    extract("i8x16"),
    "66 0F 3A 14 /r | w:m8, xmm, imm8 | sse sse41\n 66 0F 3A 14 /r | w:r32rm, xmm, imm8 | sse sse41",
  ),
  ...insn(
    "PEXTRW",
    extract("i16x8"),
    "66 0F 3A 15 /r | w:m16, xmm, imm8 | sse sse41\n 66 0F 3A 15 /r | w:r32rm, xmm, imm8 | sse sse41",
  ),
  ...insn("PEXTRW", extract("i16x8"), "66 0F C5 /r | w:r32, xmmrm, imm8 | sse sse2"),
  ...insn("PEXTRW", extractMmx, "NP 0F C5 /r | w:r32, mmrm, imm8 | mmx"),
  ...insn("PEXTRD", extract("i32x4"), "66 W0 0F 3A 16 /r | w:rm32, xmm, imm8 | sse sse41"),
  ...insn("PEXTRQ", extract("i64x2"), "66 REX.W 0F 3A 16 /r | w:rm64, xmm, imm8 | sse sse41"),
  ...insn("EXTRACTPS", extract("i32x4"), "66 0F 3A 17 /r | w:rm32, xmm, imm8 | sse sse41"),
  ...insn("INSERTPS", insertpsMemory, "66 0F 3A 21 /r | rw:xmm, m32, imm8 | sse sse41"),
  ...insn("INSERTPS", insertpsRegister, "66 0F 3A 21 /r | rw:xmm, xmmrm, imm8 | sse sse41"),
  ...widen("BW", 0, 0, 1),
  ...widen("BD", 1, 0, 2),
  ...widen("BQ", 2, 0, 3),
  ...widen("WD", 3, 1, 2),
  ...widen("WQ", 4, 1, 3),
  ...widen("DQ", 5, 2, 3),
];
