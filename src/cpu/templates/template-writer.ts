/**
 * Writes the template of an instruction: its code as a handler's, with holes where the handler would read the record, and without the
 * dispatch at its end. Copied for one record after the other, and the holes filled, templates become compiled code without a look at what
 * the instructions mean (Xu and Kjolstad, "Copy-and-Patch Compilation", OOPSLA 2021).
 */
import type { AnyInt, Bits, Half } from "../../isa/context.ts";
import {
  type ByteWriter,
  type Callable,
  type Expr,
  type ExprOf,
  type FunctionBuilder,
  type I32,
  type I64,
  i32,
  i64,
  type LOADS,
  type LoadName,
  typed,
  type ValType,
  type Vec,
} from "../../wasm/index.ts";
import type { Access, Variant } from "../instruction-writer.ts";
import type { Register } from "../interpreter/operand.ts";
import { RECORD, RECORD_SIZE } from "../interpreter/record.ts";
import { RecordWriter } from "../interpreter/record-writer.ts";
import type { RuntimeEffects } from "../jit/effects.ts";
import { MAX_ENTRIES } from "../jit/region-code.ts";
import { ARENA_BASE, REGION_ENTRIES, STATE_BASE } from "../memory-map.ts";
import type { CodeObserver, RuntimeEnv } from "../runtime/define.ts";
import { remembered } from "../runtime/jump-cache.ts";
import { offsetOf } from "../state.ts";
import { CLASS, cachedField, classOf, fieldAt, HOSTS, mayWait, WAITING } from "./cached-fields.ts";
import { type FirstAccess, HOLE, type HoleKind, type Part, type Template } from "./template.ts";
import { Cache, TemplateFunction } from "./template-function.ts";

/** Runtime functions; their indices are numbers in the template set. */
export interface TemplateModule {
  fn(name: string): Callable;
  readonly effects: RuntimeEffects;
  readonly observer?: CodeObserver | undefined;
}

const CONSTANT = { i32: 0x41, i64: 0x42 } as const;
const FIELD_HOLES: Partial<Record<LoadName, readonly [HoleKind, "i32" | "i64"]>> = {
  "i32.load8_u": [HOLE.u8, "i32"],
  "i32.load16_u": [HOLE.u16, "i32"],
  "i32.load": [HOLE.s32, "i32"],
  "i64.load8_u": [HOLE.u8, "i64"],
  "i64.load16_u": [HOLE.u16, "i64"],
  "i64.load32_s": [HOLE.s32, "i64"],
  "i64.load": [HOLE.s64, "i64"],
};

/** What one template is made of: an instruction, or two that run as one; without flags: nobody sees those that it sets. */
export interface TemplateSource {
  readonly first: Variant;
  readonly second?: Variant | undefined;
  readonly flagless?: boolean;
  /** A call that waits for its return: of a function elsewhere. */
  readonly waits?: boolean;
  /** Its first access is likely to be on the page of an earlier one. */
  readonly near?: boolean;
}

export function writeTemplate(module: TemplateModule, source: TemplateSource): Template {
  const needs = { stackLocal: false, through: false };
  for (;;) {
    const made = TemplateWriter.write(module, source, needs);
    if (made) return made;
  }
}

/** What it turns out that a template needs: the stack pointer waits in a local; the state has to be as it is, see Template. */
interface Needs {
  stackLocal: boolean;
  through: boolean;
}

/** Instructions whose stack accesses are at the stack pointer, or that much below it. */
const STACK = new Set("PUSH POP CALL RET".split(" "));

/** Runtime functions that control does not come back from. */
const LEAVING = new Set(
  "fault dispatch dispatch_single enter enter_computed jump branch64 warmed warmed_relative take_relative take_return".split(
    " ",
  ),
);
/** Runtime functions that run what the guest calls; behind them nothing is in locals. */
const CALLING = new Set(["call_relative", "call_computed"]);

