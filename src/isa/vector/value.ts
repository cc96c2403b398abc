/** Vector values that meanings are made of: constants, scalars in lanes, bytes picked by a control only known at run time. */
import {
  type FunctionBuilder,
  type I32,
  type I64,
  i32,
  op,
  type Shape,
  select,
  type Vec,
  v128,
} from "../../wasm/index.ts";

/** A constant of lanes `bits` wide, lowest first; fewer values than lanes are repeated. */
export function lanes(bits: 8 | 16 | 32, ...values: number[]): Vec {
  const width = bits / 8;
  const value = (i: number) => values[Math.floor(i / width) % values.length]!;
  return v128(Array.from({ length: 16 }, (_, i) => (value(i) >> (8 * (i % width))) & 0xff));
}

export const ZERO = lanes(8, 0);
/** Byte numbers 0 to 15: a swizzle by it changes nothing. */
export const IOTA = lanes(8, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
/** The same value in every lane. */
export const splat = (shape: Shape, value: I32 | I64): Vec => op(`${shape}.splat`, value) as Vec;
/** A scalar in the low bits, zero above. */
export const low64 = (value: I64): Vec => ZERO.withLane("i64x2", 0, value);
export const low32 = (value: I32): Vec => ZERO.withLane("i32x4", 0, value);
/** `low` in bits 0-63, `high` in bits 64-127. */
export const pair = (low: I64, high: I64): Vec => splat("i64x2", low).withLane("i64x2", 1, high);
export const lowOf = (value: Vec): I64 => value.lane("i64x2", 0);
export const highOf = (value: Vec): I64 => value.lane("i64x2", 1);

/** Lanes of `width` bytes picked from `a` and, from number 16 / width on, from `b`. */
export function pick(a: Vec, b: Vec, width: number, ...from: number[]): Vec {
  return a.shuffle(
    b,
    Array.from({ length: 16 }, (_, i) => from[Math.floor(i / width)]! * width + (i % width)),
  );
}

/** Bytes `first` to `first` + 15 of `value` with zeros on both sides. */
function slice(value: Vec, first: number): Vec {
  return value.shuffle(
    ZERO,
    Array.from({ length: 16 }, (_, i) => (first + i >= 0 && first + i < 16 ? first + i : 16)),
  );
}

/** `value` moved towards lane 0 by `bytes` (unsigned; from 16 on nothing stays), zeros coming in. */
export function shiftDown(value: Vec, bytes: I32): Vec {
  if (bytes.known !== undefined) return slice(value, Number(BigInt.asUintN(32, bytes.known)));
  const by = select(bytes.ltU(16), bytes, i32(16));
  return value.op("i8x16.swizzle", IOTA.op("i8x16.add", splat("i8x16", by)));
}

/** `value` moved away from lane 0. */
export function shiftUp(value: Vec, bytes: I32): Vec {
  if (bytes.known !== undefined) return slice(value, -Number(BigInt.asUintN(32, bytes.known)));
  const by = select(bytes.ltU(16), bytes, i32(16));
  return value.op("i8x16.swizzle", IOTA.op("i8x16.sub", splat("i8x16", by)));
}

/** All ones in each lane whose bit of `bits` is set; lane 0 is bit 0. */
export function maskFromBits(f: FunctionBuilder, shape: "i8x16" | "i16x8" | "i32x4" | "i64x2", bits: I32): Vec {
  const { known } = bits;
  if (known !== undefined) {
    const width = { i8x16: 1, i16x8: 2, i32x4: 4, i64x2: 8 }[shape];
    return v128(Array.from({ length: 16 }, (_, i) => ((known >> BigInt(Math.floor(i / width))) & 1n ? 0xff : 0)));
  }
  if (shape === "i8x16") {
    const spread = splat("i16x8", bits).op("i8x16.swizzle", lanes(8, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1));
    const one = lanes(8, 1, 2, 4, 8, 16, 32, 64, 128);
    return f.let(spread.and(one).op("i8x16.eq", one));
  }
  if (shape === "i64x2") {
    const one = lanes(32, 1, 0, 2, 0);
    return f.let(splat("i64x2", bits.extendU()).and(one).op("i64x2.eq", one));
  }
  const one = shape === "i16x8" ? lanes(16, 1, 2, 4, 8, 16, 32, 64, 128) : lanes(32, 1, 2, 4, 8);
  return f.let(splat(shape, bits).and(one).op(`${shape}.eq`, one));
}

/** `a` with lane `index` (taken modulo the number of lanes) replaced. */
export function withLaneAt(
  f: FunctionBuilder,
  shape: "i8x16" | "i16x8" | "i32x4" | "i64x2",
  a: Vec,
  index: I32,
  value: I32 | I64,
): Vec {
  const count = { i8x16: 16, i16x8: 8, i32x4: 4, i64x2: 2 }[shape];
  const at = index.and(count - 1);
  if (at.known !== undefined) return a.withLane(shape, Number(at.known), value);
  return splat(shape, value).op("v128.bitselect", a, maskFromBits(f, shape, i32(1).shl(at)));
}

/** Lane `index` (modulo the number of lanes), moved to lane 0. */
export function laneToFront(shape: "i8x16" | "i16x8" | "i32x4" | "i64x2", a: Vec, index: I32): Vec {
  const [count, width] = ({ i8x16: [16, 1], i16x8: [8, 2], i32x4: [4, 4], i64x2: [2, 8] } as const)[shape];
  return shiftDown(a, index.and(count - 1).mul(width));
}
