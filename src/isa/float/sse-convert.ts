/**
 * Conversions (SDM vol. 1, 5.5.1.6, 5.6.1.6). Conversions to integers are exact where the result converted back is the operand; where it
 * is not, PE must be set and masked already. What does not fit the integer goes the slow path.
 */
import { type Expr, type F64, f64, i32, op, v128 } from "../../wasm/index.ts";
import type { Context, I64, Meaning, Vec } from "../context.ts";
import { insn, type Row } from "../row.ts";
import { enterMmx, writeMmx } from "../vector/mmx.ts";
import { demoted, plainLowest } from "./sse-fast.ts";
import {
  type Bits,
  DOUBLE,
  guarded,
  notAll,
  type Precision,
  plainLanes,
  precisionMatters,
  type Real,
  SINGLE,
  slowInteger,
  slowVector,
  splat,
  unusual,
  wide,
} from "./sse-guard.ts";

/** The low 64 bits of a vector, the rest zero. */
const lowHalf = (bits: I64): Vec => v128(new Uint8Array(16)).withLane("i64x2", 0, bits);

// ---- between the formats

const singleToDouble: Meaning = (m, dst, src) => {
  const a = src!.readVec();
  const before = dst!.readVec();
  const fast = () => before.withLane("f64x2", 0, op("f64.promote_f32", a.lane("f32x4", 0)));
  const slow = () => before.withLane("i64x2", 0, slowInteger(m, "sse.cvtss2sd", wide(a.lane("i32x4", 0))));
  dst!.writeVec(guarded(m, [plainLowest(m, SINGLE, a).eqz()], fast, slow));
};

const doubleToSingle: Meaning = (m, dst, src) => {
  const a = src!.readVec();
  const before = dst!.readVec();
  const number = m.f.let(a.lane("f64x2", 0));
  const slow = () => before.withLane("i32x4", 0, slowInteger(m, "sse.cvtsd2ss", a.lane("i64x2", 0)).wrap());
  dst!.writeVec(demoted(m, before, number, slow));
};

const singlesToDoubles: Meaning = (m, dst, src) => {
  const a = lowHalf(src!.read() as I64);
  const unfit = plainLanes(SINGLE, a).test("i32x4.bitmask").ne(15);
  const fast = () => a.op("f64x2.promote_low_f32x4");
  dst!.writeVec(guarded(m, [unfit], fast, () => slowVector(m, "sse.cvtps2pd", a)));
};

const doublesToSingles: Meaning = (m, dst, src) => {
  const a = src!.readVec();
  const result = m.f.let(a.op("f32x4.demote_f64x2_zero"));
  const differ = result.xor(result.op("i32x4.shl", i32(1))).op("i32x4.shl", i32(1));
  const unless = [unusual(m), differ.test("i32x4.bitmask").ne(3)];
  dst!.writeVec(
    guarded(
      m,
      unless,
      () => result,
      () => slowVector(m, "sse.cvtpd2ps", a),
    ),
  );
};

// ---- from integers

/** CVTSI2SS and SD: exact where the integer has no more bits than the significand. */
const fromInteger =
  (p: Precision): Meaning =>
  (m, dst, src) => {
    const value = src!.read() as Bits;
    const before = dst!.readVec();
    const result = op(`${p === SINGLE ? "f32" : "f64"}.convert_${value.type}_s`, value) as Real;
    const fast = () => before.withLane(p.float, 0, result);
    if (p === DOUBLE && value.type === "i32") {
      dst!.writeVec(fast());
      return;
    }
    const range = 1n << BigInt(p.fractionBits + 1);
    const long = (value as I64).add(range).gtU(2n * range);
    const slow = () => {
      const bits = slowInteger(m, `sse.cvtsi2s${p.letter}`, value.type === "i32" ? value.extendS() : (value as I64));
      return before.withLane(p.int, 0, p === SINGLE ? bits.wrap() : bits);
    };
    dst!.writeVec(guarded(m, [long.and(unusual(m))], fast, slow));
  };

const integersToDoubles: Meaning = (_, dst, src) =>
  dst!.writeVec(lowHalf(src!.read() as I64).op("f64x2.convert_low_i32x4_s"));

