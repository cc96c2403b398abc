/**
 * What a region is made of: the instructions that can be reached from a hot one by direct jumps, as far as they have run (that
 * is, been decoded) already, in basic blocks. Positions are in bytes from the start of the page that the region is entered in.
 */
import { Decoded, type DecodeMode, type Decoder, MAX_LENGTH } from "../../isa/decode.ts";
import type { Row } from "../../isa/row.ts";
import { addressingOf } from "../code-cache.ts";
import type { Variant } from "../instruction-writer.ts";
import { isSwitch } from "../interpreter/pairs.ts";
import { isJump } from "../interpreter/row-form.ts";
import type { FlagUse } from "./region-flags.ts";
import { type Control, type Flow, isShort } from "./short.ts";

const PAGE = 4096;

/** An instruction wherever it lies. */
export interface BareInstruction extends Control {
  readonly d: Decoded;
  readonly row: Row;
  readonly variant: Variant;
  /** It has a static target. */
  readonly relative: boolean;
  /** It goes round on itself. */
  readonly repeats: boolean;
}

/** What compiling an instruction does. */
export interface Probed {
  readonly flags: FlagUse;
  readonly movesStack: boolean;
}
export type KnownInstruction = BareInstruction & Probed;

export interface Instruction extends KnownInstruction, Flow {
  readonly pos: number;
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
  /** The same where there is a jump with many targets. */
  readonly switched: number;
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
  /** Where the jump to a computed address at that offset has been seen to go. */
  targets(codePage: number, offset: number): readonly number[];
  /** Further places to begin at. */
  readonly extras: readonly number[];
  /** Given the positions of all instructions, which of them the region is to be entered at besides. */
  adopt(positions: readonly number[]): readonly number[];
  /** Brings a page of code into the code TLB, if it can. */
  fetch(distance: number): void;
  /** The record of the decoded instruction at that offset, or 0. */
  record(codePage: number, offset: number): number;
  /** What is known of instructions, by their records; null where they cannot be compiled. */
  readonly known: Map<number, KnownInstruction | null>;
  /** The first bytes of a code page belong to an instruction from now on: whoever writes there invalidates it. */
  cover(codePage: number, bytes: number): void;
  /** What compiling the instruction would do; undefined where it cannot be compiled. */
  probe(insn: BareInstruction): Probed | undefined;
}

/**
 * Finds the blocks of a region around the instruction at `root`, an offset in its page; `within`: of these instructions only. Undefined:
 * it cannot be compiled.
 */
export function findBlocks(
  view: CodeView,
  root: number,
  limits: Limits,
  within?: ReadonlySet<number>,
): Blocks | undefined {
  const finder = new Finder(view, limits, within);
  return finder.find(root);
}

class Finder {
  readonly #view: CodeView;
  readonly #within: ReadonlySet<number> | undefined;
  readonly #limits: Limits;
  readonly #pages = new Map<number, RegionPage | undefined>();
  #pageCount = 0;
  readonly #instructions = new Map<number, Instruction | undefined>();
  /** Where blocks begin. */
  readonly #leaders = new Set<number>();
  /** Behind calls; what calls lead to; what jumps with many targets lead to. */
  readonly #returns: number[] = [];
  readonly #calls: number[] = [];
  readonly #switched: number[] = [];
  /** What calls of computed addresses lead to. */
  readonly #called = new Set<number>();
  #limit: number;
  #count = 0;

  constructor(view: CodeView, limits: Limits, within: ReadonlySet<number> | undefined) {
    this.#view = view;
    this.#within = within;
    this.#limits = limits;
    this.#limit = limits.instructions;
  }

