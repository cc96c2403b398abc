/**
 * Generates the interpreter: one WebAssembly module with all runtime functions and one handler for every variant of
 * every row; and another with the handlers of further rows, for the models that have them.
 */
import type { ConditionCode } from "../../isa/context.ts";
import type { Row } from "../../isa/row.ts";
import {
  type Callable,
  FunctionBuilder,
  type IndirectType,
  i32,
  ModuleBuilder,
  type Signature,
  type ValType,
} from "../../wasm/index.ts";
import type { Addressing, Variant } from "../instruction-writer.ts";
import { settleFlags, storeFlags } from "../jit/region-flags.ts";
import { MAX_PAGES, STATE_BASE } from "../memory-map.ts";
import { ACCESS_FUNCTIONS } from "../runtime/access.ts";
import { CONTROL_FUNCTIONS, controlFunctions, SPECIAL_HANDLERS } from "../runtime/control.ts";
import { DEBUG_FUNCTIONS } from "../runtime/debug.ts";
import type { CodeObserver, RuntimeEnv, RuntimeFunction } from "../runtime/define.ts";
import { IMPORTS } from "../runtime/imports.ts";
import { PAGING_FUNCTIONS } from "../runtime/paging.ts";
import { TRANSLATION_FUNCTIONS } from "../runtime/translations.ts";
import { TRAP_FUNCTIONS } from "../runtime/traps.ts";
import { fieldOf, offsetOf } from "../state.ts";
import { Handler, type HandlerEnv } from "./handler.ts";
import { mayBeMemory } from "./operand.ts";
import { conditionOf, hasFlagless, isBranch, isSwitch, pairsWith } from "./pairs.ts";

/** Which table slot holds the handler of which variant. */
export interface HandlerTable {
  readonly slots: Slots;
  /** The first slot of further rows. */
  readonly first: number;
  readonly size: number;
}

const SIZES = [16, 32, 64] as const;
const REPS = ["none", "rep", "repne"] as const;
const ADDRESSINGS: readonly Addressing[] = ["none", "base", "full", "checked"];

/** The slots of a row's variants. */
class RowSlots {
  readonly #slots: number[] = [];
  readonly #bySize: boolean;
  readonly #byAddressSize: boolean;
  readonly #byMode: boolean;
  readonly #byRep: boolean;

  constructor({ sized, attributes }: Row) {
    this.#bySize = sized;
    this.#byAddressSize = attributes.has("asize");
    this.#byMode = attributes.has("mode");
    this.#byRep = attributes.has("rep");
  }
  add(v: Variant, slot: number): void {
    this.#slots[this.#key(v)] = slot;
  }
  find(v: Omit<Variant, "row">): number | undefined {
    return this.#slots[this.#key(v)];
  }
  /** Numbers a variant; dimensions the row does not depend on are left out. */
  #key({ size, addressSize, mode64, rep, addressing }: Omit<Variant, "row">): number {
    const bySize = this.#bySize ? SIZES.indexOf(size) : 0;
    const byAddressSize = this.#byAddressSize ? SIZES.indexOf(addressSize) : 0;
    const byMode = this.#byMode && mode64 ? 1 : 0;
    const byRep = this.#byRep ? REPS.indexOf(rep) : 0;
    return (((bySize * 3 + byAddressSize) * 2 + byMode) * 3 + byRep) * 4 + ADDRESSINGS.indexOf(addressing);
  }
}

/** A pair of handlers that run as one. */
export interface Pair {
  readonly first: Variant;
  readonly second: Variant;
}

export class Slots {
  readonly #rows: RowSlots[] = [];
  /** By slot: condition of a branch in 64-bit mode. */
  readonly #branches: ConditionCode[] = [];
  readonly #pairs = new Map<number, number>();
  readonly #switches = new Set<number>();
  readonly pairs: Pair[] = [];
  readonly #flagless: number[] = [];
  readonly flagless: Variant[] = [];
  readonly #variants: Variant[] = [];
  readonly #pairOf: Pair[] = [];

