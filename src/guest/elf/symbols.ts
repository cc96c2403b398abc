/**
 * Functions of an ELF file, for looking up what holds an address. Which they are, and which of several names of one address is shown, is
 * as in perf (tools/perf/util/symbol-elf.c, symbol.c), so that reports agree.
 */
import { type SymbolSource, textAt } from "./elf.ts";
import { BINDING, SECTION_INDEX, SYMBOL, SYMBOL_TYPE, VISIBILITY } from "./format.ts";

/** A browser has half a million. Stops a table that takes long to sort. */
const MAX_SYMBOLS = 1_000_000;
/** Of a name: C++ makes long ones. */
const MAX_NAME = 4096;
/** A function whose size is not known reaches to the next one, but no farther than this. */
const MAX_REACH = 1 << 20;
/** Functions inside one another. Stops a million of them. */
const MAX_NESTED = 32;
const UNDERSCORE = 0x5f;

const at = SYMBOL.offsets;

export interface ElfSymbol {
  readonly name: string;
  readonly start: number;
  /** Bytes; where the file does not say, to the next function. */
  readonly size: number;
}

export class ElfSymbols {
  readonly #starts: Float64Array;
  readonly #ends: Float64Array;
  /** Of each the innermost one of those before it that holds its start; -1: none does. */
  readonly #around: Int32Array;
  readonly #names: Uint32Array;
  readonly #source: Uint8Array;
  readonly #known = new Map<number, ElfSymbol>();

  /** The functions of the first source that has any: the full table before the dynamic one. */
  constructor(sources: readonly SymbolSource[]) {
    const table = sources.map((source) => new Table(source)).find(({ count }) => count > 0);
    const best = table?.best() ?? new Uint32Array(0);
    const { length } = best;
    this.#starts = Float64Array.from(best, (row) => table!.start(row));
    this.#names = Uint32Array.from(best, (row) => table!.name(row));
    this.#source = table?.names ?? new Uint8Array(0);
    this.#ends = new Float64Array(length);
    this.#around = new Int32Array(length);
    const open: number[] = [];
    for (let i = 0; i < length; i++) {
      const start = this.#starts[i]!;
      const size = table!.size(best[i]!);
      const next = this.#starts[i + 1] ?? Number.POSITIVE_INFINITY;
      this.#ends[i] = size > 0 ? start + size : Math.min(next, start + MAX_REACH);
      while (open.length > 0 && this.#ends[open.at(-1)!]! <= start) open.pop();
      this.#around[i] = open.at(-1) ?? -1;
      open.push(i);
    }
  }

  get count(): number {
    return this.#starts.length;
  }

  /** The function that holds an address of the file. */
  find(address: number): ElfSymbol | undefined {
    let low = 0;
    let high = this.#starts.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#starts[middle]! <= address) low = middle + 1;
      else high = middle;
    }
    let index = low - 1;
    for (let i = 0; index >= 0 && address >= this.#ends[index]!; i++) {
      index = i < MAX_NESTED ? this.#around[index]! : -1;
    }
    return index < 0 ? undefined : this.#symbol(index);
  }

  #symbol(index: number): ElfSymbol {
    let symbol = this.#known.get(index);
    if (!symbol) {
      const start = this.#starts[index]!;
      const name = textAt(this.#source, this.#names[index]!, MAX_NAME);
      symbol = { name, start, size: this.#ends[index]! - start };
      this.#known.set(index, symbol);
    }
    return symbol;
  }
}

/** A symbol table; its rows are offsets into it. */
class Table {
  readonly names: Uint8Array;
  readonly #view: DataView;
  /** Rows of functions. */
  readonly #rows: Uint32Array;

  constructor({ symbols, names }: SymbolSource) {
    this.names = names;
    this.#view = new DataView(symbols.buffer, symbols.byteOffset, symbols.byteLength);
    const all = Math.min(MAX_SYMBOLS, Math.floor(symbols.length / SYMBOL.size));
    const rows = new Uint32Array(all);
    let count = 0;
    for (let i = 0; i < all; i++) if (this.#isCode(i * SYMBOL.size)) rows[count++] = i * SYMBOL.size;
    this.#rows = rows.subarray(0, count);
  }

  get count(): number {
    return this.#rows.length;
  }
  start(row: number): number {
    return this.#u64(row + at.value);
  }
  size(row: number): number {
    return this.#u64(row + at.size);
  }
  name(row: number): number {
    return this.#view.getUint32(row + at.name, true);
  }

  /** Rows by address, of several with one address the best. */
  best(): Uint32Array {
    const rows = this.#rows.slice().sort((a, b) => this.start(a) - this.start(b) || a - b);
    let count = 0;
    for (const row of rows) {
      if (count > 0 && this.start(rows[count - 1]!) === this.start(row)) {
        if (this.#isBetter(row, rows[count - 1]!)) rows[count - 1] = row;
      } else rows[count++] = row;
    }
    return rows.subarray(0, count);
  }

  /** Functions, and labels of assembler code that are not hidden. */
  #isCode(row: number): boolean {
    const view = this.#view;
    const type = view.getUint8(row + at.info) & 15;
    const section = view.getUint16(row + at.section, true);
    const first = this.names[this.name(row)];
    if (section === SECTION_INDEX.undefined || first === undefined || first === 0) return false;
    if (type === SYMBOL_TYPE.func || type === SYMBOL_TYPE.ifunc) return true;
    const visibility = view.getUint8(row + at.other) & VISIBILITY.mask;
    const hidden = visibility === VISIBILITY.internal || visibility === VISIBILITY.hidden;
    return type === SYMBOL_TYPE.none && section !== SECTION_INDEX.absolute && !hidden;
  }

  /** Known sizes before others, then weak symbols last, global ones first, then fewer underscores in front, longer names, the earlier. */
  #isBetter(row: number, other: number): boolean {
    const sized = Number(this.size(row) > 0) - Number(this.size(other) > 0);
    if (sized !== 0) return sized > 0;
    const [binding, otherBinding] = [this.#binding(row), this.#binding(other)];
    const strong = Number(otherBinding === BINDING.weak) - Number(binding === BINDING.weak);
    if (strong !== 0) return strong > 0;
    const global = Number(binding === BINDING.global) - Number(otherBinding === BINDING.global);
    if (global !== 0) return global > 0;
    const underscores = this.#underscores(other) - this.#underscores(row);
    if (underscores !== 0) return underscores > 0;
    return this.#length(row) > this.#length(other);
  }
  #binding(row: number): number {
    return this.#view.getUint8(row + at.info) >> 4;
  }
  #underscores(row: number): number {
    const start = this.name(row);
    let end = start;
    while (end - start < MAX_NAME && this.names[end] === UNDERSCORE) end++;
    return end - start;
  }
  #length(row: number): number {
    const start = this.name(row);
    let end = start;
    while (end - start < MAX_NAME && this.names[end] !== undefined && this.names[end] !== 0) end++;
    return end - start;
  }

  #u64(place: number): number {
    return this.#view.getUint32(place, true) + this.#view.getUint32(place + 4, true) * 2 ** 32;
  }
}
