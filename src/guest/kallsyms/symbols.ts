/**
 * The symbol table of a kernel and its modules, over what kallsyms holds.
 *
 * An address with several names is shown under the last of them in the table's order, whether global, local or weak: so perf does with
 * a kallsyms file (observed with perf 6.1 on all 148 such addresses of Debian's 6.1 and 6.12), and reports shall agree.
 */
import { type Gva, gva } from "../../base/index.ts";
import type { KernelSymbol, SymbolTable } from "../kernel.ts";
import type { KallsymsTables } from "./tables.ts";

/** Text, as nm has it: global, local, weak. */
const TEXT_TYPES = new Uint8Array(256);
for (const type of "TtWw") TEXT_TYPES[type.charCodeAt(0)] = 1;
/** The sections that code runs in: between these symbols. The second is gone once the kernel has started. */
const TEXT_SECTIONS = [
  ["_text", "_etext"],
  ["_stext", "_etext"],
  ["_sinittext", "_einittext"],
] as const;

export interface AddressRange {
  readonly start: Gva;
  /** Behind the last byte. */
  readonly end: Gva;
}

/** What a module brings to the table. */
export interface ModuleSymbols {
  readonly name: string;
  /** Where its code lies. */
  readonly text: readonly AddressRange[];
  /** In the module's order. */
  readonly symbols: readonly KernelSymbol[];
}

const isText = (type: string): boolean => TEXT_TYPES[type.charCodeAt(0)] === 1;

export class KernelSymbols implements SymbolTable {
  readonly tables: KallsymsTables;
  /** Text symbols of the kernel by address, and what each is in the tables. */
  readonly #text: Float64Array;
  readonly #textIndex: Uint32Array;
  readonly #sections: readonly AddressRange[];
  #modules: readonly LoadedModule[] = [];
  readonly #moduleNames = new Map<string, Gva>();
  readonly #added = new Map<string, Gva>();

  constructor(tables: KallsymsTables) {
    this.tables = tables;
    const { names, addresses } = tables;
    this.#sections = TEXT_SECTIONS.flatMap(([from, to]) => {
      const start = this.address(from);
      const end = this.address(to);
      return start !== undefined && end !== undefined && start < end ? [{ start, end }] : [];
    });
    const indices = new Uint32Array(names.count);
    let count = 0;
    let sorted = true;
    for (let i = 0; i < names.count; i++) {
      if (TEXT_TYPES[names.typeCode(i)] !== 1) continue;
      const address = addresses[i]!;
      // Per-CPU symbols are small numbers.
      if (address >= 0) continue;
      if (count > 0 && address < addresses[indices[count - 1]!]!) sorted = false;
      indices[count++] = i;
    }
    this.#textIndex = indices.subarray(0, count);
    if (!sorted) this.#textIndex.sort((a, b) => addresses[a]! - addresses[b]! || a - b);
    this.#text = new Float64Array(count);
    for (let i = 0; i < count; i++) this.#text[i] = addresses[this.#textIndex[i]!]!;
  }

  /** From `_text` (or `_stext`) to `_etext`. */
  get text(): AddressRange {
    return this.#sections[0]!;
  }

  get modules(): readonly ModuleSymbols[] {
    return this.#modules.map(({ module }) => module);
  }
  set modules(modules: readonly ModuleSymbols[]) {
    this.#modules = modules.map((module) => new LoadedModule(module));
    this.#moduleNames.clear();
    for (const { symbols } of modules) {
      for (const { name, start } of symbols) if (!this.#moduleNames.has(name)) this.#moduleNames.set(name, start);
    }
  }

  /** Adds a symbol that kallsyms leaves out and that was found in another way. */
  add(name: string, address: Gva): void {
    this.#added.set(name, address);
  }

  address(name: string): Gva | undefined {
    const { names, addresses } = this.tables;
    const index = names.indexOf(name);
    return index >= 0 ? gva(addresses[index]!) : (this.#added.get(name) ?? this.#moduleNames.get(name));
  }

  find(at: Gva): KernelSymbol | undefined {
    const section = this.#sections.find(({ start, end }) => at >= start && at < end);
    if (!section) {
      for (const module of this.#modules) {
        const found = module.find(at);
        if (found) return found;
      }
      return undefined;
    }
    const last = lastUpTo(this.#text, at);
    if (last < 0 || this.#text[last]! < section.start) return undefined;
    const { names } = this.tables;
    const index = this.#textIndex[last]!;
    return {
      name: names.name(index),
      type: names.type(index),
      start: gva(this.#text[last]!),
      end: gva(Math.min(section.end, this.#text[last + 1] ?? section.end)),
    };
  }

  /** All symbols in the order of /proc/kallsyms: the kernel's, then module by module. */
  *all(): Generator<KernelSymbol> {
    const { names, addresses } = this.tables;
    for (let i = 0; i < names.count; i++) {
      yield { name: names.name(i), type: names.type(i), start: gva(addresses[i]!) };
    }
    for (const { module } of this.#modules) yield* module.symbols;
  }
}

/** A module's text symbols, sorted when one is looked for. */
class LoadedModule {
  readonly module: ModuleSymbols;
  #sorted: readonly KernelSymbol[] | undefined;
  #starts = new Float64Array(0);

  constructor(module: ModuleSymbols) {
    this.module = module;
  }

  find(at: Gva): KernelSymbol | undefined {
    const range = this.module.text.find(({ start, end }) => at >= start && at < end);
    if (!range) return undefined;
    if (!this.#sorted) {
      this.#sorted = this.module.symbols.filter(({ type }) => isText(type)).sort((a, b) => a.start - b.start);
      this.#starts = Float64Array.from(this.#sorted, ({ start }) => start);
    }
    const last = lastUpTo(this.#starts, at);
    if (last < 0 || this.#starts[last]! < range.start) return undefined;
    return { ...this.#sorted[last]!, end: gva(Math.min(range.end, this.#starts[last + 1] ?? range.end)) };
  }
}

/** The last of the sorted `numbers` that is not above `at`, or -1. */
function lastUpTo(numbers: Float64Array, at: number): number {
  let low = 0;
  let high = numbers.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (numbers[middle]! <= at) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
