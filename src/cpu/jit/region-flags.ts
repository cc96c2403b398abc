/**
 * Arithmetic flags in compiled code. Three locals hold what the flags follow from, and while code is written it is known in
 * which form (`kind`): after an addition, subtraction or logical operation that is just its operands, so that setting flags
 * costs nothing and a condition becomes one comparison. Only where control leaves compiled code, `store_flags` turns
 * them into the form of the state (cpu/flags.ts), by the same arithmetic.
 *
 * What has no form of its own (shifts, multiplications, ADC) is the triple of cpu/flags.ts. Its parts are expressions until the
 * block ends, so that they are only computed where someone asks.
 */
import type { AnyInt, Bits, ConditionCode, Flags } from "../../isa/context.ts";
import {
  type ExprOf,
  type F64,
  type FunctionBuilder,
  type I32,
  type I64,
  i32,
  type Local,
  op,
  type ValType,
} from "../../wasm/index.ts";
import { type FlagStore, LazyFlags } from "../flags.ts";
import { runtime } from "../runtime/define.ts";

/** Forms in which the locals hold flags: two bits of operand size below the operation. */
export const FLAG_KIND = { triple: 0, logic: 1, numbers: 2, add: 4, sub: 8, inc: 12, dec: 16 } as const;
/** At run time only: a block that several forms lead into. */
export const MIXED = -1;
export type FlagKind = number;

const WIDTHS: readonly Bits[] = [8, 16, 32, 64];
const kindOf = (name: "add" | "sub" | "inc" | "dec", bits: Bits): FlagKind => FLAG_KIND[name] + WIDTHS.indexOf(bits);
const operationOf = (kind: FlagKind): FlagKind => (kind < 4 ? kind : kind & ~3);
const bitsOf = (kind: FlagKind): Bits => WIDTHS[kind & 3]!;

const wide = (value: AnyInt): I64 => (value.type === "i64" ? (value as I64) : value.extendU());
const narrow = (bits: Bits, value: I64): AnyInt => (bits === 64 ? value : value.wrap());
const cut = (bits: Bits, value: AnyInt): AnyInt =>
  bits === 8 ? value.and(0xff) : bits === 16 ? value.and(0xffff) : value;
const signed = (bits: Bits, value: AnyInt): AnyInt =>
  bits === 8 ? value.extend8S() : bits === 16 ? value.extend16S() : value;

/** The locals, and what goes with them at run time. */
export interface FlagLocals {
  readonly a: Local<"i64">;
  readonly b: Local<"i64">;
  readonly c: Local<"i32">;
  /** The form, where a block or an exit cannot know it. */
  readonly kind: Local<"i32">;
}

/** The triple of cpu/flags.ts. */
interface Triple {
  flagResult: I64;
  flagCarry: I32;
  flagMisc: I32;
  /** CF alone, where it is had for less than `flagCarry`. */
  cf?: I32;
}

/** What is known of the flags at one point of the code. */
export interface FlagPoint {
  readonly kind: FlagKind;
  readonly deferred: Triple | undefined;
  readonly result: AnyInt | undefined;
  readonly numbers: Numbers | undefined;
}

/** Two numbers that were compared. */
type Numbers = readonly [F64, F64];

/** What one instruction does to flags, found by writing it into nothing. */
export interface FlagUse {
  /** It looks at flags that were set before it. */
  reads: boolean;
  /** The form it leaves; undefined where it leaves them alone. */
  kind: FlagKind | undefined;
  /** It sets them on one path and not on another. */
  conditional: boolean;
}

