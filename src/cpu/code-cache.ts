/**
 * Decoded code: one code page per page of RAM and decoding mode, filled a block at a time when execution reaches a byte that
 * has no record yet. Space comes from one arena; when it is full everything is dropped and decoding starts over.
 */
import { BASE_RIP, Decoded, type DecodeMode, type Decoder, MAX_LENGTH, NO_REGISTER } from "../isa/decode.ts";
import type { OperandSpec, Row } from "../isa/row.ts";
import type { Addressing } from "./instruction-writer.ts";
import type { Slots } from "./interpreter/build.ts";
import { mayBeMemory } from "./interpreter/operand.ts";
import { effectOf, type FlagEffect } from "./interpreter/pairs.ts";
import { ACROSS, CODE_MAP, CODE_PAGE, RECORD, RECORD_SIZE } from "./interpreter/record.ts";
import { RowForm } from "./interpreter/row-form.ts";
import { SAMPLE_INTERVAL } from "./jit/heat.ts";
import { ARENA_BASE, ARENA_END, CODE_PAGE_INDEX, EMPTY_MAP, RAM_BASE } from "./memory-map.ts";
import type { Registers } from "./registers.ts";
import { slotOf } from "./runtime/control.ts";
import { offsetOf } from "./state.ts";

const PAGE = 4096;
/** Longest run of instructions decoded at once, and the most parts of a code page's map it may need. */
const BLOCK_LIMIT = 64;
const BLOCK_PARTS = Math.ceil((BLOCK_LIMIT * MAX_LENGTH) / CODE_MAP.covers) + 1;
const FIRST_FREE = EMPTY_MAP + CODE_MAP.size;

/** How the values of `codeKey` decode. */
export const CODE_KEYS: readonly DecodeMode[] = [
  { codeBits: 16, protectedMode: false },
  { codeBits: 16, protectedMode: true },
  { codeBits: 32, protectedMode: true },
  { codeBits: 64, protectedMode: true },
  { codeBits: 32, protectedMode: false },
];

/** What the cache needs of the generated code. */
export interface CodeCacheExports {
  fetch_following(): number;
  protect_code(host: number): void;
  flush_code_tlb(): void;
}

const ZERO = offsetOf("zero");
const GPR = offsetOf("rax");
const YMM = offsetOf("ymm0");
const FPR = offsetOf("fpr0");

const SS = 2;
/** What `codeMap` never is. */
const NO_MAP = -1;

export class CodeCache {
  readonly #bytes: Uint8Array;
  readonly #words: Int32Array;
  readonly #view: DataView;
  readonly #registers: Registers;
  readonly #decoder: Decoder;
  readonly #slots: Slots;
  readonly #exports: CodeCacheExports;
  readonly #ramPages: number;
  readonly #decoded = new Decoded();
  /** Where the instructions of the block that is being decoded are. */
  readonly #offsets = new Uint16Array(BLOCK_LIMIT + 1);
  /** By the row's id. */
  readonly #forms: RowForm[] = [];
  readonly #joined = new Uint8Array(2 * MAX_LENGTH);
  #top = FIRST_FREE;
  /** How often a jump is taken until its target is worth compiling; 0: never. */
  heat = 0;
  /** Called when all records are dropped. */
  onFlush: () => void = () => undefined;

  constructor(
    memory: ArrayBufferLike,
    ramSize: number,
    decoder: Decoder,
    slots: Slots,
    registers: Registers,
    exports: CodeCacheExports,
  ) {
    this.#bytes = new Uint8Array(memory);
    this.#words = new Int32Array(memory);
    this.#view = new DataView(memory);
    this.#registers = registers;
    this.#decoder = decoder;
    this.#slots = slots;
    this.#exports = exports;
    this.#ramPages = Math.ceil(ramSize / PAGE);
  }

  /** Bytes of the arena in use. */
  get used(): number {
    return this.#top - ARENA_BASE;
  }

