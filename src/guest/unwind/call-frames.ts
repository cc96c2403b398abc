/**
 * Call frame information of a file (LSB Core, "Exception Frames"; DWARF 5, 6.4): for each instruction, where the caller's frame is and where
 * its registers were saved. Read when an instruction is first met, and kept for it.
 */
import type { Elf } from "../elf/elf.ts";
import { SEGMENT } from "../elf/format.ts";
import { last } from "./binary-search.ts";
import { BadTable, Cursor, ENCODING } from "./cursor.ts";
import { DWARF, DWARF_REGISTERS } from "./words.ts";

/** How a register of the caller is got. */
export const RULE = {
  /** It is unchanged, or nobody says. */
  same: 0,
  undefined: 1,
  /** Saved at CFA + value. */
  offset: 2,
  /** It is CFA + value. */
  valueOffset: 3,
  /** It is in another register. */
  register: 4,
  /** Saved where an expression says. */
  expression: 5,
  /** It is what an expression says. */
  valueExpression: 6,
} as const;

/** What holds at an instruction. */
export interface FrameRow {
  /** Register and offset of the CFA, or an expression. */
  readonly cfaRegister: number;
  readonly cfaOffset: number;
  readonly cfaExpression: Uint8Array | undefined;
  /** DWARF numbers of registers that are not the same in the caller; RULE of each; offset, register, or index of an expression. */
  readonly registers: Uint8Array;
  readonly rules: Uint8Array;
  readonly values: Float64Array;
  readonly expressions: readonly Uint8Array[];
  /** The CFA is that of a register, and all others are at offsets from it. */
  readonly plain: boolean;
  /** Nobody called this. */
  readonly outermost: boolean;
  /** The frame of a signal: the instruction it returns to is not behind a call. */
  readonly signal: boolean;
}

interface Cie {
  readonly codeAlign: number;
  readonly dataAlign: number;
  readonly encoding: number;
  readonly augmented: boolean;
  readonly signal: boolean;
  readonly instructions: Cursor;
}

/** Rows that are kept for the instructions met last, and CIEs: a file has some dozen. Beyond that all are forgotten. */
const MAX_ROWS = 20_000;
const MAX_CIES = 4096;
/** Entries of an .eh_frame that has no table for lookup. LLVM has 100,000. */
const MAX_ENTRIES = 500_000;
/** Bytes of an entry: of LLVM, Node.js, gdb and the C++ library the longest has 3144. Stops entries that take long again and again. */
const MAX_ENTRY = 16 * 1024;
/** States that are remembered inside one another. */
const MAX_REMEMBERED = 64;
const MAX_EXPRESSIONS = 64;
/** In front of an entry whose length has 64 bits. */
const LONG = 0xffff_ffff;
const SORTED_TABLE = 0x3b;
/** Pairs of the sorted table. */
const PAIR = 8;
/** Of .eh_frame_hdr, in front of them. */
const MAX_HEADER = 32;

/** Finds the address of the FDE that an address needs; -1: there is none. */
type Lookup = (address: number) => number;

export class CallFrames {
  readonly #file: Elf;
  readonly #lookup: Lookup;
  readonly #rows = new Map<number, FrameRow | undefined>();
  /** Rows that are alike are one. */
  readonly #distinct = new Map<string, FrameRow>();
  readonly #cies = new Map<number, Cie | undefined>();

  private constructor(file: Elf, lookup: Lookup) {
    this.#file = file;
    this.#lookup = lookup;
  }

  /** Of a file; undefined where it has none, or they are not there. What is missing of them is nobody's row. */
  static of(elf: Elf): CallFrames | undefined {
    const lookup = tryTable(() => sorted(elf)) ?? scanned(elf);
    return lookup && new CallFrames(elf, lookup);
  }

