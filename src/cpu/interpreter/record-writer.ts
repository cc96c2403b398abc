/**
 * What code does alike that works on a decoded instruction's record: registers and flags live in the state, which of them the record says.
 * The interpreter's handlers (handler.ts) read the record while they run; templates (../templates) are given its fields when they are copied.
 */
import type { AnyInt, Bits, Half } from "../../isa/context.ts";
import {
  type ExprOf,
  type FunctionBuilder,
  type I32,
  type I64,
  i32,
  i64,
  type LOADS,
  type LoadName,
  type Local,
  select,
  type Vec,
} from "../../wasm/index.ts";
import { LazyFlags } from "../flags.ts";
import { InstructionWriter, LOAD, STORE, type Variant } from "../instruction-writer.ts";
import { RETURN_SIZE, RETURN_STACK, STATE_BASE } from "../memory-map.ts";
import { recordIn } from "../runtime/code-map.ts";
import type { RuntimeEnv } from "../runtime/define.ts";
import { EXIT } from "../runtime/exits.ts";
import { differs } from "../runtime/jump-cache.ts";
import { codeTlbOffset } from "../runtime/tlb.ts";
import { offsetOf } from "../state.ts";
import { operandsOf, type Register } from "./operand.ts";
import { RECORD } from "./record.ts";

const RSP = 4;
const UPPER_HALF = 16;
const TRAP_FLAG = 0x100;

const general = (number: number): Register => ({
  kind: "general",
  where: i32(0),
  offset: offsetOf("rax") + number * 8,
});

export abstract class RecordWriter extends InstructionWriter {
  readonly flags: LazyFlags;
  readonly variant: Variant;
  readonly #env: RuntimeEnv;
  /** 1: the second instruction of a pair, whose record follows the first one's. */
  protected readonly position: 0 | 1;
  /** Not 0 where this instruction's own store to a device left something for the run loop. */
  protected late: Local<"i32"> | undefined;
  protected ended = false;

  protected constructor(
    f: FunctionBuilder,
    env: RuntimeEnv,
    variant: Variant,
    stackLocal: boolean,
    before?: RecordWriter,
  ) {
    super(f, env, variant);
    this.#env = env;
    this.position = before ? 1 : 0;
    this.variant = variant;
    this.flags =
      before?.flags ??
      new LazyFlags(f, {
        read: (name, type) => env.get(name, type),
        write: (name, value) => env.set(name, value),
      });
    if (stackLocal) this.sp = f.variable(env.get("rsp", "i64"));
  }

  // ---- the engine's part

  /** A field of the instruction's record. */
  abstract recordField<N extends LoadName>(name: N, at: number): ExprOf<(typeof LOADS)[N][1]>;
  /** Address of the record. */
  protected abstract record(): I32;
  /** Instructions left, `more` of them counted as done, beside those in front of this one. */
  protected abstract budget(more: number): I32;
  /** Goes on at a record, this instruction done. */
  protected abstract dispatch(record: I32): void;
  /** Goes on behind this instruction. */
  protected abstract next(): void;

  /** The run loop need not come in between: there is budget left, `more` instructions done, and nothing waits. */
  protected ready(more: number): I32 {
    return this.budget(more).gtS(this.get("attention"));
  }

  protected writeBody(): void {
    const { row, addressing } = this.variant;
    this.checks(row);
    row.meaning(this, ...operandsOf(row, this, addressing !== "none"));
  }

  // ---- state

  reg(number: number, bits: Bits): AnyInt {
    if (number === RSP && this.sp) return this.waitingSp(bits);
    return this.readRegister(general(number), bits);
  }
  setReg(number: number, bits: Bits, value: AnyInt): void {
    if (number === RSP && this.sp) this.setWaitingSp(bits, value);
    else this.writeRegister(general(number), bits, value);
  }
  readRegister({ where, offset }: Register, bits: Bits): AnyInt {
    return this.f.load(LOAD[bits], where, STATE_BASE + offset);
  }
  writeRegister({ kind, where, offset }: Register, bits: Bits, value: AnyInt): void {
    const at = STATE_BASE + offset;
    if (bits === 32 && kind === "general") this.f.store("i64.store", where, value.extendU(), at);
    else this.f.store(STORE[bits], where, value, at);
  }
  readVector({ where, offset }: Register, half: Half): Vec {
    return this.f.load("v128.load", where, STATE_BASE + offset + half * UPPER_HALF);
  }
  writeVector({ where, offset }: Register, value: Vec, half: Half): void {
    this.f.store("v128.store", where, value, STATE_BASE + offset + half * UPPER_HALF);
  }
  /** The 64-bit state field that a field of the record names: base, index, segment base. */
  protected named(field: number): I64 {
    return this.f.load("i64.load", this.recordField("i32.load16_u", field), STATE_BASE);
  }

