/**
 * The call graph of a row: its samples' chains merged where the functions are the same, as perf merges them
 * (tools/perf/util/callchain.c).
 *
 * Read from the caller, a row that was on the stack begins its chains itself, and they go down to the samples; those of samples in the
 * row itself are whole, from the thread's start. Read from the callee, all chains begin at the row, or at its innermost occurrence, and
 * go up.
 */
import { type Grouped, grouped } from "./ids.ts";
import type { Report, ReportRow } from "./rows.ts";

export interface Call {
  readonly frame: number;
  /** Of all chains through here. */
  weight: number;
  /** Of those that end here. */
  self: number;
  readonly caller: Call | undefined;
  readonly calls: Call[];
}

/** The first calls of a row's chains, heaviest first. Empty where nothing of stacks is known. */
export function callsOf(report: Report, row: ReportRow): readonly Call[] {
  const index = indexOf(report);
  const tree = new Tree(report);
  const { tallies, options, sameAbove } = report;
  for (let i = index.ofRow.start[row.id]!; i < index.ofRow.start[row.id + 1]!; i++) {
    const id = index.ofRow.list[i]!;
    if (options.order === "callee") {
      const weight = options.children ? tallies.weight[id]! - index.innerWeight[id]! : tallies.selfWeight[id]!;
      if (weight > 0) tree.add(pathUp(report, id), weight);
      continue;
    }
    if (tallies.selfWeight[id]! > 0) tree.add(pathUp(report, id).reverse(), tallies.selfWeight[id]!);
    if (options.children && sameAbove[id]! < 0) addDown(report, index, tree, row.id, id);
  }
  return tree.finish();
}

/** Below one tally: all samples but those of the row itself. */
function addDown(report: Report, index: Index, tree: Tree, row: number, from: number): void {
  const { tallies, rowOf } = report;
  const todo: [number, Call | undefined][] = [[from, undefined]];
  for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
    const [id, caller] = next;
    const call = tree.call(caller, tallies.frame[id]!);
    if (rowOf[id] !== row) call.self += tallies.selfWeight[id]!;
    const { start, list } = index.called;
    for (let i = start[id]!; i < start[id + 1]!; i++) todo.push([list[i]!, call]);
  }
}

/** Tallies from this one up. */
function pathUp({ tallies }: Report, from: number): number[] {
  const path: number[] = [];
  for (let id = from; id >= 0; id = tallies.caller[id]!) path.push(id);
  return path;
}

class Tree {
  readonly #report: Report;
  /** A call before all it calls. */
  readonly #all: Call[] = [];
  readonly #roots: Call[] = [];
  readonly #index = new Map<Call | undefined, Map<number, Call>>();

  constructor(report: Report) {
    this.#report = report;
  }

  add(path: readonly number[], weight: number): void {
    let call: Call | undefined;
    for (const id of path) call = this.call(call, this.#report.tallies.frame[id]!);
    if (call !== undefined) call.self += weight;
  }

  call(caller: Call | undefined, frame: number): Call {
    let known = this.#index.get(caller);
    if (known === undefined) this.#index.set(caller, (known = new Map()));
    const key = this.#report.names.functionClass[frame]!;
    let call = known.get(key);
    if (call === undefined) {
      call = { frame, weight: 0, self: 0, caller, calls: [] };
      known.set(key, call);
      this.#all.push(call);
    }
    return call;
  }

  finish(): readonly Call[] {
    for (let i = this.#all.length - 1; i >= 0; i--) {
      const call = this.#all[i]!;
      call.weight += call.self;
      if (call.weight === 0) continue;
      (call.caller?.calls ?? this.#roots).push(call);
      if (call.caller !== undefined) call.caller.weight += call.weight;
    }
    const { names } = this.#report;
    const order = (a: Call, b: Call): number =>
      b.weight - a.weight || (names.title(a.frame) < names.title(b.frame) ? -1 : 1);
    for (const call of this.#all) call.calls.sort(order);
    return this.#roots.sort(order);
  }
}

/** Where the tallies of a row, and those that a tally called, are. */
interface Index {
  readonly ofRow: Grouped;
  readonly called: Grouped;
  /** By tally: weight of samples below that are in an inner occurrence of the same row. */
  readonly innerWeight: Float64Array;
}

const indexes = new WeakMap<Report, Index>();

function indexOf(report: Report): Index {
  let index = indexes.get(report);
  if (index === undefined) {
    const { tallies, rowOf, sameAbove } = report;
    const ofRow = grouped(rowOf, report.rowCount);
    const called = grouped(tallies.caller, tallies.count);
    const innerWeight = new Float64Array(tallies.count);
    for (let id = 0; id < tallies.count; id++) {
      if (sameAbove[id]! >= 0) innerWeight[sameAbove[id]!]! += tallies.weight[id]!;
    }
    index = { ofRow, called, innerWeight };
    indexes.set(report, index);
  }
  return index;
}