class TemplateWriter extends RecordWriter {
  readonly #cache: Cache;
  readonly #code: TemplateFunction;
  readonly #observer: CodeObserver | undefined;
  /** Ends of parts. */
  readonly #marks = {
    branches: false,
    body: -1,
    warm: -1,
    taken: -1,
    flushed: -1,
    sought: -1,
    tried: -1,
    written: Infinity,
  };

  private constructor(
    f: TemplateFunction,
    env: RuntimeEnv,
    cache: Cache,
    variant: Variant,
    stackLocal: boolean,
    waits: boolean,
    near: boolean,
    before?: TemplateWriter,
  ) {
    super(f, env, variant, stackLocal, before);
    this.#waits = waits;
    this.#near = near;
    this.#code = f;
    this.#cache = cache;
    this.#observer = env.observer;
  }

  /** Undefined where it turns out that it needs more. */
  static write(module: TemplateModule, source: TemplateSource, needs: Needs): Template | undefined {
    const { first, second, flagless = false, waits = false, near = false } = source;
    const { stackLocal, through } = needs;
    const f = new TemplateFunction(first.row.mnemonic, module.observer);
    const cache = new Cache(f, through);
    const env = environment(f, module, cache, flagless);
    const head = new TemplateWriter(f, env, cache, first, stackLocal, waits, near);
    let writer = head;
    if (second) {
      head.flags.remember();
      head.writeBody();
      writer = new TemplateWriter(f, env, cache, second, false, false, false, head);
    }
    writer.writeBody();
    if (!writer.ended) writer.next();
    needs.stackLocal = writer.usesStack;
    needs.through = (cache.clobbers & WAITING) !== 0;
    return needs.stackLocal === stackLocal && needs.through === through ? writer.#template(head.#access) : undefined;
  }

  /** Where the count is used up control leaves, and goes to whatever has come into being at the target meanwhile. */
  protected override warm(target: () => I64): void {
    this.#warm(() => this.f.returnCall(this.fn("warmed"), this.record(), target(), this.budget(1)));
  }
  protected override warmRelative(): void {
    this.#warm(() => this.f.returnCall(this.fn("warmed_relative"), this.record(), this.budget(1)));
  }
  #warm(leave: () => void): void {
    this.f.rarely(this.countDown().leS(0), () => {
      this.flushStack();
      leave();
    });
  }

  readonly #near: boolean;
  #access: FirstAccess | undefined;
  /** Address of the memory operand, where it is base and displacement. */
  #operand: I64 | undefined;

  readonly #waits: boolean;
  #calls = false;
  /** Local of a computed target. */
  #target = -1;

  /** Whether the body may be done again, where parts follow it. */
  #repeatable: boolean | undefined;
  #isRepeatable(): boolean {
    return this.#cache.repeatable && !this.#code.stores;
  }

  #template(access: FirstAccess | undefined): Template {
    const marks = this.#marks;
    const end = this.#code.code.length;
    const whole = this.#code.code.view().slice();
    const part = (from: number, to: number): Part => {
      const holes: number[] = [];
      const all = this.#code.holes;
      for (let i = 0; i < all.length; i += 3) {
        const at = all[i]!;
        if (at >= from && at < to) holes.push(at - from, all[i + 1]!, all[i + 2]!);
      }
      return { bytes: whole.subarray(from, to), holes: Int32Array.from(holes) };
    };
    const locals = this.#code.locals;
    const zeroed = this.#code.zeroed.map((local) => local.index);
    const { reads, clobbers, through, outside } = this.#cache;
    if (this.#code.replaysLate)
      throw new Error(`${this.variant.row.mnemonic} sets something before it may miss the TLB`);
    const body = part(0, marks.body < 0 ? end : marks.body);
    const kinds = new Set(body.holes.filter((_, i) => i % 3 === 1));
    const all = {
      locals,
      zeroed,
      reads,
      writes: [...this.#code.writes],
      clobbers,
      through,
      outside,
      replays: kinds.has(HOLE.replay),
      settles: kinds.has(HOLE.stores),
      repeatable: this.#repeatable ?? this.#isRepeatable(),
      access,
      near: undefined,
    };
    if (this.#target >= 0) {
      return {
        kind: "computed",
        body,
        seek: part(marks.body, marks.sought),
        inner: part(marks.sought, marks.tried),
        leave: part(marks.tried, end),
        target: this.#target,
        ...all,
      };
    }
    // What only some of the parts behind the body set has to hold the field's value on all ways.
    for (const field of [...this.#code.writes].slice(marks.written)) {
      if (!reads.includes(field)) throw new Error(`${this.variant.row.mnemonic} sets what it does not read`);
    }
    if (marks.body < 0) return { kind: this.#calls ? "call" : this.ended ? "ends" : "plain", body, ...all };
    return {
      kind: marks.branches ? "branch" : "jump",
      body,
      warm: part(marks.body, marks.warm),
      leave: part(marks.warm, marks.taken),
      flush: part(marks.taken, marks.flushed),
      next: part(marks.flushed, end),
      ...all,
    };
  }

  // ---- record

  #hole<T extends "i32" | "i64">(type: T, kind: HoleKind, argument: number): ExprOf<T> {
    return typed(type, (out: ByteWriter) => {
      if (out !== this.#code.code) throw new Error("a hole outside its template");
      out.u8(CONSTANT[type]);
      this.#code.hole(kind, argument);
    });
  }
  recordField<N extends LoadName>(name: N, at: number): ExprOf<(typeof LOADS)[N][1]> {
    const row = FIELD_HOLES[name];
    if (!row) throw new Error(`no hole for ${name}`);
    return this.#hole(row[1], row[0], at + this.position * RECORD_SIZE) as unknown as ExprOf<(typeof LOADS)[N][1]>;
  }
  protected record(): I32 {
    return this.#hole("i32", HOLE.record, this.position * RECORD_SIZE);
  }
  protected budget(more: number): I32 {
    return (this.f.param(1, "i32").get() as I32).sub(this.#hole("i32", HOLE.done, this.position + more));
  }

  // ---- memory

  /**
   * An access that misses the TLB leaves for the interpreter, which does the whole instruction, and some in front of it: hot code is left
   * without a slow way that comes back to it, and without what such a way would keep or bring back. Not behind what must not be done twice.
   */
  override hostFor(access: Access, linear: I64, length: number, stack = false): I32 {
    if (!this.#isRepeatable()) {
      this.#cache.repeatable = false;
      return super.hostFor(access, linear, length, stack);
    }
    const { f } = this;
    const lookUp = () => {
      const { differs, host } = this.lookUp(access, linear, length);
      f.rarely(differs, () => this.#code.replay());
      return f.let(host);
    };
    const known = stack ? STACK.has(this.variant.row.mnemonic) : linear === this.#operand;
    let host: I32;
    if (known && !this.#access && this.#code.depth === 0) {
      this.#code.uses(HOSTS.first + HOSTS.kept);
      host = this.#near ? this.#hostNear(length, lookUp) : lookUp();
      host.write(this.#code.code);
      this.#code.code.u8(0x21);
      this.#code.hole(HOLE.host, 0);
      this.#access = { stack, write: access !== "slow_read", bytes: length };
    } else host = lookUp();
    this.#observer?.access(f);
    return host;
  }
  /** Without the TLB as long as it is the page of an access from which this one is a constant distance away. */
  #hostNear(length: number, lookUp: () => I32): I32 {
    const { f } = this;
    const before = typed("i32", (out: ByteWriter) => {
      out.u8(0x20);
      this.#code.hole(HOLE.knownHost, 0);
    });
    const distance = () => this.#hole("i32", HOLE.distance, 0);
    return f.choose(
      before
        .and(4095)
        .add(distance())
        .leU(4096 - length),
      () => f.let(before.add(distance())),
      lookUp,
      true,
    );
  }
  override effectiveAddress(absolute: boolean, indexed?: boolean): I64 {
    const address = super.effectiveAddress(absolute, indexed);
    if (this.variant.addressing === "base" && !absolute && !this.sp) this.#operand = address;
    return address;
  }
  protected override commitStore(host: I32): void {
    if (!this.#cache.repeatable) super.commitStore(host);
    this.#cache.repeatable = false;
  }

  // ---- registers

  override readRegister(register: Register, bits: Bits): AnyInt {
    const { kind } = register;
    const cache = this.#cache;
    if (kind === "vector" && bits >= 32 && cache.holds(CLASS.vectors)) {
      const vector = this.#held(register, "v128");
      return this.f.let(bits === 64 ? vector.lane("i64x2", 0) : vector.lane("i32x4", 0));
    }
    if (kind !== "general" || !cache.holds(CLASS.registers)) return super.readRegister(register, bits);
    const whole = this.#held(register, "i64");
    if (bits === 64) return whole;
    if (bits === 32) return whole.wrap();
    return this.f.let(
      whole
        .shrU(this.#shift(register, bits))
        .wrap()
        .and(bits === 8 ? 0xff : 0xffff),
    );
  }
  override writeRegister(register: Register, bits: Bits, value: AnyInt): void {
    const { kind } = register;
    const cache = this.#cache;
    if (kind === "vector" && bits >= 32 && cache.holds(CLASS.vectors)) {
      const old = this.#held(register, "v128");
      this.#setVector(register, old.withLane(bits === 64 ? "i64x2" : "i32x4", 0, this.f.let(value)));
      return;
    }
    const known = this.f.let(value);
    const general = kind === "general" && cache.holds(CLASS.registers);
    if (!general || cache.through) super.writeRegister(register, bits, known);
    if (!general) return;
    let whole: I64;
    if (bits === 64) whole = known as I64;
    else if (bits === 32) whole = known.extendU();
    else {
      const mask = bits === 8 ? 0xff : 0xffff;
      const shift = this.#shift(register, bits);
      const kept = this.#held(register, "i64").and(i64(mask).shl(shift).not());
      whole = kept.or(known.and(mask).extendU().shl(shift));
    }
    this.#hold(register, whole);
  }
  override readVector(register: Register, half: Half): Vec {
    if (half === 1 || !this.#cache.holds(CLASS.vectors)) return super.readVector(register, half);
    return this.#held(register, "v128");
  }
  override writeVector(register: Register, value: Vec, half: Half): void {
    if (half === 1 || !this.#cache.holds(CLASS.vectors)) super.writeVector(register, value, half);
    else this.#setVector(register, value);
  }
  #setVector(register: Register, value: Vec): void {
    const known = this.f.let(value);
    super.writeVector(register, known, 0);
    this.#hold(register, known);
  }
  protected override named(field: number): I64 {
    return this.#cache.holds(CLASS.registers) ? this.#cache.getNamed(this.#at(field), "i64") : super.named(field);
  }
  #at(field: number): number {
    return field + this.position * RECORD_SIZE;
  }
  #held<T extends "i64" | "v128">({ field, offset }: Register, type: T): ExprOf<T> {
    return field === undefined ? this.#cache.get(fieldAt(offset), type) : this.#cache.getNamed(this.#at(field), type);
  }
  #hold({ field, offset }: Register, value: I64 | Vec): void {
    if (field === undefined) this.#cache.set(fieldAt(offset), value);
    else this.#cache.setNamed(this.#at(field), value);
  }
  /** Bits below an operand in its register. */
  #shift({ field, offset }: Register, bits: Bits): I64 {
    if (bits !== 8) return i64(0);
    return field === undefined ? i64((offset & 7) * 8) : this.#hole("i64", HOLE.shift, this.#at(field));
  }

  // ---- control

  override jump(target: I64, undo?: () => void): void {
    if (this.variant.row.mnemonic === "CALL") this.#call("call_computed", this.record(), this.f.let(target));
    else super.jump(target, undo);
  }
  protected override jumpChecked(target: I64): void {
    const local = this.#code.temporary("i64");
    local.set(target);
    this.#target = local.index;
    this.#marks.body = this.#code.code.length;
    const to = local.get() as I64;
    if (this.variant.row.mnemonic === "RET") {
      this.returnTo(to);
      this.#marks.sought = this.#marks.tried = this.#code.code.length;
      this.f.returnCall(this.fn("take_return"), this.record(), to, this.budget(1));
      return;
    }
    this.#jumpRemembered(to);
    this.f.returnCall(this.fn("enter_computed"), to, this.budget(1));
  }
  /** The interpreter does what faults, as long as nothing has been done that shows. */
  protected override checkTarget(target: I64, undo?: () => void): void {
    const canonical = target.shl(16).shrS(16);
    if (this.in64 && this.#isRepeatable()) this.f.rarely(canonical.ne(target), () => this.#code.replay());
    else super.checkTarget(target, undo);
  }
  /** To where a computed jump has led before, in whichever code. */
  #jumpRemembered(target: I64): void {
    const { f } = this;
    const { differs, record } = remembered(f, this, target);
    f.block((forgotten) => {
      f.brIf(forgotten, differs);
      f.brIf(forgotten, this.ready(1).eqz());
      const to = f.let(record);
      this.warm(() => target);
      this.set("ripPage", target.and(-4096));
      this.#dispatchComputed(to);
    });
  }
  /** Calls the function that the guest calls, and goes on behind it when that returns. */
  #call(name: string, ...operands: Expr[]): void {
    const { f } = this;
    this.flushStack();
    this.#code.storeWaiting();
    this.#observer?.regionLeft(f, this.budget(1));
    const end = f.let(f.callFor("i32", this.fn(name), ...operands, this.budget(1)));
    f.rarely(end.geS(0), () => this.#code.pass(end));
    const left = f.param(1, "i32");
    left.set(end.xor(-1));
    this.#observer?.regionEntered(f, left.get() as I32);
    this.#calls = true;
    this.ended = true;
  }
  protected override endCall(left: I32): void {
    this.#code.endCall(left);
  }

  jumpRelative(condition?: I32, undo?: () => void): void {
    if (this.#waits) {
      this.#call("call_relative", this.record());
      return;
    }
    const code = this.#code.code;
    const marks = this.#marks;
    condition?.write(code);
    marks.branches = condition !== undefined;
    marks.body = code.length;
    this.#repeatable = this.#isRepeatable();
    marks.written = this.#code.writes.size;
    this.warmRelative();
    marks.warm = code.length;
    if (undo) {
      this.warmRelative();
      this.takeRelative(undo);
    } else this.f.returnCall(this.fn("take_relative"), this.record(), this.budget(1));
    marks.taken = code.length;
    this.flushStack();
    if (this.late) {
      this.f.if(this.late.get(), () => this.f.returnCall(this.fn("enter"), this.relativeTarget(), this.budget(1)));
    }
    marks.flushed = code.length;
    if (condition) this.next();
    this.ended = true;
  }

  againIf(condition: I32): void {
    this.flushStack();
    this.f.if(condition, () => {
      this.stopIfDue();
      this.f.returnCall(this.fn("dispatch_single"), this.record(), this.budget(1));
    });
    this.next();
  }
  protected dispatch(record: I32): void {
    this.f.returnCall(this.fn("dispatch"), record, this.budget(1));
  }
  /** To an entry of this very function without leaving it. */
  #dispatchComputed(record: I32): void {
    this.#marks.sought = this.#code.code.length;
    const handler = this.f.loadExpr("i32.load16_u", record, RECORD.handler) as I32;
    this.f.if(handler.eq(this.#hole("i32", HOLE.slot, 0)), () => {
      const left = this.budget(1);
      this.#code.storeWaiting();
      this.f.param(0, "i32").set(entryOf(this.f, record));
      this.f.param(1, "i32").set(left);
      this.#code.code.u8(0x0c);
      this.#code.hole(HOLE.depth, this.#code.depth);
    });
    this.#marks.tried = this.#code.code.length;
    this.dispatch(record);
  }
  protected next(): void {
    this.flushStack();
    this.leaveLate();
  }
}

/** Number of the entry that a record of compiled code is. */
export const entryOf = (f: FunctionBuilder, record: I32): I32 =>
  (f.loadExpr("i32.load16_u", record.sub(ARENA_BASE).shrU(4), REGION_ENTRIES) as I32).and(MAX_ENTRIES - 1);

function environment(f: FunctionBuilder, module: TemplateModule, cache: Cache, flagless: boolean): RuntimeEnv {
  const cached = (name: string): number => {
    const field = cachedField(name);
    return field >= 0 && cache.holds(classOf(field)) ? field : -1;
  };
  return {
    get: <T extends ValType = "i32">(name: string, type?: T) => {
      const field = cached(name);
      const wanted = (type ?? "i32") as "i32" | "i64";
      if (field >= 0) return cache.get(field, wanted) as never;
      return f.load(`${wanted}.load`, i32(0), STATE_BASE + offsetOf(name)) as never;
    },
    set: (name, value) => {
      if (flagless && name.startsWith("flag")) return;
      const known = f.let(value);
      const field = cached(name);
      if (field < 0 || cache.through || !mayWait(field)) {
        f.store(`${value.type as "i32" | "i64"}.store`, i32(0), known, STATE_BASE + offsetOf(name));
      }
      if (field >= 0) cache.set(field, known);
    },
    address: (name) => STATE_BASE + offsetOf(name),
    fn: (name) => {
      if (!LEAVING.has(name) && !CALLING.has(name)) {
        cache.repeatable = false;
        const { registers, flags, tlb, vectors, outside } = module.effects.of(name);
        if (outside) cache.outside = true;
        if (registers) cache.clobbers |= CLASS.registers;
        if (flags) cache.clobbers |= CLASS.flags;
        if (tlb) cache.clobbers |= CLASS.tlb;
        if (vectors) cache.clobbers |= CLASS.vectors;
      }
      return module.fn(name);
    },
    observer: module.observer,
  };
}
