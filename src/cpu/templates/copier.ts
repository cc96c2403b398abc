/**
 * Copies functions of templates, several into one module. It reads decoded code in the vCPU's memory and is given all else that it has to
 * know, so that it may run on a thread of its own beside the vCPU's (copier-thread.ts): what it reads may change while it does, and the
 * vCPU looks whether it did before it puts anything in place.
 */
import { type Compiled, CompiledModule, weigh } from "../jit/compiled-module.ts";
import { type CodePlace, DecodedCode, placeIn } from "../jit/decoded-code.ts";
import { copyFunction } from "./copied-code.ts";
import type { NearView } from "./near-code.ts";
import type { TemplateSet } from "./template-set.ts";

/**
 * A copied function of so many bytes at most, some 100 instructions, is copied again where another leads to it: to go from one function to
 * another costs as much as a dozen instructions. Of what is larger there would be too much.
 */
const COPIED_AGAIN = 10_000;
/** Taken less than once while templates wait for so many passes, a conditional jump is seldom taken. */
const SELDOM = 160;

/** Sizes of what is compiled, by slot, in bytes: 0 where nothing is. Regions are left alone whatever their size. */
export type SlotSizes = Int32Array;
/** Table slots are u16 in records. */
export const MAX_SLOTS = 0x1_0000;
export const REGION_SIZE = 0x7fff_ffff;

/** A place to copy a function for, and the slot it will have. */
export interface CopyOrder extends CodePlace {
  readonly slot: number;
}

/** What came of an order: numbers only, as it goes from thread to thread. */
export interface CopiedOne {
  readonly slot: number;
  readonly bytes: number;
  /** Positions of its entries, by their numbers. */
  readonly entries: readonly number[];
  /** Code pages of its instructions, by their distance from the root's in pages. */
  readonly pages: ReadonlyMap<number, number>;
  /** Positions of its instructions, and their records. */
  readonly positions: Int32Array;
  readonly records: Int32Array;
}

export interface CopiedBatch {
  /** Absent where nothing could be copied. */
  readonly module: WebAssembly.Module | undefined;
  /** Bytes of the module. */
  readonly bytes: number;
  readonly imports: readonly string[];
  readonly functions: readonly CopiedOne[];
  /** Records of places that have become a part of another place's function. */
  readonly inside: readonly number[];
}

export interface CopierPorts {
  readonly memory: ArrayBufferLike;
  readonly set: TemplateSet;
  readonly sizes: SlotSizes;
  /** For so many passes places wait until they are copied. */
  readonly passes: number;
}

/** A copier as a vCPU sees it. It has one lot of orders at a time. */
export interface CopierLink {
  /** The vCPU keeps them up to date. */
  readonly sizes: SlotSizes;
  /** `epoch`: what `codeEpoch` is. */
  send(orders: readonly CopyOrder[], epoch: number): void;
  /** Whether the orders that were sent are done. */
  readonly isDone: boolean;
  /** What came of them, once. */
  take(): CopiedBatch;
}

/** The copier of a vCPU that has no other: its own thread copies when it looks. */
export function ownCopier(ports: Omit<CopierPorts, "sizes">): CopierLink {
  const sizes = new Int32Array(MAX_SLOTS);
  const copier = new Copier({ ...ports, sizes });
  let sent: readonly CopyOrder[] = [];
  return {
    sizes,
    send(orders) {
      sent = orders;
    },
    isDone: true,
    take: () => copier.copy(sent),
  };
}

export class Copier {
  readonly #p: CopierPorts;
  readonly #code: DecodedCode;

  constructor(ports: CopierPorts) {
    this.#p = ports;
    this.#code = new DecodedCode(ports.memory);
  }

  copy(orders: readonly CopyOrder[]): CopiedBatch {
    const code = this.#code;
    const { set } = this.#p;
    const module = new CompiledModule(set.effects, set.observer);
    const compiled: Compiled[] = [];
    const functions: CopiedOne[] = [];
    const inside: number[] = [];
    /** Instructions of the functions so far; and their entries, with the size of each function. */
    const copied = new Set<number>();
    const begun = new Map<number, number>();
    for (const order of orders) {
      const { slot } = order;
      const root = code.recordAt(order);
      if (begun.has(root)) continue;
      if (copied.has(root)) {
        inside.push(root);
        continue;
      }
      const name = `templates ${(order.linear + BigInt(order.offset)).toString(16)}`;
      const one = copyFunction({ name, slot }, set, code, this.#view(order, begun), order.offset, module);
      if (!one) continue;
      const { f, entries, pages, positions, records } = one;
      const bytes = f.code.length;
      for (const record of records) copied.add(record);
      for (const pos of entries) begun.set(code.recordAt(placeIn(pages, pos)), bytes);
      compiled.push({ slot, f });
      functions.push({ slot, bytes, entries, pages, positions, records });
    }
    if (compiled.length === 0) return { module: undefined, bytes: 0, imports: [], functions, inside };
    const encoded = module.encode(compiled);
    const made = new WebAssembly.Module(encoded);
    weigh(made, encoded.length);
    return { module: made, bytes: encoded.length, imports: module.imports, functions, inside };
  }

  #view(order: CopyOrder, begun: ReadonlyMap<number, number>): NearView {
    const code = this.#code;
    const { sizes, passes } = this.#p;
    return {
      pageAt: (distance) => code.pageNear(order, distance),
      leaves: (record) => (sizes[code.handlerOf(record)] || (begun.get(record) ?? 0)) > COPIED_AGAIN,
      targets: () => [],
      // A jump that has told that it is hot counts down from elsewhere: it is taken for one of these for a moment at most.
      isSeldomTaken: (record) => {
        const taken = passes - code.heatOf(record);
        return taken >= 0 && taken * SELDOM < passes;
      },
    };
  }
}
