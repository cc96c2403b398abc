/**
 * Operands of an instruction whose record is in memory: every read first loads a field of the record. Memory operands are
 * the same for every engine.
 */
import type { AnyInt, Bits, Half, Operand } from "../../isa/context.ts";
import type { OperandSpec, Row } from "../../isa/row.ts";
import { type I32, type I64, i32, i64, type Vec, v128 } from "../../wasm/index.ts";
import type { InstructionWriter } from "../instruction-writer.ts";
import { STATE_BASE } from "../memory-map.ts";
import { offsetOf } from "../state.ts";
import { RECORD } from "./record.ts";
import type { RecordWriter } from "./record-writer.ts";

const X87_STRIDE = 16;
const YMM_STRIDE = 32;
const UPPER_HALF = 16;
const ZERO = v128(new Uint8Array(UPPER_HALF));

/** Bits of an operand at an operand size. */
export function widthOf(spec: OperandSpec, size: number): number {
  if (spec.signed) return size;
  if (spec.width === "v") return size;
  if (spec.width === "y") return size === 64 ? 64 : 32;
  if (spec.width === "z") return size === 16 ? 16 : 32;
  return spec.width;
}

/** Operand kinds whose register number the decoder finds, in the record's register fields. */
export const REGISTER_KINDS = new Set(
  "reg rm rmreg vvvv sreg creg dreg sti mm mmm mmrm xmm xmmm xmmrm xmmv xmmi".split(" "),
);
const MEMORY_KINDS = new Set("rm mem farmem moffs mmm xmmm vsib".split(" "));

export function mayBeMemory(spec: OperandSpec): boolean {
  return MEMORY_KINDS.has(spec.kind);
}

/** The operands of a row as a handler sees them; `memory`: ModRM names memory. */
export function operandsOf(row: Row, handler: RecordWriter, memory: boolean): Operand[] {
  let registers = 0;
  let immediates = 0;
  return row.operands.map((spec) => {
    if (memory && spec.kind === "vsib") return indexed(handler, spec, row);
    if (memory && mayBeMemory(spec)) return new MemoryOperand(handler, spec, row);
    if (spec.kind === "imm" || spec.kind === "rel" || spec.kind === "farimm") {
      return new ImmediateOperand(handler, spec, immediates++);
    }
    if (spec.kind === "one") return new ConstantOperand();
    const field = REGISTER_KINDS.has(spec.kind) ? RECORD.register[registers++]! : undefined;
    return new RegisterOperand(handler, spec, row, field);
  });
}

/** A register by its place in the state: `where`, from the field `field` of the record if the record says it, and `offset`. */
export interface Register {
  readonly kind: "general" | "vector" | "other";
  readonly field?: number | undefined;
  readonly where: I32;
  readonly offset: number;
}

export abstract class Base<Writer extends InstructionWriter> implements Operand {
  readonly bits: number;
  protected readonly h: Writer;
  protected readonly spec: OperandSpec;

  constructor(h: Writer, spec: OperandSpec) {
    this.h = h;
    this.spec = spec;
    this.bits = widthOf(spec, h.size);
  }
  get isMemory(): boolean {
    return false;
  }
  get known(): bigint | undefined {
    return undefined;
  }
  abstract read(): AnyInt;
  write(_value: AnyInt): void {
    throw this.no("written");
  }
  readVec(_half?: Half): Vec {
    throw this.no("read as a vector");
  }
  writeVec(_value: Vec, _half?: Half): void {
    throw this.no("written as a vector");
  }
  offset(): I64 {
    throw this.no("taken the address of");
  }
  linear(_displacement?: number): I64 {
    throw this.no("taken the address of");
  }
  linearAt(_displacement: I64): I64 {
    throw this.no("taken the address of");
  }
  number(): I32 {
    throw this.no("numbered");
  }
  protected no(what: string): Error {
    return new Error(`operand ${this.spec.text} cannot be ${what}`);
  }
}

export class ConstantOperand implements Operand {
  readonly bits = 8;
  readonly isMemory = false;
  readonly known = 1n;
  read = (): AnyInt => i32(1);
  write = (): void => undefined;
  readVec = (): Vec => this.no();
  writeVec = (): void => this.no();
  offset = (): I64 => i64(0);
  linear = (): I64 => i64(0);
  linearAt = (): I64 => i64(0);
  number = (): I32 => i32(1);
  protected no(): never {
    throw new Error("the constant 1 is no vector");
  }
}

