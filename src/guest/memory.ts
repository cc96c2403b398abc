/**
 * Guest memory as whoever looks inside sees it: it can be read, and nothing else. All of it is the guest's word, may be
 * anything, and changes while it is read.
 */
import {
  type Bytes,
  bytes,
  type Gpa,
  type Gva,
  gpa,
  gva,
  HIGH_RAM_START,
  LOW_RAM_END,
  ramOffset,
} from "../base/index.ts";

/**
 * What was to be read is not there: no RAM, no translation, or an address that no page table can hold. Part of looking at a
 * living guest: whoever walks its structures catches it where one of them begins.
 */
export class Unreadable extends Error {
  override readonly name = "Unreadable";
}

/** RAM by guest physical address. */
export class PhysicalMemory {
  readonly size: Bytes;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;

  /** `ram`: all of it, in the order of `ramOffset`. */
  constructor(ram: Uint8Array) {
    this.size = bytes(ram.length);
    this.#bytes = ram;
    this.#view = new DataView(ram.buffer, ram.byteOffset, ram.byteLength);
  }

  /** The runs of RAM, with nothing between them: where each begins and ends. */
  get runs(): readonly { readonly start: Gpa; readonly end: Gpa }[] {
    const low = { start: gpa(0), end: gpa(Math.min(this.size, LOW_RAM_END)) };
    if (this.size <= LOW_RAM_END) return [low];
    return [low, { start: gpa(HIGH_RAM_START), end: gpa(HIGH_RAM_START + this.size - LOW_RAM_END) }];
  }

  has(at: Gpa, length: number): boolean {
    return ramOffset(this.size, at, length) >= 0;
  }

  u8(at: Gpa): number {
    return this.#view.getUint8(this.#offset(at, 1));
  }
  u16(at: Gpa): number {
    return this.#view.getUint16(this.#offset(at, 2), true);
  }
  u32(at: Gpa): number {
    return this.#view.getUint32(this.#offset(at, 4), true);
  }
  s32(at: Gpa): number {
    return this.#view.getInt32(this.#offset(at, 4), true);
  }

