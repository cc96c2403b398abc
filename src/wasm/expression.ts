/**
 * Typed WebAssembly expressions. An expression is a value yet to be computed: a small tree that
 * writes its own code. It must be pure: what has an effect, or depends on state that may change,
 * is bound to a local by the function builder first (function.ts), so that a tree may be used twice.
 */
import type { ByteWriter } from "./bytes.ts";
import { ABBREVIATED, LANES, OPCODES, type Opcode, type Shape, type ValType } from "./opcodes.ts";

export type Write = (out: ByteWriter) => void;
export type IntType = "i32" | "i64";
export type FloatType = "f32" | "f64";

export class Expr<T extends ValType = ValType> {
  readonly type: T;
  readonly write: Write;
  /** The value, where it is known while the code is written. */
  readonly known: bigint | undefined;

  constructor(type: T, write: Write, known?: bigint) {
    this.type = type;
    this.write = write;
    this.known = known;
  }
}

type Operand<T extends IntType> = Int<T> | number | bigint;

/** An integer expression. Methods carry the instruction's name; a number stands for a constant of the same type. */
export class Int<T extends IntType = IntType> extends Expr<T> {
  add(b: Operand<T>): Int<T> {
    if (b === 0 || (b instanceof Int && b.known === 0n)) return this;
    return this.known === 0n && b instanceof Int ? b : this.binary("add", b, (x, y) => x + y);
  }
  sub(b: Operand<T>): Int<T> {
    return b === 0 ? this : this.binary("sub", b, (x, y) => x - y);
  }
  mul(b: Operand<T>): Int<T> {
    return this.binary("mul", b, (x, y) => x * y);
  }
  divS(b: Operand<T>): Int<T> {
    return this.binary("div_s", b);
  }
  divU(b: Operand<T>): Int<T> {
    return this.binary("div_u", b);
  }
  remS(b: Operand<T>): Int<T> {
    return this.binary("rem_s", b);
  }
  remU(b: Operand<T>): Int<T> {
    return this.binary("rem_u", b);
  }
  and(b: Operand<T>): Int<T> {
    return this.binary("and", b, (x, y) => x & y);
  }
  or(b: Operand<T>): Int<T> {
    return b === 0 ? this : this.binary("or", b, (x, y) => x | y);
  }
  xor(b: Operand<T>): Int<T> {
    return b === 0 ? this : this.binary("xor", b, (x, y) => x ^ y);
  }
  not(): Int<T> {
    return this.xor(-1);
  }
  shl(b: Operand<T>): Int<T> {
    return b === 0 ? this : this.binary("shl", b, (x, y) => x << (y & (this.type === "i32" ? 31n : 63n)));
  }
  shrS(b: Operand<T>): Int<T> {
    return b === 0 ? this : this.binary("shr_s", b);
  }
  shrU(b: Operand<T>): Int<T> {
    return b === 0 ? this : this.binary("shr_u", b);
  }
  rotl(b: Operand<T>): Int<T> {
    return this.binary("rotl", b);
  }
  rotr(b: Operand<T>): Int<T> {
    return this.binary("rotr", b);
  }
  clz(): Int<T> {
    return int(this.type, op(`${this.type}.clz`, this));
  }
  ctz(): Int<T> {
    return int(this.type, op(`${this.type}.ctz`, this));
  }
  popcnt(): Int<T> {
    return int(this.type, op(`${this.type}.popcnt`, this));
  }
  eqz(): I32 {
    if (this.known !== undefined) return i32(this.known === 0n ? 1 : 0);
    return int("i32", op(`${this.type}.eqz`, this));
  }
  eq(b: Operand<T>): I32 {
    return b === 0 ? this.eqz() : this.comparison("eq", b);
  }
  ne(b: Operand<T>): I32 {
    return this.comparison("ne", b);
  }
  ltS(b: Operand<T>): I32 {
    return this.comparison("lt_s", b);
  }
  ltU(b: Operand<T>): I32 {
    return this.comparison("lt_u", b);
  }
  gtS(b: Operand<T>): I32 {
    return this.comparison("gt_s", b);
  }
  gtU(b: Operand<T>): I32 {
    return this.comparison("gt_u", b);
  }
  leS(b: Operand<T>): I32 {
    return this.comparison("le_s", b);
  }
  leU(b: Operand<T>): I32 {
    return this.comparison("le_u", b);
  }
  geS(b: Operand<T>): I32 {
    return this.comparison("ge_s", b);
  }
  geU(b: Operand<T>): I32 {
    return this.comparison("ge_u", b);
  }
  extend8S(): Int<T> {
    return int(this.type, op(`${this.type}.extend8_s`, this));
  }
  extend16S(): Int<T> {
    return int(this.type, op(`${this.type}.extend16_s`, this));
  }
  /** 64 bits from 32, sign-extended; a 64-bit value sign-extends its low half. */
  extendS(): I64 {
    return int("i64", op(this.type === "i32" ? "i64.extend_i32_s" : "i64.extend32_s", this));
  }
  /** 64 bits from 32, zero-extended. */
  extendU(): I64 {
    if (this.known !== undefined) return i64(BigInt.asUintN(32, this.known));
    return this.type === "i32" ? int("i64", op("i64.extend_i32_u", this)) : (this.and(0xffff_ffff) as unknown as I64);
  }
  /** The low 32 bits; a 32-bit value is itself. */
  wrap(): I32 {
    if (this.type === "i32") return this as unknown as I32;
    return this.known !== undefined ? i32(this.known) : int("i32", op("i32.wrap_i64", this));
  }
  /** 1 where the value is not zero, else 0. */
  nez(): I32 {
    return this.ne(0);
  }

