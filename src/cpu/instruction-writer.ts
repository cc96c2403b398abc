/**
 * What every engine does alike with a meaning: feature checks, memory accesses through the TLB, the stack, exceptions, calls of
 * runtime functions. Where operands come from, where registers live and how an instruction ends is the engine's
 * (interpreter/handler.ts: from a record in memory; jit/region-writer.ts: known while code is written, registers in locals).
 */
import type { AnyInt, Bits, Context, Flags } from "../isa/context.ts";
import type { Row } from "../isa/row.ts";
import {
  type Callable,
  type ExprOf,
  type FunctionBuilder,
  type I32,
  type I64,
  i32,
  type Local,
  type ValType,
  type Vec,
} from "../wasm/index.ts";
import type { RuntimeEnv } from "./runtime/define.ts";
import { dataTlbOffset } from "./runtime/tlb.ts";

/**
 * How a memory operand's address is formed: "base" is base + displacement, "full" adds index and a flat segment base
 * (both 64-bit mode with 64-bit addresses); "checked" is every other case: any address size, segment limits and types.
 */
export type Addressing = "none" | "base" | "full" | "checked";

/** One way to execute a row: the row, and all that its code is specialised for. */
export interface Variant {
  readonly row: Row;
  readonly size: 16 | 32 | 64;
  readonly addressSize: 16 | 32 | 64;
  /** Undefined where the row does not depend on it. */
  readonly mode64: boolean | undefined;
  readonly rep: "none" | "rep" | "repne";
  readonly addressing: Addressing;
}

/** The runtime function for what misses the TLB. */
export type Access = "slow_read" | "slow_write" | "slow_rmw";

const MM_VECTOR = 16;
const NM_VECTOR = 7;
const UD_VECTOR = 6;
const GP_VECTOR = 13;
/** CR4.OSXSAVE, and the state components in XCR0 that AVX needs. */
const OSXSAVE = 1 << 18;
const AVX_STATE = 6;
const RSP = 4;

export const LOAD = { 8: "i32.load8_u", 16: "i32.load16_u", 32: "i32.load", 64: "i64.load" } as const;
export const STORE = { 8: "i32.store8", 16: "i32.store16", 32: "i32.store", 64: "i64.store" } as const;

export abstract class InstructionWriter implements Context {
  readonly f: FunctionBuilder;
  readonly size: 16 | 32 | 64;
  readonly addressSize: 16 | 32 | 64;
  readonly rep: "none" | "rep" | "repne";
  abstract readonly flags: Flags;
  /** In 64-bit mode, where the meaning does not ask. */
  readonly in64: boolean;
  /** The stack pointer of an instruction that moves it: its new value waits here until the instruction can no longer fault. */
  protected sp: Local<"i64"> | undefined;
  #usesStack = false;
  readonly #env: RuntimeEnv;

  protected constructor(f: FunctionBuilder, env: RuntimeEnv, variant: Omit<Variant, "row">) {
    this.f = f;
    this.#env = env;
    this.size = variant.size;
    this.addressSize = variant.addressSize;
    this.rep = variant.rep;
    this.in64 = variant.mode64 ?? (variant.addressing === "base" || variant.addressing === "full");
  }

  // ---- the engine's part

  abstract reg(number: number, bits: Bits): AnyInt;
  abstract setReg(number: number, bits: Bits, value: AnyInt): void;
  abstract dataSegment(): I32;
  abstract rip(): I64;
  abstract nextRip(): I64;
  abstract jump(target: I64, undo?: () => void): void;
  abstract jumpRelative(condition?: I32, undo?: () => void): void;
  abstract againIf(condition: I32): void;
  abstract leave(): void;
  abstract resume(): void;
  abstract checkpoint(): void;
  /** Offset part of the memory operand (base + index * scale + displacement), at the address size; without the index where it is a vector. */
  abstract effectiveAddress(absolute: boolean, indexed?: boolean): I64;
  /** Linear address of an offset in the segment that applies to this instruction's memory operand. */
  abstract inSegment(offset: I64, length: number, write: boolean): I64;
  /** Ends the instruction with the pending exception. */
  protected abstract fault(): void;
  /** Address of the data TLB set in use. */
  protected abstract dataTlb(): I32;
  /** A store went to a device or to code: where something now waits for the run loop, the instruction is to end there. */
  protected abstract noteLate(): void;

  // ---- state

  get mode64(): boolean {
    return this.in64;
  }
  /** Whether memory operands take their address when first used: rows that move the stack pointer. */
  get addressesLate(): boolean {
    return this.sp !== undefined;
  }
  /** Whether the meaning moved the stack pointer by push or pop. */
  protected get usesStack(): boolean {
    return this.#usesStack;
  }
  get<T extends ValType = "i32">(field: string, type?: T): ExprOf<T> {
    return this.#env.get(field, type);
  }
  set(field: string, value: ExprOf<ValType>): void {
    this.#env.set(field, value);
  }
  protected fn(name: string): Callable {
    return this.#env.fn(name);
  }

