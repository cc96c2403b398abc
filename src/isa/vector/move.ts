/** Data movement of MMX and SSE (SDM vol. 1, 5.4.1, 5.5.1.1, 5.5.3, 5.5.4, 5.6.1.1, 5.6.3, 5.6.4, 5.7, 5.10.3): loads, stores, copies, masks of signs. */
import type { Context, I32, I64, Meaning, Operand, Vec } from "../context.ts";
import { insn } from "../row.ts";
import { read32, read64 } from "./forms.ts";
import { enterMmx, writeMmx } from "./mmx.ts";
import { highOf, low32, low64, lowOf, pick, splat } from "./value.ts";

const whole = (_: Context, dst: Operand, src: Operand) => dst.writeVec(src.readVec());

// One lane: from memory the rest of the register becomes zero, from a register it stays.
const load32 = (_: Context, dst: Operand, src: Operand) =>
  dst.writeVec(src.isMemory ? src.readVec() : low32(read32(src)));
const load64 = (_: Context, dst: Operand, src: Operand) =>
  dst.writeVec(src.isMemory ? src.readVec() : low64(read64(src)));
const store32 = (_: Context, dst: Operand, src: Operand) => dst.write(src.readVec().lane("i32x4", 0));
const store64 = (_: Context, dst: Operand, src: Operand) => dst.write(lowOf(src.readVec()));
const storeHigh = (_: Context, dst: Operand, src: Operand) => dst.write(highOf(src.readVec()));
const merge =
  (shape: "i32x4" | "i64x2"): Meaning =>
  (_, dst, src) => {
    const from = src!.readVec();
    const before = dst!.readVec();
    // Lanes as floats stay in vector registers.
    dst!.writeVec(
      shape === "i32x4"
        ? before.withLane("f32x4", 0, from.lane("f32x4", 0))
        : before.withLane("f64x2", 0, from.lane("f64x2", 0)),
    );
  };

// One half of the register.
const loadHalf =
  (half: 0 | 1): Meaning =>
  (_, dst, src) => {
    const value = read64(src!);
    dst!.writeVec(dst!.readVec().withLane("i64x2", half, value));
  };
const highToLow = (_: Context, dst: Operand, src: Operand) => dst.writeVec(pick(src.readVec(), dst.readVec(), 8, 1, 3));
const lowToHigh = (_: Context, dst: Operand, src: Operand) => dst.writeVec(pick(dst.readVec(), src.readVec(), 8, 0, 2));

const lowOnly = (_: Context, dst: Operand, src: Operand) => dst.writeVec(low64(lowOf(src.readVec())));
const doubleLow = (_: Context, dst: Operand, src: Operand) => dst.writeVec(splat("i64x2", read64(src)));
const duplicate =
  (odd: 0 | 1): Meaning =>
  (_, dst, src) => {
    const a = src!.readVec();
    dst!.writeVec(pick(a, a, 4, odd, odd, 2 + odd, 2 + odd));
  };

// MMX.
const mmxFrom32 = (m: Context, dst: Operand, src: Operand) => writeMmx(m, dst, read32(src).extendU());
const mmxLoad = (m: Context, dst: Operand, src: Operand) => writeMmx(m, dst, read64(src));
const mmxStore = (m: Context, dst: Operand, src: Operand) => {
  const value = read64(src);
  dst.write(dst.bits === 32 ? value.wrap() : value);
  enterMmx(m);
};
const mmxToXmm = (m: Context, dst: Operand, src: Operand) => {
  dst.writeVec(low64(read64(src)));
  enterMmx(m);
};
const xmmToMmx = (m: Context, dst: Operand, src: Operand) => writeMmx(m, dst, lowOf(src.readVec()));

const copyInteger = (_: Context, dst: Operand, src: Operand) => dst.write(src.read());

const signs =
  (shape: "i8x16" | "i32x4" | "i64x2"): Meaning =>
  (_, dst, src) =>
    dst!.write(src!.readVec().test(`${shape}.bitmask`));
const mmxSigns = (m: Context, dst: Operand, src: Operand) => {
  dst.write(low64(read64(src)).test("i8x16.bitmask"));
  enterMmx(m);
};

