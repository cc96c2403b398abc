/**
 * Whether two vCPUs are in the same state: every field but those that mean something to generated code only, and RAM. Arithmetic
 * flags are compared as EFLAGS, since different results can stand for the same flags.
 */
import type { Cpu } from "../cpu.ts";
import { RAM_BASE, STATE_BASE } from "../memory-map.ts";
import { FIELDS, fieldSize } from "../state.ts";

const PAGE = 4096;
const PAGE_WORDS = PAGE / 4;

/** Compared by the flags they mean. */
const LAZY_FLAGS = new Set(["flagResult", "flagCarry", "flagMisc"]);
/** Bytes of an 80-bit register that hold something. */
const X80_BYTES = 10;
/**
 * Of `shadow`, only the one of a load of SS: whether that of STI is noted depends on whether an interrupt waits, which the replaying
 * vCPU learns when it is taken.
 */
const SHADOW_SS = 2;

interface Word {
  readonly index: number;
  readonly mask: number;
}

/** Found out when it is first needed, and forgotten now and then. */
const FORGOTTEN = new Set(["sseQuick"]);

const compared = [...FIELDS.values()].filter(
  ({ name, part }) => part !== "engine" && !LAZY_FLAGS.has(name) && !FORGOTTEN.has(name),
);

function wordsOf(name: string, offset: number, size: number): Word[] {
  return Array.from({ length: Math.ceil(size / 4) }, (_, i) => {
    const bytes = Math.min(4, size - 4 * i);
    const mask = name === "shadow" ? SHADOW_SS : bytes === 4 ? -1 : (1 << (8 * bytes)) - 1;
    return { index: (STATE_BASE + offset) / 4 + i, mask };
  });
}
const sizeOf = ({ type }: (typeof compared)[number]) => (type === "x80" ? X80_BYTES : fieldSize(type));

const WORDS = compared.flatMap((field) => wordsOf(field.name, field.offset, sizeOf(field)));
const INDICES = Int32Array.from(WORDS, ({ index }) => index);
const MASKS = Int32Array.from(WORDS, ({ mask }) => mask);
/** What one vCPU takes over from another; the rest follows from it. */
const TAKEN = [...FIELDS.values()].filter(({ part }) => part === "architectural");

/** A vCPU and the memory it lives in. */
interface Side {
  readonly cpu: Cpu;
  readonly words: Int32Array;
}

export class Comparison {
  readonly #a: Side;
  readonly #b: Side;
  readonly #first = RAM_BASE / 4;
  /** Pages of RAM. */
  readonly pages: number;

  /** Two vCPUs with equally much RAM, each in a memory of its own. */
  constructor(a: Cpu, b: Cpu) {
    this.#a = { cpu: a, words: new Int32Array(a.ram.buffer) };
    this.#b = { cpu: b, words: new Int32Array(b.ram.buffer) };
    this.pages = a.ram.length / PAGE;
  }

  sameState(): boolean {
    const a = this.#a.words;
    const b = this.#b.words;
    for (let i = 0; i < INDICES.length; i++) {
      const index = INDICES[i]!;
      if (((a[index]! ^ b[index]!) & MASKS[i]!) !== 0) return false;
    }
    return this.#a.cpu.getEflags() === this.#b.cpu.getEflags() && this.#sameModelSpecific();
  }

  #sameModelSpecific(): boolean {
    const [a, b] = [this.#a.cpu, this.#b.cpu];
    if (a.tscOffset !== b.tscOffset || a.msrs.size !== b.msrs.size) return false;
    for (const [index, value] of a.msrs) if (b.msrs.get(index) !== value) return false;
    return true;
  }

  /** Names of what differs, with both values. */
  differences(): [name: string, a: string, b: string][] {
    const [a, b] = [this.#a, this.#b];
    const found: [string, string, string][] = [];
    const add = (name: string, one: string, other: string) => {
      if (one !== other) found.push([name, one, other]);
    };
    for (const field of compared) {
      const { name, offset } = field;
      const same = wordsOf(name, offset, sizeOf(field)).every(
        ({ index, mask }) => ((a.words[index]! ^ b.words[index]!) & mask) === 0,
      );
      if (!same) add(name, valueText(a, offset, sizeOf(field)), valueText(b, offset, sizeOf(field)));
    }
    add("EFLAGS", hex(a.cpu.getEflags()), hex(b.cpu.getEflags()));
    add("TSC offset", String(a.cpu.tscOffset), String(b.cpu.tscOffset));
    for (const index of new Set([...a.cpu.msrs.keys(), ...b.cpu.msrs.keys()])) {
      const value = (side: Side) => side.cpu.msrs.get(index)?.toString(16) ?? "none";
      add(`MSR ${hex(index)}`, value(a), value(b));
    }
    return found;
  }

  /** The first page of RAM from `page` on, below `end`, in which they differ; -1: none. */
  differingPage(page: number, end: number): number {
    const a = this.#a.words;
    const b = this.#b.words;
    const last = this.#first + end * PAGE_WORDS;
    for (let at = this.#first + page * PAGE_WORDS; at < last; at++) {
      if (a[at] !== b[at]) return Math.floor((at - this.#first) / PAGE_WORDS);
    }
    return -1;
  }

  /** Offsets in RAM of the bytes of a page that differ, with both values. */
  differingBytes(page: number): [offset: number, a: number, b: number][] {
    const a = this.#a.cpu.ram;
    const b = this.#b.cpu.ram;
    const found: [number, number, number][] = [];
    for (let at = page * PAGE; at < (page + 1) * PAGE; at++) if (a[at] !== b[at]) found.push([at, a[at]!, b[at]!]);
    return found;
  }

  /** The second vCPU takes the state of the first. What the TLBs know stays, but for another address space. */
  copyState(): void {
    const [a, b] = [this.#a, this.#b];
    const sameSpace = a.cpu.r.getBig("cr3") === b.cpu.r.getBig("cr3");
    for (const { offset, type } of TAKEN) {
      const index = (STATE_BASE + offset) / 4;
      for (let i = 0; i < fieldSize(type) / 4; i++) b.words[index + i] = a.words[index + i]!;
    }
    b.cpu.msrs.clear();
    for (const [index, value] of a.cpu.msrs) b.cpu.msrs.set(index, value);
    b.cpu.tscOffset = a.cpu.tscOffset;
    b.cpu.updateMode();
    if (!sameSpace) b.cpu.flushTlb(true);
  }

  /** Goes through the pages of RAM that differ: offset, and content of the first. */
  differingPages(each: (offset: number, bytes: Uint8Array) => void): void {
    for (let page = this.differingPage(0, this.pages); page >= 0; page = this.differingPage(page + 1, this.pages)) {
      const at = page * PAGE;
      each(at, this.#a.cpu.ram.subarray(at, at + PAGE));
    }
  }
}

const hex = (value: number): string => `0x${(value >>> 0).toString(16)}`;

/** Bytes of a field as one number, highest first. */
function valueText({ words }: Side, offset: number, size: number): string {
  const bytes = new Uint8Array(words.buffer, STATE_BASE + offset, size);
  const text = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0"))
    .reverse()
    .join("");
  return `0x${text.replace(/^0+(?=.)/, "")}`;
}
