/** One region: blocks in, a function out. */
import type { FunctionBuilder, I32, Lent } from "../../wasm/index.ts";
import type { BareInstruction, Block, Blocks, Instruction, Probed } from "./blocks.ts";
import { type Structure, structure } from "./graph.ts";
import { Layout } from "./layout.ts";
import { MAX_ENTRIES, RegionCode, type RegionId, type RegionModule } from "./region-code.ts";
import { FLAG_KIND, type FlagKind, MIXED } from "./region-flags.ts";
import { type Flow, NotCompiled, RegionWriter } from "./region-writer.ts";

export interface CompiledRegion {
  readonly f: FunctionBuilder;
  /** Positions where it is entered; the place in the list is the entry number. */
  readonly entries: readonly number[];
}

/** Undefined where its control flow needs more entries than a region may have. */
export function compileRegion(
  name: string,
  module: RegionModule,
  id: RegionId,
  found: Blocks,
  in64: boolean,
): CompiledRegion | undefined {
  const { blocks } = found;
  const graph = { successors: blocks.map((b) => b.successors), entries: found.entries };
  const shape = structure(graph, MAX_ENTRIES);
  if (!shape) return undefined;
  const usesFlags = blocks.some((b) =>
    b.instructions.some(({ flags }) => flags.reads || flags.conditional || flags.kind !== undefined),
  );
  const region = new RegionCode(name, module, id, found.pages, in64, usesFlags);
  new Compiler(region, blocks, shape).write();
  return { f: region.f, entries: shape.entries.map((b) => blocks[b]!.pos) };
}

/** What one instruction does to flags and stack pointer; undefined where it cannot be compiled. Writes it into nothing. */
export function probe(module: RegionModule, insn: BareInstruction, in64: boolean): Probed | undefined {
  const region = new RegionCode("probe", module, { slot: 0, number: 0, tolerant: false }, [], in64, true);
  const flags = { reads: false, kind: undefined, conditional: false };
  const full: Instruction = { ...insn, flags, movesStack: false, pos: 0, next: insn.d.length, target: 0 };
  const nothing: Flow = { relative: () => undefined, indirect: () => undefined, again: () => undefined };
  let result: Probed | undefined;
  try {
    region.frame(false, false, () => {
      region.flags.enter(FLAG_KIND.triple);
      region.flags.begin(false);
      const writer = new RegionWriter(region, full, nothing, false);
      writer.write();
      result = { flags: { ...region.flags.use }, movesStack: writer.movesStack };
    });
  } catch (error) {
    if (error instanceof NotCompiled) return undefined;
    throw error;
  }
  return result;
}

class Compiler {
  readonly #region: RegionCode;
  readonly #blocks: readonly Block[];
  readonly #shape: Structure;
  readonly #numbers: ReadonlyMap<number, number>;
  readonly #kinds: FlagKind[];
  readonly #layout: Layout;
  #started = false;

  constructor(region: RegionCode, blocks: readonly Block[], shape: Structure) {
    this.#region = region;
    this.#blocks = blocks;
    this.#shape = shape;
    this.#numbers = new Map(blocks.map((b, i) => [b.pos, i]));
    this.#kinds = flagKinds(blocks, shape);
    this.#layout = new Layout(region.f, shape, (block) => this.#block(block));
  }