/**
 * Stores the bytes of `value` whose mask has the sign bit set to DS:rDI. Nothing is written, and nothing faults, under a zero
 * mask (SDM leaves that open). A fault in the middle leaves the bytes before it stored, as restarting writes them again.
 */
function storeMasked(m: Context, value: Vec, mask: Vec, bytes: 8 | 16): void {
  const { f } = m;
  const rest = f.variable(mask.test("i8x16.bitmask"));
  f.if(rest.get(), () => {
    const offset = m.reg(7, m.addressSize);
    const to = m.address(m.dataSegment(), offset.type === "i32" ? offset.extendU() : (offset as I64), bytes, true);
    f.while(
      () => rest.get(),
      () => {
        const at: I32 = f.let(rest.get().ctz());
        const byte = value.op("i8x16.swizzle", splat("i8x16", at)).lane("i8x16", 0);
        m.store(8, to.add(at.extendU()), byte);
        rest.set(rest.get().and(rest.get().sub(1)));
      },
    );
  });
}
const maskedXmm = (m: Context, value: Operand, mask: Operand) => storeMasked(m, value.readVec(), mask.readVec(), 16);
const maskedMmx = (m: Context, value: Operand, mask: Operand) => {
  storeMasked(m, low64(read64(value)), low64(read64(mask)), 8);
  enterMmx(m);
};