  add(v: Variant, slot: number): void {
    this.#variants[slot] = v;
    const row = (this.#rows[v.row.id] ??= new RowSlots(v.row));
    row.add(v, slot);
    if (isSwitch(v.row)) this.#switches.add(slot);
    if (isBranch(v.row) && v.mode64) this.#branches[slot] = conditionOf(v.row);
  }
  /** Is the handler in this slot that of a jump to a computed address? */
  isSwitch(slot: number): boolean {
    return this.#switches.has(slot);
  }
  addPair(first: number, pair: Pair, slot: number): void {
    this.#pairs.set(first * 16 + conditionOf(pair.second.row), slot);
    this.pairs.push(pair);
    this.#pairOf[slot] = pair;
  }
  /** What the handler in a slot executes, if it is that of one instruction, flags and all. */
  variant(slot: number): Variant | undefined {
    return this.#variants[slot];
  }
  /** The two instructions that the handler in a slot executes, if it is a pair's. */
  pairIn(slot: number): Pair | undefined {
    return this.#pairOf[slot];
  }
  addFlagless(whole: number, variant: Variant, slot: number): void {
    this.#flagless[whole] = slot;
    this.flagless.push(variant);
  }
  /** Slot of the handler that does the same as handler `slot` but leaves the flags alone, if there is one. */
  withoutFlags(slot: number): number | undefined {
    return this.#flagless[slot];
  }
  /** Slot of the handler for two instructions whose own handlers are these, if there is one. */
  pair(first: number, second: number): number | undefined {
    const condition = this.#branches[second];
    return condition === undefined ? undefined : this.#pairs.get(first * 16 + condition);
  }
  find(row: Row, v: Omit<Variant, "row">): number {
    const slot = this.#rows[row.id]?.find(v);
    if (slot === undefined) throw new Error(`no handler for ${row.mnemonic} ${row.encoding} ${JSON.stringify(v)}`);
    return slot;
  }
}

const ONLY_MEMORY = new Set(["mem", "farmem", "moffs", "vsib"]);

/** All the ways a row can be executed. */
function variantsOf(row: Row): readonly Variant[] {
  const variants: Variant[] = [];
  const { attributes } = row;
  const only64 = attributes.has("o64");
  const never64 = attributes.has("i64");
  const hasMemory = row.operands.some(mayBeMemory);
  const onlyMemory = row.operands.some((o) => ONLY_MEMORY.has(o.kind));
  // VSIB always has an index.
  const withIndex = row.operands.some((o) => o.kind === "vsib");
  const modes = attributes.has("mode") ? [...(never64 ? [] : [true]), ...(only64 ? [] : [false])] : [undefined];
  for (const mode64 of modes) {
    const addressings: Addressing[] = [];
    if (!onlyMemory) addressings.push("none");
    if (hasMemory) {
      if (mode64 !== false && !never64) addressings.push(...(withIndex ? [] : ["base" as const]), "full");
      addressings.push("checked");
    }
    for (const size of row.sized ? SIZES : ([32] as const)) {
      if (size === 64 && (never64 || mode64 === false)) continue;
      if (size === 32 && mode64 === true && attributes.has("f64")) continue;
      if (size === 16 && mode64 === true && attributes.has("f64")) continue;
      const byAddress = attributes.has("asize");
      for (const addressSize of byAddress ? SIZES : ([64] as const)) {
        if (byAddress && addressSize === 64 && (never64 || mode64 === false)) continue;
        if (byAddress && addressSize === 16 && (only64 || mode64 === true)) continue;
        for (const rep of attributes.has("rep") ? REPS : (["none"] as const)) {
          for (const addressing of addressings) variants.push({ row, size, addressSize, mode64, rep, addressing });
        }
      }
    }
  }
  return variants;
}
/** (record, budget) → exit code. */
export const HANDLER: Signature = { params: ["i32", "i32"], results: ["i32"] };

const nameOf = ({ row, size, addressing }: Variant): string =>
  `${row.mnemonic} ${row.operands.map((o) => o.text).join(",")} ${size}${addressing[0]}`;

/**
 * Numbers every variant of every row; the rows get their ids here. Handlers that are no instructions come first, those of
 * `further` rows last.
 */
export function numberHandlers(rows: readonly Row[], further: readonly Row[] = []): HandlerTable {
  const slots = new Slots();
  const variants: Variant[] = [];
  let next = SPECIAL_HANDLERS.length;
  [...rows, ...further].forEach((row, id) => {
    row.id = id;
  });
  for (const row of rows) {
    for (const variant of variantsOf(row)) {
      slots.add(variant, next++);
      variants.push(variant);
    }
  }
  const branches = new Map(
    variants.filter((v) => isBranch(v.row) && v.mode64 && v.row.map === 0).map((v) => [conditionOf(v.row), v]),
  );
  variants.forEach((first, i) => {
    for (const condition of pairsWith(first)) {
      const second = branches.get(condition);
      if (second) slots.addPair(SPECIAL_HANDLERS.length + i, { first, second }, next++);
    }
  });
  variants.forEach((variant, i) => {
    if (hasFlagless(variant)) slots.addFlagless(SPECIAL_HANDLERS.length + i, variant, next++);
  });
  const first = next;
  for (const row of further) for (const variant of variantsOf(row)) slots.add(variant, next++);
  return { slots, first, size: next };
}

/** All runtime functions; `extra` are those that instruction families bring along. */
export function runtimeFunctions(handlerType: IndirectType, extra: readonly RuntimeFunction[]): RuntimeFunction[] {
  return [
    ...PAGING_FUNCTIONS,
    ...TRANSLATION_FUNCTIONS,
    ...DEBUG_FUNCTIONS,
    ...ACCESS_FUNCTIONS,
    ...CONTROL_FUNCTIONS,
    ...TRAP_FUNCTIONS,
    ...controlFunctions(handlerType),
    storeFlags,
    settleFlags,
    ...extra,
  ];
}

/**
 * The module, its handlers in the order of numberHandlers. `extra` are the runtime functions that instruction families
 * bring along.
 */
export function buildInterpreter(
  rows: readonly Row[],
  extra: readonly RuntimeFunction[],
  observer?: CodeObserver,
): Uint8Array {
  const module = new ModuleBuilder({ initial: 1, maximum: MAX_PAGES, shared: true });
  const byName = new Map<string, Callable>();
  for (const row of IMPORTS) byName.set(row.name, module.import("host", row.name, row));
  const handlerType = module.indirect(HANDLER);
  const runtimes = runtimeFunctions(handlerType, extra);
  const declared = runtimes.map((r) => {
    if (byName.has(r.name)) throw new Error(`runtime function ${r.name} is declared twice`);
    const f = module.func(r.name, r);
    byName.set(r.name, f);
    return f;
  });
  const envFor = (f: FunctionBuilder): HandlerEnv => ({ ...environment(f, byName), handlerType, observer });
  runtimes.forEach((r, i) => {
    const f = declared[i]!;
    r.build(f, envFor(f));
    if (r.results.length > 0) f.unreachable();
  });
  for (const { name } of runtimes) module.export(name, byName.get(name)!);
  // Compiled code imports these instead of what they call: V8 makes a wrapper for each JavaScript function that a module imports, which
  // takes longer than all the rest of the module.
  for (const row of IMPORTS) {
    const f = module.func(`call ${row.name}`, row);
    const operands = row.params.map((type, i) => f.param(i, type).get());
    f.returnCall(byName.get(row.name)!, ...operands);
    f.unreachable();
    module.export(row.name, f);
  }

  const handlers: Callable[] = SPECIAL_HANDLERS.map((name) => byName.get(`handler_${name}`)!);
  handlers.push(...writeHandlers(module, envFor, rows));
  const { pairs, flagless } = numberHandlers(rows).slots;
  for (const { first, second } of pairs) {
    const f = module.func(`${nameOf(first)} + ${second.row.mnemonic}`, HANDLER);
    Handler.writePair(f, envFor(f), first, second);
    f.unreachable();
    handlers.push(f);
  }
  for (const variant of flagless) {
    const f = module.func(`${nameOf(variant)} flagless`, HANDLER);
    Handler.writeFlagless(f, envFor(f), variant);
    f.unreachable();
    handlers.push(f);
  }
  module.importTable({ initial: handlers.length });
  module.elements(0, handlers);
  return module.encode();
}

/** Writes a handler for every variant of every row, in their order. */
function writeHandlers(
  module: ModuleBuilder,
  envFor: (f: FunctionBuilder) => HandlerEnv,
  rows: readonly Row[],
): FunctionBuilder[] {
  return rows.flatMap((row) =>
    variantsOf(row).map((variant) => {
      const name = nameOf(variant);
      let f: FunctionBuilder;
      try {
        f = Handler.write(() => new FunctionBuilder(name, module.nextIndex, HANDLER), envFor, variant);
      } catch (cause) {
        throw new Error(`${name} (${row.encoding}): ${(cause as Error).message}`, { cause });
      }
      f.unreachable();
      module.append(f);
      return f;
    }),
  );
}

/** The module with the handlers of further rows, from slot `first` on. It imports the runtime functions from the other, as `engine`. */
export function buildFurther(
  rows: readonly Row[],
  first: number,
  extra: readonly RuntimeFunction[],
  observer?: CodeObserver,
): Uint8Array {
  const module = new ModuleBuilder({ initial: 1, maximum: MAX_PAGES, shared: true });
  const byName = new Map<string, Callable>();
  const handlerType = module.indirect(HANDLER);
  for (const row of IMPORTS) byName.set(row.name, module.import("host", row.name, row));
  for (const r of runtimeFunctions(handlerType, extra)) byName.set(r.name, module.import("engine", r.name, r));
  const handlers = writeHandlers(module, (f) => ({ ...environment(f, byName), handlerType, observer }), rows);
  module.importTable({ initial: first + handlers.length });
  module.elements(first, handlers);
  return module.encode();
}

function environment(f: FunctionBuilder, byName: ReadonlyMap<string, Callable>): RuntimeEnv {
  return {
    get: <T extends ValType = "i32">(name: string, type?: T) => {
      const found = fieldOf(name);
      const wanted = type ?? "i32";
      if (found.type !== wanted) throw new Error(`field ${name} is ${found.type}, not ${wanted}`);
      return f.load(`${wanted as "i32" | "i64"}.load`, i32(0), STATE_BASE + found.offset) as never;
    },
    set: (name, value) => {
      const found = fieldOf(name);
      if (found.type !== value.type) throw new Error(`field ${name} is ${found.type}, not ${value.type}`);
      f.store(`${value.type as "i32" | "i64"}.store`, i32(0), value, STATE_BASE + found.offset);
    },
    address: (name) => STATE_BASE + offsetOf(name),
    fn: (name) => {
      const found = byName.get(name);
      if (!found) throw new Error(`no runtime function ${name}`);
      return found;
    },
  };
}
