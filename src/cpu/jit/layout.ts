/** Nests the blocks of a function as their structure says (graph.ts), and knows how to get from one to another. */
import type { FunctionBuilder, I32, Label } from "../../wasm/index.ts";
import type { Structure } from "./graph.ts";

export class Layout {
  readonly #f: FunctionBuilder;
  readonly #shape: Structure;
  readonly #write: (block: number) => void;
  readonly #loops: Label[] = [];
  readonly #ends: Label[] = [];

  /** `write` writes the code of one block, with all ways out of it. */
  constructor(f: FunctionBuilder, shape: Structure, write: (block: number) => void) {
    this.#f = f;
    this.#shape = shape;
    this.#write = write;
  }

  /** All blocks. Where there are several entries, `entry` says at which to begin. */
  writeAll(entry: () => I32): void {
    const { entries, children, switches, order } = this.#shape;
    if (!switches) {
      this.tree(entries[0]!);
      return;
    }
    this.#within(this.#sorted(children[order.length - 1]!), () => {
      const labels = entries.map((b) => this.#ends[b]!);
      // Most come in at the first, and a processor foresees a branch better than a jump through a table.
      this.#f.brIf(labels[0]!, entry().eqz());
      this.#f.brTable(labels, labels[0]!, entry());
    });
  }

  /** A block that only one way leads to, and what it dominates. */
  tree(block: number): void {
    const merges = this.#sorted(this.#shape.children[block]!);
    const inside = () => this.#within(merges, () => this.#write(block));
    if (this.#shape.isHeader[block]) {
      this.#f.loop((again) => {
        this.#loops[block] = again;
        inside();
      });
    } else inside();
  }

  toLoop(block: number): void {
    this.#f.br(this.#loops[block]!);
  }
  toMerge(block: number): void {
    this.#f.br(this.#ends[block]!);
  }

  /** Blocks with several ways in, the first in order last: it is the innermost. */
  #sorted(blocks: readonly number[]): number[] {
    const { order, isMerge } = this.#shape;
    return blocks.filter((b) => isMerge[b]).sort((a, b) => order[b]! - order[a]!);
  }

  #within(merges: readonly number[], body: () => void): void {
    const [outer, ...rest] = merges;
    if (outer === undefined) {
      body();
      return;
    }
    this.#f.block((end) => {
      this.#ends[outer] = end;
      this.#within(rest, body);
    });
    this.tree(outer);
  }
}
