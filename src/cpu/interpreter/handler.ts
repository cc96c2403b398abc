/**
 * The interpreter's side of a meaning: writes one handler, a WebAssembly function (record, budget) → exit code that
 * executes one instruction and tail-calls the handler of the next record. `budget` counts instructions down; it is looked at
 * by every jump.
 */
import type { AnyInt, Bits } from "../../isa/context.ts";
import {
  type ExprOf,
  type FunctionBuilder,
  type I32,
  type I64,
  type IndirectType,
  i32,
  i64,
  type LOADS,
  type LoadName,
  type Local,
  select,
} from "../../wasm/index.ts";
import { LazyFlags } from "../flags.ts";
import { InstructionWriter, type Variant } from "../instruction-writer.ts";
import { STATE_BASE } from "../memory-map.ts";
import type { RuntimeEnv } from "../runtime/define.ts";
import { EXIT } from "../runtime/exits.ts";
import { codeTlbOffset } from "../runtime/tlb.ts";
import { offsetOf } from "../state.ts";
import { operandsOf } from "./operand.ts";
import { CODE_PAGE, RECORD, RECORD_SIZE } from "./record.ts";

/** What the module that holds the handlers provides. */
export interface HandlerEnv extends RuntimeEnv {
  readonly handlerType: IndirectType;
}

const RSP = 4;
const TRAP_FLAG = 0x100;

export class Handler extends InstructionWriter {
  readonly flags: LazyFlags;
  readonly #env: HandlerEnv;
  readonly #variant: Variant;
  #ended = false;
  /** 1: the second instruction of a pair, whose record follows the handler's own. */
  readonly #position: 0 | 1;
  /** Not 0 where this instruction's own store to a device left something for the run loop. */
  #late: Local<"i32"> | undefined;

  private constructor(f: FunctionBuilder, env: HandlerEnv, variant: Variant, stackLocal: boolean, before?: Handler) {
    super(f, env, variant);
    this.#env = env;
    this.#position = before ? 1 : 0;
    this.#variant = variant;
    this.flags =
      before?.flags ??
      new LazyFlags(f, {
        read: (name, type) => env.get(name, type),
        write: (name, value) => env.set(name, value),
      });
    if (stackLocal) this.sp = f.variable(env.get("rsp", "i64"));
  }

  /**
   * Writes the handler of a variant into a new function. Written twice where the meaning turns out to move the stack pointer: its new
   * value then waits in a local until the instruction can no longer fault.
   */
  static write(
    make: () => FunctionBuilder,
    env: (f: FunctionBuilder) => HandlerEnv,
    variant: Variant,
  ): FunctionBuilder {
    for (const stackLocal of [false, true]) {
      const f = make();
      const handler = new Handler(f, env(f), variant, stackLocal);
      handler.#write();
      if (stackLocal || !handler.usesStack) return f;
    }
    throw new Error("unreachable");
  }

  /** Writes one handler for two instructions in a row: `first` only computes and sets flags, `second` is a conditional branch. */
  static writePair(f: FunctionBuilder, env: HandlerEnv, first: Variant, second: Variant): void {
    const computes = new Handler(f, env, first, false);
    computes.flags.remember();
    computes.#writeBody();
    if (computes.usesStack || computes.#ended) throw new Error(`${first.row.mnemonic} cannot come first in a pair`);
    new Handler(f, env, second, false, computes).#write();
  }

  /** Writes the handler of an instruction whose flags nobody will see. */
  static writeFlagless(f: FunctionBuilder, env: HandlerEnv, variant: Variant): void {
    const isFlag = (name: string) => name.startsWith("flag");
    const set: HandlerEnv["set"] = (name, value) => (isFlag(name) ? undefined : env.set(name, value));
    new Handler(f, { ...env, set }, variant, false).#write();
  }

  #write(): void {
    this.#writeBody();
    if (!this.#ended) this.#next();
  }

  #writeBody(): void {
    const { row, addressing } = this.#variant;
    this.checks(row);
    row.meaning(this, ...operandsOf(row, this, addressing !== "none"));
  }

  // ---- record and state