  /** What the row's attributes ask for before anything else. */
  protected checks(row: Row): void {
    const { attributes } = row;
    if (attributes.has("cpl0")) this.raiseIf(this.get("cpl"), GP_VECTOR, 0);
    if (attributes.has("sse") && row.vex) {
      // CR0.EM has no part in it (SDM vol. 2, 2.4).
      this.f.if(this.get("avxTrap"), () => {
        const system = this.get("cr4", "i64").wrap().and(OSXSAVE).eqz();
        this.raiseIf(system.or(this.get("xcr0", "i64").wrap().and(AVX_STATE).ne(AVX_STATE)), UD_VECTOR);
        this.raise(NM_VECTOR);
      });
    } else if (attributes.has("sse")) {
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

  // ---- memory

  address(segment: I32 | number, offset: I64, bytes: number, write: boolean): I64 {
    if (this.in64 && typeof segment === "number") {
      if (segment < 4) return offset;
      return this.f.let(offset.add(this.get(segment === 4 ? "fs.base" : "gs.base", "i64")));
    }
    const number = typeof segment === "number" ? i32(segment) : segment;
    const linear = this.runtimeFor("i64", "segment_address", number, offset, i32(bytes), i32(write ? 1 : 0));
    this.faultIf(this.get("faultVector").geS(0));
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
  storeVec(linear: I64, value: Vec, upper?: Vec): void {
    const host = this.hostFor("slow_write", linear, upper ? 32 : 16);
    this.f.store("v128.store", host, value);
    if (upper) this.f.store("v128.store", host, upper, 16);
    this.commitStore(host);
  }
  probeWrite(linear: I64, bytes: number): void {
    this.runtimeMayFault("probe_write", linear, i32(bytes));
  }
  loadHost(bits: Bits, host: I32): AnyInt {
    return this.f.load(LOAD[bits], host);
  }
  storeHost(bits: Bits, host: I32, value: AnyInt): void {
    this.f.store(STORE[bits], host, value);
    this.commitStore(host);
  }

  /**
   * Host address of `length` bytes at a linear address. One compare covers tag, permission and page crossing; what
   * misses goes through a runtime function, which may answer with the bounce buffer. `stack`: an access that PUSH, POP and
   * the like make by themselves.
   */
  hostFor(access: Access, linear: I64, length: number, stack = false): I32 {
    const f = this.f;
    const { observer } = this.#env;
    observer?.access(f);
    const { differs, host } = this.lookUp(access, linear, length);
    return f.choose(
      differs.eqz(),
      () => host,
      () => {
        observer?.miss(f);
        const host = this.runtimeFor("i32", access, linear, i32(length));
        if (stack) f.if(host.eqz(), () => f.call(this.fn("stack_fault")));
        this.faultIf(host.eqz());
        return host;
      },
      true,
    );
  }

  /** The data TLB's entry for an access: whether it is for something else, and the host address if it is not. */
  protected lookUp(access: Access, linear: I64, length: number) {
    const { f } = this;
    const low = f.let(linear.wrap());
    const entry = f.let(dataTlbOffset(low).add(this.dataTlb()));
    const last = length > 1 ? linear.add(length - 1) : linear;
    const tag = f.loadExpr("i64.load", entry, access === "slow_read" ? 0 : 8);
    return { differs: last.and(-4096).ne(tag), host: low.add(f.loadExpr("i32.load", entry, 16)) };
  }

  /** After a store: what went to the bounce buffer is carried out. */
  protected commitStore(host: I32): void {
    this.f.rarely(host.eq(this.#env.address("bounce")), () => {
      this.f.call(this.fn("commit_write"));
      this.noteLate();
    });
  }

  // ---- stack

  push(bits: 16 | 32 | 64, value: AnyInt): void {
    const length = bits / 8;
    const sp = this.#stackPointer();
    if (this.in64) {
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
    if (this.in64) {
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
    if (this.sp) this.sp.set(value);
  }

  /** The stack pointer while it waits, at a width. */
  protected waitingSp(bits: Bits): AnyInt {
    const sp = this.f.let(this.sp!.get() as I64);
    return bits === 64 ? sp : bits === 32 ? sp.wrap() : this.f.let(sp.wrap().and(bits === 16 ? 0xffff : 0xff));
  }
  protected setWaitingSp(bits: Bits, value: AnyInt): void {
    const mask = bits === 16 ? 0xffff : 0xff;
    if (bits === 64) this.sp!.set(value);
    else if (bits === 32) this.sp!.set(value.extendU());
    else this.sp!.set((this.sp!.get() as I64).and(~mask).or(value.and(mask).extendU()));
  }

  // ---- exceptions and runtime functions

  again(): void {
    this.againIf(i32(1));
  }
  raise(vector: number, errorCode: I32 | number = -1): void {
    this.set("faultVector", i32(vector));
    this.set("faultError", typeof errorCode === "number" ? i32(errorCode) : errorCode);
    this.fault();
  }
  raiseIf(condition: I32, vector: number, errorCode?: I32 | number): void {
    this.f.rarely(condition, () => this.raise(vector, errorCode));
  }
  protected faultIf(condition: I32): void {
    this.f.rarely(condition, () => this.fault());
  }

  runtime(name: string, ...operands: ExprOf<ValType>[]): void {
    this.f.call(this.fn(name), ...operands);
  }
  runtimeFor<T extends ValType>(type: T, name: string, ...operands: ExprOf<ValType>[]): ExprOf<T> {
    return this.f.callFor(type, this.fn(name), ...operands);
  }
  runtimeMayFault(name: string, ...operands: ExprOf<ValType>[]): void {
    this.faultIf(this.runtimeFor("i32", name, ...operands));
  }

  /** Ends the instruction, what it did so far undone, where a near jump to `target` faults. With 48 bits nearly every target passes without the call. */
  protected checkTarget(target: I64, undo?: () => void): void {
    const check = () =>
      this.f.if(this.runtimeFor("i32", "check_target", target), () => {
        undo?.();
        this.fault();
      });
    if (this.in64) this.f.rarely(target.shl(16).shrS(16).ne(target), check);
    else check();
  }
}