  private asOperand(b: Operand<T>): Int<T> {
    const other = b instanceof Int ? b : constant(this.type, b);
    if (other.type !== this.type) throw new TypeError(`operand is ${other.type}, not ${this.type}`);
    return other;
  }
  private binary(name: string, b: Operand<T>, fold?: (x: bigint, y: bigint) => bigint): Int<T> {
    const other = this.asOperand(b);
    if (fold && this.known !== undefined && other.known !== undefined) {
      return constant(this.type, fold(this.known, other.known));
    }
    return new Int(this.type, twoOperands(INT_ROWS[this.type][name]!, this, other));
  }
  private comparison(name: string, b: Operand<T>): I32 {
    const other = this.asOperand(b);
    if (this.known !== undefined && other.known !== undefined) {
      return i32(compareKnown(name, this.type, this.known, other.known) ? 1 : 0);
    }
    return new Int("i32", twoOperands(INT_ROWS[this.type][name]!, this, other));
  }
}

/** The instructions on two integers of a type, by the name behind the dot. */
const rowsOf = (type: IntType): Readonly<Record<string, Opcode>> =>
  Object.fromEntries(
    Object.entries(OPCODES)
      .filter(([name, row]) => name.startsWith(`${type}.`) && row.operands.length === 2)
      .map(([name, row]) => [name.slice(type.length + 1), row]),
  );
const INT_ROWS = { i32: rowsOf("i32"), i64: rowsOf("i64") };

function twoOperands({ bytes }: Opcode, a: Expr, b: Expr): Write {
  const code = bytes[0]!;
  return (out) => {
    a.write(out);
    b.write(out);
    out.u8(code);
  };
}

function compareKnown(name: string, type: IntType, x: bigint, y: bigint): boolean {
  const unsigned = name.endsWith("_u");
  const width = type === "i32" ? 32 : 64;
  const [a, b] = unsigned ? [BigInt.asUintN(width, x), BigInt.asUintN(width, y)] : [x, y];
  switch (name.slice(0, 2)) {
    case "eq":
      return a === b;
    case "ne":
      return a !== b;
    case "lt":
      return a < b;
    case "gt":
      return a > b;
    case "le":
      return a <= b;
    default:
      return a >= b;
  }
}

export class Float<T extends FloatType = FloatType> extends Expr<T> {
  private apply(name: string, ...rest: Expr[]): Float<T> {
    return new Float(this.type, op(`${this.type}.${name}`, this, ...rest).write);
  }
  add(b: Float<T>): Float<T> {
    return this.apply("add", b);
  }
  sub(b: Float<T>): Float<T> {
    return this.apply("sub", b);
  }
  mul(b: Float<T>): Float<T> {
    return this.apply("mul", b);
  }
  div(b: Float<T>): Float<T> {
    return this.apply("div", b);
  }
  sqrt(): Float<T> {
    return this.apply("sqrt");
  }
  abs(): Float<T> {
    return this.apply("abs");
  }
  neg(): Float<T> {
    return this.apply("neg");
  }
  compare(name: "eq" | "ne" | "lt" | "gt" | "le" | "ge", b: Float<T>): I32 {
    return int("i32", op(`${this.type}.${name}`, this, b));
  }
}

export class Vec extends Expr<"v128"> {
  /** A SIMD instruction by its name, this vector being the first operand: `a.op("i8x16.add", b)`. */
  op(name: string, ...rest: Expr[]): Vec {
    return vec(op(name, this, ...rest));
  }
  /** The same, for instructions whose result is an i32 (`any_true`, `all_true`, `bitmask`). */
  test(name: string): I32 {
    return int("i32", op(name, this));
  }
  and(b: Vec): Vec {
    return this.op("v128.and", b);
  }
  or(b: Vec): Vec {
    return this.op("v128.or", b);
  }
  xor(b: Vec): Vec {
    return this.op("v128.xor", b);
  }
  /** One lane, zero-extended where narrower than 32 bits. */
  lane(shape: "i8x16" | "i16x8" | "i32x4", index: number): I32;
  lane(shape: "i64x2", index: number): I64;
  lane(shape: "f32x4", index: number): F32;
  lane(shape: "f64x2", index: number): F64;
  lane(shape: Shape, index: number): Expr {
    const [extract, , type] = LANES[shape];
    return typed(type, (out) => {
      this.write(out);
      out.raw([0xfd, extract, index]);
    });
  }
  withLane(shape: Shape, index: number, value: Expr): Vec {
    const [, replace, type] = LANES[shape];
    if (value.type !== type) throw new TypeError(`a lane of ${shape} is ${type}, not ${value.type}`);
    return vec({
      type: "v128",
      known: undefined,
      write: (out) => {
        this.write(out);
        value.write(out);
        out.raw([0xfd, replace, index]);
      },
    });
  }
  /** Sixteen bytes picked from this vector (0-15) and `other` (16-31). */
  shuffle(other: Vec, lanes: readonly number[]): Vec {
    return vec({
      type: "v128",
      known: undefined,
      write: (out) => {
        this.write(out);
        other.write(out);
        out.raw([0xfd, 0x0d, ...lanes]);
      },
    });
  }
}