export class RegionFlags implements Flags {
  readonly #f: FunctionBuilder;
  readonly #locals: FlagLocals;
  /** The form the locals have now. */
  kind: FlagKind = FLAG_KIND.triple;
  /** The triple, where the locals do not hold it yet. */
  #deferred: Triple | undefined;
  /** The result the flags belong to, while it is at hand. */
  #result: AnyInt | undefined;
  /** The numbers the flags follow from, while they are at hand. */
  #numbers: Numbers | undefined;
  /** Inside an instruction that sets flags on one path only: everything goes to the locals at once. */
  #direct = false;
  use: FlagUse = { reads: false, kind: undefined, conditional: false };
  #depth = 0;
  /** The present instruction set flags. */
  #set = false;

  constructor(f: FunctionBuilder, locals: FlagLocals) {
    this.#f = f;
    this.#locals = locals;
  }

  // ---- for the block that is being written

  /** A new instruction begins. `conditional`: it sets flags on one path only. */
  begin(conditional: boolean): void {
    this.use = { reads: false, kind: undefined, conditional: false };
    this.#depth = this.#f.depth;
    this.#set = false;
    if (conditional) this.settle(FLAG_KIND.triple);
    this.#direct = conditional;
  }

  /** Whether the flags follow from temporaries of the instruction that began last. */
  get holds(): boolean {
    return this.#set && !this.free;
  }
  /** Whether the instruction that began last, or one before, left nothing that flags still follow from. */
  get free(): boolean {
    return this.#deferred === undefined && this.#result === undefined && this.#numbers === undefined;
  }

  /** A block begins whose predecessors left this form. */
  enter(kind: FlagKind): void {
    this.kind = kind;
    this.#deferred = undefined;
    this.#result = undefined;
    this.#numbers = undefined;
    this.#direct = false;
  }