  /** What holds at an address of the file; undefined where nothing is said. */
  at(address: number): FrameRow | undefined {
    const known = this.#rows.get(address);
    if (known || this.#rows.has(address)) return known;
    if (this.#rows.size >= MAX_ROWS) {
      this.#rows.clear();
      this.#distinct.clear();
    }
    const entry = this.#lookup(address);
    const found = entry < 0 ? undefined : tryTable(() => this.#row(entry, address));
    const row = found && this.#shared(found);
    this.#rows.set(address, row);
    return row;
  }

  #row(entry: number, address: number): FrameRow | undefined {
    const fde = entryAt(this.#file, entry);
    if (!fde) return undefined;
    const idAt = fde.address;
    const distance = fde.u32();
    // Zero marks a CIE, not an FDE.
    if (distance === 0) return undefined;
    const cie = this.#cie(idAt - distance);
    if (!cie) return undefined;
    const start = fde.pointer(cie.encoding, 0);
    const length = fde.pointer(cie.encoding & 15, 0);
    if (!(address >= start && address < start + length)) return undefined;
    if (cie.augmented) fde.skip(fde.uleb());
    return execute(cie, fde, start, address);
  }

  #cie(address: number): Cie | undefined {
    if (this.#cies.has(address)) return this.#cies.get(address);
    if (this.#cies.size >= MAX_CIES) this.#cies.clear();
    const cie = tryTable(() => cieAt(this.#file, address));
    this.#cies.set(address, cie);
    return cie;
  }

  #shared(row: FrameRow): FrameRow {
    if (!row.plain) return row;
    const { cfaRegister, cfaOffset, registers, values, outermost, signal } = row;
    const key = `${cfaRegister} ${cfaOffset} ${registers} ${values} ${outermost} ${signal}`;
    const same = this.#distinct.get(key);
    if (!same) this.#distinct.set(key, row);
    return same ?? row;
  }
}

/** What a table says; undefined where it says what it may not. */
function tryTable<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof BadTable) return undefined;
    throw error;
  }
}

/** Where an entry's body lies, and its length; undefined where it ends the table or is not there. */
function bodyAt(elf: Elf, address: number): { readonly start: number; readonly length: number } | undefined {
  const head = elf.at(address, 4);
  if (!head) return undefined;
  const short = new Cursor(head, address).u32();
  if (short !== LONG) return short === 0 ? undefined : { start: address + 4, length: short };
  const rest = elf.at(address + 4, 8);
  return rest && { start: address + 12, length: new Cursor(rest, address).s64() };
}

/** The body of the entry at an address. Throws BadTable. */
function entryAt(elf: Elf, address: number): Cursor | undefined {
  const body = bodyAt(elf, address);
  if (!body) return undefined;
  if (!(body.length >= 4 && body.length <= MAX_ENTRY)) throw new BadTable("an entry that is too long");
  const bytes = elf.at(body.start, body.length);
  return bytes && new Cursor(bytes, body.start);
}

function cieAt(elf: Elf, address: number): Cie | undefined {
  const cursor = entryAt(elf, address);
  return cursor && cursor.u32() === 0 ? readCie(cursor) : undefined;
}

function readCie(cursor: Cursor): Cie {
  const version = cursor.u8();
  if (version !== 1 && version !== 3 && version !== 4) throw new BadTable("a CIE of a version that is not known");
  const augmentation = cursor.text();
  if (version === 4) cursor.skip(2);
  const codeAlign = cursor.uleb();
  const dataAlign = cursor.sleb();
  const returnRegister = version === 1 ? cursor.u8() : cursor.uleb();
  if (returnRegister !== DWARF.ra) throw new BadTable("a return address in another register");
  let encoding = 0;
  let signal = false;
  const augmented = augmentation.startsWith("z");
  if (augmented) {
    const length = cursor.uleb();
    const end = cursor.at + length;
    for (const letter of augmentation.slice(1)) {
      if (letter === "R") encoding = cursor.u8();
      else if (letter === "P") cursor.pointer(cursor.u8(), 0);
      else if (letter === "L") cursor.skip(1);
      else if (letter === "S") signal = true;
      else break;
    }
    cursor.moveTo(end);
  } else if (augmentation !== "") throw new BadTable("an augmentation that is not known");
  return { codeAlign, dataAlign, encoding, augmented, signal, instructions: cursor };
}

/** The row of a state while it is built. */
class State {
  cfaRegister = 7;
  cfaOffset = 8;
  cfaExpression: Uint8Array | undefined;
  readonly rules = new Uint8Array(DWARF_REGISTERS);
  readonly values = new Float64Array(DWARF_REGISTERS);

