/**
 * F16C: VCVTPH2PS and VCVTPS2PH (SDM vol. 1, 14.4). The fast paths are for numbers that are normal in both formats, and zeros; the
 * rest is in cpu/float/half.ts.
 */
import { i32, select } from "../../wasm/index.ts";
import type { Context, Half, I32, Meaning, Vec } from "../context.ts";
import { guarded, SINGLE, slowVector, splat, together, unusual } from "../float/sse-guard.ts";
import { insn, type Row } from "../row.ts";
import { read32, read64 } from "../vector/forms.ts";
import { highOf, low64, lowOf, pair, ZERO } from "../vector/value.ts";
import { halvesOf, unaligned } from "./lanes.ts";

/** Four numbers in the low 64 bits. */
function widen(m: Context, source: Vec): Vec {
  const bits = m.f.let(source.op("i32x4.extend_low_i16x8_u"));
  const size = m.f.let(bits.and(splat(SINGLE, 0x7fffn)));
  const special = size.op("i32x4.gt_s", splat(SINGLE, 0x7bffn)).test("v128.any_true");
  const sign = bits.and(splat(SINGLE, 0x8000n)).op("i32x4.shl", i32(16));
  // The exponents differ by 112 in their biases: a multiplication sets that right for denormals too.
  const scaled = size.op("i32x4.shl", i32(13)).op("f32x4.mul", splat(SINGLE, 0x7780_0000n));
  return guarded(
    m,
    [special],
    () => scaled.or(sign),
    () => slowVector(m, "half.widen", source),
  );
}

/** Rounding to nearest by addition of just under a half of the last place, or a half where that is odd. */
function narrow(m: Context, a: Vec, imm: I32): Vec {
  const size = m.f.let(a.and(splat(SINGLE, 0x7fff_ffffn)));
  const zero = size.op("i32x4.eq", ZERO);
  const normal = size
    .op("i32x4.gt_s", splat(SINGLE, 0x387f_ffffn))
    .and(splat(SINGLE, 0x477f_e000n).op("i32x4.gt_s", size));
  const other = normal.or(zero).test("i32x4.all_true").eqz();
  // Bit 2 of the immediate: as MXCSR says, which then is to nearest.
  const mode = select(imm.and(4), i32(0), imm.and(3));
  const odd = size.op("i32x4.shr_u", i32(13)).and(splat(SINGLE, 1n));
  const rounded = size.op("i32x4.add", splat(SINGLE, 0xfffn)).op("i32x4.add", odd).op("i32x4.shr_u", i32(13));
  const rebased = rounded.op("i32x4.sub", splat(SINGLE, 0x1c000n)).op("v128.andnot", zero);
  const sign = a.op("i32x4.shr_u", i32(16)).and(splat(SINGLE, 0x8000n));
  const result = rebased.or(sign);
  return guarded(
    m,
    [unusual(m), mode, other],
    () => result.op("i16x8.narrow_i32x4_u", ZERO),
    () => slowVector(m, "half.narrow", a, imm),
  );
}

const toSingle: Meaning = (m, dst, src) => {
  const wide = dst!.bits === 256;
  const source = wide ? src!.readVec() : low64(read64(src!));
  const results: Vec[] = [];
  together(m, () => {
    for (const half of halvesOf(dst!)) results.push(m.f.let(widen(m, half ? low64(highOf(source)) : source)));
  });
  results.forEach((value, half) => {
    dst!.writeVec(value, half as Half);
  });
};

const toHalf: Meaning = (m, dst, src, imm) => {
  const by = read32(imm!);
  const results: Vec[] = [];
  together(m, () => {
    for (const half of halvesOf(src!)) results.push(m.f.let(narrow(m, src!.readVec(half), by)));
  });
  const [low, high] = results.map(lowOf);
  if (high) dst!.writeVec(m.f.let(pair(low!, high)));
  else if (dst!.isMemory) dst!.write(m.f.let(low!));
  else dst!.writeVec(m.f.let(low64(low!)));
};

export const F16C: readonly Row[] = [
  ...insn(
    "VCVTPH2PS",
    unaligned(toSingle),
    `
    VEX.128.66.0F38.W0 13 /r | w:xmm, xmmm64 | sse f16c
    VEX.256.66.0F38.W0 13 /r | w:ymm, xmmm128 | sse unaligned f16c
    `,
  ),
  ...insn(
    "VCVTPS2PH",
    unaligned(toHalf),
    `
    VEX.128.66.0F3A.W0 1D /r | w:xmmm64, xmm, imm8 | sse f16c
    VEX.256.66.0F3A.W0 1D /r | w:xmmm128, ymm, imm8 | sse unaligned f16c
    `,
  ),
];
