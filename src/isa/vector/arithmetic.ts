/** Integer arithmetic on lanes (SDM vol. 1, 5.4.3, 5.5.3, 5.6.3, 5.8, 5.10). */
import { type FunctionBuilder, i32, type Vec } from "../../wasm/index.ts";
import type { Context, Operand } from "../context.ts";
import { insn } from "../row.ts";
import { type Binary, both, joined, read32, same, xmmOnly } from "./forms.ts";
import { lanes, laneToFront, pick, shiftDown, splat, ZERO } from "./value.ts";

const WORDS_ODD = [1, 3, 5, 7, 9, 11, 13, 15];
const WORDS_EVEN = [0, 2, 4, 6, 8, 10, 12, 14];

/** The upper 16 bits of the products of words. */
const highProducts =
  (sign: "s" | "u"): Binary =>
  (a, b) =>
    pick(a.op(`i32x4.extmul_low_i16x8_${sign}`, b), a.op(`i32x4.extmul_high_i16x8_${sign}`, b), 2, ...WORDS_ODD);

/** 64-bit products of doublewords 0 and 2. */
const evenProducts =
  (sign: "s" | "u"): Binary =>
  (a, b) =>
    pick(a, a, 4, 0, 2, 0, 2).op(`i64x2.extmul_low_i32x4_${sign}`, pick(b, b, 4, 0, 2, 0, 2));

/** PMADDUBSW: bytes of the destination are unsigned, of the source signed; neighbours are added with saturation. */
const multiplyAddBytes: Binary = (a, b) => {
  const eight = i32(8);
  const even = a.and(lanes(16, 0xff)).op("i16x8.mul", b.op("i16x8.shl", eight).op("i16x8.shr_s", eight));
  const odd = a.op("i16x8.shr_u", eight).op("i16x8.mul", b.op("i16x8.shr_s", eight));
  return even.op("i16x8.add_sat_s", odd);
};

/** PMULHRSW does not saturate: -1 times -1 stays 8000h. Nothing else gives 7FFFh in WebAssembly's form. */
const roundedProducts: Binary = (a, b, f) => {
  const product = f.let(a.op("i16x8.q15mulr_sat_s", b));
  return product.xor(product.op("i16x8.eq", lanes(16, 0x7fff)));
};

const absolute =
  (shape: string): Binary =>
  (_, b) =>
    b.op(`${shape}.abs`);

/** The destination negated, kept or zeroed by the sign of the source. */
const sign =
  (shape: string): Binary =>
  (a, b, f) => {
    const negative = f.let(b.op(`${shape}.lt_s`, ZERO));
    return a
      .xor(negative)
      .op(`${shape}.sub`, negative)
      .and(b.op(`${shape}.ne`, ZERO));
  };

/** Sums or differences of neighbours, those of the destination first. */
const horizontal =
  (shape: "i16x8" | "i32x4", operation: string): Binary =>
  (a, b) => {
    const width = shape === "i16x8" ? 2 : 4;
    const count = 16 / width;
    const even = pick(a, b, width, ...WORDS_EVEN.slice(0, count));
    return even.op(`${shape}.${operation}`, pick(a, b, width, ...WORDS_ODD.slice(0, count)));
  };

const distance = (a: Vec, b: Vec) => a.op("i8x16.sub_sat_u", b).or(b.op("i8x16.sub_sat_u", a));

/** PSADBW: the sum of eight absolute differences, in each half. */
const sumDistances: Binary = (a, b, f) => {
  const fours = distance(a, b).op("i16x8.extadd_pairwise_i8x16_u").op("i32x4.extadd_pairwise_i16x8_u");
  const sums = f.let(fours);
  return sums.and(lanes(32, -1, 0)).op("i64x2.add", sums.op("i64x2.shr_u", i32(32)));
};

/**
 * MPSADBW: eight sums of four absolute differences: four source bytes (bits 1:0 of the immediate, times 4) against a window
 * moving along the destination from byte 0 or 4 (bit 2).
 */
const slidingDistances = (m: Context, dst: Operand, src: Operand, imm: Operand) => {
  const { f } = m;
  const control = read32(imm);
  const window = f.let(shiftDown(dst.readVec(), control.and(4)));
  const block = f.let(laneToFront("i32x4", src.readVec(), control.and(3)));
  const term = (k: number) => {
    const bytes = shiftDown(window, i32(k)).op("i16x8.extend_low_i8x16_u");
    return bytes.op("i16x8.sub", splat("i16x8", block.lane("i8x16", k))).op("i16x8.abs");
  };
  dst.writeVec(term(0).op("i16x8.add", term(1)).op("i16x8.add", term(2)).op("i16x8.add", term(3)));
};

/** PHMINPOSUW: the least word and its lowest position. Position goes below the word, and one minimum finds both. */
const leastWord: Binary = (_, b, f: FunctionBuilder) => {
  const keyed = (half: "low" | "high", first: number) =>
    b
      .op(`i32x4.extend_${half}_i16x8_u`)
      .op("i32x4.shl", i32(16))
      .or(lanes(32, first, first + 1, first + 2, first + 3));
  const four = f.let(keyed("low", 0).op("i32x4.min_u", keyed("high", 4)));
  const two = f.let(four.op("i32x4.min_u", pick(four, four, 4, 2, 3, 2, 3)));
  const one = two.op("i32x4.min_u", pick(two, two, 4, 1, 1, 1, 1));
  return ZERO.withLane("i32x4", 0, one.lane("i32x4", 0).rotl(16));
};