const integersToSingles: Meaning = (m, dst, src) => {
  const a = src!.readVec();
  const long = a.op("i32x4.abs").op("i32x4.shr_u", i32(24)).test("v128.any_true");
  const fast = () => a.op("f32x4.convert_i32x4_s");
  dst!.writeVec(guarded(m, [long.and(unusual(m))], fast, () => slowVector(m, "sse.cvtdq2ps", a)));
};

// ---- to integers

/** Added to a number below 2^51, 1.5 * 2^52 leaves it as an integer in the low bits. */
const INTEGER_AT_END = 1.5 * 2 ** 52;

/** CVTxx2SI (truncate: CVTTxx2SI). Of binary32 as binary64, in which it is exact. */
const toInteger =
  (p: Precision, truncate: boolean): Meaning =>
  (m, dst, src) => {
    const a = src!.readVec();
    const single = a.lane("f32x4", 0);
    const number = m.f.let(p === DOUBLE ? a.lane("f64x2", 0) : (op("f64.promote_f32", single) as F64));
    const rounded = m.f.let(op(`f64.${truncate ? "trunc" : "nearest"}`, number) as F64);
    const type = dst!.bits === 64 ? "i64" : "i32";
    // Below 2^31 (2^63) after rounding; false for NaNs.
    const fits = rounded.abs().compare("lt", f64(2 ** (dst!.bits - 1)));
    const inexact = rounded.compare("ne", number);
    const result = () =>
      type === "i64"
        ? op("i64.trunc_sat_f64_s", rounded)
        : (op("i64.reinterpret_f64", rounded.add(f64(INTEGER_AT_END))) as I64).wrap();
    const slow = () => {
      const bits = p === DOUBLE ? a.lane("i64x2", 0) : a.lane("i32x4", 0).extendU();
      const wideResult = slowInteger(m, `sse.cvt${truncate ? "t" : ""}s${p.letter}2si${dst!.bits}`, bits);
      return type === "i32" ? wideResult.wrap() : wideResult;
    };
    // Most results are inexact; MXCSR is looked at only then.
    const matters = m.f.choose(
      inexact,
      () => (truncate ? precisionMatters(m) : unusual(m)),
      () => i32(0),
    );
    dst!.write(guarded<Expr>(m, [matters, fits.eqz()], result, slow) as Bits);
  };

/** Packed conversions to 32-bit integers: the rounded numbers, and whether all lanes are fit. */
function packedToIntegers(m: Context, p: Precision, truncate: boolean, name: string, a: Vec): Vec {
  const rounded = truncate ? a : m.f.let(a.op(`${p.float}.nearest`));
  const limit = splat(p, p === SINGLE ? 0x4f00_0000n : 0x41e0_0000_0000_0000n);
  const fits = rounded.op(`${p.float}.abs`).op(`${p.float}.lt`, limit);
  const integral = truncate ? a.op(`${p.float}.trunc`) : rounded;
  // Where MXCSR is not known to be as usual (sse-fast.ts).
  const matters = m.f.choose(
    m.get("sseQuick").eqz(),
    () => (truncate ? precisionMatters(m) : unusual(m)).and(notAll(p, integral.op(`${p.float}.eq`, a))),
    () => i32(0),
  );
  return guarded(
    m,
    [notAll(p, fits), matters],
    () => rounded.op(p === SINGLE ? "i32x4.trunc_sat_f32x4_s" : "i32x4.trunc_sat_f64x2_s_zero"),
    () => slowVector(m, `sse.${name}`, a),
  );
}

const toIntegers =
  (p: Precision, truncate: boolean, name: string): Meaning =>
  (m, dst, src) =>
    dst!.writeVec(packedToIntegers(m, p, truncate, name, src!.readVec()));

// ---- MMX

/** CVTPI2PS and PD. From a register this enters MMX state, from memory processors do not. */
const fromMmx =
  (p: Precision): Meaning =>
  (m, dst, src) => {
    const a = lowHalf(src!.read() as I64);
    if (p === DOUBLE) dst!.writeVec(a.op("f64x2.convert_low_i32x4_s"));
    else {
      const before = dst!.readVec();
      const long = a.op("i32x4.abs").op("i32x4.shr_u", i32(24)).test("v128.any_true");
      const fast = () => a.op("f32x4.convert_i32x4_s");
      const low = guarded(m, [long.and(unusual(m))], fast, () => slowVector(m, "sse.cvtpi2ps", a));
      dst!.writeVec(before.withLane("i64x2", 0, low.lane("i64x2", 0)));
    }
    if (!src!.isMemory) enterMmx(m);
  };