export type I32 = Int<"i32">;
export type I64 = Int<"i64">;
export type F32 = Float<"f32">;
export type F64 = Float<"f64">;

/** What the TypeScript class of an expression of type T is. */
export type ExprOf<T extends ValType> = T extends "i32"
  ? I32
  : T extends "i64"
    ? I64
    : T extends "f32"
      ? F32
      : T extends "f64"
        ? F64
        : Vec;

/** Wraps written code as an expression of the class that fits its type. */
export function typed<T extends ValType>(type: T, write: Write): ExprOf<T> {
  const made =
    type === "i32" || type === "i64"
      ? new Int(type, write)
      : type === "f32" || type === "f64"
        ? new Float(type, write)
        : new Vec("v128", write);
  return made as unknown as ExprOf<T>;
}

const int = <T extends IntType>(type: T, e: Expr): Int<T> => new Int(type, e.write, e.known);
const vec = (e: Expr): Vec => new Vec("v128", e.write);

/** Any instruction of opcodes.ts by name. Throws TypeError when the operands do not fit it. */
export function op(name: string, ...operands: Expr[]): Expr {
  const row = OPCODES[name];
  if (!row) throw new TypeError(`no instruction ${name}`);
  const wanted = row.operands;
  let fits = wanted.length === operands.length;
  for (let i = 0; fits && i < wanted.length; i++) fits = ABBREVIATED[wanted[i]!] === operands[i]!.type;
  if (!fits) {
    const given = operands.map((o) => o.type).join(" ");
    throw new TypeError(`${name} takes (${[...wanted].map((c) => ABBREVIATED[c]).join(" ")}), not (${given})`);
  }
  const { bytes } = row;
  return typed(ABBREVIATED[row.result]!, (out) => {
    for (let i = 0; i < operands.length; i++) operands[i]!.write(out);
    for (let i = 0; i < bytes.length; i++) out.u8(bytes[i]!);
  });
}

/** Constants in frequent use, by their value less the lowest. */
const LOWEST = -256;
const HIGHEST = 4096;
const CONSTANTS: { readonly i32: Int<"i32">[]; readonly i64: Int<"i64">[] } = { i32: [], i64: [] };

function constant<T extends IntType>(type: T, value: number | bigint): Int<T> {
  const cache = CONSTANTS[type] as Int<T>[];
  const small = typeof value === "number" && value >= LOWEST && value <= HIGHEST;
  if (small) {
    const cached = cache[value - LOWEST];
    if (cached) return cached;
  }
  const known = BigInt.asIntN(type === "i32" ? 32 : 64, BigInt(value));
  const made = new Int(
    type,
    (out) => {
      out.u8(type === "i32" ? 0x41 : 0x42);
      if (type === "i32") out.s32(Number(known));
      else out.s64(known);
    },
    known,
  );
  if (small) cache[value - LOWEST] = made;
  return made;
}

export const i32 = (value: number | bigint): I32 => constant("i32", value);
export const i64 = (value: number | bigint): I64 => constant("i64", value);

export function f64(value: number): F64 {
  const image = new Uint8Array(new Float64Array([value]).buffer);
  return typed("f64", (out) => {
    out.u8(0x44);
    out.raw(image);
  });
}

export function f32(value: number): F32 {
  const image = new Uint8Array(new Float32Array([value]).buffer);
  return typed("f32", (out) => {
    out.u8(0x43);
    out.raw(image);
  });
}

/** A vector constant from its sixteen bytes, lowest first. */
export function v128(bytes: ArrayLike<number>): Vec {
  if (bytes.length !== 16) throw new TypeError("a vector has 16 bytes");
  return typed("v128", (out) => {
    out.raw([0xfd, 0x0c]);
    out.raw(bytes);
  });
}

/** `condition ? a : b` without a branch; both are computed. */
export function select<E extends Expr>(condition: I32, a: E, b: NoInfer<E>): E {
  if (condition.known !== undefined) return condition.known !== 0n ? a : b;
  if (a.type !== b.type) throw new TypeError(`select of ${a.type} and ${b.type}`);
  return typed(a.type, (out) => {
    a.write(out);
    b.write(out);
    condition.write(out);
    out.u8(0x1b);
  }) as unknown as E;
}
