/**
 * The compiler's side of a meaning: writes the code of one instruction into the function of its region. Operands are known,
 * registers and flags are locals.
 */
import type { AnyInt, Bits, Half, Operand } from "../../isa/context.ts";
import { BASE_RIP, NO_REGISTER } from "../../isa/decode.ts";
import type { OperandSpec } from "../../isa/row.ts";
import { type ExprOf, type I32, type I64, i32, i64, type ValType, type Vec, v128 } from "../../wasm/index.ts";
import { type Access, InstructionWriter } from "../instruction-writer.ts";
import { Base, ConstantOperand, IndexedOperand, MemoryOperand, mayBeMemory } from "../interpreter/operand.ts";
import { STATE_BASE } from "../memory-map.ts";
import { offsetOf } from "../state.ts";
import type { Instruction } from "./blocks.ts";
import type { RegionCode } from "./region-code.ts";
import type { RegionFlags } from "./region-flags.ts";

const RSP = 4;
const SS_VECTOR = 12;
const GP_VECTOR = 13;
/** Runtime functions that take a linear address and a length to go there. */
const CHECKED = new Set(["slow_read", "slow_write", "slow_rmw", "probe_write"]);
const SS = 2;
const FS = 4;
const X87_STRIDE = 16;

/** What control does at the end of an instruction: where the region goes on, or leaves. */
export interface Flow {
  /** To the instruction's static target, where `condition` holds, else (or always) on. */
  relative(writer: RegionWriter, condition: I32 | undefined): void;
  /** To an address that is computed. */
  indirect(target: I64): void;
  /** Once more where `condition` holds, else on. */
  again(condition: I32): void;
}

/** The instruction cannot be part of a region. The message says why. */
export class NotCompiled extends Error {}

export class RegionWriter extends InstructionWriter {
  readonly flags: RegionFlags;
  readonly insn: Instruction;
  readonly region: RegionCode;
  readonly #flow: Flow;
  #ended = false;
  /** Outside 64-bit mode: the flat segment whose offset was last taken for a linear address. */
  #flat: number | undefined;
  #late = false;
  /** Accesses that miss leave: nothing has been done that shows, no store, no runtime function. */
  #mayLeave: boolean;

  constructor(region: RegionCode, insn: Instruction, flow: Flow, movesStack: boolean) {
    super(region.f, region.env, insn.variant);
    this.region = region;
    this.flags = region.flags;
    this.insn = insn;
    this.#flow = flow;
    this.#mayLeave = !region.tolerant;
    if (movesStack) this.sp = region.f.variable(region.register(RSP).get());
  }