  set(register: number, rule: number, value: number): void {
    // Others, as those of vectors, do not lead to a caller.
    if (register >= DWARF_REGISTERS) return;
    this.rules[register] = rule;
    this.values[register] = value;
  }
  copy(other: State): void {
    this.cfaRegister = other.cfaRegister;
    this.cfaOffset = other.cfaOffset;
    this.cfaExpression = other.cfaExpression;
    this.rules.set(other.rules);
    this.values.set(other.values);
  }
}

function execute(cie: Cie, fde: Cursor, start: number, address: number): FrameRow {
  const expressions: Uint8Array[] = [];
  const state = new State();
  const initial = new State();
  const remembered: State[] = [];
  const run = (code: Cursor, from: number): void => {
    let location = from;
    const advance = (delta: number): void => {
      location += delta * cie.codeAlign;
    };
    const block = (): Uint8Array => {
      const length = code.uleb();
      const at = code.at;
      code.skip(length);
      return code.slice(at, length);
    };
    const keep = (): number => {
      if (expressions.length >= MAX_EXPRESSIONS) throw new BadTable("too many expressions");
      return expressions.push(block()) - 1;
    };
    const { dataAlign } = cie;
    while (code.more) {
      const op = code.u8();
      const low = op & 0x3f;
      switch (op >> 6) {
        case 1:
          advance(low);
          break;
        case 2:
          state.set(low, RULE.offset, code.uleb() * dataAlign);
          break;
        case 3:
          state.set(low, initial.rules[low] ?? 0, initial.values[low] ?? 0);
          break;
        default:
          switch (low) {
            case 0x00:
              break;
            case 0x01:
              location = code.pointer(cie.encoding, 0);
              break;
            case 0x02:
              advance(code.u8());
              break;
            case 0x03:
              advance(code.u16());
              break;
            case 0x04:
              advance(code.u32());
              break;
            case 0x05: {
              const register = code.uleb();
              state.set(register, RULE.offset, code.uleb() * dataAlign);
              break;
            }
            case 0x06: {
              const register = code.uleb();
              state.set(register, initial.rules[register] ?? 0, initial.values[register] ?? 0);
              break;
            }
            case 0x07:
              state.set(code.uleb(), RULE.undefined, 0);
              break;
            case 0x08:
              state.set(code.uleb(), RULE.same, 0);
              break;
            case 0x09: {
              const register = code.uleb();
              state.set(register, RULE.register, code.uleb());
              break;
            }
            case 0x0a: {
              if (remembered.length >= MAX_REMEMBERED) throw new BadTable("too many states are remembered");
              const kept = new State();
              kept.copy(state);
              remembered.push(kept);
              break;
            }
            case 0x0b: {
              const kept = remembered.pop();
              if (!kept) throw new BadTable("a state is restored that nobody remembers");
              state.copy(kept);
              break;
            }
            case 0x0c:
              state.cfaRegister = code.uleb();
              state.cfaOffset = code.uleb();
              state.cfaExpression = undefined;
              break;
            case 0x0d:
              state.cfaRegister = code.uleb();
              break;
            case 0x0e:
              state.cfaOffset = code.uleb();
              break;
            case 0x0f:
              state.cfaExpression = block();
              break;
            case 0x10: {
              const register = code.uleb();
              state.set(register, RULE.expression, keep());
              break;
            }
            case 0x11: {
              const register = code.uleb();
              state.set(register, RULE.offset, code.sleb() * dataAlign);
              break;
            }
            case 0x12:
              state.cfaRegister = code.uleb();
              state.cfaOffset = code.sleb() * dataAlign;
              state.cfaExpression = undefined;
              break;
            case 0x13:
              state.cfaOffset = code.sleb() * dataAlign;
              break;
            case 0x14: {
              const register = code.uleb();
              state.set(register, RULE.valueOffset, code.uleb() * dataAlign);
              break;
            }
            case 0x15: {
              const register = code.uleb();
              state.set(register, RULE.valueOffset, code.sleb() * dataAlign);
              break;
            }
            case 0x16: {
              const register = code.uleb();
              state.set(register, RULE.valueExpression, keep());
              break;
            }
            case 0x2e:
              code.uleb();
              break;
            case 0x2f: {
              const register = code.uleb();
              state.set(register, RULE.offset, -code.uleb() * dataAlign);
              break;
            }
            default:
              throw new BadTable("an instruction that is not known");
          }
      }
      if (location > address) return;
    }
  };
  run(cie.instructions.again(), Number.NEGATIVE_INFINITY);
  initial.copy(state);
  run(fde, start);
  return rowOf(state, expressions, cie.signal);
}

function rowOf(
  { cfaRegister, cfaOffset, cfaExpression, rules, values }: State,
  expressions: Uint8Array[],
  signal: boolean,
): FrameRow {
  const registers: number[] = [];
  for (let i = 0; i < DWARF_REGISTERS; i++) if (rules[i] !== RULE.same) registers.push(i);
  if (rules[DWARF.ra] === RULE.same) throw new BadTable("a return address that is not saved");
  const plain = cfaExpression === undefined && cfaRegister < DWARF_REGISTERS;
  return {
    cfaRegister,
    cfaOffset,
    cfaExpression,
    registers: Uint8Array.from(registers),
    rules: Uint8Array.from(registers, (register) => rules[register]!),
    values: Float64Array.from(registers, (register) => values[register]!),
    expressions,
    plain: plain && registers.every((register) => rules[register] === RULE.offset),
    outermost: rules[DWARF.ra] === RULE.undefined,
    signal,
  };
}

/** By the table of .eh_frame_hdr: pairs of a function's start and its FDE, sorted. Throws BadTable. */
function sorted(elf: Elf): Lookup | undefined {
  const segment = elf.segment(SEGMENT.ehFrame);
  if (!segment) return undefined;
  const { address, fileSize } = segment;
  const head = elf.at(address, Math.min(fileSize, MAX_HEADER));
  if (!head) return undefined;
  const cursor = new Cursor(head, address);
  const version = cursor.u8();
  const framesEncoding = cursor.u8();
  const countEncoding = cursor.u8();
  const tableEncoding = cursor.u8();
  if (version !== 1 || countEncoding === ENCODING.omit || tableEncoding !== SORTED_TABLE) return undefined;
  cursor.pointer(framesEncoding, address);
  const count = cursor.pointer(countEncoding, address);
  const table = cursor.address;
  if (!(count > 0) || table + count * PAIR > address + fileSize) return undefined;
  return (wanted) => {
    let entry = -1;
    let low = 0;
    let high = count;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      const pair = elf.at(table + middle * PAIR, PAIR);
      // Not in the guest's memory now.
      if (!pair) return -1;
      const view = new DataView(pair.buffer, pair.byteOffset, PAIR);
      if (address + view.getInt32(0, true) <= wanted) {
        low = middle + 1;
        entry = address + view.getInt32(4, true);
      } else high = middle;
    }
    return entry;
  };
}