  /** Writes what brings the locals up to date, without taking note of it: for a path that leaves. The form goes to `kind`. */
  leaveWith(): void {
    if (this.#deferred) this.#write(this.#deferred);
    if (this.kind !== MIXED) this.#locals.kind.set(i32(this.kind));
  }

  /** Brings the locals into a form: the present one, the triple, or whichever it is noted in `kind`. */
  settle(kind: FlagKind): void {
    if (kind === FLAG_KIND.triple && this.kind !== kind) this.#defer(this.#triple());
    if (this.#deferred) {
      this.#write(this.#deferred);
      this.#deferred = undefined;
    }
    if (kind === MIXED && this.kind !== MIXED) this.#locals.kind.set(i32(this.kind));
    if (kind !== this.kind && kind !== MIXED) throw new Error("flags cannot take this form");
  }

  /** The same on an edge, where nothing of it is to be remembered. */
  settleOnEdge(kind: FlagKind): void {
    const saved = this.save();
    this.settle(kind);
    this.restore(saved);
  }

  /** What is known of the flags at this point, to go on with after another path was written. */
  save(): FlagPoint {
    return { kind: this.kind, deferred: this.#deferred, result: this.#result, numbers: this.#numbers };
  }
  restore(point: FlagPoint): void {
    this.kind = point.kind;
    this.#deferred = point.deferred;
    this.#result = point.result;
    this.#numbers = point.numbers;
    this.#direct = false;
  }

  /** The flags are in the state now, or somebody else has put them into the locals as a triple. */
  reloaded(): void {
    this.#writes(FLAG_KIND.triple);
    const direct = this.#direct;
    this.enter(FLAG_KIND.triple);
    this.#direct = direct;
  }

  // ---- Flags

  add(bits: Bits, a: AnyInt, b: AnyInt): AnyInt {
    const r = this.#f.let(cut(bits, a.add(b)));
    return this.#operands("add", bits, a, b, r);
  }
  sub(bits: Bits, a: AnyInt, b: AnyInt): AnyInt {
    const r = this.#f.let(cut(bits, a.sub(b)));
    return this.#operands("sub", bits, a, b, r);
  }
  logic(bits: Bits, result: AnyInt): AnyInt {
    const r = this.#f.let(cut(bits, result));
    if (this.#direct) return this.#eagerly((flags) => flags.logic(bits, r));
    this.#locals.a.set(bits === 64 ? r : signed(bits, r).extendS());
    this.#becomes(FLAG_KIND.logic, this.#locals.a.get());
    return r;
  }
  inc(bits: Bits, a: AnyInt): AnyInt {
    return this.#step("inc", bits, a, this.#f.let(cut(bits, a.add(1))));
  }
  dec(bits: Bits, a: AnyInt): AnyInt {
    return this.#step("dec", bits, a, this.#f.let(cut(bits, a.sub(1))));
  }
  adc(bits: Bits, a: AnyInt, b: AnyInt): AnyInt {
    const cf = this.cf();
    const r = this.#eagerly((flags) => flags.adc(bits, a, b, cf));
    this.#carries(r.ltU(a).or(cf.and(r.eq(a))));
    return r;
  }
  sbb(bits: Bits, a: AnyInt, b: AnyInt): AnyInt {
    const cf = this.cf();
    const r = this.#eagerly((flags) => flags.sbb(bits, a, b, cf));
    this.#carries(a.ltU(b).or(cf.and(a.eq(b))));
    return r;
  }
  result(bits: Bits, result: AnyInt, cf: I32, of: I32, af?: I32): void {
    this.#eagerly((flags) => flags.result(bits, result, cf, of, af));
  }
  setCf(cf: I32): void {
    this.#eagerly((flags) => flags.setCf(cf));
  }
  setCfOf(cf: I32, of: I32): void {
    this.#eagerly((flags) => flags.setCfOf(cf, of));
  }
  setZf(zf: I32): void {
    this.#eagerly((flags) => flags.setZf(zf));
  }
  compare(x: F64, y: F64): void {
    if (this.#direct) {
      this.#eagerly((flags) => flags.compare(x, y));
      return;
    }
    this.#locals.a.set(op("i64.reinterpret_f64", x));
    this.#locals.b.set(op("i64.reinterpret_f64", y));
    this.#becomes(FLAG_KIND.numbers, undefined);
    this.#numbers = [x, y];
  }
  set(image: I32): void {
    this.#eagerly((flags) => flags.set(image));
  }
  get(): I32 {
    return this.#read().get();
  }
  cf(): I32 {
    const direct = this.#direct ? undefined : this.#carry();
    if (direct === undefined) return this.#read().cf();
    this.#reads();
    return this.#f.let(direct);
  }
  zf(): I32 {
    return this.condition(4);
  }
  sf(): I32 {
    return this.condition(8);
  }
  of(): I32 {
    return this.#read().of();
  }
  af(): I32 {
    return this.#read().af();
  }
  pf(): I32 {
    return this.#read().pf();
  }
  condition(code: ConditionCode): I32 {
    const direct = this.#direct ? undefined : this.#compare(code);
    if (direct === undefined) return this.#read().condition(code);
    this.#reads();
    return this.#f.let(direct);
  }

  // ---- how

  #operands(name: "add" | "sub", bits: Bits, a: AnyInt, b: AnyInt, r: AnyInt): AnyInt {
    if (this.#direct) return this.#eagerly((flags) => flags[name](bits, a, b));
    this.#locals.a.set(wide(a));
    this.#locals.b.set(wide(b));
    this.#becomes(kindOf(name, bits), r);
    return r;
  }

  /** INC and DEC: CF stays, as the top bit of `c`. */
  #step(name: "inc" | "dec", bits: Bits, a: AnyInt, r: AnyInt): AnyInt {
    const carry = this.#direct ? undefined : this.#carryWord();
    if (carry === undefined) return this.#eagerly((flags) => flags[name](bits, a));
    this.#reads();
    this.#locals.c.set(carry);
    this.#locals.a.set(wide(a));
    this.#becomes(kindOf(name, bits), r);
    return r;
  }

  #becomes(kind: FlagKind, result: AnyInt | undefined): void {
    this.#writes(kind);
    this.kind = kind;
    this.#deferred = undefined;
    this.#result = result;
    this.#numbers = undefined;
  }

  /** Lets the arithmetic of cpu/flags.ts set the flags from the triple they have now. */
  #eagerly<T>(set: (flags: LazyFlags) => T): T {
    if (this.#direct) {
      const direct: FlagStore = {
        read: (name) => this.#stored()[name] as never,
        write: (name, value) => this.#store(name, value as never),
      };
      this.#writes(FLAG_KIND.triple);
      return set(new LazyFlags(this.#f, direct));
    }
    let triple: Triple | undefined;
    const written: Partial<Record<keyof Triple, I32 | I64>> = {};
    const before = () => (triple ??= this.#triple());
    const result = set(
      new LazyFlags(this.#f, {
        read: (name) => {
          const own = written[name];
          if (own) return own as never;
          this.#reads();
          return before()[name] as never;
        },
        write: (name, value) => {
          written[name] = value as I32 | I64;
        },
      }),
    );
    const names = ["flagResult", "flagCarry", "flagMisc"] as const;
    if (names.some((name) => !written[name])) this.#reads();
    const made = Object.fromEntries(names.map((name) => [name, written[name] ?? before()[name]]));
    this.#writes(FLAG_KIND.triple);
    this.#defer(made as unknown as Triple);
    return result;
  }

  /** CF of what was set just now. */
  #carries(cf: I32): void {
    if (this.#deferred) this.#deferred.cf = this.#f.let(cf);
  }

  #defer(triple: Triple): void {
    this.kind = FLAG_KIND.triple;
    this.#deferred = triple;
    this.#result = undefined;
    this.#numbers = undefined;
  }

  /** Flags as cpu/flags.ts reads them. */
  #read(): LazyFlags {
    this.#reads();
    if (this.#direct) {
      return new LazyFlags(this.#f, { read: (name) => this.#stored()[name] as never, write: () => undefined });
    }
    const triple = this.#triple();
    return new LazyFlags(this.#f, { read: (name) => triple[name] as never, write: () => undefined });
  }

  /** The triple, whatever the form: the arithmetic of cpu/flags.ts on the operands. */
  #triple(): Triple {
    if (this.#deferred) return this.#deferred;
    if (this.kind === FLAG_KIND.triple) return this.#stored();
    if (this.kind === MIXED) throw new Error("these flags are of no known form");
    const { a, b, c } = this.#locals;
    const made: Partial<Record<keyof Triple, I32 | I64>> = {};
    const flags = new LazyFlags(this.#f, {
      // INC and DEC keep the carry.
      read: (name) => (made[name] ?? c.get()) as never,
      write: (name, value) => {
        made[name] = value as I32 | I64;
      },
    });
    replay(flags, this.kind, a.get(), b.get());
    return made as unknown as Triple;
  }

  #stored(): Triple {
    const { a, b, c } = this.#locals;
    return { flagResult: a.get(), flagCarry: c.get(), flagMisc: b.get().wrap() };
  }
  #store(name: keyof Triple, value: ExprOf<ValType>): void {
    const { a, b, c } = this.#locals;
    if (name === "flagResult") a.set(value);
    else if (name === "flagCarry") c.set(value);
    else b.set((value as I32).extendU());
  }
  #write(triple: Triple): void {
    const { a, b, c } = this.#locals;
    // One part may follow from what another's local holds now.
    const result = this.#f.let(triple.flagResult);
    const carry = this.#f.let(triple.flagCarry);
    b.set(triple.flagMisc.extendU());
    a.set(result);
    c.set(carry);
  }

  /** CF, where the form gives it away. */
  #carry(): I32 | undefined {
    const { a, b, c } = this.#locals;
    const bits = bitsOf(this.kind);
    switch (operationOf(this.kind)) {
      case FLAG_KIND.logic:
        return i32(0);
      case FLAG_KIND.numbers:
        return this.#compareNumbers(2);
      case FLAG_KIND.add:
        return this.#sum(bits).ltU(narrow(bits, a.get()));
      case FLAG_KIND.sub:
        return narrow(bits, a.get()).ltU(narrow(bits, b.get()));
      case FLAG_KIND.inc:
      case FLAG_KIND.dec:
        return c.get().shrU(31);
      default:
        return this.#deferred?.cf;
    }
  }
  #carryWord(): I32 | undefined {
    const operation = operationOf(this.kind);
    if (operation === FLAG_KIND.inc || operation === FLAG_KIND.dec) return this.#locals.c.get();
    const carry = this.#carry();
    if (carry) return carry.known === 0n ? i32(0) : carry.shl(31);
    return this.kind === FLAG_KIND.triple ? (this.#deferred ?? this.#stored()).flagCarry : undefined;
  }

  #sum(bits: Bits): AnyInt {
    const { a, b } = this.#locals;
    return this.#result ?? cut(bits, narrow(bits, a.get()).add(narrow(bits, b.get())));
  }

  /** What ZF and SF follow from, with the sign at the top of its type; undefined where only the triple has it. */
  #outcome(): AnyInt | undefined {
    const { a } = this.#locals;
    const bits = bitsOf(this.kind);
    switch (operationOf(this.kind)) {
      case FLAG_KIND.logic:
        return a.get();
      case FLAG_KIND.add:
        return signed(bits, this.#sum(bits));
      case FLAG_KIND.inc:
        return signed(bits, this.#result ?? cut(bits, narrow(bits, a.get()).add(1)));
      case FLAG_KIND.dec:
        return signed(bits, this.#result ?? cut(bits, narrow(bits, a.get()).sub(1)));
      default:
        return undefined;
    }
  }

  /** The condition as one comparison; undefined where it needs the flags themselves. */
  #compare(code: ConditionCode): I32 | undefined {
    if (operationOf(this.kind) === FLAG_KIND.sub) return this.#compareOperands(code);
    if (this.kind === FLAG_KIND.numbers) return this.#compareNumbers(code);
    const even = code & ~1;
    const negate = (value: I32 | undefined) => (value && code & 1 ? value.eqz() : value);
    if (even === 2) return negate(this.#carry());
    const outcome = this.#outcome();
    if (!outcome) return undefined;
    if (code === 4) return outcome.eqz();
    if (code === 5) return outcome.ne(0);
    if (code === 8) return outcome.ltS(0);
    if (code === 9) return outcome.geS(0);
    if (this.kind !== FLAG_KIND.logic) return undefined;
    // CF and OF are zero.
    switch (code) {
      case 0:
        return i32(0);
      case 1:
        return i32(1);
      case 6:
        return outcome.eqz();
      case 7:
        return outcome.ne(0);
      case 12:
        return outcome.ltS(0);
      case 13:
        return outcome.geS(0);
      case 14:
        return outcome.leS(0);
      case 15:
        return outcome.gtS(0);
      default:
        return undefined;
    }
  }

  #compareOperands(code: ConditionCode): I32 | undefined {
    const bits = bitsOf(this.kind);
    const a = narrow(bits, this.#locals.a.get());
    const b = narrow(bits, this.#locals.b.get());
    const difference = () => signed(bits, this.#result ?? cut(bits, a.sub(b)));
    switch (code) {
      case 2:
        return a.ltU(b);
      case 3:
        return a.geU(b);
      case 4:
        return a.eq(b);
      case 5:
        return a.ne(b);
      case 6:
        return a.leU(b);
      case 7:
        return a.gtU(b);
      case 8:
        return difference().ltS(0);
      case 9:
        return difference().geS(0);
      case 12:
        return signed(bits, a).ltS(signed(bits, b));
      case 13:
        return signed(bits, a).geS(signed(bits, b));
      case 14:
        return signed(bits, a).leS(signed(bits, b));
      case 15:
        return signed(bits, a).gtS(signed(bits, b));
      default:
        return undefined;
    }
  }

  /** By numbers: SF and OF are zero. */
  #compareNumbers(code: ConditionCode): I32 {
    const { a, b } = this.#locals;
    const [x, y] = this.#numbers ?? [numberOf(a.get()), numberOf(b.get())];
    switch (code) {
      case 0:
      case 8:
      case 12:
        return i32(0);
      case 1:
      case 9:
      case 13:
        return i32(1);
      case 2:
        return x.compare("ge", y).eqz();
      case 3:
        return x.compare("ge", y);
      case 4:
      case 14:
        return x.compare("lt", y).or(x.compare("gt", y)).eqz();
      case 5:
      case 15:
        return x.compare("lt", y).or(x.compare("gt", y));
      case 6:
        return x.compare("gt", y).eqz();
      case 7:
        return x.compare("gt", y);
      default: {
        const ordered = x.compare("eq", x).and(y.compare("eq", y));
        return code === 10 ? ordered.eqz() : ordered;
      }
    }
  }

  #reads(): void {
    if (this.use.kind === undefined && !this.use.conditional) this.use.reads = true;
  }
  #writes(kind: FlagKind): void {
    this.#set = true;
    if (this.#f.depth > this.#depth) this.use.conditional = true;
    else this.use.kind = kind;
  }
}

const numberOf = (bits: I64): F64 => op("f64.reinterpret_i64", bits) as F64;

/** Sets flags as the operation of this form did. */
function replay(flags: Flags, kind: FlagKind, a: I64, b: I64): void {
  const bits = bitsOf(kind);
  switch (operationOf(kind)) {
    case FLAG_KIND.logic:
      flags.logic(64, a);
      break;
    case FLAG_KIND.numbers:
      flags.compare(numberOf(a), numberOf(b));
      break;
    case FLAG_KIND.add:
      flags.add(bits, narrow(bits, a), narrow(bits, b));
      break;
    case FLAG_KIND.sub:
      flags.sub(bits, narrow(bits, a), narrow(bits, b));
      break;
    case FLAG_KIND.inc:
      flags.inc(bits, narrow(bits, a));
      break;
    default:
      flags.dec(bits, narrow(bits, a));
  }
}

const LAST_KIND = FLAG_KIND.dec + 3;

/** Flags that wait in the state, into the form everybody knows. */
export const settleFlags = runtime("settle_flags", "", "", (f, env) => {
  const kind = env.get("flagKind");
  f.if(kind, () => {
    env.set("flagKind", i32(0));
    const operands = [
      env.get("flagResult", "i64"),
      f.load("i64.load", i32(env.address("flagMisc"))),
      env.get("flagCarry"),
    ];
    f.call(env.fn("store_flags"), kind, ...operands);
  });
});

/** Flags of any form into the state. */
export const storeFlags = runtime("store_flags", "i32 i64 i64 i32", "", (f, env) => {
  const a = f.let(f.param(1, "i64").get());
  const b = f.let(f.param(2, "i64").get());
  const c = f.param(3, "i32").get();
  const flags = new LazyFlags(f, {
    read: (name, type) => env.get(name, type),
    write: (name, value) => env.set(name, value),
  });
  const forms: (() => void)[] = [];
  for (let kind = 0; kind <= LAST_KIND; kind++) {
    const operation = operationOf(kind);
    forms.push(() => {
      if (kind === FLAG_KIND.triple) {
        env.set("flagResult", a);
        env.set("flagCarry", c);
        env.set("flagMisc", b.wrap());
      } else {
        if (operation === FLAG_KIND.inc || operation === FLAG_KIND.dec) env.set("flagCarry", c);
        if (kind === operation || kind >= 4) replay(flags, kind, a, b);
      }
    });
  }
  f.switch(f.param(0, "i32").get(), forms, () => f.unreachable());
});
