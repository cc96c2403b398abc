/**
 * What the fast and slow paths of SSE floating point are made of. A fast path is WebAssembly's own arithmetic behind guards that make it
 * exact to the bit and to the flag; whatever fails one goes to a runtime function (cpu/float/sse-*.ts). The guards of arithmetic are in
 * sse-fast.ts.
 *
 * Minimum, maximum and comparison raise nothing but IE and DE, and conversions to integers IE and PE: their guards are
 * about the operands, and MXCSR is looked at only as far as it matters.
 */
import { type Expr, type F32, type F64, i32, i64, type Local, op, v128 } from "../../wasm/index.ts";
import type { Context, I32, I64, Operand, Vec } from "../context.ts";

/** The two formats of SSE: letter in mnemonics and runtime functions, lanes, and how WebAssembly names them. */
export interface Precision {
  readonly letter: "s" | "d";
  readonly bits: 32 | 64;
  readonly float: "f32x4" | "f64x2";
  readonly int: "i32x4" | "i64x2";
  readonly lanes: 4 | 2;
  readonly fractionBits: number;
}
export const SINGLE: Precision = { letter: "s", bits: 32, float: "f32x4", int: "i32x4", lanes: 4, fractionBits: 23 };
export const DOUBLE: Precision = { letter: "d", bits: 64, float: "f64x2", int: "i64x2", lanes: 2, fractionBits: 52 };

export type Bits = I32 | I64;
export type Real = F32 | F64;

const PE = 0x20;
const PM = 0x1000;
const RC = 0x6000;

/** Not zero where MXCSR is other than the fast path wants. */
export const unusual = (m: Context): I32 =>
  m
    .get("mxcsr")
    .and(RC | PM | PE)
    .ne(PM | PE);
/** Not zero where an inexact result would change something: PE not set yet, or unmasked. */
export const precisionMatters = (m: Context): I32 =>
  m
    .get("mxcsr")
    .and(PM | PE)
    .ne(PM | PE);

/** `fast` where every condition in `unless` is zero, else `slow`. The conditions are looked at in order. */
export function guarded<E extends Expr>(m: Context, unless: readonly I32[], fast: () => E, slow: () => NoInfer<E>): E {
  const { f } = m;
  let set: (value: E) => void = () => undefined;
  let get: () => E = fast;
  f.block((done) => {
    f.block((unfit) => {
      for (const condition of unless) f.brIf(unfit, condition, false);
      const value = fast();
      const out = f.temporary(value.type);
      out.set(value);
      set = (v) => out.set(v);
      get = () => out.get() as unknown as E;
      f.br(done);
    });
    set(slow());
  });
  return get();
}

/** A runtime function of cpu/float that leaves its result in `floatVector`. */
export function slowVector(m: Context, name: string, ...operands: (Vec | I32 | I64)[]): Vec {
  const slow = gathering.get(m);
  if (slow) {
    m.f.if(slow.get().eqz(), () => {
      m.set("floatFlags", i32(0));
      m.set("floatGather", i32(1));
      slow.set(i32(1));
    });
    m.runtimeFor("i32", name, ...operands);
  } else m.runtimeMayFault(name, ...operands);
  return m.get("floatVector", "v128");
}

/** Instructions being written whose exceptions are raised together; the local is 1 where one of their functions has run. */
const gathering = new WeakMap<Context, Local<"i32">>();

/** Raises the exceptions of all that `body` writes at once: the lanes of one instruction. */
export function together(m: Context, body: () => void): void {
  const slow = m.f.variable(i32(0));
  gathering.set(m, slow);
  body();
  gathering.delete(m);
  m.f.if(slow.get(), () => m.runtimeMayFault("sse.finish"));
}
/** The same with an integer result. */
export function slowInteger(m: Context, name: string, ...operands: (Vec | I32 | I64)[]): I64 {
  m.runtimeMayFault(name, ...operands);
  return m.get("floatMantissa", "i64");
}

export const lane = (p: Precision, v: Vec): Bits => (p === SINGLE ? v.lane("i32x4", 0) : v.lane("i64x2", 0));
export const realLane = (p: Precision, v: Vec): Real => (p === SINGLE ? v.lane("f32x4", 0) : v.lane("f64x2", 0));
export const asReal = (p: Precision, bits: Bits): Real =>
  op(p === SINGLE ? "f32.reinterpret_i32" : "f64.reinterpret_i64", bits) as Real;
