/**
 * The AES rounds (FIPS 197; SDM vol. 1, 12.13). A vector is the state, column by column. Tables are computed here and
 * written into the code as vectors: a byte is substituted by looking it up in sixteen rows of sixteen.
 */
import { type FunctionBuilder, i32, op, type Vec, v128 } from "../../wasm/index.ts";
import { runtime } from "./define.ts";

/** The product in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1 (FIPS 197, 4.2). */
function multiply(a: number, b: number): number {
  let product = 0;
  for (; b; b >>= 1) {
    if (b & 1) product ^= a;
    a = (a << 1) ^ (a & 0x80 ? 0x11b : 0);
  }
  return product;
}

/** FIPS 197, 5.1.1: the inverse in the field, then an affine transformation. */
function substitution(): Uint8Array {
  // The powers of 3 are all bytes but 0, and 3 ^ 255 is 1: they are their inverses backwards.
  const powers = [1];
  while (powers.length < 255) powers.push(multiply(powers.at(-1)!, 3));
  const inverses = new Uint8Array(256);
  powers.forEach((power, i) => {
    inverses[power] = powers[(255 - i) % 255]!;
  });
  const table = new Uint8Array(256);
  for (let x = 0; x < 256; x++) {
    const inverse = inverses[x]!;
    const spread = inverse ^ (inverse << 1) ^ (inverse << 2) ^ (inverse << 3) ^ (inverse << 4);
    table[x] = (spread ^ (spread >> 8) ^ 0x63) & 0xff;
  }
  return table;
}

const S_BOX = substitution();
const INVERSE_S_BOX = new Uint8Array(256);
S_BOX.forEach((to, from) => {
  INVERSE_S_BOX[to] = from;
});

const bytes = (value: number): Vec => v128(new Uint8Array(16).fill(value));

/** Each byte looked up in `table`. A swizzle gives zero for a byte whose high nibble, after the exclusive or, is not zero. */
function substitute(f: FunctionBuilder, table: Uint8Array, state: Vec): Vec {
  const from = f.let(state);
  const result = f.variable(v128(table.subarray(0, 16)).op("i8x16.swizzle", from));
  for (let row = 16; row < 256; row += 16) {
    const found = v128(table.subarray(row, row + 16)).op("i8x16.swizzle", from.xor(bytes(row)));
    result.set(result.get().or(found));
  }
  return result.get();
}

/** Row r of the state turns by r columns (FIPS 197, 5.1.2), backwards for decryption. */
function shiftRows(state: Vec, direction: 1 | -1): Vec {
  const from = Array.from({ length: 16 }, (_, i) => (i + 4 * direction * (i % 4) + 16) % 16);
  return state.shuffle(state, from);
}

/** Every column turned by `by` bytes. */
const turn = (state: Vec, by: number): Vec =>
  state.shuffle(
    state,
    Array.from({ length: 16 }, (_, i) => (i & 12) | ((i + by) & 3)),
  );

/** Every byte times x. */
const double = (v: Vec): Vec => v.op("i8x16.shl", i32(1)).xor(v.op("i8x16.shr_s", i32(7)).and(bytes(0x1b)));

/** Columns times 3x^3 + x^2 + x + 2 (FIPS 197, 5.1.3). */
function mixColumns(f: FunctionBuilder, state: Vec): Vec {
  const a = f.let(state);
  const next = f.let(turn(a, 1));
  const sum = f.let(a.xor(next));
  return double(sum).xor(next).xor(turn(sum, 2));
}

/** The inverse is mixColumns after columns times 4x^2 + 5. */
function inverseMixColumns(f: FunctionBuilder, state: Vec): Vec {
  const a = f.let(state);
  const opposite = f.let(a.xor(turn(a, 2)));
  return mixColumns(f, a.xor(double(f.let(double(opposite)))));
}

export const VECTOR_AES = [
  runtime("aesEncrypt", "v128 v128", "v128", (f) => {
    const state = substitute(f, S_BOX, shiftRows(f.param(0, "v128").get(), 1));
    f.return(mixColumns(f, state).xor(f.param(1, "v128").get()));
  }),
  runtime("aesEncryptLast", "v128 v128", "v128", (f) => {
    f.return(substitute(f, S_BOX, shiftRows(f.param(0, "v128").get(), 1)).xor(f.param(1, "v128").get()));
  }),
  runtime("aesDecrypt", "v128 v128", "v128", (f) => {
    const state = substitute(f, INVERSE_S_BOX, shiftRows(f.param(0, "v128").get(), -1));
    f.return(inverseMixColumns(f, state).xor(f.param(1, "v128").get()));
  }),
  runtime("aesDecryptLast", "v128 v128", "v128", (f) => {
    f.return(substitute(f, INVERSE_S_BOX, shiftRows(f.param(0, "v128").get(), -1)).xor(f.param(1, "v128").get()));
  }),
  runtime("aesInverseMixColumns", "v128", "v128", (f) => {
    f.return(inverseMixColumns(f, f.param(0, "v128").get()));
  }),
  /** Doublewords 1 and 3, substituted: each, and each turned by a byte with the round constant (the immediate) added. */
  runtime("aesKeyAssist", "v128 i32", "v128", (f) => {
    const words = f.let(substitute(f, S_BOX, f.param(0, "v128").get()));
    const chosen = words.shuffle(words, [4, 5, 6, 7, 5, 6, 7, 4, 12, 13, 14, 15, 13, 14, 15, 12]);
    const constant = op("i32x4.splat", f.param(1, "i32").get()) as Vec;
    f.return(chosen.xor(constant.and(v128([0, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0, 255, 255, 255, 255]))));
  }),
];