/** By a table made by going through all entries once, when it is first needed. */
function scanned(elf: Elf): Lookup | undefined {
  const section = elf.sectionNamed(".eh_frame");
  if (!section || section.address === 0) return undefined;
  let table: ReturnType<typeof scan> | undefined;
  return (wanted) => {
    table ??= scan(elf, section);
    const { starts, entries } = table;
    const index = last(starts.length, (i) => starts[i]! <= wanted);
    return index < 0 ? -1 : entries[index]!;
  };
}

/** As far as the entries are there: each tells where the next one is. */
function scan(elf: Elf, { address, size }: { readonly address: number; readonly size: number }) {
  const found: { start: number; entry: number }[] = [];
  const encodings = new Map<number, number | undefined>();
  let count = 0;
  for (let at = address; at < address + size && count < MAX_ENTRIES; count++) {
    const entry = at;
    const body = bodyAt(elf, entry);
    if (!body || body.length < 4) break;
    at = body.start + body.length;
    tryTable(() => {
      const cursor = entryAt(elf, entry);
      if (!cursor) return;
      const idAt = cursor.address;
      const distance = cursor.u32();
      if (distance === 0) return;
      const cie = idAt - distance;
      if (!encodings.has(cie))
        encodings.set(
          cie,
          tryTable(() => cieAt(elf, cie)?.encoding),
        );
      const encoding = encodings.get(cie);
      if (encoding !== undefined) found.push({ start: cursor.pointer(encoding, 0), entry });
    });
  }
  found.sort((a, b) => a.start - b.start);
  return {
    starts: Float64Array.from(found, ({ start }) => start),
    entries: Float64Array.from(found, ({ entry }) => entry),
  };
}
