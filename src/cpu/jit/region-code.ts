/**
 * The function of one region while it is written: its locals, and the ways out of it.
 *
 *   loop dispatch            entry number → block
 *     block fault, leave     `info` says where and after how many instructions of the block
 *       block single         the interpreter's handler does the instruction at `target`
 *         block indirect     `target` is looked up; one of this region's entries goes round by `dispatch`
 *           block return     `target` is probably where the last call came from
 *             block enter    `target` is outside
 *               blocks …
 *
 * General registers, XMM registers and flags live in locals. What the region uses is loaded at its start, what it changes is
 * stored on every way out.
 */
import type { Half } from "../../isa/context.ts";
import {
  type Callable,
  type ExprOf,
  FunctionBuilder,
  type I32,
  type I64,
  i32,
  type Label,
  type Local,
  type ValType,
} from "../../wasm/index.ts";
import { CODE_MAP, CODE_PAGE, RECORD } from "../interpreter/record.ts";
import { ON_STACK } from "../interpreter/row-form.ts";
import {
  ARENA_BASE,
  CALL_STACK,
  CALL_STACK_SIZE,
  REGION_ENTRIES,
  REGION_EXITS,
  REGION_MAPS,
  REGION_MISSES,
  STATE_BASE,
} from "../memory-map.ts";
import { recordIn } from "../runtime/code-map.ts";
import type { CodeObserver, RuntimeEnv } from "../runtime/define.ts";
import { EXIT } from "../runtime/exits.ts";
import { codeTlbOffset } from "../runtime/tlb.ts";
import { GPR_NAMES, offsetOf } from "../state.ts";
import type { Instruction, RegionPage } from "./blocks.ts";
import type { RuntimeEffects } from "./effects.ts";
import { FLAG_KIND, type FlagLocals, RegionFlags } from "./region-flags.ts";

/** Bits of `info`: position (signed), instructions of the block that were done, access through SS. */
const INFO = { position: 20, count: 10, stack: 1 << 30 } as const;
/** Entry word of a record: entry number in the low bits, distance of its page plus a bias above. */
export const ENTRY_WORD = { numberBits: 8, bias: 128 } as const;
export const MAX_ENTRIES = 1 << ENTRY_WORD.numberBits;

/** Why a region is left often: for places that could be inside, by jumps to computed addresses, by accesses that miss the TLB. */
export const LEFT = { exit: 0, switch: 1, missed: 2 } as const;

/** An entry of the call stack: return address, i64; number of the entry, of the region, and of the page it is mapped at, i64. */
const CALL_SIZE = 16;

const HANDLER_PARAMS = ["i32", "i32"] as const;

/** Runtime functions, as the module that the region belongs to imports them. */
export interface RegionModule {
  fn(name: string): Callable;
  readonly effects: RuntimeEffects;
  readonly observer?: CodeObserver | undefined;
}

export interface RegionId {
  readonly slot: number;
  /** Different for every region that is made. */
  readonly number: number;
  /** Its accesses miss the TLB too often to leave it each time. */
  readonly tolerant: boolean;
}

export class RegionCode {
  readonly f: FunctionBuilder;
  readonly env: RuntimeEnv;
  readonly flags: RegionFlags;
  readonly effects: RuntimeEffects;
  readonly tlb: Local<"i32">;
  readonly in64: boolean;
  readonly #module: RegionModule;
  readonly #slot: number;
  /** Accesses that miss the TLB come back. */
  readonly tolerant: boolean;
  /** What tells it from all other regions, in 24 bits. */
  readonly #number: number;
  readonly #pages: readonly RegionPage[];
  /** Whether any instruction has to do with flags. */
  readonly #usesFlags: boolean;
  readonly #registers: (Local<"i64"> | undefined)[] = [];
  readonly #written: boolean[] = [];
  readonly #vectors: (Local<"v128"> | undefined)[] = [];
  readonly #vectorsWritten: boolean[] = [];
  readonly #assumed = new Set<string>();
  readonly #flagLocals: FlagLocals;
  readonly #base: Local<"i64">;
  readonly #target: Local<"i64">;
  /** Where and how far a block ends that faults or leaves; on other ways out 1 where they are counted. */
  readonly #info: Local<"i32">;
  /** Address of the record's pointer of a static target. */
  readonly #record: Local<"i32">;
  readonly entry: Local<"i32">;
  readonly #callTop: Local<"i32">;
  /** Not 0 where a store of this instruction left something for the run loop; 0 at the start of every instruction. */
  readonly late: Local<"i32">;
  #labels: Record<"fault" | "leave" | "single" | "indirect" | "return" | "enter" | "dispatch", Label> | undefined;
  #tlbUsed = false;
  /** Instructions of the present block that are done. */
  done = 0;