export const MOVES = [
  ...insn(
    "MOVUPS",
    whole,
    "NP 0F 10 /r | w:xmm, xmmm128 | sse unaligned\n NP 0F 11 /r | w:xmmm128, xmm | sse unaligned",
  ),
  ...insn(
    "MOVUPD",
    whole,
    "66 0F 10 /r | w:xmm, xmmm128 | sse sse2 unaligned\n 66 0F 11 /r | w:xmmm128, xmm | sse sse2 unaligned",
  ),
  ...insn("MOVAPS", whole, "NP 0F 28 /r | w:xmm, xmmm128 | sse\n NP 0F 29 /r | w:xmmm128, xmm | sse"),
  ...insn("MOVAPD", whole, "66 0F 28 /r | w:xmm, xmmm128 | sse sse2\n 66 0F 29 /r | w:xmmm128, xmm | sse sse2"),
  ...insn("MOVDQA", whole, "66 0F 6F /r | w:xmm, xmmm128 | sse sse2\n 66 0F 7F /r | w:xmmm128, xmm | sse sse2"),
  ...insn(
    "MOVDQU",
    whole,
    "F3 0F 6F /r | w:xmm, xmmm128 | sse sse2 unaligned\n F3 0F 7F /r | w:xmmm128, xmm | sse sse2 unaligned",
  ),
  ...insn("LDDQU", whole, "F2 0F F0 /r | w:xmm, m128 | sse sse3 unaligned"),
  // Hints about caches: plain moves here.
  ...insn("MOVNTPS", whole, "NP 0F 2B /r | w:m128, xmm | sse"),
  ...insn("MOVNTPD", whole, "66 0F 2B /r | w:m128, xmm | sse sse2"),
  ...insn("MOVNTDQ", whole, "66 0F E7 /r | w:m128, xmm | sse sse2"),
  ...insn("MOVNTDQA", whole, "66 0F 38 2A /r | w:xmm, m128 | sse sse41"),
  ...insn("MOVNTI", copyInteger, "NP 0F C3 /r | w:my, ry | sse2"),
  ...insn("MOVNTQ", mmxStore, "NP 0F E7 /r | w:m64, mm | mmx"),

  ...insn("MOVSS", load32, "F3 0F 10 /r | w:xmm, m32 | sse"),
  ...insn("MOVSS", merge("i32x4"), "F3 0F 10 /r | rw:xmm, xmmrm | sse\n F3 0F 11 /r | rw:xmmrm, xmm | sse"),
  ...insn("MOVSS", store32, "F3 0F 11 /r | w:m32, xmm | sse"),
  ...insn("MOVSD", load64, "F2 0F 10 /r | w:xmm, m64 | sse sse2"),
  ...insn("MOVSD", merge("i64x2"), "F2 0F 10 /r | rw:xmm, xmmrm | sse sse2\n F2 0F 11 /r | rw:xmmrm, xmm | sse sse2"),
  ...insn("MOVSD", store64, "F2 0F 11 /r | w:m64, xmm | sse sse2"),
  ...insn("MOVLPS", loadHalf(0), "NP 0F 12 /r | rw:xmm, m64 | sse"),
  ...insn("MOVLPS", store64, "NP 0F 13 /r | w:m64, xmm | sse"),
  ...insn("MOVLPD", loadHalf(0), "66 0F 12 /r | rw:xmm, m64 | sse sse2"),
  ...insn("MOVLPD", store64, "66 0F 13 /r | w:m64, xmm | sse sse2"),
  ...insn("MOVHPS", loadHalf(1), "NP 0F 16 /r | rw:xmm, m64 | sse"),
  ...insn("MOVHPS", storeHigh, "NP 0F 17 /r | w:m64, xmm | sse"),
  ...insn("MOVHPD", loadHalf(1), "66 0F 16 /r | rw:xmm, m64 | sse sse2"),
  ...insn("MOVHPD", storeHigh, "66 0F 17 /r | w:m64, xmm | sse sse2"),
  ...insn("MOVHLPS", highToLow, "NP 0F 12 /r | rw:xmm, xmmrm | sse"),
  ...insn("MOVLHPS", lowToHigh, "NP 0F 16 /r | rw:xmm, xmmrm | sse"),
  ...insn("MOVDDUP", doubleLow, "F2 0F 12 /r | w:xmm, xmmm64 | sse sse3"),
  ...insn("MOVSLDUP", duplicate(0), "F3 0F 12 /r | w:xmm, xmmm128 | sse sse3"),
  ...insn("MOVSHDUP", duplicate(1), "F3 0F 16 /r | w:xmm, xmmm128 | sse sse3"),

  ...insn("MOVD", load32, "66 W0 0F 6E /r | w:xmm, rm32 | sse sse2"),
  ...insn("MOVD", store32, "66 W0 0F 7E /r | w:rm32, xmm | sse sse2"),
  ...insn("MOVQ", load64, "66 REX.W 0F 6E /r | w:xmm, rm64 | sse sse2\n F3 0F 7E /r | w:xmm, xmmm64 | sse sse2"),
  ...insn("MOVQ", store64, "66 REX.W 0F 7E /r | w:rm64, xmm | sse sse2\n 66 0F D6 /r | w:m64, xmm | sse sse2"),
  ...insn("MOVQ", lowOnly, "66 0F D6 /r | w:xmmrm, xmm | sse sse2"),
  ...insn("MOVD", mmxFrom32, "NP W0 0F 6E /r | w:mm, rm32 | mmx"),
  ...insn("MOVQ", mmxLoad, "NP REX.W 0F 6E /r | w:mm, rm64 | mmx\n NP 0F 6F /r | w:mm, mmm64 | mmx"),
  ...insn("MOVD", mmxStore, "NP W0 0F 7E /r | w:rm32, mm | mmx"),
  ...insn("MOVQ", mmxStore, "NP REX.W 0F 7E /r | w:rm64, mm | mmx\n NP 0F 7F /r | w:m64, mm | mmx"),
  ...insn("MOVQ", mmxLoad, "NP 0F 7F /r | w:mmrm, mm | mmx"),
  ...insn("MOVQ2DQ", mmxToXmm, "F3 0F D6 /r | w:xmm, mmrm | sse mmx sse2"),
  ...insn("MOVDQ2Q", xmmToMmx, "F2 0F D6 /r | w:mm, xmmrm | sse mmx sse2"),

  ...insn("MOVMSKPS", signs("i32x4"), "NP 0F 50 /r | w:r32, xmmrm | sse"),
  ...insn("MOVMSKPD", signs("i64x2"), "66 0F 50 /r | w:r32, xmmrm | sse sse2"),
  ...insn("PMOVMSKB", signs("i8x16"), "66 0F D7 /r | w:r32, xmmrm | sse sse2"),
  ...insn("PMOVMSKB", mmxSigns, "NP 0F D7 /r | w:r32, mmrm | mmx"),
  ...insn("MASKMOVDQU", maskedXmm, "66 0F F7 /r | xmm, xmmrm | sse sse2 asize"),
  ...insn("MASKMOVQ", maskedMmx, "NP 0F F7 /r | mm, mmrm | mmx asize"),
];