  // ---- memory

  effectiveAddress(absolute: boolean, indexed = true): I64 {
    if (absolute) return this.f.let(this.recordField("i64.load", RECORD.immediate));
    let base = this.named(RECORD.base);
    if (this.sp) {
      const register = this.recordField("i32.load16_u", RECORD.base);
      base = select(register.eq(offsetOf("rsp")), this.f.let(this.sp.get() as I64), base);
    }
    const displacement = this.recordField("i64.load32_s", RECORD.displacement);
    if (this.variant.addressing === "base") return this.f.let(base.add(displacement));
    let sum = base.add(displacement);
    if (indexed) {
      const index = this.named(RECORD.index);
      const scale = this.recordField("i64.load8_u", RECORD.scale);
      sum = base.add(index.shl(scale)).add(displacement);
    }
    if (this.variant.addressing === "full") return this.f.let(sum);
    return this.f.let(sum.and(this.#addressMask()));
  }

  /** The record's address size in bytes as a mask: 2 → 0xffff, 4 → 0xffffffff, 8 → all ones. */
  #addressMask(): I64 {
    const bytes = this.recordField("i64.load8_u", RECORD.addressBytes);
    return this.f.let(i64(-1).shrU(i64(64).sub(bytes.shl(3))));
  }

  inSegment(offset: I64, length: number, write: boolean): I64 {
    if (this.variant.addressing === "checked") {
      return this.address(this.dataSegment(), this.f.let(offset.and(this.#addressMask())), length, write);
    }
    if (this.variant.addressing === "base") return offset;
    return this.f.let(offset.add(this.named(RECORD.segmentBase)));
  }

  dataSegment(): I32 {
    return this.recordField("i32.load8_u", RECORD.segment);
  }

  protected dataTlb(): I32 {
    return this.get("dataTlb");
  }
  protected noteLate(): void {
    this.late ??= this.f.local("i32");
    this.late.set(this.get("attention"));
  }

  // ---- control

  rip(): I64 {
    return this.#offsetInCode(this.recordField("i64.load16_u", RECORD.pageOffset));
  }
  nextRip(): I64 {
    const at = this.recordField("i64.load16_u", RECORD.pageOffset);
    return this.#offsetInCode(at.add(this.recordField("i64.load8_u", RECORD.length)));
  }
  #offsetInCode(pageOffset: I64): I64 {
    const linear = this.get("ripPage", "i64").add(pageOffset);
    if (this.in64) return this.f.let(linear);
    return this.f.let(this.runtimeFor("i64", "code_offset", linear));
  }

  jump(target: I64, undo?: () => void): void {
    let to = target;
    if (this.size === 16) to = target.and(0xffff);
    else if (this.size === 32) to = target.and(0xffff_ffff);
    const known = this.f.let(to);
    this.checkTarget(known, undo);
    this.flushStack();
    this.jumpChecked(known);
    this.ended = true;
  }
  /** To a target that may be jumped to, all else done. */
  protected jumpChecked(target: I64): void {
    if (this.in64) {
      if (this.variant.row.mnemonic === "RET") this.returnTo(target);
      this.jumpKnown(target, true);
    }
    this.f.returnCall(this.fn(this.in64 ? "enter" : "jump"), target, this.budget(1));
  }

  /**
   * Returns to copied code that waits for this call: it is the innermost one, and whatever was translated still is. What the guest makes of
   * its stack is its own affair: who returns elsewhere jumps there, and whoever waits is told when the run ends.
   */
  protected returnTo(target: I64): void {
    const { f } = this;
    const top = f.let(this.get("returnTop"));
    f.block((elsewhere) => {
      f.brIf(elsewhere, differs(f, this, target, top, RETURN_STACK));
      f.brIf(elsewhere, this.ready(1).eqz());
      this.set("returnTop", top.sub(RETURN_SIZE));
      this.set("ripPage", target.and(-4096));
      this.endCall(this.budget(1));
    });
  }
  /** Ends the function for who waits for a call: with the budget left, inverted. Exits are not below zero. */
  protected endCall(left: I32): void {
    this.f.return(left.xor(-1));
  }

  /** The frequent way of `enter` without a call: the page is in the code TLB, the byte has a record, nothing waits. */
  protected jumpKnown(target: I64, counts: boolean): void {
    const { f } = this;
    const entry = f.let(codeTlbOffset(target.wrap()).add(this.get("codeTlb")));
    const page = f.let(target.and(-4096));
    f.if(f.loadExpr("i64.load", entry, 0).eq(page).and(this.ready(1)), () => {
      const record = recordIn(f, f.loadExpr("i32.load", entry, 8) as I32, f.let(target.wrap()));
      f.if(record, () => {
        if (counts) this.warm(() => target);
        else this.flushStack();
        this.set("ripPage", page);
        this.dispatch(record);
      });
    });
  }

  /** Counts a jump; the one that brings the count to zero says where it goes, as a place worth compiling. */
  protected warm(target: () => I64): void {
    this.f.rarely(this.countDown().eqz(), () => {
      this.set("scratch0", target());
      this.f.call(this.fn("hot"), this.record());
    });
  }

  protected countDown(): I32 {
    const left = this.f.let(this.f.load("i32.load", this.record(), RECORD.heat).sub(1));
    this.f.store("i32.store", this.record(), left, RECORD.heat);
    return left;
  }

  #displacement(): I64 {
    return this.recordField("i64.load32_s", RECORD.immediate);
  }
  /** Counts a jump to the static target. */
  protected warmRelative(): void {
    this.warm(() => this.relativeTarget());
  }
  /** Linear address of the static target, in 64-bit mode or a flat segment. */
  protected relativeTarget(): I64 {
    const at = this.recordField("i64.load16_u", RECORD.pageOffset);
    const length = this.recordField("i64.load8_u", RECORD.length);
    return this.get("ripPage", "i64").add(at).add(length).add(this.#displacement());
  }
  /** Goes to the static target, by the record's link where there is one. */
  protected takeRelative(undo?: () => void): void {
    if (this.in64 ? this.size === 64 : this.size === 32) {
      const link = this.f.load("i32.load", this.record(), RECORD.link);
      this.f.if(link, () => {
        this.f.if(this.budget(0).gtS(0), () => {
          this.flushStack();
          this.dispatch(link);
        });
      });
    }
    // A target that cannot be reached faults here, not there; a linked one lies in the same page, and one in the code TLB was reached once.
    const flushes = undo !== undefined || this.sp !== undefined;
    if (flushes || this.in64) {
      let to = this.nextRip().add(this.#displacement());
      if (this.size === 16) to = to.and(0xffff);
      else if (this.size === 32) to = to.and(0xffff_ffff);
      const known = this.f.let(to);
      if (this.in64 && this.size === 64) {
        const elsewhere = known.xor(this.get("ripPage", "i64")).and(-4096).eqz().eqz();
        this.f.if(elsewhere, () => this.jumpKnown(known, false));
      }
      if (flushes) this.checkTarget(known, undo);
    }
    this.flushStack();
    const name = this.in64 ? "branch64" : this.size === 16 ? "branch16" : "branch32";
    this.f.returnCall(this.fn(name), this.record(), this.budget(1));
  }

  resume(): void {
    this.flushStack();
    const stop = this.get("pendingInterrupt").or(this.get("eflags").and(TRAP_FLAG));
    this.f.if(stop, () => this.exit(EXIT.leave, this.get("rip", "i64")));
    this.f.returnCall(this.fn("jump"), this.get("rip", "i64"), this.budget(1));
    this.ended = true;
  }
  leave(): void {
    this.flushStack();
    this.exit(EXIT.leave, this.nextRip());
    this.ended = true;
  }
  checkpoint(): void {
    this.f.if(this.get("attention"), () => {
      this.flushStack();
      this.exit(EXIT.leave, this.nextRip());
    });
  }

  // ---- ends

  protected fault(): void {
    this.f.returnCall(this.fn("fault"), this.record(), this.budget(0));
  }
  /** What `noteLate` found: the run loop is wanted behind this instruction. */
  protected leaveLate(): void {
    if (this.late) this.f.if(this.late.get(), () => this.exit(EXIT.leave, this.nextRip()));
  }
  /** Back to the run loop in front of this instruction, one pass of which is done, where the budget is used up or something waits. */
  protected stopIfDue(): void {
    this.f.if(this.ready(0).eqz(), () => this.exit(EXIT.budget, this.rip()));
  }
  protected flushStack(): void {
    if (this.sp) this.#env.set("rsp", this.sp.get());
  }
  protected exit(code: number, rip: I64): void {
    this.set("rip", rip);
    this.set("budget", this.budget(1));
    this.f.return(i32(code));
  }
}