  /** Writes the instruction. True where control goes on behind it. */
  write(): boolean {
    const { insn } = this;
    const { row } = insn;
    this.checks(row);
    row.meaning(this, ...this.#operands());
    if (this.#ended) return false;
    this.commit();
    return true;
  }

  /** Whether the meaning moved the stack pointer by push or pop. */
  get movesStack(): boolean {
    return this.usesStack;
  }

  /** The instruction can no longer fault: what waited is done. */
  commit(): void {
    if (this.sp) this.region.setRegister(RSP, this.sp.get() as I64);
    if (!this.#late) return;
    this.f.rarely(this.region.late.get(), () => this.region.leave(this.insn, this.insn.next, 1));
  }

  protected override checks(row: Instruction["row"]): void {
    const { attributes } = row;
    if (attributes.size === 0) return;
    // What these depend on is looked at where the region is entered; nothing inside a region changes it.
    if (attributes.has("fpu") || attributes.has("mmx")) this.region.assume("x87Trap");
    if (attributes.has("sse")) this.region.assume(row.vex ? "avxTrap" : "sseTrap");
    if (!attributes.has("sse") || attributes.has("mmx")) super.checks(row);
  }

  #operands(): Operand[] {
    const { d, row } = this.insn;
    let immediates = 0;
    return row.operands.map((spec) => {
      if (spec.kind === "vsib") {
        const index = (half: Half) => this.region.vector(d.index, half).get() as Vec;
        return new IndexedOperand(this, spec, row, index, i64(d.scale));
      }
      if (d.isMemory && mayBeMemory(spec)) return new MemoryOperand(this, spec, row);
      if (spec.kind === "imm" || spec.kind === "rel" || spec.kind === "farimm") {
        return new ImmediateOperand(this, spec, immediates++ === 0);
      }
      if (spec.kind === "one") return new ConstantOperand();
      return new RegisterOperand(this, spec);
    });
  }

  // ---- state

  override get mode64(): boolean {
    return this.in64;
  }
  override get<T extends ValType = "i32">(field: string, type?: T): ExprOf<T> {
    if (field === "stackMask" && !this.in64) return i64(0xffff_ffff) as never;
    return super.get(field, type);
  }
  reg(number: number, bits: Bits): AnyInt {
    if (number === RSP && this.sp) return this.waitingSp(bits);
    const whole = this.region.register(number).get() as I64;
    if (bits === 64) return this.f.let(whole);
    if (bits === 32) return this.f.let(whole.wrap());
    return this.f.let(whole.wrap().and(bits === 8 ? 0xff : 0xffff));
  }
  setReg(number: number, bits: Bits, value: AnyInt): void {
    if (number === RSP && this.sp) {
      this.setWaitingSp(bits, value);
      return;
    }
    if (bits === 64) this.region.setRegister(number, value as I64);
    else if (bits === 32) this.region.setRegister(number, value.extendU());
    else {
      const mask = bits === 8 ? 0xff : 0xffff;
      const old = this.region.register(number).get() as I64;
      this.region.setRegister(number, old.and(~mask).or(value.and(mask).extendU()));
    }
  }

  // ---- memory

  effectiveAddress(absolute: boolean, indexed = true): I64 {
    const { d, variant } = this.insn;
    if (absolute) return i64((BigInt(d.immediateHigh) << 32n) | BigInt(d.immediateLow >>> 0));
    const part = (number: number): I64 =>
      number === RSP && this.sp ? (this.sp.get() as I64) : (this.region.register(number).get() as I64);
    let sum: I64 | undefined;
    if (d.base === BASE_RIP) {
      const at = this.region.linear(this.insn.pos).add(d.length + d.displacement);
      return this.f.let(variant.addressing === "checked" ? at.and(this.#addressMask()) : at);
    }
    if (d.base !== NO_REGISTER) sum = part(d.base);
    if (indexed && d.index !== NO_REGISTER) {
      const scaled = part(d.index).shl(d.scale);
      sum = sum ? sum.add(scaled) : scaled;
    }
    sum = sum ? sum.add(d.displacement) : i64(d.displacement);
    return this.f.let(variant.addressing === "checked" ? sum.and(this.#addressMask()) : sum);
  }
  #addressMask(): bigint {
    return (1n << BigInt(this.insn.d.addressSize)) - 1n;
  }

  inSegment(offset: I64, length: number, write: boolean): I64 {
    const { d, variant } = this.insn;
    if (variant.addressing === "checked") {
      return this.address(d.segment, this.f.let(offset.and(this.#addressMask())), length, write);
    }
    if (d.override < FS) return offset;
    return this.f.let(offset.add(this.get(d.override === FS ? "fs.base" : "gs.base", "i64")));
  }

  override address(segment: I32 | number, offset: I64, bytes: number, write: boolean): I64 {
    const number = typeof segment === "number" ? segment : Number(segment.known);
    // Outside 64-bit mode a region is entered with flat segments only; the code segment is not written to, FS and GS are anything.
    if (!this.in64 && (number === 0 || number === SS || number === 3)) {
      this.#flat = number;
      return offset;
    }
    this.#flat = undefined;
    return super.address(this.in64 ? number : i32(number), offset, bytes, write);
  }

  /**
   * An access that misses the TLB leaves for the interpreter, which does the whole instruction. A slow way that came back would cost the
   * fast one: V8 keeps what lives over a call in its frame.
   */
  override hostFor(access: Access, linear: I64, length: number, stack = false): I32 {
    if (!this.#mayLeave) return super.hostFor(access, linear, length, stack);
    const { differs, host } = this.lookUp(access, linear, length);
    // Without a hint: V8 would store what the ways out have in common where it is made.
    this.f.if(differs, () => this.region.handOver(this.insn));
    this.region.env.observer?.access(this.f);
    return this.f.let(host);
  }
  protected override commitStore(host: I32): void {
    if (!this.#mayLeave) super.commitStore(host);
    this.#mayLeave = false;
  }

  dataSegment(): I32 {
    return i32(this.insn.d.segment);
  }
  protected dataTlb(): I32 {
    return this.region.useTlb().get();
  }
  protected noteLate(): void {
    this.#late = true;
    this.region.late.set(super.get("attention"));
  }

  // ---- control

  rip(): I64 {
    return this.f.let(this.region.linear(this.insn.pos));
  }
  nextRip(): I64 {
    return this.f.let(this.region.linear(this.insn.next));
  }
  jump(target: I64, undo?: () => void): void {
    if (this.size === 16) throw new NotCompiled("a 16-bit jump");
    const known = this.f.let(this.size === 32 ? target.and(0xffff_ffff) : target);
    this.#check(known, undo);
    this.commit();
    this.#ended = true;
    this.#flow.indirect(known);
  }
  jumpRelative(condition?: I32, undo?: () => void): void {
    if (this.size === 16) throw new NotCompiled("a 16-bit jump");
    // A target in a page of the region can be reached; so can one in this page.
    const { insn } = this;
    const check = this.in64 && !this.region.contains(insn.target!) ? this.region.linear(insn.target!) : undefined;
    if (check) {
      if (condition) this.f.if(condition, () => this.#check(this.f.let(check), undo));
      else this.#check(this.f.let(check), undo);
    }
    this.commit();
    this.#ended = true;
    this.#flow.relative(this, condition);
  }
  #check(target: I64, undo?: () => void): void {
    if (this.in64) this.checkTarget(target, undo);
  }
  againIf(condition: I32): void {
    this.commit();
    this.#ended = true;
    this.#flow.again(condition);
  }
  resume(): void {
    throw new NotCompiled("it goes on elsewhere");
  }
  leave(): void {
    this.commit();
    this.#ended = true;
    this.region.leave(this.insn, this.insn.next, 1);
  }
  checkpoint(): void {
    this.f.if(super.get("attention"), () => {
      if (this.sp) this.region.setRegister(RSP, this.sp.get() as I64);
      this.region.leave(this.insn, this.insn.next, 1);
    });
  }
  protected fault(): void {
    this.region.fault(this.insn);
  }

  // ---- runtime functions

  override runtime(name: string, ...operands: ExprOf<ValType>[]): void {
    this.#around(name, () => super.runtime(name, ...operands));
  }
  override runtimeFor<T extends ValType>(type: T, name: string, ...operands: ExprOf<ValType>[]): ExprOf<T> {
    if (this.#flat !== undefined && CHECKED.has(name)) this.#checkLimit(operands[0] as I64, operands[1] as I32);
    return this.#around(name, () => super.runtimeFor(type, name, ...operands));
  }
  /**
   * An access that begins below 4 GiB and ends beyond lies outside a flat segment (SDM vol. 3A, 5.3). The TLB never has it, so that only
   * the slow way has to look.
   */
  #checkLimit(offset: I64, length: I32): void {
    this.f.if(offset.add(length.extendU()).gtU(0x1_0000_0000), () =>
      this.raise(this.#flat === SS ? SS_VECTOR : GP_VECTOR, 0),
    );
  }
  #around<T>(name: string, call: () => T): T {
    const effects = this.region.effects.of(name);
    this.#mayLeave = false;
    if (effects.registers || effects.vectors) throw new NotCompiled(`${name} reaches registers`);
    if (effects.flags) this.region.storeFlags();
    const result = call();
    if (effects.flags) this.region.loadFlags();
    if (effects.tlb) this.region.loadTlb();
    return result;
  }
}

class ImmediateOperand extends Base<RegionWriter> {
  readonly #known: bigint;
  constructor(h: RegionWriter, spec: OperandSpec, first: boolean) {
    super(h, spec);
    const { d } = h.insn;
    const value = first ? (BigInt(d.immediateHigh) << 32n) | BigInt(d.immediateLow >>> 0) : BigInt(d.immediate2);
    this.#known = BigInt.asUintN(Math.min(64, this.bits), value);
  }
  override get known(): bigint {
    return this.#known;
  }
  read(): AnyInt {
    if (this.bits !== 64) return i32(Number(BigInt.asIntN(32, this.#known)));
    const value = BigInt.asIntN(64, this.#known);
    const small = Number(value);
    return i64(Number.isSafeInteger(small) ? small : value);
  }
  override number(): I32 {
    return i32(this.h.insn.d.immediateHigh & 0xffff);
  }
}

const NO_BITS = v128(new Uint8Array(16));
const VECTORS = new Set(["xmm", "xmmm", "xmmrm", "xmmv", "xmmi", "xmm0"]);
const MMX = new Set(["mm", "mmm", "mmrm"]);
const GENERAL = new Set(["reg", "rm", "rmreg", "vvvv", "fixed"]);

class RegisterOperand extends Base<RegionWriter> {
  readonly #number: number;
  /** AH, CH, DH, BH. */
  readonly #high: boolean;
  /** A VEX-encoded row zeroes what is above the XMM register it writes (SDM vol. 2, 2.3.10). */
  readonly #zeroes: boolean;

  constructor(h: RegionWriter, spec: OperandSpec) {
    super(h, spec);
    const { d, row } = h.insn;
    this.#zeroes = row.vex && spec.width !== 256;
    let number: number;
    switch (spec.kind) {
      case "fixed":
        number = spec.register;
        break;
      case "xmm0":
        number = 0;
        break;
      case "sti":
        number = d.modrm & 7;
        break;
      case "mm":
        number = d.reg & 7;
        break;
      case "mmm":
      case "mmrm":
        number = d.rm & 7;
        break;
      case "xmmi":
        number = d.is4;
        break;
      case "vvvv":
      case "xmmv":
        number = d.vvvv;
        break;
      case "reg":
        number = row.plusR ? d.opcodeReg : d.reg;
        break;
      case "xmm":
      case "sreg":
      case "creg":
      case "dreg":
        number = d.reg;
        break;
      default:
        number = d.rm;
    }
    this.#high = GENERAL.has(spec.kind) && spec.width === 8 && (spec.kind === "fixed" || d.rex === 0) && number >= 4;
    this.#number = this.#high ? number - 4 : number;
  }

  read(): AnyInt {
    const { f, region } = this.h;
    if (GENERAL.has(this.spec.kind)) {
      if (!this.#high) return this.h.reg(this.#number, this.bits as Bits);
      return f.let((region.register(this.#number).get() as I64).wrap().shrU(8).and(0xff));
    }
    if (VECTORS.has(this.spec.kind)) {
      const vector = region.vector(this.#number).get() as Vec;
      if (this.bits === 64) return f.let(vector.lane("i64x2", 0));
      if (this.bits === 32) return f.let(vector.lane("i32x4", 0));
      return f.let(vector.lane("i32x4", 0).and(this.bits === 8 ? 0xff : 0xffff));
    }
    if (MMX.has(this.spec.kind)) {
      return this.bits === 32
        ? f.load("i32.load", i32(0), this.#mmx())
        : (f.load("i64.load", i32(0), this.#mmx()) as AnyInt);
    }
    throw new NotCompiled(`${this.spec.text} has no integer value`);
  }
  override write(value: AnyInt): void {
    const { f, region } = this.h;
    if (GENERAL.has(this.spec.kind)) {
      if (!this.#high) this.h.setReg(this.#number, this.bits as Bits, value);
      else {
        const old = region.register(this.#number).get() as I64;
        region.setRegister(this.#number, old.and(~0xff00).or(value.and(0xff).extendU().shl(8)));
      }
    } else if (VECTORS.has(this.spec.kind)) {
      const vector = region.vector(this.#number).get() as Vec;
      if (this.bits !== 64 && this.bits !== 32) throw new NotCompiled(`${this.spec.text} written by ${this.bits} bits`);
      region.setVector(this.#number, vector.withLane(this.bits === 64 ? "i64x2" : "i32x4", 0, value));
    } else if (MMX.has(this.spec.kind)) {
      f.store(this.bits === 32 ? "i32.store" : "i64.store", i32(0), value, this.#mmx());
    } else throw new NotCompiled(`${this.spec.text} written`);
  }
  override readVec(half: Half = 0): Vec {
    return this.h.f.let(this.h.region.vector(this.#number, half).get() as Vec);
  }
  override writeVec(value: Vec, half: Half = 0): void {
    this.h.region.setVector(this.#number, value, half);
    if (this.#zeroes) this.h.region.setVector(this.#number, NO_BITS, 1);
  }
  override number(): I32 {
    return i32(this.#number);
  }
  #mmx(): number {
    return STATE_BASE + offsetOf("fpr0") + this.#number * X87_STRIDE;
  }
}