  find(root: number): Blocks | undefined {
    this.#trace([root, ...this.#view.extras]);
    // Short functions that call no others come along with the calls.
    for (const target of this.#calls) {
      if (!this.#instructions.has(target) && this.#isShort(target)) this.#trace([target]);
      if (this.#called.has(target) && this.#instructions.get(target)) this.#switched.push(target);
    }
    if (!this.#instructions.get(root)) return undefined;
    const inside: number[] = [];
    for (const [pos, insn] of this.#instructions) if (insn) inside.push(pos);
    this.#switched.push(...this.#view.extras, ...this.#view.adopt(inside));
    for (const pos of this.#switched) this.#leaders.add(pos);
    return this.#assemble(root);
  }

  /** Decodes all that direct jumps lead to. */
  #trace(near: number[]): void {
    const leaders = this.#leaders;
    for (const pos of near) leaders.add(pos);
    for (;;) {
      const start = near.shift();
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
        const { target, next } = insn;
        if (insn.calls) {
          if (target !== undefined) {
            leaders.add(target);
            this.#calls.push(target);
          } else {
            const targets = this.#targets(pos);
            this.#calls.push(...targets);
            for (const to of targets) this.#called.add(to);
          }
          leaders.add(next);
          this.#returns.push(next);
          near.push(next);
          break;
        }
        if (target !== undefined) {
          leaders.add(target);
          near.push(target);
        } else if (insn.switches) {
          const targets = this.#targets(pos);
          if (targets.length > 1) this.#limit = this.#limits.switched;
          for (const to of targets) {
            leaders.add(to);
            near.push(to);
            this.#switched.push(to);
          }
        }
        if (insn.ends) break;
        if (insn.repeats) leaders.add(pos);
        if (target !== undefined || insn.repeats) leaders.add(next);
        pos = next;
      }
    }
  }

  #targets(pos: number): readonly number[] {
    const distance = Math.floor(pos / PAGE);
    const page = this.#page(distance)!;
    return this.#view.targets(page.codePage, pos - distance * PAGE).filter((to) => Math.abs(to) < MAX_DISTANCE);
  }

  /** Whether what a call leads to comes along, as far as it is not inside already. */
  #isShort(start: number): boolean {
    return isShort(start, (pos) => (this.#instructions.get(pos) ? undefined : this.#look(pos)));
  }

  #assemble(root: number): Blocks {
    const leaders = this.#leaders;
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
        if (insn.repeats) follow(insn.pos);
        if (insn.ends) {
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
    const enter = (pos: number) => {
      const number = numbers.get(pos);
      if (number !== undefined && !entries.includes(number)) entries.push(number);
    };
    for (const pos of this.#returns) if (entries.length < this.#limits.entries) enter(pos);
    for (const pos of this.#switched) enter(pos);
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

  /** An instruction across two pages: both are of the region then. */
  #across(d: Decoded, page: RegionPage, offset: number, distance: number): boolean {
    const { bytes, decoder, mode } = this.#view;
    if (!this.#view.page(distance + 1)) this.#view.fetch(distance + 1);
    const following = this.#page(distance + 1);
    if (!following) return false;
    const here = PAGE - offset;
    const joined = new Uint8Array(2 * MAX_LENGTH);
    joined.set(bytes.subarray(page.host + offset, page.host + PAGE));
    joined.set(bytes.subarray(following.host, following.host + MAX_LENGTH), here);
    if (decoder.decode(joined, 0, MAX_LENGTH, mode, d) !== "ok") return false;
    this.#view.cover(following.codePage, d.length - here);
    return true;
  }

  #decode(pos: number): Instruction | undefined {
    if (this.#count >= this.#limit) {
      this.#instructions.set(pos, undefined);
      return undefined;
    }
    const insn = this.#look(pos);
    this.#instructions.set(pos, insn);
    if (insn) this.#count++;
    return insn;
  }

  /** The instruction at a position, if it has run and can be compiled. */
  #look(pos: number): Instruction | undefined {
    if (this.#within?.has(pos) === false) return undefined;
    const distance = Math.floor(pos / PAGE);
    const offset = pos - distance * PAGE;
    const page = this.#page(distance);
    if (!page) return undefined;
    const record = this.#view.record(page.codePage, offset);
    if (record === 0) return undefined;
    const { known } = this.#view;
    let found = known.get(record);
    if (found === undefined) {
      found = this.#read(page, offset, distance);
      if (known.size >= MAX_KNOWN) known.clear();
      // An instruction across two pages is found anew each time: the second page may be another.
      if (found === null || offset + found.d.length <= PAGE) known.set(record, found);
    }
    if (!found) return undefined;
    const { d, row, variant, flags, movesStack, relative, ends, calls, switches, repeats } = found;
    const next = pos + d.length;
    const target = relative ? next + d.immediateLow : undefined;
    // Too far to count as a position: it is rare, and the interpreter has it.
    if (target !== undefined && Math.abs(target) >= MAX_DISTANCE) return undefined;
    return { pos, next, target, d, row, variant, flags, movesStack, relative, ends, calls, switches, repeats };
  }

  #read(page: RegionPage, offset: number, distance: number): KnownInstruction | null {
    const { bytes, decoder, mode } = this.#view;
    const d = new Decoded();
    const here = Math.min(MAX_LENGTH, PAGE - offset);
    const outcome = decoder.decode(bytes, page.host + offset, here, mode, d);
    if (outcome === "truncated") {
      if (!this.#across(d, page, offset, distance)) return null;
    } else if (outcome !== "ok") return null;
    const mode64 = mode.codeBits === 64;
    const { row, size, addressSize, rep } = d;
    const variant: Variant = { row, size, addressSize, mode64, rep, addressing: addressingOf(d, mode64) };
    const bare = {
      d,
      row,
      variant,
      relative: row.operands.some((o) => o.kind === "rel"),
      ends: row.attributes.has("end"),
      calls: row.mnemonic === "CALL" && isJump(row),
      switches: isSwitch(row),
      repeats: rep !== "none" && row.attributes.has("rep"),
    };
    const probed = this.#view.probe(bare);
    return probed ? { ...bare, ...probed } : null;
  }
}

/** Instructions that are remembered; a guest's code must not fill the host's heap. */
const MAX_KNOWN = 20_000;

/** Bytes from the root's page that a position may be away. */
const MAX_DISTANCE = 0x4000_0000;
