/** Functions of an ELF file, for looking up what holds an address. */
import { type SymbolSource, textAt } from "./elf.ts";
import { BINDING, SYMBOL, SYMBOL_TYPE } from "./format.ts";

/** A browser has half a million. Stops a table that fills the host's memory. */
const MAX_SYMBOLS = 4_000_000;
/** Of a name: C++ makes long ones. */
const MAX_NAME = 4096;
/** A function whose size is not known reaches to the next one, but no farther than this. */
const MAX_REACH = 1 << 20;
/** st_shndx of a symbol that is defined elsewhere. */
const UNDEFINED = 0;

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
  readonly #names: Float64Array;
  readonly #source: Uint8Array;
  readonly #known = new Map<number, ElfSymbol>();

  /** The functions of the first source that has any: the full table before the dynamic one. */
  constructor(sources: readonly SymbolSource[]) {
    let rows: Row[] = [];
    let names: Uint8Array = new Uint8Array(0);
    for (const source of sources) {
      rows = functionsOf(source);
      names = source.names;
      if (rows.length > 0) break;
    }
    rows.sort((a, b) => a.start - b.start || b.rank - a.rank || b.size - a.size);
    // Of many at one address the best.
    const best = rows.filter((row, i) => i === 0 || rows[i - 1]!.start !== row.start);
    this.#starts = Float64Array.from(best, ({ start }) => start);
    this.#ends = Float64Array.from(best, ({ start, size }, i) =>
      size > 0 ? start + size : Math.min(best[i + 1]?.start ?? Number.POSITIVE_INFINITY, start + MAX_REACH),
    );
    this.#names = Float64Array.from(best, ({ name }) => name);
    this.#source = names;
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
    const index = low - 1;
    if (index < 0 || address >= this.#ends[index]!) return undefined;
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

interface Row {
  readonly start: number;
  readonly size: number;
  readonly name: number;
  readonly rank: number;
}

/** perf takes of several names at one address the global one before the weak and the local, and one without leading underscores. */
function functionsOf({ symbols, names }: SymbolSource): Row[] {
  const view = new DataView(symbols.buffer, symbols.byteOffset, symbols.byteLength);
  const rows: Row[] = [];
  const count = Math.min(MAX_SYMBOLS, Math.floor(symbols.length / SYMBOL.size));
  for (let i = 0; i < count; i++) {
    const row = i * SYMBOL.size;
    const info = view.getUint8(row + at.info);
    const type = info & 15;
    if (type !== SYMBOL_TYPE.func && type !== SYMBOL_TYPE.ifunc && type !== SYMBOL_TYPE.none) continue;
    const section = view.getUint16(row + at.section, true);
    const name = view.getUint32(row + at.name, true);
    const first = names[name];
    if (section === UNDEFINED || first === undefined || first === 0) continue;
    const size = view.getUint32(row + at.size, true);
    // Labels of assembler code have no type; those of the compiler's begin with a dot.
    if (type === SYMBOL_TYPE.none && (first === 0x2e || first === 0x24)) continue;
    const binding = info >> 4;
    const bound = binding === BINDING.global ? 4 : binding === BINDING.weak ? 2 : 0;
    const start = view.getUint32(row + at.value, true) + view.getUint32(row + at.value + 4, true) * 2 ** 32;
    const rank = (type === SYMBOL_TYPE.none ? 0 : 8) + bound + (first === 0x5f ? 0 : 1);
    rows.push({ start, size, name, rank });
  }
  return rows;
}