export const asBits = (real: Real): Bits =>
  op(real.type === "f32" ? "i32.reinterpret_f32" : "i64.reinterpret_f64", real) as Bits;
export const vector = (p: Precision, bits: Bits): Vec => op(`${p.int}.splat`, bits) as Vec;
export const wide = (bits: Bits): I64 => (bits.type === "i32" ? bits.extendU() : (bits as I64));
export const constant = (p: Precision, value: bigint): Bits => (p === SINGLE ? i32(value) : i64(value));
/** Bytes of a vector with the same value in every lane, or another one in the odd lanes. */
export const splatBytes = (p: Precision, value: bigint, odd = value): number[] => {
  const size = p.bits / 8;
  const byte = (i: number) => ((i / size) & 1 ? odd : value) >> BigInt((i % size) * 8);
  return Array.from({ length: 16 }, (_, i) => Number(byte(i) & 0xffn));
};
export const splat = (p: Precision, value: bigint): Vec => v128(splatBytes(p, value));
/** Writes MXCSR, whose modes are to be looked at anew then (sse-fast.ts). */
export function setMxcsr(m: Context, value: I32): void {
  m.set("mxcsr", value);
  m.set("sseQuick", i32(0));
}
/** A scalar operation named without its type. */
export const real = (name: string, a: Real, ...rest: Real[]): Real => op(`${a.type}.${name}`, a, ...rest) as Real;

/** Bits of a scalar source operand, and the low lane of a destination. */
export const source = (o: Operand): Bits => o.read() as Bits;

/** Not zero where one of the numbers is outside the middle of the range. */
export function outside(p: Precision, ...numbers: Bits[]): I32 {
  const differ = numbers.map((x) => (x as I64).xor((x as I64).shl(1)));
  const all = differ.reduce((a, b) => a.and(b));
  return all.and(1n << BigInt(p.bits - 2)).eqz();
}

/** The same for any lane of vectors. */
export function outsideLanes(p: Precision, ...vectors: Vec[]): I32 {
  const differ = vectors.map((x) => x.xor(x.op(`${p.int}.shl`, i32(1))));
  const all = differ.reduce((a, b) => a.and(b));
  return all
    .op(`${p.int}.shl`, i32(1))
    .test(`${p.int}.bitmask`)
    .ne((1 << p.lanes) - 1);
}

/** Not zero where a lane of a or b is small and not zero, or one of the result is infinite or a NaN. */
export function smallOrNotFinite(p: Precision, a: Vec, b: Vec, result: Vec): I32 {
  const top = 1n << BigInt(p.bits - 1);
  const flipped = (x: Vec) => x.op(`${p.int}.shl`, i32(1)).op(`${p.int}.add`, splat(p, top - 1n));
  // Exponent field 01 0...: a quarter of the range of 2x.
  const limit = splat(p, (top >> 1n) + top - 2n);
  const large =
    p === SINGLE
      ? flipped(a).op("i32x4.min_s", flipped(b)).op("i32x4.gt_s", limit)
      : flipped(a).op("i64x2.gt_s", limit).and(flipped(b).op("i64x2.gt_s", limit));
  const infinity = splat(p, top - (1n << BigInt(p.fractionBits)));
  const finite = result.op(`${p.float}.abs`).op(`${p.float}.lt`, infinity);
  return large
    .and(finite)
    .test(`${p.int}.bitmask`)
    .ne((1 << p.lanes) - 1);
}

/** Not zero where a number is a denormal: 2x - 1 is large for zero, and small for denormals alone. */
export function denormal(p: Precision, x: Bits): I32 {
  const limit = (1n << BigInt(p.fractionBits + 1)) - 1n;
  return (x as I64).shl(1).sub(1).ltU(limit);
}

/** All ones in lanes that are neither denormals nor NaNs. */
export function plainLanes(p: Precision, a: Vec): Vec {
  const top = 1n << BigInt(p.bits - 1);
  const limit = splat(p, (1n << BigInt(p.fractionBits + 1)) - 2n + top);
  const flipped = a.op(`${p.int}.shl`, i32(1)).op(`${p.int}.add`, splat(p, top - 1n));
  return flipped.op(`${p.int}.gt_s`, limit).and(a.op(`${p.float}.eq`, a));
}
export const notAll = (p: Precision, mask: Vec): I32 => mask.test(`${p.int}.bitmask`).ne((1 << p.lanes) - 1);
