/**
 * Samples in the order they were taken, lane after lane: a box is a run of neighbours that share their callers. A million samples have tens of
 * millions of runs: only those wide enough to see are kept, for the stretch in view and some around it.
 */
import type { FlameSamples } from "../../../perf/flame/data.ts";
import type { CallTree } from "./call-tree.ts";
import type { Box, Layout, Paint } from "./layout.ts";

/** Runs are kept down to this part of the stretch they were looked for in; narrower ones are kept together, as the widest of them. */
const FINEST = 1 / 8192;
/** A stretch is looked through again where the view is below this part of it. */
const COARSE = 1 / 3;

/** Runs of one row, from left to right, and what stands for several narrow ones. */
class Row {
  readonly start: number[] = [];
  readonly end: number[] = [];
  /** Node of the call tree. */
  readonly node: number[] = [];
  /** Of several the widest one's width; 0 of one run alone. */
  readonly widest: number[] = [];

  /** Adds the next run. */
  add(node: number, start: number, end: number, least: number): void {
    const last = this.start.length - 1;
    const width = end - start;
    const isNear = last >= 0 && start - this.end[last]! < least && end - this.start[last]! < 2 * least;
    if (width < least && isNear && this.widest[last]! > 0) {
      this.end[last] = end;
      if (width <= this.widest[last]!) return;
      this.widest[last] = width;
      this.node[last] = node;
      return;
    }
    this.start.push(start);
    this.end.push(end);
    this.node.push(node);
    this.widest.push(width < least ? width : 0);
  }
}

export class TimeOrder implements Layout {
  readonly #tree: CallTree;
  readonly #side: 0 | 1;
  /** Of samples that passed: node, and where each begins; one more start is the end. */
  readonly #node: Int32Array;
  readonly #start: Float64Array;
  #rows: Row[] = [];
  #from = 0;
  #to = -1;
  #last: (Box & { readonly node: number }) | undefined;

  constructor(tree: CallTree, profiles: readonly FlameSamples[], side: 0 | 1) {
    this.#tree = tree;
    this.#side = side;
    const [nodes, { weight }] = [tree.sampleNode[side]!, profiles[side]!];
    this.#node = nodes.filter((node) => node >= 0);
    this.#start = new Float64Array(this.#node.length + 1);
    let next = 0;
    for (let sample = 0; sample < nodes.length; sample++) {
      if (nodes[sample]! < 0) continue;
      this.#start[next + 1] = this.#start[next]! + weight[sample]!;
      next++;
    }
  }

  get total(): number {
    return this.#start[this.#node.length]!;
  }

  /** The sample that covers `x`. */
  #sampleAt(x: number): number {
    let [low, high] = [0, this.#node.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#start[middle + 1]! > x) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** What `node` was called from in row `depth`; -1 where it does not reach that far. */
  #inRow(node: number, depth: number): number {
    const { depth: depths, caller } = this.#tree;
    if (depths[node]! < depth) return -1;
    let above = node;
    while (depths[above]! > depth) above = caller[above]!;
    return above;
  }

  at(x: number, depth: number): Box | undefined {
    if (x < 0 || x >= this.total || depth < 0) return undefined;
    const last = this.#last;
    if (last !== undefined && last.depth === depth && x >= last.start && x < last.start + last.weight) return last;
    const sample = this.#sampleAt(x);
    const node = this.#inRow(this.#node[sample]!, depth);
    if (node < 0) return undefined;
    let [first, end] = [sample, sample + 1];
    while (first > 0 && this.#inRow(this.#node[first - 1]!, depth) === node) first--;
    while (end < this.#node.length && this.#inRow(this.#node[end]!, depth) === node) end++;
    let self = 0;
    for (let at = first; at < end; at++) if (this.#node[at] === node) self += this.#start[at + 1]! - this.#start[at]!;
    const start = this.#start[first]!;
    const weight = this.#start[end]! - start;
    const [a, b] = this.#side === 0 ? [weight, 0] : [0, weight];
    this.#last = { box: this.#tree.box[node]!, depth, start, weight, self, a, b, node };
    return this.#last;
  }

  paint(from: number, to: number, least: number, paint: Paint): void {
    const isCoarse = to - from < (this.#to - this.#from) * COARSE;
    if (from < this.#from || to > this.#to || isCoarse) this.#look(from, to);
    const { box } = this.#tree;
    for (const [depth, row] of this.#rows.entries()) {
      let [low, high] = [0, row.start.length];
      while (low < high) {
        const middle = (low + high) >> 1;
        if (row.end[middle]! > from) high = middle;
        else low = middle + 1;
      }
      // What is wide enough for the stretch that was looked through may be too narrow for the view.
      let start = 0;
      let end = 0;
      let node = -1;
      let widest = 0;
      const flush = (): void => {
        if (node >= 0) paint(box[node]!, depth, start, end - start, 0, 0, true);
        node = -1;
      };
      for (let at = low; at < row.start.length && row.start[at]! < to; at++) {
        const begin = row.start[at]!;
        const width = row.end[at]! - begin;
        if (width >= least) {
          flush();
          paint(box[row.node[at]!]!, depth, begin, width, 0, 0, row.widest[at]! > 0);
          continue;
        }
        if (begin - end >= least || row.end[at]! - start >= 2 * least) flush();
        if (node < 0) {
          start = begin;
          widest = 0;
        }
        end = row.end[at]!;
        const own = row.widest[at]! || width;
        if (own > widest) {
          widest = own;
          node = row.node[at]!;
        }
      }
      flush();
    }
  }

  /** Finds the runs from `from` to `to`, and as much again on both sides. */
  #look(from: number, to: number): void {
    const span = to - from;
    this.#from = Math.max(0, from - span / 2);
    this.#to = Math.min(this.total, to + span / 2);
    const least = (this.#to - this.#from) * FINEST;
    const [first, last] = [this.#sampleAt(this.#from), Math.min(this.#sampleAt(this.#to), this.#node.length - 1)];
    const { caller, depth } = this.#tree;
    const rows: Row[] = [];
    const close = (node: number, start: number, end: number): void => {
      (rows[depth[node]!] ??= new Row()).add(node, start, end, least);
    };
    // The open runs, by row.
    const open: number[] = [];
    const since: number[] = [];
    for (let sample = first; sample <= last; sample++) {
      const start = this.#start[sample]!;
      const node = this.#node[sample]!;
      if (open.length === depth[node]! + 1 && open[open.length - 1] === node) continue;
      let shared = node;
      while (depth[shared]! >= open.length || open[depth[shared]!] !== shared) {
        shared = caller[shared]!;
        if (shared < 0) break;
      }
      const keep = shared < 0 ? 0 : depth[shared]! + 1;
      while (open.length > keep) close(open.pop()!, since.pop()!, start);
      for (let above = node; depth[above]! >= keep; above = caller[above]!) {
        open[depth[above]!] = above;
        since[depth[above]!] = start;
        if (above === 0) break;
      }
    }
    const end = this.#start[last + 1] ?? this.total;
    while (open.length > 0) close(open.pop()!, since.pop()!, end);
    // A row that nothing reaches lies above none.
    this.#rows = Array.from(rows, (row) => row ?? new Row());
  }
}
