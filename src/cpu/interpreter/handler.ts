/**
 * The interpreter's side of a meaning: writes one handler, a WebAssembly function (record, budget) → exit code that
 * executes one instruction and tail-calls the handler of the next record. `budget` counts instructions down; it is looked at
 * by every jump.
 */
import type { AnyInt, Bits, Context } from "../../isa/context.ts";
import type { Row } from "../../isa/row.ts";
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
  type ValType,
  type Vec,
} from "../../wasm/index.ts";
import { LazyFlags } from "../flags.ts";
import { STATE_BASE } from "../memory-map.ts";
import type { RuntimeEnv } from "../runtime/define.ts";
import { EXIT } from "../runtime/exits.ts";
import { codeTlbOffset, dataTlbOffset } from "../runtime/tlb.ts";
import { offsetOf } from "../state.ts";
import { operandsOf } from "./operand.ts";
import { CODE_PAGE, RECORD, RECORD_SIZE } from "./record.ts";

/**
 * How a memory operand's address is formed: "base" is base + displacement, "full" adds index and a flat segment base
 * (both 64-bit mode with 64-bit addresses); "checked" is every other case: any address size, segment limits and types.
 */
export type Addressing = "none" | "base" | "full" | "checked";

/** One handler: a row, and all that its code is specialised for. */
export interface Variant {
  readonly row: Row;
  readonly size: 16 | 32 | 64;
  readonly addressSize: 16 | 32 | 64;
  /** Undefined where the row does not depend on it. */
  readonly mode64: boolean | undefined;
  readonly rep: "none" | "rep" | "repne";
  readonly addressing: Addressing;
}

/** What the module that holds the handlers provides. */
export interface HandlerEnv extends RuntimeEnv {
  readonly handlerType: IndirectType;
}

const MM_VECTOR = 16;
const NM_VECTOR = 7;
const UD_VECTOR = 6;
const GP_VECTOR = 13;
const RSP = 4;
const TRAP_FLAG = 0x100;

export class Handler implements Context {
  readonly f: FunctionBuilder;
  readonly size: 16 | 32 | 64;
  readonly addressSize: 16 | 32 | 64;
  readonly rep: "none" | "rep" | "repne";
  readonly flags: LazyFlags;
  readonly #env: HandlerEnv;
  readonly #variant: Variant;
  readonly #in64: boolean;
  readonly #stackLocal: boolean;
  #usesStack = false;
  #ended = false;
  /** 1: the second instruction of a pair, whose record follows the handler's own. */
  readonly #position: 0 | 1;
  /** Not 0 where this instruction's own store to a device left something for the run loop. */
  #late: Local<"i32"> | undefined;
  #sp: Local<"i64"> | undefined;

  private constructor(f: FunctionBuilder, env: HandlerEnv, variant: Variant, stackLocal: boolean, before?: Handler) {
    this.f = f;
    this.#env = env;
    this.#position = before ? 1 : 0;
    this.#variant = variant;
    this.size = variant.size;
    this.addressSize = variant.addressSize;
    this.rep = variant.rep;
    this.#in64 = variant.mode64 ?? (variant.addressing === "base" || variant.addressing === "full");
    this.#stackLocal = stackLocal;
    this.flags =
      before?.flags ??
      new LazyFlags(f, {
        read: (name, type) => env.get(name, type),
        write: (name, value) => env.set(name, value),
      });
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
      if (stackLocal || !handler.#usesStack) return f;
    }
    throw new Error("unreachable");
  }

