/**
 * What a region is made of: the instructions that can be reached from a hot one by direct jumps, as far as they have run (that
 * is, been decoded) already, in basic blocks. Positions are in bytes from the start of the page that the region is entered in.
 */
import { Decoded, type DecodeMode, type Decoder, MAX_LENGTH } from "../../isa/decode.ts";
import type { Row } from "../../isa/row.ts";
import { addressingOf, isJump } from "../code-cache.ts";
import type { Variant } from "../instruction-writer.ts";
import type { FlagUse } from "./region-flags.ts";

const PAGE = 4096;

export interface Instruction {
  readonly pos: number;
  readonly next: number;
  readonly d: Decoded;
  readonly row: Row;
  readonly variant: Variant;
  /** Where a relative branch goes. */
  readonly target: number | undefined;
  readonly flags: FlagUse;
  readonly movesStack: boolean;
}

export interface Block {
  readonly pos: number;
  readonly instructions: Instruction[];
  /** Blocks that control reaches directly: taken branch, or what follows. */
  readonly successors: number[];
  /** Control may go on behind the last instruction. */
  readonly falls: boolean;
}

/** A page of the region. */
export interface RegionPage {
  /** Distance from the page of the root, in pages. */
  readonly distance: number;
  readonly codePage: number;
  /** Host address of the page's bytes. */
  readonly host: number;
}

export interface Blocks {
  readonly blocks: readonly Block[];
  readonly pages: readonly RegionPage[];
  /** Numbers of the blocks that control may come to from outside: the root first. */
  readonly entries: readonly number[];
}

export interface Limits {
  readonly instructions: number;
  readonly pages: number;
  readonly entries: number;
}

/** How the finder sees decoded code. */
export interface CodeView {
  readonly bytes: Uint8Array;
  readonly decoder: Decoder;
  readonly mode: DecodeMode;
  /** The code page `distance` pages from the root's, if code there has run. */
  page(distance: number): { codePage: number; host: number } | undefined;
  /** Whether there is a decoded instruction at that offset. */
  decoded(codePage: number, offset: number): boolean;
  /** What compiling the instruction would do; undefined where it cannot be compiled. */
  probe(insn: Omit<Instruction, "flags" | "movesStack">): { flags: FlagUse; movesStack: boolean } | undefined;
}

/** Finds the blocks of a region around the instruction at `root`, an offset in its page. Undefined: it cannot be compiled. */
export function findBlocks(view: CodeView, root: number, limits: Limits): Blocks | undefined {
  const finder = new Finder(view, limits);
  return finder.find(root);
}

class Finder {
  readonly #view: CodeView;
  readonly #limits: Limits;
  readonly #pages = new Map<number, RegionPage | undefined>();
  #pageCount = 0;
  readonly #instructions = new Map<number, Instruction | undefined>();
  #count = 0;

  constructor(view: CodeView, limits: Limits) {
    this.#view = view;
    this.#limits = limits;
  }