  write(): void {
    const { entry } = this.#region;
    const { entries, switches } = this.#shape;
    const needsTriple = entries.some((b) => this.#kinds[b] === FLAG_KIND.triple);
    this.#region.frame(switches, needsTriple, () => this.#layout.writeAll(() => entry.get() as I32));
  }

  #block(number: number): void {
    const region = this.#region;
    const { f, flags } = region;
    const block = this.#blocks[number]!;
    const count = block.instructions.length;
    const here = { number, count };
    // A block with one way in goes on with what is known there.
    if (this.#shape.isMerge[number] || this.#shape.isHeader[number] || !this.#started)
      flags.enter(this.#kinds[number]!);
    this.#started = true;
    let held: Lent = [];
    for (const [i, insn] of block.instructions.entries()) {
      region.done = i;
      const lent = f.lend();
      flags.begin(insn.flags.conditional);
      const writer = new RegionWriter(region, insn, this.#flow(here, insn), insn.movesStack);
      const goesOn = writer.write();
      // What flags are still to be computed from stays until other flags take its place.
      if (flags.free || (flags.holds && !flags.use.reads)) {
        f.giveBack(held);
        held = [];
      }
      if (flags.holds) held.push(...lent);
      else f.giveBack(lent);
      if (goesOn && i === count - 1) {
        region.retire(count);
        this.#go(here.number, insn.next);
      }
    }
    f.giveBack(held);
  }

  #flow(here: { number: number; count: number }, insn: Instruction): Flow {
    const region = this.#region;
    const { f } = region;
    return {
      relative: (_, condition) => {
        region.retire(here.count);
        const target = insn.target!;
        if (insn.calls) this.#noteCall(insn);
        if (!condition) {
          this.#go(here.number, target);
          return;
        }
        f.if(condition, () => this.#go(here.number, target));
        this.#go(here.number, insn.next);
      },
      indirect: (target) => {
        region.retire(here.count);
        if (insn.row.mnemonic === "RET") region.return(target);
        else {
          if (insn.calls) this.#noteCall(insn);
          region.indirect(target, insn.switches && !insn.calls);
        }
      },
      again: (condition) => {
        region.retire(here.count);
        f.if(condition, () => this.#go(here.number, insn.pos));
        this.#go(here.number, insn.next);
      },
    };
  }

  /** A call to a function in this region, which will come back to it. */
  #noteCall(insn: Instruction): void {
    const back = this.#numbers.get(insn.next);
    const entry = back === undefined ? -1 : this.#shape.entries.indexOf(back);
    if (entry >= 0 && (insn.target === undefined || this.#numbers.has(insn.target)))
      this.#region.noteCall(insn.next, entry);
  }

  /** Goes from a block to a position. */
  #go(from: number, pos: number): void {
    const region = this.#region;
    const { f, flags } = region;
    const to = this.#numbers.get(pos);
    if (to === undefined || !this.#blocks[from]!.successors.includes(to)) {
      const last = this.#blocks[from]!.instructions.at(-1)!;
      region.exit(pos, !(last.calls && pos === last.target));
      return;
    }
    const kind = this.#shape.edge(from, to);
    if (kind === "back" || kind === "entry") {
      const stop = (region.budget.get() as I32).leS(region.env.get("attention"));
      f.if(stop, () => region.exit(pos, false));
    }
    if (kind === "inline") {
      const saved = flags.save();
      if (this.#shape.isHeader[to]) flags.settle(this.#kinds[to]!);
      this.#layout.tree(to);
      flags.restore(saved);
      return;
    }
    flags.settleOnEdge(this.#kinds[to]!);
    if (kind === "back") this.#layout.toLoop(to);
    else if (kind === "forward") this.#layout.toMerge(to);
    else region.dispatch(this.#shape.entries.indexOf(to));
  }
}

/** The form flags have at the start of each block. */
function flagKinds(blocks: readonly Block[], shape: Structure): FlagKind[] {
  const count = blocks.length;
  const last = blocks.map((b) => {
    for (let i = b.instructions.length - 1; i >= 0; i--) {
      const use = b.instructions[i]!.flags;
      if (use.conditional) return FLAG_KIND.triple;
      if (use.kind !== undefined) return use.kind;
    }
    return undefined;
  });
  // Whether a block, or one behind it, looks at flags that were set before it.
  const needs = blocks.map((b) => {
    for (const { flags } of b.instructions) {
      if (flags.reads || flags.conditional) return true;
      if (flags.kind !== undefined) return false;
    }
    return undefined;
  });
  const live: boolean[] = needs.map((n) => n === true);
  for (let changed = true; changed; ) {
    changed = false;
    for (let b = count - 1; b >= 0; b--) {
      if (live[b] || needs[b] === false) continue;
      if (blocks[b]!.successors.some((s) => live[s])) {
        live[b] = true;
        changed = true;
      }
    }
  }
  const UNKNOWN = -2;
  const kinds: FlagKind[] = Array.from({ length: count }, () => UNKNOWN);
  // An entry is reached with flags of any form; where one looks at them, all bring the triple.
  for (const entry of shape.entries) kinds[entry] = live[entry] ? FLAG_KIND.triple : MIXED;
  const fixed = new Set(shape.entries);
  const ordered = [...blocks.keys()]
    .filter((b) => shape.order[b]! >= 0)
    .sort((a, b) => shape.order[a]! - shape.order[b]!);
  for (let changed = true; changed; ) {
    changed = false;
    for (const b of ordered) {
      const out = last[b] ?? kinds[b]!;
      if (out === UNKNOWN) continue;
      for (const s of blocks[b]!.successors) {
        if (fixed.has(s) || kinds[s] === out) continue;
        const met = kinds[s] === UNKNOWN ? out : live[s] ? FLAG_KIND.triple : MIXED;
        if (kinds[s] !== UNKNOWN) fixed.add(s);
        if (met === kinds[s]) continue;
        kinds[s] = met;
        changed = true;
      }
    }
  }
  return kinds;
}