class ImmediateOperand extends Base<RecordWriter> {
  readonly #at: number;
  constructor(h: RecordWriter, spec: OperandSpec, position: number) {
    super(h, spec);
    this.#at = position === 0 ? RECORD.immediate : RECORD.displacement;
  }
  read(): AnyInt {
    if (this.bits === 64 && this.#at === RECORD.immediate) return this.h.recordField("i64.load", this.#at);
    const value = this.h.recordField("i32.load", this.#at);
    if (this.bits === 64) return value.extendS();
    return this.bits === 32 ? value : this.h.f.let(value.and(this.bits === 8 ? 0xff : 0xffff));
  }
  /** Far immediates: the selector. */
  override number(): I32 {
    return this.h.recordField("i32.load16_u", RECORD.immediate + 4);
  }
}

const GENERAL = new Set(["reg", "rm", "rmreg", "vvvv", "fixed"]);
const VECTORS = new Set(["xmm", "xmmm", "xmmrm", "xmmv", "xmmi", "xmm0"]);

/** A register: general, MMX or XMM by offset from the record, or a number (segment, control, debug, x87). */
class RegisterOperand extends Base<RecordWriter> {
  readonly #register: Register;
  /** A VEX-encoded row zeroes what is above the XMM register it writes (SDM vol. 2, 2.3.10). */
  readonly #zeroes: boolean;

  /** `field`: where the record says which register; loaded at once, so that a first use may stand in a branch. */
  constructor(h: RecordWriter, spec: OperandSpec, row: Row, field: number | undefined) {
    super(h, spec);
    this.#zeroes = row.vex && spec.width !== 256;
    const kind = GENERAL.has(spec.kind) ? "general" : VECTORS.has(spec.kind) ? "vector" : "other";
    if (field !== undefined) this.#register = { kind, field, where: h.recordField("i32.load16_u", field), offset: 0 };
    else if (spec.kind === "xmm0") this.#register = { kind, where: i32(0), offset: offsetOf("ymm0") };
    else {
      const n = spec.register;
      // AH, CH, DH, BH lie one byte above their register.
      const high = this.bits === 8 && n >= 4;
      this.#register = { kind, where: i32(0), offset: offsetOf("rax") + (high ? (n - 4) * 8 + 1 : n * 8) };
    }
  }
  read(): AnyInt {
    const { bits } = this;
    if (bits !== 8 && bits !== 16 && bits !== 32 && bits !== 64)
      throw new Error(`${this.spec.text} has no integer value`);
    return this.h.readRegister(this.#register, bits);
  }
  override write(value: AnyInt): void {
    this.h.writeRegister(this.#register, this.bits as Bits, value);
  }
  override readVec(half: Half = 0): Vec {
    return this.h.readVector(this.#register, half);
  }
  override writeVec(value: Vec, half: Half = 0): void {
    this.h.writeVector(this.#register, value, half);
    if (this.#zeroes) this.h.writeVector(this.#register, ZERO, 1);
  }
  override number(): I32 {
    const { where, offset } = this.#register;
    const at = where.add(offset);
    switch (this.spec.kind) {
      case "mm":
      case "mmm":
      case "mmrm":
        return at.sub(offsetOf("fpr0")).divU(X87_STRIDE);
      case "xmm":
      case "xmmm":
      case "xmmrm":
      case "xmmv":
      case "xmmi":
        return at.sub(offsetOf("ymm0")).divU(YMM_STRIDE);
      default:
        return GENERAL.has(this.spec.kind) ? at.sub(offsetOf("rax")).shrU(3) : at;
    }
  }
}

export class MemoryOperand extends Base<InstructionWriter> {
  override get isMemory(): boolean {
    return true;
  }
  readonly #row: Row;
  #offset: I64 | undefined;
  #linear: I64 | undefined;
  /** Host address of a read-modify-write, between its read and its write. */
  #host: I32 | undefined;
  /** Both halves of 256 bits, once read; the lower one, until the upper one is written too. */
  #halves: readonly [Vec, Vec] | undefined;
  #lower: Vec | undefined;

  constructor(h: InstructionWriter, spec: OperandSpec, row: Row) {
    super(h, spec);
    this.#row = row;
    // At once, so that a first use may stand in a branch; POP to memory wants the address as it is after the pop.
    if (!h.addressesLate) {
      this.offset();
      if (this.bits > 0 && spec.kind !== "vsib") this.linear();
    }
  }
  override offset(): I64 {
    this.#offset ??= this.h.effectiveAddress(this.spec.kind === "moffs", this.spec.kind !== "vsib");
    return this.#offset;
  }
  override linearAt(displacement: I64): I64 {
    return this.h.inSegment(this.h.f.let(this.offset().add(displacement)), Math.max(1, this.bits / 8), this.writes());
  }
  override linear(displacement = 0): I64 {
    if (displacement !== 0) return this.h.inSegment(this.h.f.let(this.offset().add(displacement)), 1, this.writes());
    this.#linear ??= this.h.inSegment(this.offset(), Math.max(1, this.bits / 8), this.writes());
    return this.#linear;
  }
  read(): AnyInt {
    const bits = this.bits as Bits;
    if (!this.writes()) return this.h.load(bits, this.linear());
    this.#host = this.h.hostFor("slow_rmw", this.linear(), bits / 8);
    return this.h.loadHost(bits, this.#host);
  }
  override write(value: AnyInt): void {
    const bits = this.bits as Bits;
    const host = this.#host ?? this.h.hostFor("slow_write", this.linear(), bits / 8);
    this.h.storeHost(bits, host, value);
  }
  override readVec(half: Half = 0): Vec {
    if (this.#halves) return this.#halves[half];
    if (this.bits === 64 || this.bits === 32) {
      const host = this.h.hostFor("slow_read", this.linear(), this.bits / 8);
      return this.h.f.load(this.bits === 64 ? "v128.load64_zero" : "v128.load32_zero", host);
    }
    this.aligned();
    if (this.bits !== 256) return this.h.loadVec(this.linear());
    const host = this.h.hostFor("slow_read", this.linear(), 2 * UPPER_HALF);
    this.#halves = [this.h.f.load("v128.load", host), this.h.f.load("v128.load", host, UPPER_HALF)];
    return this.#halves[half];
  }
  override writeVec(value: Vec, half: Half = 0): void {
    if (this.bits === 256 && half === 0) {
      this.#lower = value;
      return;
    }
    this.aligned();
    if (this.#lower) this.h.storeVec(this.linear(), this.#lower, value);
    else this.h.storeVec(this.linear(), value);
  }
  /**
   * Legacy SSE, and VEX-encoded moves that say so: a 16-byte operand that is not aligned raises #GP(0), as does one of 32 bytes
   * (SDM vol. 1, 10.4.1.1 and 14.9).
   */
  private aligned(): void {
    if (this.bits < 128 || this.#row.attributes.has("unaligned")) return;
    this.h.raiseIf(
      this.linear()
        .wrap()
        .and(this.bits / 8 - 1),
      13,
      0,
    );
  }
  private writes(): boolean {
    return this.spec.access !== "r";
  }
}

/** VSIB: base and displacement, to which each index of a vector is added, scaled (SDM vol. 2, 2.3.12). */
export class IndexedOperand extends MemoryOperand {
  readonly #index: (half: Half) => Vec;
  readonly #scale: I64;

  constructor(h: InstructionWriter, spec: OperandSpec, row: Row, index: (half: Half) => Vec, scale: I64) {
    super(h, spec, row);
    this.#index = index;
    this.#scale = scale;
  }
  override readVec(half: Half = 0): Vec {
    return this.#index(half);
  }
  override linearAt(index: I64): I64 {
    return super.linearAt(index.shl(this.#scale));
  }
}

function indexed(h: RecordWriter, spec: OperandSpec, row: Row): IndexedOperand {
  const register = h.recordField("i32.load16_u", RECORD.index);
  const index = (half: Half) => h.f.load("v128.load", register, STATE_BASE + UPPER_HALF * half);
  return new IndexedOperand(h, spec, row, index, h.recordField("i64.load8_u", RECORD.scale));
}