  find(root: number): Blocks | undefined {
    const leaders = new Set<number>([root]);
    const returns: number[] = [];
    // Breadth first, what is in the same function before what it calls.
    const near: number[] = [root];
    const far: number[] = [];
    for (;;) {
      const start = near.shift() ?? far.shift();
      if (start === undefined) break;
      let pos = start;
      for (;;) {
        if (this.#instructions.has(pos)) {
          // Joined a run that is known: it begins a block there unless it is this run's own start.
          if (pos !== start) leaders.add(pos);
          break;
        }
        const insn = this.#decode(pos);
        if (!insn) break;
        if (insn.target !== undefined) {
          leaders.add(insn.target);
          if (isCall(insn.row)) {
            far.push(insn.target);
          } else near.push(insn.target);
        }
        if (isCall(insn.row)) {
          leaders.add(insn.next);
          returns.push(insn.next);
          near.push(insn.next);
        }
        if (insn.row.attributes.has("end")) break;
        if (isRepeated(insn)) {
          leaders.add(insn.pos);
          leaders.add(insn.next);
        }
        if (insn.target !== undefined) leaders.add(insn.next);
        pos = insn.next;
      }
    }
    if (!this.#instructions.get(root)) return undefined;
    return this.#assemble(root, leaders, returns);
  }

  #assemble(root: number, leaders: ReadonlySet<number>, returns: readonly number[]): Blocks {
    const numbers = new Map<number, number>();
    for (const pos of leaders) if (this.#instructions.get(pos)) numbers.set(pos, numbers.size);
    const blocks: Block[] = [];
    for (const [pos] of numbers) {
      const instructions: Instruction[] = [];
      const successors: number[] = [];
      let falls = true;
      for (let at = pos; ; ) {
        const insn = this.#instructions.get(at);
        if (!insn) break;
        instructions.push(insn);
        const follow = (to: number) => {
          const number = numbers.get(to);
          if (number !== undefined && !successors.includes(number)) successors.push(number);
        };
        if (insn.target !== undefined) follow(insn.target);
        if (isRepeated(insn)) follow(insn.pos);
        if (insn.row.attributes.has("end")) {
          falls = false;
          break;
        }
        if (leaders.has(insn.next) || insn.target !== undefined) {
          follow(insn.next);
          break;
        }
        at = insn.next;
      }
      blocks.push({ pos, instructions, successors, falls });
    }
    const entries = [numbers.get(root)!];
    for (const pos of returns) {
      const number = numbers.get(pos);
      if (number !== undefined && !entries.includes(number) && entries.length < this.#limits.entries)
        entries.push(number);
    }
    const pages = [...this.#pages.values()].filter((p) => p !== undefined);
    return { blocks, pages, entries };
  }

  #page(distance: number): RegionPage | undefined {
    if (this.#pages.has(distance)) return this.#pages.get(distance);
    let page: RegionPage | undefined;
    if (this.#pageCount < this.#limits.pages) {
      const found = this.#view.page(distance);
      if (found) {
        page = { distance, ...found };
        this.#pageCount++;
      }
    }
    this.#pages.set(distance, page);
    return page;
  }

  #decode(pos: number): Instruction | undefined {
    this.#instructions.set(pos, undefined);
    if (this.#count >= this.#limits.instructions) return undefined;
    const distance = Math.floor(pos / PAGE);
    const offset = pos - distance * PAGE;
    const page = this.#page(distance);
    const { bytes, decoder, mode } = this.#view;
    if (!page || !this.#view.decoded(page.codePage, offset)) return undefined;
    const d = new Decoded();
    if (decoder.decode(bytes, page.host + offset, Math.min(MAX_LENGTH, PAGE - offset), mode, d) !== "ok")
      return undefined;
    const mode64 = mode.codeBits === 64;
    const { row, size, addressSize, rep } = d;
    const relative = row.operands.some((o) => o.kind === "rel");
    const target = relative ? pos + d.length + d.immediateLow : undefined;
    // Too far to count as a position: it is rare, and the interpreter has it.
    if (target !== undefined && Math.abs(target) >= MAX_DISTANCE) return undefined;
    const variant: Variant = { row, size, addressSize, mode64, rep, addressing: addressingOf(d, mode64) };
    const bare = { pos, next: pos + d.length, d, row, variant, target };
    const probed = this.#view.probe(bare);
    if (!probed) return undefined;
    const insn: Instruction = { ...bare, ...probed };
    this.#instructions.set(pos, insn);
    this.#count++;
    return insn;
  }
}

/** Bytes from the root's page that a position may be away. */
const MAX_DISTANCE = 0x4000_0000;

const isCall = (row: Row): boolean => row.mnemonic === "CALL" && isJump(row);
/** It goes round on itself. */
export const isRepeated = (insn: { d: Decoded; row: Row }): boolean =>
  insn.d.rep !== "none" && insn.row.attributes.has("rep");
