/**
 * The numeric instructions of WebAssembly (core specification 2.0, section 5.4), one row each:
 * name → opcode bytes, operand types, result type. Types are abbreviated: i = i32, l = i64,
 * f = f32, d = f64, v = v128. Instructions with immediates (memory, lanes, control) are in
 * expression.ts and function.ts.
 */
export type ValType = "i32" | "i64" | "f32" | "f64" | "v128";

export const VAL_TYPE_CODE: Record<ValType, number> = { i32: 0x7f, i64: 0x7e, f32: 0x7d, f64: 0x7c, v128: 0x7b };

export const ABBREVIATED: Record<string, ValType> = { i: "i32", l: "i64", f: "f32", d: "f64", v: "v128" };

/** One instruction: its bytes, the types of its operands and its result, abbreviated. */
export interface Opcode {
  readonly bytes: readonly number[];
  readonly operands: string;
  readonly result: string;
}

const table: Record<string, Opcode> = {};

function leb(value: number): number[] {
  const out: number[] = [];
  do {
    out.push((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
    value >>>= 7;
  } while (value > 0);
  return out;
}

/** Adds rows `prefix.name` with consecutive opcodes from `first`; "_" leaves a hole. */
function rows(prefix: string, first: number, signature: string, names: string, prefixByte?: number): void {
  const [operands, result] = signature.split(">") as [string, string];
  names.split(" ").forEach((name, i) => {
    if (name === "_") return;
    const bytes = prefixByte === undefined ? [first + i] : [prefixByte, ...leb(first + i)];
    table[`${prefix}.${name}`] = { bytes, operands, result };
  });
}
const simd = (prefix: string, first: number, signature: string, names: string) =>
  rows(prefix, first, signature, names, 0xfd);

const INT_COMPARE = "eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u";
const FLOAT_COMPARE = "eq ne lt gt le ge";
const INT_BINARY = "add sub mul div_s div_u rem_s rem_u and or xor shl shr_s shr_u rotl rotr";
const FLOAT_UNARY = "abs neg ceil floor trunc nearest sqrt";
const FLOAT_BINARY = "add sub mul div min max copysign";

rows("i32", 0x45, "i>i", "eqz");
rows("i32", 0x46, "ii>i", INT_COMPARE);
rows("i64", 0x50, "l>i", "eqz");
rows("i64", 0x51, "ll>i", INT_COMPARE);
rows("f32", 0x5b, "ff>i", FLOAT_COMPARE);
rows("f64", 0x61, "dd>i", FLOAT_COMPARE);
rows("i32", 0x67, "i>i", "clz ctz popcnt");
rows("i32", 0x6a, "ii>i", INT_BINARY);
rows("i64", 0x79, "l>l", "clz ctz popcnt");
rows("i64", 0x7c, "ll>l", INT_BINARY);
rows("f32", 0x8b, "f>f", FLOAT_UNARY);
rows("f32", 0x92, "ff>f", FLOAT_BINARY);
rows("f64", 0x99, "d>d", FLOAT_UNARY);
rows("f64", 0xa0, "dd>d", FLOAT_BINARY);
rows("i32", 0xa7, "l>i", "wrap_i64");
rows("i32", 0xa8, "f>i", "trunc_f32_s trunc_f32_u");
rows("i32", 0xaa, "d>i", "trunc_f64_s trunc_f64_u");
rows("i64", 0xac, "i>l", "extend_i32_s extend_i32_u");
rows("i64", 0xae, "f>l", "trunc_f32_s trunc_f32_u");
rows("i64", 0xb0, "d>l", "trunc_f64_s trunc_f64_u");
rows("f32", 0xb2, "i>f", "convert_i32_s convert_i32_u");
rows("f32", 0xb4, "l>f", "convert_i64_s convert_i64_u");
rows("f32", 0xb6, "d>f", "demote_f64");
rows("f64", 0xb7, "i>d", "convert_i32_s convert_i32_u");
rows("f64", 0xb9, "l>d", "convert_i64_s convert_i64_u");
rows("f64", 0xbb, "f>d", "promote_f32");
rows("i32", 0xbc, "f>i", "reinterpret_f32");
rows("i64", 0xbd, "d>l", "reinterpret_f64");
rows("f32", 0xbe, "i>f", "reinterpret_i32");
rows("f64", 0xbf, "l>d", "reinterpret_i64");
rows("i32", 0xc0, "i>i", "extend8_s extend16_s");
rows("i64", 0xc2, "l>l", "extend8_s extend16_s extend32_s");
rows("i32", 0x00, "f>i", "trunc_sat_f32_s trunc_sat_f32_u", 0xfc);
rows("i32", 0x02, "d>i", "trunc_sat_f64_s trunc_sat_f64_u", 0xfc);
rows("i64", 0x04, "f>l", "trunc_sat_f32_s trunc_sat_f32_u", 0xfc);
rows("i64", 0x06, "d>l", "trunc_sat_f64_s trunc_sat_f64_u", 0xfc);

// Fixed-width SIMD (section 5.4.8).
simd("i8x16", 0x0e, "vv>v", "swizzle");
simd("i8x16", 0x0f, "i>v", "splat");
simd("i16x8", 0x10, "i>v", "splat");
simd("i32x4", 0x11, "i>v", "splat");
simd("i64x2", 0x12, "l>v", "splat");
simd("f32x4", 0x13, "f>v", "splat");
simd("f64x2", 0x14, "d>v", "splat");
simd("i8x16", 0x23, "vv>v", INT_COMPARE);
simd("i16x8", 0x2d, "vv>v", INT_COMPARE);
simd("i32x4", 0x37, "vv>v", INT_COMPARE);
simd("f32x4", 0x41, "vv>v", FLOAT_COMPARE);
simd("f64x2", 0x47, "vv>v", FLOAT_COMPARE);
simd("v128", 0x4d, "v>v", "not");
simd("v128", 0x4e, "vv>v", "and andnot or xor");
simd("v128", 0x52, "vvv>v", "bitselect");
simd("v128", 0x53, "v>i", "any_true");
simd("f32x4", 0x5e, "v>v", "demote_f64x2_zero");
simd("f64x2", 0x5f, "v>v", "promote_low_f32x4");
simd("i8x16", 0x60, "v>v", "abs neg popcnt");
simd("i8x16", 0x63, "v>i", "all_true bitmask");
simd("i8x16", 0x65, "vv>v", "narrow_i16x8_s narrow_i16x8_u");
simd("f32x4", 0x67, "v>v", "ceil floor trunc nearest");
simd("i8x16", 0x6b, "vi>v", "shl shr_s shr_u");
simd("i8x16", 0x6e, "vv>v", "add add_sat_s add_sat_u sub sub_sat_s sub_sat_u");
simd("f64x2", 0x74, "v>v", "ceil floor");
simd("i8x16", 0x76, "vv>v", "min_s min_u max_s max_u");
simd("f64x2", 0x7a, "v>v", "trunc");
simd("i8x16", 0x7b, "vv>v", "avgr_u");
simd("i16x8", 0x7c, "v>v", "extadd_pairwise_i8x16_s extadd_pairwise_i8x16_u");
simd("i32x4", 0x7e, "v>v", "extadd_pairwise_i16x8_s extadd_pairwise_i16x8_u");
simd("i16x8", 0x80, "v>v", "abs neg");
simd("i16x8", 0x82, "vv>v", "q15mulr_sat_s");
simd("i16x8", 0x83, "v>i", "all_true bitmask");
simd("i16x8", 0x85, "vv>v", "narrow_i32x4_s narrow_i32x4_u");
simd("i16x8", 0x87, "v>v", "extend_low_i8x16_s extend_high_i8x16_s extend_low_i8x16_u extend_high_i8x16_u");
simd("i16x8", 0x8b, "vi>v", "shl shr_s shr_u");
simd("i16x8", 0x8e, "vv>v", "add add_sat_s add_sat_u sub sub_sat_s sub_sat_u");
simd("f64x2", 0x94, "v>v", "nearest");
simd("i16x8", 0x95, "vv>v", "mul min_s min_u max_s max_u _ avgr_u");
simd("i16x8", 0x9c, "vv>v", "extmul_low_i8x16_s extmul_high_i8x16_s extmul_low_i8x16_u extmul_high_i8x16_u");
simd("i32x4", 0xa0, "v>v", "abs neg");
simd("i32x4", 0xa3, "v>i", "all_true bitmask");
simd("i32x4", 0xa7, "v>v", "extend_low_i16x8_s extend_high_i16x8_s extend_low_i16x8_u extend_high_i16x8_u");
simd("i32x4", 0xab, "vi>v", "shl shr_s shr_u");
simd("i32x4", 0xae, "vv>v", "add _ _ sub _ _ _ mul min_s min_u max_s max_u dot_i16x8_s");
simd("i32x4", 0xbc, "vv>v", "extmul_low_i16x8_s extmul_high_i16x8_s extmul_low_i16x8_u extmul_high_i16x8_u");
simd("i64x2", 0xc0, "v>v", "abs neg");
simd("i64x2", 0xc3, "v>i", "all_true bitmask");
simd("i64x2", 0xc7, "v>v", "extend_low_i32x4_s extend_high_i32x4_s extend_low_i32x4_u extend_high_i32x4_u");
simd("i64x2", 0xcb, "vi>v", "shl shr_s shr_u");
simd("i64x2", 0xce, "vv>v", "add _ _ sub _ _ _ mul eq ne lt_s gt_s le_s ge_s");
simd("i64x2", 0xdc, "vv>v", "extmul_low_i32x4_s extmul_high_i32x4_s extmul_low_i32x4_u extmul_high_i32x4_u");
simd("f32x4", 0xe0, "v>v", "abs neg _ sqrt");
simd("f32x4", 0xe4, "vv>v", "add sub mul div min max pmin pmax");
simd("f64x2", 0xec, "v>v", "abs neg _ sqrt");
simd("f64x2", 0xf0, "vv>v", "add sub mul div min max pmin pmax");
simd("i32x4", 0xf8, "v>v", "trunc_sat_f32x4_s trunc_sat_f32x4_u");
simd("f32x4", 0xfa, "v>v", "convert_i32x4_s convert_i32x4_u");
simd("i32x4", 0xfc, "v>v", "trunc_sat_f64x2_s_zero trunc_sat_f64x2_u_zero");
simd("f64x2", 0xfe, "v>v", "convert_low_i32x4_s convert_low_i32x4_u");

export const OPCODES: Readonly<Record<string, Opcode>> = table;

/** Lane accesses: shape → [extract opcode (unsigned where there are two), replace opcode, lane type]. */
export const LANES: Readonly<Record<Shape, readonly [number, number, ValType]>> = {
  i8x16: [0x16, 0x17, "i32"],
  i16x8: [0x19, 0x1a, "i32"],
  i32x4: [0x1b, 0x1c, "i32"],
  i64x2: [0x1d, 0x1e, "i64"],
  f32x4: [0x1f, 0x20, "f32"],
  f64x2: [0x21, 0x22, "f64"],
};
export type Shape = "i8x16" | "i16x8" | "i32x4" | "i64x2" | "f32x4" | "f64x2";

/** Memory accesses: name → opcode bytes, value type, width in bytes. */
export const LOADS = {
  "i32.load": [[0x28], "i32", 4],
  "i64.load": [[0x29], "i64", 8],
  "f32.load": [[0x2a], "f32", 4],
  "f64.load": [[0x2b], "f64", 8],
  "i32.load8_s": [[0x2c], "i32", 1],
  "i32.load8_u": [[0x2d], "i32", 1],
  "i32.load16_s": [[0x2e], "i32", 2],
  "i32.load16_u": [[0x2f], "i32", 2],
  "i64.load8_s": [[0x30], "i64", 1],
  "i64.load8_u": [[0x31], "i64", 1],
  "i64.load16_s": [[0x32], "i64", 2],
  "i64.load16_u": [[0x33], "i64", 2],
  "i64.load32_s": [[0x34], "i64", 4],
  "i64.load32_u": [[0x35], "i64", 4],
  "v128.load": [[0xfd, 0x00], "v128", 16],
  "v128.load32_zero": [[0xfd, 0x5c], "v128", 4],
  "v128.load64_zero": [[0xfd, 0x5d], "v128", 8],
  "i32.atomic.load": [[0xfe, 0x10], "i32", 4],
} as const satisfies Record<string, readonly [readonly number[], ValType, number]>;

export const STORES = {
  "i32.store": [[0x36], "i32", 4],
  "i64.store": [[0x37], "i64", 8],
  "f32.store": [[0x38], "f32", 4],
  "f64.store": [[0x39], "f64", 8],
  "i32.store8": [[0x3a], "i32", 1],
  "i32.store16": [[0x3b], "i32", 2],
  "i64.store8": [[0x3c], "i64", 1],
  "i64.store16": [[0x3d], "i64", 2],
  "i64.store32": [[0x3e], "i64", 4],
  "v128.store": [[0xfd, 0x0b], "v128", 16],
  "i32.atomic.store": [[0xfe, 0x17], "i32", 4],
} as const satisfies Record<string, readonly [readonly number[], ValType, number]>;

export type LoadName = keyof typeof LOADS;
export type StoreName = keyof typeof STORES;