  /** A new, empty code page for a page of RAM. */
  newPage(ramOffset: number, key: number): number {
    if (this.#top + CODE_PAGE.size > ARENA_END) this.flush();
    const page = this.#top;
    this.#top += CODE_PAGE.size;
    const index = (CODE_PAGE_INDEX >> 2) + ramOffset / PAGE;
    this.#words[(page + CODE_PAGE.next) >> 2] = this.#words[index]!;
    this.#words[(page + CODE_PAGE.ramOffset) >> 2] = ramOffset;
    this.#words[(page + CODE_PAGE.mode) >> 2] = key;
    const maps = (page + CODE_PAGE.maps) >> 2;
    this.#words.fill(EMPTY_MAP, maps, maps + CODE_MAP.parts);
    this.#words[index] = page;
    return page;
  }

  /** Drops all that is decoded. Records that are running stay readable until new ones take their place. */
  flush(): void {
    const index = CODE_PAGE_INDEX >> 2;
    this.#words.fill(0, index, index + this.#ramPages);
    this.#bytes.fill(0, ARENA_BASE, this.#top);
    this.#top = FIRST_FREE;
    this.onFlush();
    this.#registers.set("codeEpoch", this.#registers.get("codeEpoch") + 1);
    this.#exports.flush_code_tlb();
  }

  /** The first bytes of a code page are part of an instruction. */
  cover(page: number, bytes: number): void {
    const code = RAM_BASE + (this.#words[(page + CODE_PAGE.ramOffset) >> 2]! >>> 0);
    this.#cover(page, code, 0, bytes);
  }

  /** Decodes the block at `offset` of a code page. Returns its first record. */
  decode(page: number, offset: number): number {
    const ramOffset = this.#words[(page + CODE_PAGE.ramOffset) >> 2]! >>> 0;
    const key = this.#words[(page + CODE_PAGE.mode) >> 2]!;
    if (this.#top + (BLOCK_LIMIT + 5) * RECORD_SIZE + BLOCK_PARTS * CODE_MAP.size > ARENA_END) {
      this.flush();
      page = this.newPage(ramOffset, key);
    }
    const mode = CODE_KEYS[key]!;
    const d = this.#decoded;
    const first = this.#top;
    const code = RAM_BASE + ramOffset;
    let at = offset;
    let count = 0;
    let falls = true;
    const effects: FlagEffect[] = [];
    let decoded = 0;
    while (count < BLOCK_LIMIT && at < PAGE && this.#words[this.#cellOf(page, at)] === 0) {
      const record = this.#take();
      const outcome = this.#decoder.decode(this.#bytes, code + at, Math.min(MAX_LENGTH, PAGE - at), mode, d);
      this.#offsets[decoded++] = at;
      const length = outcome === "ok" ? d.length : 1;
      this.#cover(page, code, at, Math.min(PAGE, at + length));
      if (outcome === "ok") {
        const form = this.#formOf(d.row);
        const addressing = this.#write(record, d, form, at, mode);
        if (count > 0 && form.branches) this.#fuse(record);
        effects.push(
          addressing === "none" ? (form.effect ?? effectOf(d.row, addressing, d.immediateLow)) : form.memoryEffect,
        );
        at += length;
        count++;
        falls = !form.ends;
      } else {
        this.#special(
          record,
          outcome === "truncated" ? "across" : outcome === "undefined" ? "undefined" : "too_long",
          at,
        );
        // Room for the instruction itself, for going on after it, and for what it was decoded from.
        if (outcome === "truncated") {
          this.#view.setUint32(record + RECORD.immediate, code, true);
          this.#cover(page, code, at, PAGE);
          for (let n = 0; n < 3; n++) this.#take();
        }
        falls = false;
      }
      if (!falls) break;
    }
    if (falls) this.#special(this.#take(), "go_on", at);
    // A copier on another thread finds the records by the map from now on: all that was written so far is seen before that.
    Atomics.add(this.#words, (page + CODE_PAGE.decodes) >> 2, 1);
    // Not before: parts of the map would lie between the records.
    for (let i = 0; i < decoded; i++) this.#note(page, this.#offsets[i]!, first + i * RECORD_SIZE);
    this.#dropFlags(first, effects);
    return first;
  }

  /** Where the map of a code page says what is decoded at an offset, in words. */
  #cellOf(page: number, offset: number): number {
    const map = this.#words[(page + CODE_PAGE.maps + Math.floor(offset / CODE_MAP.covers) * 4) >> 2]!;
    return (map >> 2) + (offset % CODE_MAP.covers);
  }
  #note(page: number, offset: number, record: number): void {
    const part = (page + CODE_PAGE.maps + Math.floor(offset / CODE_MAP.covers) * 4) >> 2;
    if (this.#words[part] === EMPTY_MAP) {
      this.#words[part] = this.#top;
      this.#top += CODE_MAP.size;
    }
    this.#words[this.#cellOf(page, offset)] = record;
  }