export const VECTOR_ARITHMETIC = [
  ...both("PADDB", "0F FC", "- sse2", same("i8x16.add")),
  ...both("PADDW", "0F FD", "- sse2", same("i16x8.add")),
  ...both("PADDD", "0F FE", "- sse2", same("i32x4.add")),
  ...both("PADDQ", "0F D4", "sse2", same("i64x2.add")),
  ...both("PADDSB", "0F EC", "- sse2", same("i8x16.add_sat_s")),
  ...both("PADDSW", "0F ED", "- sse2", same("i16x8.add_sat_s")),
  ...both("PADDUSB", "0F DC", "- sse2", same("i8x16.add_sat_u")),
  ...both("PADDUSW", "0F DD", "- sse2", same("i16x8.add_sat_u")),
  ...both("PSUBB", "0F F8", "- sse2", same("i8x16.sub")),
  ...both("PSUBW", "0F F9", "- sse2", same("i16x8.sub")),
  ...both("PSUBD", "0F FA", "- sse2", same("i32x4.sub")),
  ...both("PSUBQ", "0F FB", "sse2", same("i64x2.sub")),
  ...both("PSUBSB", "0F E8", "- sse2", same("i8x16.sub_sat_s")),
  ...both("PSUBSW", "0F E9", "- sse2", same("i16x8.sub_sat_s")),
  ...both("PSUBUSB", "0F D8", "- sse2", same("i8x16.sub_sat_u")),
  ...both("PSUBUSW", "0F D9", "- sse2", same("i16x8.sub_sat_u")),
  ...both("PAVGB", "0F E0", "- sse2", same("i8x16.avgr_u")),
  ...both("PAVGW", "0F E3", "- sse2", same("i16x8.avgr_u")),

  ...both("PMULLW", "0F D5", "- sse2", same("i16x8.mul")),
  ...both("PMULHW", "0F E5", "- sse2", highProducts("s")),
  ...both("PMULHUW", "0F E4", "- sse2", highProducts("u")),
  ...both("PMULUDQ", "0F F4", "sse2", evenProducts("u")),
  ...both("PMULHRSW", "0F 38 0B", "ssse3", roundedProducts),
  ...both("PMADDWD", "0F F5", "- sse2", same("i32x4.dot_i16x8_s")),
  ...both("PMADDUBSW", "0F 38 04", "ssse3", multiplyAddBytes),
  ...xmmOnly("PMULDQ", "0F 38 28", "sse41", evenProducts("s")),
  ...xmmOnly("PMULLD", "0F 38 40", "sse41", same("i32x4.mul")),

  ...both("PMINUB", "0F DA", "- sse2", same("i8x16.min_u")),
  ...both("PMAXUB", "0F DE", "- sse2", same("i8x16.max_u")),
  ...both("PMINSW", "0F EA", "- sse2", same("i16x8.min_s")),
  ...both("PMAXSW", "0F EE", "- sse2", same("i16x8.max_s")),
  ...xmmOnly("PMINSB", "0F 38 38", "sse41", same("i8x16.min_s")),
  ...xmmOnly("PMINSD", "0F 38 39", "sse41", same("i32x4.min_s")),
  ...xmmOnly("PMINUW", "0F 38 3A", "sse41", same("i16x8.min_u")),
  ...xmmOnly("PMINUD", "0F 38 3B", "sse41", same("i32x4.min_u")),
  ...xmmOnly("PMAXSB", "0F 38 3C", "sse41", same("i8x16.max_s")),
  ...xmmOnly("PMAXSD", "0F 38 3D", "sse41", same("i32x4.max_s")),
  ...xmmOnly("PMAXUW", "0F 38 3E", "sse41", same("i16x8.max_u")),
  ...xmmOnly("PMAXUD", "0F 38 3F", "sse41", same("i32x4.max_u")),
  ...xmmOnly("PHMINPOSUW", "0F 38 41", "sse41", leastWord),

  ...both("PABSB", "0F 38 1C", "ssse3", absolute("i8x16")),
  ...both("PABSW", "0F 38 1D", "ssse3", absolute("i16x8")),
  ...both("PABSD", "0F 38 1E", "ssse3", absolute("i32x4")),
  ...both("PSIGNB", "0F 38 08", "ssse3", sign("i8x16")),
  ...both("PSIGNW", "0F 38 09", "ssse3", sign("i16x8")),
  ...both("PSIGND", "0F 38 0A", "ssse3", sign("i32x4")),

  ...both("PHADDW", "0F 38 01", "ssse3", horizontal("i16x8", "add"), joined),
  ...both("PHADDD", "0F 38 02", "ssse3", horizontal("i32x4", "add"), joined),
  ...both("PHADDSW", "0F 38 03", "ssse3", horizontal("i16x8", "add_sat_s"), joined),
  ...both("PHSUBW", "0F 38 05", "ssse3", horizontal("i16x8", "sub"), joined),
  ...both("PHSUBD", "0F 38 06", "ssse3", horizontal("i32x4", "sub"), joined),
  ...both("PHSUBSW", "0F 38 07", "ssse3", horizontal("i16x8", "sub_sat_s"), joined),

  ...both("PSADBW", "0F F6", "- sse2", sumDistances),
  ...insn("MPSADBW", slidingDistances, "66 0F 3A 42 /r | rw:xmm, xmmm128, imm8 | sse sse41"),
];