const toMmx =
  (p: Precision, truncate: boolean): Meaning =>
  (m, dst, src) => {
    const a = p === SINGLE ? lowHalf(src!.read() as I64) : src!.readVec();
    const name = p === SINGLE ? `cvt${truncate ? "t" : ""}ps2pi` : `cvt${truncate ? "t" : ""}pd2dq`;
    writeMmx(m, dst!, packedToIntegers(m, p, truncate, name, a).lane("i64x2", 0));
  };

export const SSE_CONVERT: Row[] = [
  ...insn("CVTSS2SD", singleToDouble, "F3 0F 5A /r | rw:xmm, xmmm32 | sse sse2"),
  ...insn("CVTSD2SS", doubleToSingle, "F2 0F 5A /r | rw:xmm, xmmm64 | sse sse2"),
  ...insn("CVTPS2PD", singlesToDoubles, "NP 0F 5A /r | w:xmm, xmmm64 | sse sse2"),
  ...insn("CVTPD2PS", doublesToSingles, "66 0F 5A /r | w:xmm, xmmm128 | sse sse2"),
  ...insn("CVTSI2SS", fromInteger(SINGLE), "F3 0F 2A /r | rw:xmm, rmy | sse"),
  ...insn("CVTSI2SD", fromInteger(DOUBLE), "F2 0F 2A /r | rw:xmm, rmy | sse sse2"),
  ...insn("CVTDQ2PD", integersToDoubles, "F3 0F E6 /r | w:xmm, xmmm64 | sse sse2"),
  ...insn("CVTDQ2PS", integersToSingles, "NP 0F 5B /r | w:xmm, xmmm128 | sse sse2"),
  ...insn("CVTTSS2SI", toInteger(SINGLE, true), "F3 0F 2C /r | w:ry, xmmm32 | sse"),
  ...insn("CVTTSD2SI", toInteger(DOUBLE, true), "F2 0F 2C /r | w:ry, xmmm64 | sse sse2"),
  ...insn("CVTSS2SI", toInteger(SINGLE, false), "F3 0F 2D /r | w:ry, xmmm32 | sse"),
  ...insn("CVTSD2SI", toInteger(DOUBLE, false), "F2 0F 2D /r | w:ry, xmmm64 | sse sse2"),
  ...insn("CVTPS2DQ", toIntegers(SINGLE, false, "cvtps2dq"), "66 0F 5B /r | w:xmm, xmmm128 | sse sse2"),
  ...insn("CVTTPS2DQ", toIntegers(SINGLE, true, "cvttps2dq"), "F3 0F 5B /r | w:xmm, xmmm128 | sse sse2"),
  ...insn("CVTPD2DQ", toIntegers(DOUBLE, false, "cvtpd2dq"), "F2 0F E6 /r | w:xmm, xmmm128 | sse sse2"),
  ...insn("CVTTPD2DQ", toIntegers(DOUBLE, true, "cvttpd2dq"), "66 0F E6 /r | w:xmm, xmmm128 | sse sse2"),
  ...insn(
    "CVTPI2PS",
    fromMmx(SINGLE),
    `
    NP 0F 2A /r | rw:xmm, mmrm | sse mmx
    NP 0F 2A /r | rw:xmm, m64  | sse
    `,
  ),
  ...insn(
    "CVTPI2PD",
    fromMmx(DOUBLE),
    `
    66 0F 2A /r | w:xmm, mmrm | sse mmx sse2
    66 0F 2A /r | w:xmm, m64  | sse sse2
    `,
  ),
  ...insn("CVTPS2PI", toMmx(SINGLE, false), "NP 0F 2D /r | w:mm, xmmm64 | sse mmx"),
  ...insn("CVTTPS2PI", toMmx(SINGLE, true), "NP 0F 2C /r | w:mm, xmmm64 | sse mmx"),
  ...insn("CVTPD2PI", toMmx(DOUBLE, false), "66 0F 2D /r | w:mm, xmmm128 | sse mmx sse2"),
  ...insn("CVTTPD2PI", toMmx(DOUBLE, true), "66 0F 2C /r | w:mm, xmmm128 | sse mmx sse2"),
];
