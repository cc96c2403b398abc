/**
 * Call frame information of a file (LSB Core, "Exception Frames"; DWARF 5, 6.4): for each instruction, where the caller's frame is and where
 * its registers were saved. Read when an instruction is first met, and kept for it.
 */
import type { Elf, Part } from "../elf/elf.ts";
import { BadTable, Cursor, ENCODING } from "./cursor.ts";
import { DWARF_REGISTERS } from "./words.ts";

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
  /** RULE of each register by its DWARF number. */
  readonly rules: Uint8Array;
  /** Offset, register, or index of an expression. */
  readonly values: Float64Array;
  readonly expressions: readonly Uint8Array[];
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
/** Entries of an .eh_frame that has no table for lookup. */
const MAX_ENTRIES = 2_000_000;
/** States that are remembered inside one another. */
const MAX_REMEMBERED = 64;
const MAX_EXPRESSIONS = 64;
/** In front of an entry of 64 bits. */
const LONG = 0xffff_ffff;
const SORTED_TABLE = 0x3b;

export class CallFrames {
  readonly #frames: Part;
  /** Address of the sorted table's first pair and how many there are; the rest of a table that is made here. */
  readonly #lookup: (address: number) => number;
  readonly #rows = new Map<number, FrameRow | undefined>();
  readonly #cies = new Map<number, Cie | undefined>();

  private constructor(frames: Part, lookup: (address: number) => number) {
    this.#frames = frames;
    this.#lookup = lookup;
  }

  /** Of a file; undefined where it has none, or they are not there. */
  static of(elf: Elf): CallFrames | undefined {
    const header = elf.ehFrameHeader;
    try {
      const quick = header && fromHeader(elf, header);
      if (quick) return new CallFrames(quick.frames, quick.lookup);
    } catch (error) {
      if (!(error instanceof BadTable)) throw error;
    }
    const frames = elf.ehFrame;
    return frames && new CallFrames(frames, scanned(frames));
  }

  /** What holds at an address of the file; undefined where nothing is said. */
  at(address: number): FrameRow | undefined {
    if (this.#rows.has(address)) return this.#rows.get(address);
    if (this.#rows.size >= MAX_ROWS) this.#rows.clear();
    let row: FrameRow | undefined;
    try {
      const entry = this.#lookup(address);
      if (entry >= 0) row = this.#row(entry, address);
    } catch (error) {
      if (!(error instanceof BadTable)) throw error;
    }
    this.#rows.set(address, row);
    return row;
  }

  /** `entry`: offset of the FDE. */
  #row(entry: number, address: number): FrameRow | undefined {
    const { bytes, address: base } = this.#frames;
    const fde = entryAt(bytes, base, entry);
    if (!fde) return undefined;
    const idAt = fde.at;
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

  #cie(offset: number): Cie | undefined {
    if (this.#cies.has(offset)) return this.#cies.get(offset);
    if (this.#cies.size >= MAX_CIES) this.#cies.clear();
    const { bytes, address } = this.#frames;
    const cursor = offset >= 0 ? entryAt(bytes, address, offset) : undefined;
    const cie = cursor && cursor.u32() === 0 ? readCie(cursor) : undefined;
    this.#cies.set(offset, cie);
    return cie;
  }
}

/** The body of the entry at an offset, its length read; undefined where it ends the table. */
function entryAt(bytes: Uint8Array, base: number, offset: number): Cursor | undefined {
  const cursor = new Cursor(bytes, base, offset);
  const length = cursor.u32();
  if (length === 0) return undefined;
  // Entries of 64 bits: no compiler makes them.
  if (length === LONG) throw new BadTable("an entry of 64 bits");
  return new Cursor(bytes, base, cursor.at, cursor.at + length);
}

function readCie(cursor: Cursor): Cie {
  const version = cursor.u8();
  if (version !== 1 && version !== 3 && version !== 4) throw new BadTable("a CIE of a version that is not known");
  const augmentation = cursor.text();
  if (version === 4) cursor.skip(2);
  const codeAlign = cursor.uleb();
  const dataAlign = cursor.sleb();
  const returnRegister = version === 1 ? cursor.u8() : cursor.uleb();
  if (returnRegister !== 16) throw new BadTable("a return address in another register");
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
    cursor.at = end;
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
  const { cfaRegister, cfaOffset, cfaExpression, rules, values } = state;
  return { cfaRegister, cfaOffset, cfaExpression, rules, values, expressions, signal: cie.signal };
}

/** The table of .eh_frame_hdr: pairs of a function's start and its FDE, sorted. */
function fromHeader(elf: Elf, { address, bytes }: Part): { frames: Part; lookup(address: number): number } | undefined {
  const cursor = new Cursor(bytes, address);
  const version = cursor.u8();
  const framesEncoding = cursor.u8();
  const countEncoding = cursor.u8();
  const tableEncoding = cursor.u8();
  if (version !== 1 || countEncoding === ENCODING.omit || tableEncoding !== SORTED_TABLE) return undefined;
  const framesAt = cursor.pointer(framesEncoding, address);
  const count = cursor.pointer(countEncoding, address);
  const table = cursor.at;
  if (!(count >= 0) || table + count * 8 > bytes.length) return undefined;
  const frames = elf.from(framesAt);
  if (!frames) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const lookup = (wanted: number): number => {
    const index = last(count, (i) => address + view.getInt32(table + i * 8, true) <= wanted);
    return index < 0 ? -1 : address + view.getInt32(table + index * 8 + 4, true) - frames.address;
  };
  return { frames, lookup };
}

/** A table made by going through all entries once, when it is first needed. */
function scanned(frames: Part): (address: number) => number {
  let table: { readonly starts: Float64Array; readonly entries: Float64Array } | undefined;
  return (wanted) => {
    table ??= scan(frames);
    const { starts, entries } = table;
    const index = last(starts.length, (i) => starts[i]! <= wanted);
    return index < 0 ? -1 : entries[index]!;
  };
}

function scan({ address, bytes }: Part) {
  const found: { start: number; entry: number }[] = [];
  const encodings = new Map<number, number>();
  let at = 0;
  try {
    while (at + 4 <= bytes.length && found.length < MAX_ENTRIES) {
      const entry = at;
      const cursor = entryAt(bytes, address, at);
      if (!cursor) break;
      at = cursor.end;
      const idAt = cursor.at;
      const distance = cursor.u32();
      if (distance === 0) {
        encodings.set(entry, readCie(cursor).encoding);
        continue;
      }
      const encoding = encodings.get(idAt - distance);
      if (encoding !== undefined) found.push({ start: cursor.pointer(encoding, 0), entry });
    }
  } catch (error) {
    if (!(error instanceof BadTable)) throw error;
  }
  found.sort((a, b) => a.start - b.start);
  return {
    starts: Float64Array.from(found, ({ start }) => start),
    entries: Float64Array.from(found, ({ entry }) => entry),
  };
}

/** The last of `count` indices for which something holds that holds up to one of them; -1: for none. */
export function last(count: number, holds: (index: number) => boolean): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (holds(middle)) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