  /** The record to run for an instruction across two pages; 0 with an exception pending. */
  decodeAcross(record: number): number {
    const following = this.#exports.fetch_following();
    const at = this.#view.getUint16(record + RECORD.pageOffset, true);
    const key = this.#registers.get("codeKey");
    const mode = CODE_KEYS[key]!;
    const here = PAGE - at;
    if (following === 0) return 0;
    const joined = this.#joined;
    const start = this.#pageOf(record) + at;
    joined.set(this.#bytes.subarray(start, start + here));
    if (following === 1) joined.fill(0xff, here, MAX_LENGTH);
    else joined.set(this.#bytes.subarray(following >>> 0, (following >>> 0) + MAX_LENGTH - here), here);
    const real = record + RECORD_SIZE;
    const memo = record + ACROSS.memo;
    if (following !== 1 && this.#isKnown(memo, following >>> 0)) return real;
    const outcome = this.#decoder.decode(joined, 0, MAX_LENGTH, mode, this.#decoded);
    if (outcome === "ok") {
      this.#write(real, this.#decoded, this.#formOf(this.#decoded.row), at, mode);
      this.#special(real + RECORD_SIZE, "go_on", at + this.#decoded.length);
    } else this.#special(real, outcome === "undefined" ? "undefined" : "too_long", at);
    const there = following === 1 ? 0 : (outcome === "ok" ? this.#decoded.length : MAX_LENGTH) - here;
    this.#bytes.fill(0, memo, memo + RECORD_SIZE);
    this.#bytes.set(joined.subarray(here, here + there), memo);
    this.#bytes.fill(0xff, memo + ACROSS.mask, memo + ACROSS.mask + there);
    this.#bytes[memo + ACROSS.known] = following === 1 ? 0 : 1;
    return real;
  }

  /** Whether the bytes at a host address are those that the instruction was decoded from. */
  #isKnown(memo: number, there: number): boolean {
    if (this.#bytes[memo + ACROSS.known] === 0) return false;
    for (let i = 0; i < MAX_LENGTH && this.#bytes[memo + ACROSS.mask + i] !== 0; i++) {
      if (this.#bytes[memo + i] !== this.#bytes[there + i]) return false;
    }
    return true;
  }

  /** Host address of the page an "across" record belongs to; it keeps it in its immediate. */
  #pageOf(record: number): number {
    return this.#view.getUint32(record + RECORD.immediate, true);
  }

  #take(): number {
    const record = this.#top;
    this.#top += RECORD_SIZE;
    return record;
  }

  /** Instructions whose flags are replaced before anyone can see them get handlers that leave flags alone. */
  #dropFlags(first: number, effects: readonly FlagEffect[]): void {
    let unseen = false;
    for (let i = effects.length - 1; i >= 0; i--) {
      const at = first + i * RECORD_SIZE;
      const single = this.#view.getUint16(at + RECORD.single, true);
      const flagless = unseen ? this.#slots.withoutFlags(single) : undefined;
      if (flagless !== undefined) this.#view.setUint16(at + RECORD.handler, flagless, true);
      if (effects[i] !== "neutral") unseen = effects[i] === "replaces";
    }
  }

  /** Lets the instruction in front of a conditional branch go on into it without a dispatch, where there is a handler for the pair. */
  #fuse(branch: number): void {
    const first = this.#view.getUint16(branch - RECORD_SIZE + RECORD.single, true);
    const slot = this.#slots.pair(first, this.#view.getUint16(branch + RECORD.single, true));
    if (slot !== undefined) this.#view.setUint16(branch - RECORD_SIZE + RECORD.handler, slot, true);
  }

  #cover(page: number, code: number, from: number, to: number): void {
    const low = (page + CODE_PAGE.coverage) >> 2;
    if (this.#words[low] === 0 && this.#words[low + 1] === 0) this.#exports.protect_code(code);
    for (let run = from >> 6; run <= (to - 1) >> 6; run++) this.#words[low + (run >> 5)]! |= 1 << (run & 31);
  }

  #special(record: number, name: "across" | "undefined" | "too_long" | "go_on", pageOffset: number): void {
    this.#view.setUint16(record + RECORD.handler, slotOf(name), true);
    this.#view.setUint16(record + RECORD.single, slotOf(name), true);
    this.#view.setUint16(record + RECORD.pageOffset, pageOffset, true);
    this.#view.setUint8(record + RECORD.length, 0);
  }