  /** Copies RAM into `into`. */
  read(at: Gpa, into: Uint8Array): void {
    const from = this.#offset(at, into.length);
    into.set(this.#bytes.subarray(from, from + into.length));
  }

  /** A copy of `length` bytes. The caller has bounded `length`. */
  copy(at: Gpa, length: number): Uint8Array {
    this.#offset(at, length);
    const copy = new Uint8Array(length);
    this.read(at, copy);
    return copy;
  }

  /** Where `pattern` next begins, from `from` on and before `end`; -1: nowhere. Both in the same run of RAM. */
  find(pattern: Uint8Array, from: Gpa, end: Gpa): Gpa | -1 {
    const length = end - from;
    if (length < pattern.length) return -1;
    const start = this.#offset(from, length);
    const found = placeOf(this.#view, pattern, start, start + length);
    return found < 0 ? -1 : gpa(from + (found - start));
  }

  #offset(at: Gpa, length: number): number {
    const offset = ramOffset(this.size, at, length);
    if (!(offset >= 0)) throw new Unreadable(`no RAM for ${length} bytes at guest physical address ${at}`);
    return offset;
  }
}

/** Nothing differs between them. */
export function sameBytes(one: Uint8Array, other: Uint8Array): boolean {
  if (one.length !== other.length) return false;
  for (let i = 0; i < one.length; i++) if (one[i] !== other[i]) return false;
  return true;
}

/** Bits of a word's hash: a filter that the words of a pattern pass, and hardly any other. */
const FILTER_BITS = 14;
const filterOf = (word: number): number => Math.imul(word, 0x9e37_79b1) >>> (32 - FILTER_BITS);

/**
 * First place of `pattern` in `view[start, end)`, or -1. Wherever a long pattern lies, some word at a multiple of a stride lies whole in it:
 * only those are looked at.
 */
function placeOf(view: DataView, pattern: Uint8Array, start: number, end: number): number {
  const stride = 2 ** Math.floor(Math.log2(Math.max(1, pattern.length - 3)));
  const last = end - pattern.length;
  const matches = (at: number): boolean => {
    if (at < start || at > last) return false;
    for (let i = 0; i < pattern.length; i++) if (view.getUint8(at + i) !== pattern[i]) return false;
    return true;
  };
  if (pattern.length < 4) {
    for (let at = start; at <= last; at++) if (matches(at)) return at;
    return -1;
  }
  const filter = new Uint8Array(2 ** FILTER_BITS);
  const words = new DataView(pattern.buffer, pattern.byteOffset, pattern.length);
  for (let i = 0; i < stride; i++) filter[filterOf(words.getInt32(i, true))] = 1;
  // The word that the pattern is found by is among its first ones, so that its place is the first that is found.
  for (let at = start; at + 4 <= end; at += stride) {
    if (filter[filterOf(view.getInt32(at, true))] === 0) continue;
    for (let i = stride - 1; i >= 0; i--) if (matches(at - i)) return at - i;
  }
  return -1;
}

export const PAGE_SIZE = 4096;
const PRESENT = 1;
const LARGE = 0x80;
/** Translations kept by an address space. A power of two. */
const KEPT = 256;

/**
 * Memory through one set of page tables (SDM vol. 3A, 4.5): IA-32e paging with four or five levels.
 *
 * Addresses are sign-extended, as the processor has them: the kernel's are negative numbers. With five levels a number holds one
 * exactly only where it is a multiple of 8, so fields are read by the address of their struct and an offset.
 *
 * What it found it keeps, so it is made anew for each look at a guest that runs.
 */
export class AddressSpace {
  readonly memory: PhysicalMemory;
  #root: Gpa;
  #levels: 4 | 5;
  readonly #pages = new Float64Array(KEPT).fill(Number.NaN);
  readonly #frames = new Float64Array(KEPT);
  /** Pages from the one walked last to the end of what its entry covers. */
  #span = 1;

  /** `root`: of the top table (CR3 without its low 12 bits). */
  constructor(memory: PhysicalMemory, root: Gpa, levels: 4 | 5) {
    this.memory = memory;
    this.#root = root;
    this.#levels = levels;
  }

  get root(): Gpa {
    return this.#root;
  }
  get levels(): 4 | 5 {
    return this.#levels;
  }

  /** Becomes another address space, or the same one looked at anew. */
  moveTo(root: Gpa, levels: 4 | 5): void {
    this.#root = root;
    this.#levels = levels;
    this.#pages.fill(Number.NaN);
  }