  constructor(
    name: string,
    module: RegionModule,
    id: RegionId,
    pages: readonly RegionPage[],
    in64: boolean,
    usesFlags: boolean,
  ) {
    const f = new FunctionBuilder(name, 0, { params: HANDLER_PARAMS, results: ["i32"] });
    this.f = f;
    this.#module = module;
    this.effects = module.effects;
    this.#slot = id.slot;
    this.tolerant = id.tolerant;
    this.#number = id.number & 0xff_ffff;
    this.#pages = pages;
    this.in64 = in64;
    this.#usesFlags = usesFlags;
    this.tlb = f.local("i32");
    this.#base = f.local("i64");
    this.#target = f.local("i64");
    this.#info = f.local("i32");
    this.#record = f.local("i32");
    this.entry = f.local("i32");
    this.late = f.local("i32");
    this.#callTop = f.local("i32");
    this.#flagLocals = { a: f.local("i64"), b: f.local("i64"), c: f.local("i32"), kind: f.local("i32") };
    this.flags = new RegionFlags(f, this.#flagLocals);
    this.env = {
      get: (field, type) => this.#get(field, type),
      set: (field, value) => this.#set(field, value),
      address: (field) => STATE_BASE + offsetOf(field),
      fn: (callee) => module.fn(callee),
      observer: module.observer,
    };
  }

  // ---- state

  register(number: number): Local<"i64"> {
    return (this.#registers[number] ??= this.f.local("i64"));
  }
  setRegister(number: number, value: I64): void {
    this.#written[number] = true;
    this.register(number).set(value);
  }
  /** One half of a vector register. */
  vector(number: number, half: Half = 0): Local<"v128"> {
    return (this.#vectors[number * 2 + half] ??= this.f.local("v128"));
  }
  setVector(number: number, value: ExprOf<"v128">, half: Half = 0): void {
    this.#vectorsWritten[number * 2 + half] = true;
    this.vector(number, half).set(value);
  }
  /** The region is only entered while this state field is zero. */
  assume(field: string): void {
    this.#assumed.add(field);
  }
  /** Linear address of a position. */
  linear(pos: number): I64 {
    const at = (this.#base.get() as I64).add(pos);
    return this.in64 ? at : at.and(0xffff_ffff);
  }
  contains(pos: number): boolean {
    return this.#pageOf(pos) !== undefined;
  }
  #pageOf(pos: number): RegionPage | undefined {
    const distance = Math.floor(pos / 4096);
    return this.#pages.find((page) => page.distance === distance);
  }
  get budget(): Local<"i32"> {
    return this.f.param(1, "i32");
  }

  #get<T extends ValType = "i32">(field: string, type?: T): ExprOf<T> {
    const number = GPR_NAMES.indexOf(field);
    if (number >= 0) return this.f.let(this.register(number).get()) as unknown as ExprOf<T>;
    return this.f.load(`${(type ?? "i32") as "i32" | "i64"}.load`, i32(0), STATE_BASE + offsetOf(field)) as never;
  }
  #set(field: string, value: ExprOf<ValType>): void {
    const number = GPR_NAMES.indexOf(field);
    if (number >= 0) {
      this.setRegister(number, value as I64);
      return;
    }
    this.f.store(`${value.type as "i32" | "i64"}.store`, i32(0), value, STATE_BASE + offsetOf(field));
  }

  loadTlb(): void {
    this.#tlbUsed = true;
    this.tlb.set(this.#get("dataTlb"));
  }
  /** The flags into the state, for a runtime function. */
  storeFlags(): void {
    this.flags.leaveWith();
    this.#settleFlags();
  }
  /** Flags into the state as everybody knows them. */
  #settleFlags(): void {
    const { a, b, c, kind } = this.#flagLocals;
    if (!this.#usesFlags) {
      this.f.call(this.#module.fn("settle_flags"));
      return;
    }
    this.#set("flagKind", i32(FLAG_KIND.triple));
    this.f.if(
      kind.get(),
      () => this.f.call(this.#module.fn("store_flags"), kind.get(), a.get(), b.get(), c.get()),
      () => {
        this.#set("flagResult", a.get());
        this.#set("flagCarry", c.get());
        this.#set("flagMisc", (b.get() as I64).wrap());
      },
    );
  }
  /** Flags into the state in the form they have, for the next region. */
  #handFlagsOn(): void {
    if (!this.#usesFlags) return;
    const { a, b, c, kind } = this.#flagLocals;
    this.#set("flagResult", a.get());
    this.f.store("i64.store", i32(0), b.get(), STATE_BASE + offsetOf("flagMisc"));
    this.#set("flagCarry", c.get());
    this.#set("flagKind", kind.get());
  }
  loadFlags(): void {
    this.#takeFlags();
    this.flags.reloaded();
  }
  #takeFlags(): void {
    const { a, b, c } = this.#flagLocals;
    a.set(this.#get("flagResult", "i64"));
    b.set(this.f.loadExpr("i64.load", i32(0), STATE_BASE + offsetOf("flagMisc")));
    c.set(this.#get("flagCarry"));
  }

  // ---- ways out, from inside a block

  #note(insn: Instruction, pos: number, done: number): void {
    const stack = throughStack(insn) ? INFO.stack : 0;
    this.flags.leaveWith();
    this.#info.set(i32((pos & ((1 << INFO.position) - 1)) | (done << INFO.position) | stack));
  }
  fault(insn: Instruction): void {
    this.#note(insn, insn.pos, this.done);
    this.f.br(this.#labels!.fault);
  }
  /** To the run loop, in front of the instruction at `pos`; `more` instructions are done beside those of the block so far. */
  leave(insn: Instruction, pos: number, more: number): void {
    this.#note(insn, pos, this.done + more);
    this.f.br(this.#labels!.leave);
  }
  /** To a position outside. The block's instructions have been taken from the budget. `counts`: it could be inside as well. */
  exit(pos: number, counts: boolean): void {
    this.flags.leaveWith();
    this.#info.set(i32(counts ? 1 : 0));
    this.#aim(pos);
    this.f.br(this.#labels!.enter);
  }
  /** To the interpreter's handler of an instruction, for that one. */
  handOver(insn: Instruction): void {
    this.flags.leaveWith();
    this.#info.set(i32(this.done));
    this.#aim(insn.pos);
    this.f.br(this.#labels!.single);
  }
  #aim(pos: number): void {
    this.#target.set(this.linear(pos));
    const page = this.#pageOf(pos);
    // Where the record of the target is found, if it has one; address 0 holds none.
    if (!page) {
      this.#record.set(i32(0));
      return;
    }
    const offset = pos - page.distance * 4096;
    const part = Math.floor(offset / CODE_MAP.covers);
    const map = this.f.loadExpr("i32.load", i32(page.codePage + part * 4), CODE_PAGE.maps) as I32;
    this.#record.set(map.add((offset % CODE_MAP.covers) * 4));
  }
  /** To an address that is not known. */
  indirect(target: I64, isSwitch: boolean): void {
    this.flags.leaveWith();
    this.#target.set(target);
    this.#info.set(i32(isSwitch ? 1 : 0));
    this.f.br(this.#labels!.indirect);
  }
  /** To an address that is not known, but probably is where the last call came from. */
  return(target: I64): void {
    this.flags.leaveWith();
    this.#target.set(target);
    this.#info.set(i32(0));
    this.f.br(this.#labels!.return);
  }
  /** A call within the region, whose return leads to one of its entries. */
  noteCall(next: number, entry: number): void {
    const { f } = this;
    const top = this.#callTop.get() as I32;
    f.store("i64.store", top, this.linear(next), CALL_STACK);
    f.store("i64.store", top, this.#mapping().shl(8).or(entry), CALL_STACK + 8);
    this.#callTop.set(top.add(CALL_SIZE).and(CALL_STACK_SIZE - 1));
  }
  /** To an entry of this region, by its number. */
  dispatch(entry: number): void {
    this.entry.set(i32(entry));
    this.f.br(this.#labels!.dispatch);
  }
  retire(count: number): void {
    if (count > 0) this.budget.set((this.budget.get() as I32).sub(count));
  }

  // ---- the whole function

  /**
   * Writes the frame around the blocks. `body` writes all blocks, with `dispatch` as the loop around them. `many`: there
   * are several entries. `needsTriple`: some of them want flags in the form of the state.
   */
  frame(many: boolean, needsTriple: boolean, body: () => void): void {
    const { f } = this;
    f.loop((dispatch) => {
      f.block((fault) => {
        f.block((leave) => {
          f.block((single) => {
            f.block((indirect) => {
              f.block((back) => {
                f.block((enter) => {
                  this.#labels = { fault, leave, single, indirect, return: back, enter, dispatch };
                  body();
                  f.unreachable();
                });
                this.#writeExit();
              });
              if (many) this.#writeReturn(needsTriple);
            });
            this.#writeIndirect(many, needsTriple);
          });
          this.#writeHandOver();
        });
        this.#writeEnd(EXIT.leave);
      });
      const stackFault = (this.#info.get() as I32).and(INFO.stack);
      f.call(this.#module.fn("settle_fault"), stackFault);
      this.#writeEnd(EXIT.fault);
    });
    f.unreachable();
    f.prepend(() => this.#prologue(many, needsTriple));
  }

  #writeEnd(code: number): void {
    const { f } = this;
    this.#spill();
    this.#settleFlags();
    const info = this.#info.get() as I32;
    const shift = 32 - INFO.position;
    const pos = info.shl(shift).shrS(shift).extendS();
    const rip = (this.#base.get() as I64).add(pos);
    this.#set("rip", this.in64 ? rip : rip.and(0xffff_ffff));
    const done = info.shrU(INFO.position).and((1 << INFO.count) - 1);
    const left = (this.budget.get() as I32).sub(done);
    this.#set("budget", left);
    this.env.observer?.regionLeft(f, left);
    if (code === EXIT.fault) f.returnCall(this.#module.fn("take_fault"), this.#get("budget"));
    else f.return(i32(code));
  }

  #writeExit(): void {
    const { f } = this;
    const target = this.#target.get() as I64;
    const budget = this.budget.get() as I32;
    const record = f.load("i32.load", this.#record.get() as I32);
    this.#spill();
    this.#countExit(LEFT.exit);
    f.if(budget.gtS(this.#get("attention")).and(record.nez()), () => {
      this.#handFlagsOn();
      this.#set("ripPage", target.and(-4096));
      f.returnCall(this.#module.fn("dispatch"), record, budget);
    });
    this.#settleFlags();
    f.returnCall(this.#module.fn("enter"), target, budget);
  }

  #writeHandOver(): void {
    const { f } = this;
    const target = this.#target.get() as I64;
    const record = f.load("i32.load", this.#record.get() as I32);
    this.budget.set((this.budget.get() as I32).sub(this.#info.get() as I32));
    const budget = this.budget.get() as I32;
    this.#spill();
    this.#settleFlags();
    this.#countDown(REGION_MISSES, LEFT.missed);
    this.#set("ripPage", target.and(-4096));
    f.returnCall(this.#module.fn("dispatch_single"), record, budget);
  }

  /** The frequent way of `enter`: the page is in the code TLB, the byte has a record, nothing waits. */
  #writeIndirect(many: boolean, needsTriple: boolean): void {
    const { f } = this;
    const target = this.#target.get() as I64;
    const low = f.let(target.wrap());
    const tlbEntry = f.let(codeTlbOffset(low).add(this.#get("codeTlb")));
    const page = f.let(target.and(-4096));
    const budget = this.budget.get() as I32;
    const ready = budget.gtS(this.#get("attention"));
    f.if(f.loadExpr("i64.load", tlbEntry, 0).eq(page).and(ready), () => {
      const record = recordIn(f, f.loadExpr("i32.load", tlbEntry, 8) as I32, low);
      f.if(record, () => {
        if (many) {
          f.if(f.loadExpr("i32.load16_u", record, RECORD.handler).eq(this.#slot), () => {
            const word = this.#entryWord(record);
            f.if(this.#baseOf(page, word).eq(this.#base.get() as I64), () => {
              this.entry.set(word.and(MAX_ENTRIES - 1));
              this.#round(needsTriple);
            });
          });
        }
        this.#set("ripPage", page);
        this.#spill();
        this.#handFlagsOn();
        this.#countExit(LEFT.switch);
        f.returnCall(this.#module.fn("dispatch"), record, budget);
      });
    });
    this.#spill();
    this.#settleFlags();
    f.returnCall(this.#module.fn("enter"), target, budget);
  }
  /** Counts the ways out, so that a region that is left often can be made anew with more in it. */
  #countExit(why: number): void {
    this.f.if(this.#info.get() as I32, () => this.#countDown(REGION_EXITS, why));
  }
  #countDown(counts: number, why: number): void {
    const { f } = this;
    const at = counts + this.#slot * 4;
    const left = f.let(f.loadExpr("i32.load", i32(0), at).sub(1));
    f.store("i32.store", i32(0), left, at);
    f.if(left.eqz(), () => {
      this.#set("scratch0", this.#target.get());
      this.#set("budget", this.budget.get());
      f.call(this.#module.fn("left_often"), i32(this.#slot), i32(why));
    });
  }

  /** To the entry that `entry` names. */
  #round(needsTriple: boolean): void {
    if (needsTriple) this.#toTriple();
    this.f.br(this.#labels!.dispatch);
  }
  #toTriple(): void {
    this.f.if(this.#flagLocals.kind.get(), () => {
      this.#settleFlags();
      this.#takeFlags();
      this.#flagLocals.kind.set(i32(FLAG_KIND.triple));
    });
  }

  /** A return to the last call of this region that is still open needs no look at any table. */
  #writeReturn(needsTriple: boolean): void {
    const { f } = this;
    const top = f.let((this.#callTop.get() as I32).sub(CALL_SIZE).and(CALL_STACK_SIZE - 1));
    this.#callTop.set(top);
    const word = f.load("i64.load", top, CALL_STACK + 8);
    const expected = f
      .loadExpr("i64.load", top, CALL_STACK)
      .eq(this.#target.get() as I64)
      .and(word.shrU(8).eq(this.#mapping()));
    f.if(expected.and((this.budget.get() as I32).gtS(this.#get("attention"))), () => {
      this.entry.set(word.wrap().and(MAX_ENTRIES - 1));
      this.#round(needsTriple);
    });
  }

  /** The region and where it is mapped: an entry of the call stack means something to the same region in the same place only. */
  #mapping(): I64 {
    return (this.#base.get() as I64).shl(20).shrU(8).or(this.#number);
  }

  #entryWord(record: I32): I32 {
    return this.f.load("i32.load16_u", record.sub(ARENA_BASE).shrU(4), REGION_ENTRIES);
  }
  /** Where the root's page lies, when the page of an entry with this word lies at `page`. */
  #baseOf(page: I64, word: I32): I64 {
    return page.sub(word.shrU(ENTRY_WORD.numberBits).sub(ENTRY_WORD.bias).extendS().shl(12));
  }

  #spill(): void {
    this.env.observer?.regionLeft(this.f, this.budget.get() as I32);
    this.#registers.forEach((local, n) => {
      if (local && this.#written[n])
        this.f.store("i64.store", i32(0), local.get(), STATE_BASE + offsetOf("rax") + n * 8);
    });
    this.#vectors.forEach((local, n) => {
      if (local && this.#vectorsWritten[n]) {
        this.f.store("v128.store", i32(0), local.get(), STATE_BASE + offsetOf("ymm0") + n * 16);
      }
    });
  }

  /** In front of everything: may the region be entered, and where; then its registers. */
  #prologue(many: boolean, needsTriple: boolean): void {
    const { f } = this;
    const record = f.param(0, "i32").get() as I32;
    const instead = () => f.returnCall(this.#module.fn("dispatch_single"), record, this.budget.get());
    const page = this.#get("ripPage", "i64");
    if (many) {
      const word = this.#entryWord(record);
      this.entry.set(word.and(MAX_ENTRIES - 1));
      this.#base.set(this.#baseOf(page, word));
    } else this.#base.set(page);
    for (const field of this.#assumed) f.if(this.#get(field), instead);
    if (!this.in64) f.if(f.callFor("i32", this.#module.fn("flat_segments")).eqz(), instead);
    if (this.#pages.length > 1) this.#checkPages(many, instead);
    if (this.#tlbUsed) this.loadTlb();
    this.env.observer?.regionEntered(f, this.budget.get() as I32);
    this.#set("visitBudget", this.budget.get());
    this.#registers.forEach((local, n) => {
      local?.set(f.loadExpr("i64.load", i32(0), STATE_BASE + offsetOf("rax") + n * 8));
    });
    this.#vectors.forEach((local, n) => {
      local?.set(f.loadExpr("v128.load", i32(0), STATE_BASE + offsetOf("ymm0") + n * 16));
    });
    if (!this.#usesFlags) return;
    this.#takeFlags();
    this.#flagLocals.kind.set(this.#get("flagKind"));
    if (needsTriple) this.#toTriple();
  }

  /** Are all pages still where they were? As long as `codeMap` is the same, those that were are. */
  #checkPages(many: boolean, instead: () => void): void {
    const { f } = this;
    const cell = REGION_MAPS + this.#slot * 16;
    const map = this.#get("codeMap");
    const base = this.#base.get() as I64;
    const same = f
      .loadExpr("i32.load", i32(0), cell)
      .eq(map)
      .and(f.loadExpr("i64.load", i32(0), cell + 8).eq(base));
    f.if(same.eqz(), () => {
      for (const { distance, codePage } of this.#pages) {
        if (distance === 0 && !many) continue;
        const linear = f.let(this.linear(distance * 4096));
        const entry = f.let(codeTlbOffset(linear.wrap()).add(this.#get("codeTlb")));
        const wrong = f
          .loadExpr("i64.load", entry, 0)
          .ne(linear)
          .or(f.loadExpr("i32.load", entry, 8).ne(codePage));
        f.if(wrong, instead);
      }
      f.store("i32.store", i32(0), map, cell);
      f.store("i64.store", i32(0), base, cell + 8);
    });
  }

  useTlb(): Local<"i32"> {
    this.#tlbUsed = true;
    return this.tlb;
  }
}

const SS = 2;
const throughStack = ({ d, row }: Instruction): boolean =>
  (ON_STACK.has(row.mnemonic) && !d.isMemory ? SS : d.segment) === SS;