  #formOf(row: Row): RowForm {
    return (this.#forms[row.id] ??= new RowForm(row));
  }

  #write(record: number, d: Decoded, form: RowForm, pageOffset: number, mode: DecodeMode): Addressing {
    const view = this.#view;
    const { row, size, addressSize, rep } = d;
    const mode64 = mode.codeBits === 64;
    const addressing = form.mayBeMemory ? addressingOf(d, mode64) : "none";
    const slot = this.#slots.find(row, { size, addressSize, mode64, rep, addressing });
    view.setUint16(record + RECORD.handler, slot, true);
    view.setUint16(record + RECORD.single, slot, true);
    view.setUint8(record + RECORD.length, d.length);
    view.setUint16(record + RECORD.pageOffset, pageOffset, true);
    view.setInt32(record + RECORD.displacement, form.twoImmediates ? d.immediate2 : 0, true);
    view.setInt32(record + RECORD.immediate, d.immediateLow, true);
    const heat = form.switches && this.heat !== 0 ? Math.min(this.heat, SAMPLE_INTERVAL) : this.heat;
    view.setInt32(record + RECORD.heat, form.jumps ? heat : d.immediateHigh, true);
    view.setUint8(record + RECORD.segment, form.onStack && !d.isMemory ? SS : d.segment);
    view.setUint8(record + RECORD.addressBytes, addressSize / 8);
    const registers = d.isMemory ? form.besideMemory : form.registers;
    for (let i = 0; i < registers.length; i++)
      view.setUint16(record + RECORD.register[i]!, registerField(registers[i]!, d), true);
    if (form.jumps) view.setInt32(record + RECORD.farMap, NO_MAP, true);
    if (addressing === "none") return addressing;
    const base = d.base === NO_REGISTER ? ZERO : d.base === BASE_RIP ? offsetOf("ripPage") : GPR + d.base * 8;
    const displacement = d.base === BASE_RIP ? d.displacement + pageOffset + d.length : d.displacement;
    view.setUint16(record + RECORD.base, base, true);
    const index = d.index === NO_REGISTER ? ZERO : form.vsib ? YMM + d.index * 32 : GPR + d.index * 8;
    view.setUint16(record + RECORD.index, index, true);
    view.setUint8(record + RECORD.scale, d.scale);
    if (!form.twoImmediates) view.setInt32(record + RECORD.displacement, displacement, true);
    const flat = d.override < 4 ? ZERO : offsetOf(d.override === 4 ? "fs.base" : "gs.base");
    view.setUint16(record + RECORD.segmentBase, flat, true);
    return addressing;
  }
}

export function addressingOf(d: Decoded, mode64: boolean): Addressing {
  if (!d.isMemory || !d.row.operands.some(mayBeMemory)) return "none";
  if (!mode64 || d.addressSize !== 64) return "checked";
  return d.index === NO_REGISTER && d.override < 4 ? "base" : "full";
}

/** What a register field of the record holds for an operand. */
function registerField(spec: OperandSpec, d: Decoded): number {
  const inReg = d.row.plusR ? d.opcodeReg : d.reg;
  switch (spec.kind) {
    case "sreg":
    case "creg":
    case "dreg":
      return d.reg;
    case "sti":
      return d.modrm & 7;
    case "mm":
      return FPR + (d.reg & 7) * 16;
    case "mmm":
    case "mmrm":
      return FPR + (d.rm & 7) * 16;
    case "xmm":
      return YMM + d.reg * 32;
    case "xmmm":
    case "xmmrm":
      return YMM + d.rm * 32;
    case "xmmv":
      return YMM + d.vvvv * 32;
    case "xmmi":
      return YMM + d.is4 * 32;
    default: {
      const number = spec.kind === "reg" ? inReg : spec.kind === "vvvv" ? d.vvvv : d.rm;
      // Without REX, 8-bit registers 4-7 are AH, CH, DH, BH.
      if (spec.width === 8 && d.rex === 0 && number >= 4) return GPR + (number - 4) * 8 + 1;
      return GPR + number * 8;
    }
  }
}