  /** The physical address of `at + offset`, or -1 where nothing is mapped there. */
  translate(at: Gva, offset = 0): Gpa | -1 {
    let page = Math.floor(at / PAGE_SIZE);
    let within = at - page * PAGE_SIZE + offset;
    if (within < 0 || within >= PAGE_SIZE) {
      const more = Math.floor(within / PAGE_SIZE);
      page += more;
      within -= more * PAGE_SIZE;
    }
    const slot = page & (KEPT - 1);
    if (this.#pages[slot] !== page) {
      const frame = this.#walk(page);
      // What is not mapped now may be in a moment.
      if (frame < 0) return -1;
      this.#pages[slot] = page;
      this.#frames[slot] = frame;
    }
    return gpa(this.#frames[slot]! + within);
  }

  /**
   * Where the page of `at` lies, or -1, and how many bytes from its start on are so: mapped side by side by one entry of a table, or
   * covered by one that is not present.
   */
  mapping(at: Gva): { readonly physical: Gpa | -1; readonly length: number } {
    const physical = gpa(this.#walk(Math.floor(at / PAGE_SIZE)));
    return { physical, length: this.#span * PAGE_SIZE };
  }

  u8(at: Gva, offset = 0): number {
    return this.memory.u8(this.#at(at, offset));
  }
  u16(at: Gva, offset = 0): number {
    return this.#whole(at, offset, 2) ? this.memory.u16(this.#at(at, offset)) : this.#word(at, offset, 2);
  }
  u32(at: Gva, offset = 0): number {
    return this.#whole(at, offset, 4) ? this.memory.u32(this.#at(at, offset)) : this.#word(at, offset, 4);
  }
  s32(at: Gva, offset = 0): number {
    return this.u32(at, offset) | 0;
  }
  /** 64 bits without sign; exact below 2^53, above that too large for any bound. */
  u64(at: Gva, offset = 0): number {
    return this.u32(at, offset) + this.u32(at, offset + 4) * 2 ** 32;
  }
  /** 64 bits with sign: an address, exact as the class says. */
  pointer(at: Gva, offset = 0): Gva {
    return gva(this.u32(at, offset) + this.s32(at, offset + 4) * 2 ** 32);
  }

  /** A copy of `length` bytes. The caller has bounded `length`. */
  bytes(at: Gva, length: number, offset = 0): Uint8Array {
    const out = new Uint8Array(length);
    for (let done = 0; done < length; ) {
      const from = this.#at(at, offset + done);
      const part = Math.min(length - done, PAGE_SIZE - (from % PAGE_SIZE));
      this.memory.read(from, out.subarray(done, done + part));
      done += part;
    }
    return out;
  }

  /** Bytes up to a NUL, at most `most`, as Latin-1: not fit for a terminal as it is. */
  text(at: Gva, most: number, offset = 0): string {
    let text = "";
    for (let i = 0; i < most; i++) {
      const code = this.u8(at, offset + i);
      if (code === 0) break;
      text += String.fromCharCode(code);
    }
    return text;
  }

  #whole(at: Gva, offset: number, length: number): boolean {
    const within = at - Math.floor(at / PAGE_SIZE) * PAGE_SIZE + offset;
    return within - Math.floor(within / PAGE_SIZE) * PAGE_SIZE <= PAGE_SIZE - length;
  }

  /** On two pages. */
  #word(at: Gva, offset: number, length: number): number {
    let value = 0;
    for (let i = length - 1; i >= 0; i--) value = value * 256 + this.u8(at, offset + i);
    return value;
  }

  #at(at: Gva, offset: number): Gpa {
    const found = this.translate(at, offset);
    if (found < 0) throw new Unreadable(`nothing is mapped at ${formatGva(at)}+${offset}`);
    return found as Gpa;
  }

  /** The physical address of a page's frame, or -1. */
  #walk(page: number): number {
    this.#span = 1;
    // Canonical addresses only (SDM vol. 1, 3.3.7.1).
    const bound = 2 ** (9 * this.#levels - 1);
    if (!(page >= -bound && page < bound)) return -1;
    let table: number = this.#root;
    for (let level = this.#levels - 1; ; level--) {
      const covered = 2 ** (9 * level);
      const number = Math.floor(page / covered);
      const entry = table + (number & 511) * 8;
      this.#span = (number + 1) * covered - page;
      if (!this.memory.has(gpa(entry), 8)) return -1;
      const low = this.memory.u32(gpa(entry));
      if ((low & PRESENT) === 0) return -1;
      // Physical addresses have at most 52 bits.
      const base = (this.memory.u32(gpa(entry + 4)) & 0xf_ffff) * 2 ** 32 + ((low & 0xffff_f000) >>> 0);
      if (level === 0) return base;
      if ((low & LARGE) !== 0) {
        if (level > 2) return -1;
        const size = PAGE_SIZE * covered;
        return base - (base % size) + (page - number * covered) * PAGE_SIZE;
      }
      table = base;
    }
  }
}

/** An address as the guest writes it: 16 hexadecimal digits. */
export const formatGva = (at: number): string =>
  Number.isFinite(at)
    ? BigInt.asUintN(64, BigInt(Math.trunc(at)))
        .toString(16)
        .padStart(16, "0")
    : "?";