  recordField<N extends LoadName>(name: N, at: number): ExprOf<(typeof LOADS)[N][1]> {
    return this.f.load(name, this.f.param(0, "i32").get(), at + this.#position * RECORD_SIZE) as ExprOf<
      (typeof LOADS)[N][1]
    >;
  }

  reg(number: number, bits: Bits): AnyInt {
    if (number === RSP && this.sp) return this.waitingSp(bits);
    const at = STATE_BASE + offsetOf("rax") + number * 8;
    const name = ({ 8: "i32.load8_u", 16: "i32.load16_u", 32: "i32.load", 64: "i64.load" } as const)[bits];
    return this.f.load(name, i32(0), at);
  }
  setReg(number: number, bits: Bits, value: AnyInt): void {
    if (number === RSP && this.sp) {
      this.setWaitingSp(bits, value);
      return;
    }
    const at = STATE_BASE + offsetOf("rax") + number * 8;
    if (bits === 8) this.f.store("i32.store8", i32(0), value, at);
    else if (bits === 16) this.f.store("i32.store16", i32(0), value, at);
    else this.f.store("i64.store", i32(0), bits === 64 ? value : value.extendU(), at);
  }

  // ---- memory

  effectiveAddress(absolute: boolean, indexed = true): I64 {
    if (absolute) return this.f.let(this.recordField("i64.load", RECORD.immediate));
    const register = this.recordField("i32.load16_u", RECORD.base);
    let base = this.f.load("i64.load", register, STATE_BASE);
    if (this.sp) base = select(register.eq(offsetOf("rsp")), this.f.let(this.sp.get() as I64), base);
    const displacement = this.recordField("i64.load32_s", RECORD.displacement);
    if (this.#variant.addressing === "base") return this.f.let(base.add(displacement));
    let sum = base.add(displacement);
    if (indexed) {
      const index = this.f.load("i64.load", this.recordField("i32.load16_u", RECORD.index), STATE_BASE);
      const scale = this.recordField("i64.load8_u", RECORD.scale);
      sum = base.add(index.shl(scale)).add(displacement);
    }
    if (this.#variant.addressing === "full") return this.f.let(sum);
    return this.f.let(sum.and(this.#addressMask()));
  }

  /** The record's address size in bytes as a mask: 2 → 0xffff, 4 → 0xffffffff, 8 → all ones. */
  #addressMask(): I64 {
    const bytes = this.recordField("i64.load8_u", RECORD.addressBytes);
    return this.f.let(i64(-1).shrU(i64(64).sub(bytes.shl(3))));
  }

  inSegment(offset: I64, length: number, write: boolean): I64 {
    if (this.#variant.addressing === "checked") {
      return this.address(this.dataSegment(), this.f.let(offset.and(this.#addressMask())), length, write);
    }
    if (this.#variant.addressing === "base") return offset;
    const base = this.f.load("i64.load", this.recordField("i32.load16_u", RECORD.segmentBase), STATE_BASE);
    return this.f.let(offset.add(base));
  }

  dataSegment(): I32 {
    return this.recordField("i32.load8_u", RECORD.segment);
  }

  protected dataTlb(): I32 {
    return this.get("dataTlb");
  }
  protected noteLate(): void {
    this.#late ??= this.f.local("i32");
    this.#late.set(this.get("attention"));
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
    this.#checkTarget(known, undo);
    this.#flushStack();
    if (this.in64) this.#jumpKnown(known);
    this.f.returnCall(this.fn(this.in64 ? "enter" : "jump"), known, this.#budget().sub(1));
    this.#end();
  }

  /** The frequent way of `enter` without a call: the page is in the code TLB, the byte has a record, nothing waits. */
  #jumpKnown(target: I64): void {
    const { f } = this;
    const entry = f.let(codeTlbOffset(target.wrap()).add(this.get("codeTlb")));
    const page = f.let(target.and(-4096));
    const ready = this.#budget().gtS(1).and(this.get("attention").eqz());
    f.if(f.loadExpr("i64.load", entry, 0).eq(page).and(ready), () => {
      const at = f.loadExpr("i32.load", entry, 8).add(target.wrap().and(4095).shl(2));
      const record = f.load("i32.load", at, CODE_PAGE.map);
      f.if(record, () => {
        this.#warm(() => target);
        this.set("ripPage", page);
        this.#dispatch(record);
      });
    });
  }

  /** Counts a jump; the one that brings the count to zero says where it goes, as a place worth compiling. */
  #warm(target: () => I64): void {
    const left = this.f.let(this.recordField("i32.load", RECORD.heat).sub(1));
    this.f.store("i32.store", this.#record(), left, RECORD.heat);
    this.f.if(left.eqz(), () => {
      this.set("scratch0", target());
      this.f.call(this.fn("hot"), this.#record());
    });
  }

  jumpRelative(condition?: I32, undo?: () => void): void {
    const displacement = () => this.recordField("i64.load32_s", RECORD.immediate);
    const take = () => {
      this.#warm(() => {
        const at = this.recordField("i64.load16_u", RECORD.pageOffset);
        const length = this.recordField("i64.load8_u", RECORD.length);
        return this.get("ripPage", "i64").add(at).add(length).add(displacement());
      });
      if (this.in64 ? this.size === 64 : this.size === 32) {
        const link = this.recordField("i32.load", RECORD.link);
        this.f.if(link.nez().and(this.#budget().gtS(0)), () => {
          this.#flushStack();
          this.#dispatch(link);
        });
      }
      // A target that cannot be reached faults here, not there; a linked one lies in the same page.
      if (undo || this.sp) {
        let to = this.nextRip().add(displacement());
        if (this.size === 16) to = to.and(0xffff);
        else if (this.size === 32) to = to.and(0xffff_ffff);
        this.#checkTarget(this.f.let(to), undo);
      }
      this.#flushStack();
      this.f.returnCall(
        this.fn(this.in64 ? "branch64" : this.size === 16 ? "branch16" : "branch32"),
        this.#record(),
        this.#budget().sub(1),
      );
    };
    if (condition) this.f.if(condition, take);
    else take();
    if (condition) this.#next();
    this.#end();
  }

  #checkTarget(target: I64, undo?: () => void): void {
    this.f.if(this.badTarget(target), () => {
      undo?.();
      this.fault();
    });
  }

  againIf(condition: I32): void {
    this.#flushStack();
    this.f.if(condition, () => {
      const stop = this.#budget().leS(0).or(this.get("attention").nez());
      this.f.if(stop, () => this.#exit(EXIT.budget, this.rip()));
      // An instruction across two pages is looked up again: this pass may have changed either part of it.
      const at = this.recordField("i64.load16_u", RECORD.pageOffset);
      this.f.if(at.add(this.recordField("i64.load8_u", RECORD.length)).gtU(4096), () => {
        this.f.returnCall(this.fn("enter"), this.get("ripPage", "i64").add(at), this.#budget().sub(1));
      });
      this.#dispatch(this.#record());
    });
    this.#next();
    this.#end();
  }
  resume(): void {
    this.#flushStack();
    const stop = this.get("pendingInterrupt").or(this.get("eflags").and(TRAP_FLAG));
    this.f.if(stop, () => this.#exit(EXIT.leave, this.get("rip", "i64")));
    this.f.returnCall(this.fn("jump"), this.get("rip", "i64"), this.#budget().sub(1));
    this.#end();
  }
  leave(): void {
    this.#flushStack();
    this.#exit(EXIT.leave, this.nextRip());
    this.#end();
  }
  checkpoint(): void {
    this.f.if(this.get("attention"), () => {
      this.#flushStack();
      this.#exit(EXIT.leave, this.nextRip());
    });
  }

  // ---- ends

  protected fault(): void {
    this.f.returnCall(this.fn("fault"), this.#record(), this.#budget());
  }
  #record(): I32 {
    return this.f
      .param(0, "i32")
      .get()
      .add(this.#position * RECORD_SIZE);
  }
  #budget(): I32 {
    return this.f.param(1, "i32").get().sub(this.#position);
  }
  #dispatch(record: I32): void {
    const slot = this.f.loadExpr("i32.load16_u", record, RECORD.handler);
    this.f.returnCallIndirect(this.#env.handlerType, slot, record, this.#budget().sub(1));
  }
  #next(): void {
    this.#flushStack();
    if (this.#late) this.f.if(this.#late.get(), () => this.#exit(EXIT.leave, this.nextRip()));
    const record = this.f.param(0, "i32").get();
    const further = (this.#position + 1) * RECORD_SIZE;
    const slot = this.f.loadExpr("i32.load16_u", record, further + RECORD.handler);
    const budget = this.f
      .param(1, "i32")
      .get()
      .sub(this.#position + 1);
    this.f.returnCallIndirect(this.#env.handlerType, slot, record.add(further), budget);
  }
  #flushStack(): void {
    if (this.sp) this.#env.set("rsp", this.sp.get());
  }
  #exit(code: number, rip: I64): void {
    this.set("rip", rip);
    this.set("budget", this.#budget().sub(1));
    this.f.return(i32(code));
  }
  #end(): void {
    this.#ended = true;
  }
}