  /** Writes one handler for two instructions in a row: `first` only computes and sets flags, `second` is a conditional branch. */
  static writePair(f: FunctionBuilder, env: HandlerEnv, first: Variant, second: Variant): void {
    const computes = new Handler(f, env, first, false);
    computes.flags.remember();
    computes.#writeBody();
    if (computes.#usesStack || computes.#ended) throw new Error(`${first.row.mnemonic} cannot come first in a pair`);
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
    if (this.#stackLocal) this.#sp = this.f.variable(this.#env.get("rsp", "i64"));
    this.#checks(row);
    row.meaning(this, ...operandsOf(row, this, addressing !== "none"));
  }

  #checks(row: Row): void {
    const { attributes } = row;
    if (attributes.has("cpl0")) this.raiseIf(this.get("cpl"), GP_VECTOR, 0);
    if (attributes.has("sse")) {
      this.f.if(this.get("sseTrap"), () => {
        const ud = this.get("cr0", "i64").wrap().and(4).nez().or(this.get("cr4", "i64").wrap().and(0x200).eqz());
        this.raiseIf(ud, UD_VECTOR);
        this.raise(NM_VECTOR);
      });
    }
    if (attributes.has("mmx")) {
      // MMX with CR0.EM set is #UD, with TS #NM (SDM vol. 3A, table 13-1).
      this.f.if(this.get("x87Trap"), () => {
        this.raiseIf(this.get("cr0", "i64").wrap().and(4), UD_VECTOR);
        this.raise(NM_VECTOR);
      });
    }
    if (attributes.has("fpu")) this.raiseIf(this.get("x87Trap"), NM_VECTOR);
    if ((attributes.has("fpu") && !attributes.has("nowait")) || attributes.has("mmx")) {
      this.raiseIf(this.get("fsw").and(0x80), MM_VECTOR);
    }
  }

  /** Whether memory operands take their address when first used: rows that move the stack pointer. */
  get addressesLate(): boolean {
    return this.#stackLocal;
  }

  get mode64(): boolean {
    return this.#in64;
  }

  // ---- record and state

  recordField<N extends LoadName>(name: N, at: number): ExprOf<(typeof LOADS)[N][1]> {
    return this.f.load(name, this.f.param(0, "i32").get(), at + this.#position * RECORD_SIZE) as ExprOf<
      (typeof LOADS)[N][1]
    >;
  }

  get<T extends ValType = "i32">(field: string, type?: T): ExprOf<T> {
    return this.#env.get(field, type);
  }
  set(field: string, value: ExprOf<ValType>): void {
    this.#env.set(field, value);
  }

  reg(number: number, bits: Bits): AnyInt {
    if (number === RSP && this.#sp) {
      const sp = this.f.let(this.#sp.get() as I64);
      return bits === 64 ? sp : bits === 32 ? sp.wrap() : this.f.let(sp.wrap().and(bits === 16 ? 0xffff : 0xff));
    }
    const at = STATE_BASE + offsetOf("rax") + number * 8;
    const name = ({ 8: "i32.load8_u", 16: "i32.load16_u", 32: "i32.load", 64: "i64.load" } as const)[bits];
    return this.f.load(name, i32(0), at);
  }
  setReg(number: number, bits: Bits, value: AnyInt): void {
    if (number === RSP && this.#sp) {
      const old = this.#sp.get() as I64;
      const mask = bits === 16 ? 0xffff : 0xff;
      if (bits === 64) this.#sp.set(value);
      else if (bits === 32) this.#sp.set(value.extendU());
      else this.#sp.set(old.and(~mask).or(value.and(mask).extendU()));
      return;
    }
    const at = STATE_BASE + offsetOf("rax") + number * 8;
    if (bits === 8) this.f.store("i32.store8", i32(0), value, at);
    else if (bits === 16) this.f.store("i32.store16", i32(0), value, at);
    else this.f.store("i64.store", i32(0), bits === 64 ? value : value.extendU(), at);
  }

  // ---- memory

  /** Offset part of the memory operand (base + index * scale + displacement), at the address size. */
  effectiveAddress(absolute: boolean): I64 {
    if (absolute) return this.f.let(this.recordField("i64.load", RECORD.immediate));
    const register = this.recordField("i32.load16_u", RECORD.base);
    let base = this.f.load("i64.load", register, STATE_BASE);
    if (this.#sp) base = select(register.eq(offsetOf("rsp")), this.f.let(this.#sp.get() as I64), base);
    const displacement = this.recordField("i64.load32_s", RECORD.displacement);
    if (this.#variant.addressing === "base") return this.f.let(base.add(displacement));
    const index = this.f.load("i64.load", this.recordField("i32.load16_u", RECORD.index), STATE_BASE);
    const scale = this.recordField("i64.load8_u", RECORD.scale);
    const sum = base.add(index.shl(scale)).add(displacement);
    if (this.#variant.addressing === "full") return this.f.let(sum);
    return this.f.let(sum.and(this.#addressMask()));
  }

  /** The record's address size in bytes as a mask: 2 → 0xffff, 4 → 0xffffffff, 8 → all ones. */
  #addressMask(): I64 {
    const bytes = this.recordField("i64.load8_u", RECORD.addressBytes);
    return this.f.let(i64(-1).shrU(i64(64).sub(bytes.shl(3))));
  }

  /** Linear address of an offset in the segment that applies to this instruction's memory operand. */
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

  address(segment: I32 | number, offset: I64, bytes: number, write: boolean): I64 {
    if (this.#in64 && typeof segment === "number") {
      if (segment < 4) return offset;
      return this.f.let(offset.add(this.get(segment === 4 ? "fs.base" : "gs.base", "i64")));
    }
    const number = typeof segment === "number" ? i32(segment) : segment;
    const linear = this.#callFor("i64", "segment_address", number, offset, i32(bytes), i32(write ? 1 : 0));
    this.#faultIf(this.get("faultVector").geS(0));
    return linear;
  }

  load(bits: Bits, linear: I64, toWrite = false): AnyInt {
    return this.loadHost(bits, this.hostFor(toWrite ? "slow_rmw" : "slow_read", linear, bits / 8));
  }
  store(bits: Bits, linear: I64, value: AnyInt): void {
    this.storeHost(bits, this.hostFor("slow_write", linear, bits / 8), value);
  }
  loadVec(linear: I64): Vec {
    return this.f.load("v128.load", this.hostFor("slow_read", linear, 16));
  }
  storeVec(linear: I64, value: Vec): void {
    const host = this.hostFor("slow_write", linear, 16);
    this.f.store("v128.store", host, value);
    this.#commit(host);
  }
  probeWrite(linear: I64, bytes: number): void {
    this.runtimeMayFault("probe_write", linear, i32(bytes));
  }

  loadHost(bits: Bits, host: I32): AnyInt {
    const name = ({ 8: "i32.load8_u", 16: "i32.load16_u", 32: "i32.load", 64: "i64.load" } as const)[bits];
    return this.f.load(name, host);
  }
  storeHost(bits: Bits, host: I32, value: AnyInt): void {
    this.f.store(
      ({ 8: "i32.store8", 16: "i32.store16", 32: "i32.store", 64: "i64.store" } as const)[bits],
      host,
      value,
    );
    this.#commit(host);
  }

  /**
   * Host address of `length` bytes at a linear address. One compare covers tag, permission and page crossing; what
   * misses goes through a runtime function, which may answer with the bounce buffer. `stack`: an access that PUSH, POP and
   * the like make by themselves.
   */
  hostFor(access: "slow_read" | "slow_write" | "slow_rmw", linear: I64, length: number, stack = false): I32 {
    const f = this.f;
    const low = f.let(linear.wrap());
    const entry = f.let(dataTlbOffset(low).add(this.get("dataTlb")));
    const last = length > 1 ? linear.add(length - 1) : linear;
    const tag = f.loadExpr("i64.load", entry, access === "slow_read" ? 0 : 8);
    return f.choose(
      last.and(-4096).eq(tag),
      () => low.add(f.loadExpr("i32.load", entry, 16)),
      () => {
        const host = this.#callFor("i32", access, linear, i32(length));
        if (stack) f.if(host.eqz(), () => f.call(this.#env.fn("stack_fault")));
        this.#faultIf(host.eqz());
        return host;
      },
    );
  }

  /** After a store: what went to the bounce buffer is carried out. */
  #commit(host: I32): void {
    this.#late ??= this.f.local("i32");
    const late = this.#late;
    this.f.if(host.eq(this.#env.address("bounce")), () => {
      this.f.call(this.#env.fn("commit_write"));
      late.set(this.get("attention"));
    });
  }

  // ---- stack

  push(bits: 16 | 32 | 64, value: AnyInt): void {
    const length = bits / 8;
    const sp = this.#stackPointer();
    if (this.#in64) {
      const top = this.f.let(sp.sub(length));
      this.storeHost(bits, this.hostFor("slow_write", top, length, true), value);
      this.#setStackPointer(top);
      return;
    }
    const mask = this.get("stackMask", "i64");
    const top = this.f.let(sp.sub(length).and(mask));
    this.store(bits, this.address(2, top, length, true), value);
    this.#setStackPointer(this.f.let(sp.and(mask.not()).or(top)));
  }
  pop(bits: 16 | 32 | 64): AnyInt {
    const length = bits / 8;
    const sp = this.#stackPointer();
    if (this.#in64) {
      const value = this.loadHost(bits, this.hostFor("slow_read", sp, length, true));
      this.#setStackPointer(this.f.let(sp.add(length)));
      return value;
    }
    const mask = this.get("stackMask", "i64");
    const value = this.load(bits, this.address(2, this.f.let(sp.and(mask)), length, false));
    this.#setStackPointer(this.f.let(sp.and(mask.not()).or(sp.add(length).and(mask))));
    return value;
  }
  #stackPointer(): I64 {
    this.#usesStack = true;
    return this.f.let(this.reg(RSP, 64) as I64);
  }
  #setStackPointer(value: I64): void {
    if (this.#sp) this.#sp.set(value);
  }
  #flushStack(): void {
    if (this.#sp) this.#env.set("rsp", this.#sp.get());
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
    if (this.#in64) return this.f.let(linear);
    return this.f.let(this.#callFor("i64", "code_offset", linear));
  }

  jump(target: I64, undo?: () => void): void {
    let to = target;
    if (this.size === 16) to = target.and(0xffff);
    else if (this.size === 32) to = target.and(0xffff_ffff);
    const known = this.f.let(to);
    this.#checkTarget(known, undo);
    this.#flushStack();
    if (this.#in64) this.#jumpKnown(known);
    this.f.returnCall(this.#env.fn(this.#in64 ? "enter" : "jump"), known, this.#budget().sub(1));
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
        this.set("ripPage", page);
        this.#dispatch(record);
      });
    });
  }

  jumpRelative(condition?: I32, undo?: () => void): void {
    const take = () => {
      if (this.#in64 ? this.size === 64 : this.size === 32) {
        const link = this.recordField("i32.load", RECORD.link);
        this.f.if(link.nez().and(this.#budget().gtS(0)), () => {
          this.#flushStack();
          this.#dispatch(link);
        });
      }
      // A target that cannot be reached faults here, not there; a linked one lies in the same page.
      if (undo || this.#sp) {
        let to = this.nextRip().add(this.recordField("i64.load", RECORD.immediate));
        if (this.size === 16) to = to.and(0xffff);
        else if (this.size === 32) to = to.and(0xffff_ffff);
        this.#checkTarget(this.f.let(to), undo);
      }
      this.#flushStack();
      this.f.returnCall(
        this.#env.fn(this.#in64 ? "branch64" : this.size === 16 ? "branch16" : "branch32"),
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
    // With four-level paging's 48 bits nearly every target passes without the call.
    const bad = this.#in64
      ? this.f.choose(
          target.shl(16).shrS(16).eq(target),
          () => i32(0),
          () => this.#callFor("i32", "check_target", target),
        )
      : this.#callFor("i32", "check_target", target);
    this.f.if(bad, () => {
      undo?.();
      this.f.returnCall(this.#env.fn("fault"), this.#record(), this.#budget());
    });
  }

  again(): void {
    this.againIf(i32(1));
  }
  againIf(condition: I32): void {
    this.#flushStack();
    this.f.if(condition, () => {
      const stop = this.#budget().leS(0).or(this.get("attention").nez());
      this.f.if(stop, () => this.#exit(EXIT.budget, this.rip()));
      // An instruction across two pages is looked up again: this pass may have changed either part of it.
      const at = this.recordField("i64.load16_u", RECORD.pageOffset);
      this.f.if(at.add(this.recordField("i64.load8_u", RECORD.length)).gtU(4096), () => {
        this.f.returnCall(this.#env.fn("enter"), this.get("ripPage", "i64").add(at), this.#budget().sub(1));
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
    this.f.returnCall(this.#env.fn("jump"), this.get("rip", "i64"), this.#budget().sub(1));
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

  raise(vector: number, errorCode: I32 | number = -1): void {
    this.set("faultVector", i32(vector));
    this.set("faultError", typeof errorCode === "number" ? i32(errorCode) : errorCode);
    this.f.returnCall(this.#env.fn("fault"), this.#record(), this.#budget());
  }
  raiseIf(condition: I32, vector: number, errorCode?: I32 | number): void {
    this.f.if(condition, () => this.raise(vector, errorCode));
  }

  runtime(name: string, ...operands: ExprOf<ValType>[]): void {
    this.f.call(this.#env.fn(name), ...operands);
  }
  runtimeFor<T extends ValType>(type: T, name: string, ...operands: ExprOf<ValType>[]): ExprOf<T> {
    return this.#callFor(type, name, ...operands);
  }
  runtimeMayFault(name: string, ...operands: ExprOf<ValType>[]): void {
    this.#faultIf(this.#callFor("i32", name, ...operands));
  }

  // ---- ends

  #record(): I32 {
    return this.f
      .param(0, "i32")
      .get()
      .add(this.#position * RECORD_SIZE);
  }
  #budget(): I32 {
    return this.f.param(1, "i32").get().sub(this.#position);
  }
  #callFor<T extends ValType>(type: T, name: string, ...operands: ExprOf<ValType>[]): ExprOf<T> {
    return this.f.callFor(type, this.#env.fn(name), ...operands);
  }
  #faultIf(condition: I32): void {
    this.f.if(condition, () => this.f.returnCall(this.#env.fn("fault"), this.#record(), this.#budget()));
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
  #exit(code: number, rip: I64): void {
    this.set("rip", rip);
    this.set("budget", this.#budget().sub(1));
    this.f.return(i32(code));
  }
  #end(): void {
    this.#ended = true;
  }
}
