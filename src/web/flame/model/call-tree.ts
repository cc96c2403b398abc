/**
 * The samples that pass the filters, as a tree of calls: what every view is made of. A node is a chain of boxes from the root; callers lie below those
 * they call, so that sums over subtrees are one pass backwards.
 */
import type { FlameData, FlameSamples } from "../../../perf/flame/data.ts";
import { ALL, type Catalog, NO_STACK } from "./catalog.ts";

/** Which samples count. Each mask has a byte for each row of the data, zero for what is left out; without one all do. */
export interface Filter {
  readonly guests?: Uint8Array | undefined;
  readonly lanes?: Uint8Array | undefined;
  readonly tasks?: Uint8Array | undefined;
  readonly modes?: Uint8Array | undefined;
  /** Nanoseconds: from, and below. */
  readonly range?: readonly [number, number] | undefined;
}

/** What stands between the root and the first function. */
export interface Roots {
  readonly guest: boolean;
  readonly vcpu: boolean;
  readonly task: boolean;
}

/** What widths say where two profiles are compared: the share in both, or the weight in one. */
export type Widths = "both" | "a" | "b";

/** Weights in one profile. */
export interface Side {
  readonly self: Float64Array;
  readonly total: Float64Array;
}

export interface CallTree {
  readonly length: number;
  /** How many numbers the catalog has. */
  readonly boxes: number;
  readonly caller: Int32Array;
  /** Box numbers of the catalog. */
  readonly box: Int32Array;
  readonly depth: Int32Array;
  /** Weights that boxes are as wide as. */
  readonly self: Float64Array;
  readonly total: Float64Array;
  /** Weights in both profiles; of a profile alone the first is `self` and `total`, the second zero. */
  readonly sides: readonly [Side, Side];
  /** Nodes that `node` calls: `children` from `firstChild[node]` to below `firstChild[node + 1]`. */
  readonly firstChild: Int32Array;
  readonly children: Int32Array;
  /** 1: none of its callers is the same function. */
  readonly outermost: Uint8Array;
  /** Of each profile, each sample's node; -1 filtered. */
  readonly sampleNode: readonly Int32Array[];
  /** How many samples passed. */
  readonly samples: number;
}

/** Whether a sample passes, by what does not depend on its lane. */
function passes({ tasks, modes, range }: Filter, { task, mode, time }: FlameSamples): (sample: number) => boolean {
  const [from, to] = range ?? [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
  return (sample) =>
    time[sample]! >= from &&
    time[sample]! < to &&
    (modes === undefined || modes[mode[sample]!] !== 0) &&
    (tasks === undefined || task[sample]! < 0 || tasks[task[sample]!] !== 0);
}

export const lanePasses = ({ guests, lanes }: Filter, data: FlameData, lane: number): boolean =>
  (lanes === undefined || lanes[lane] !== 0) &&
  (guests === undefined || data.lanes[lane]!.guest < 0 || guests[data.lanes[lane]!.guest] !== 0);

export function eachPassing(
  data: FlameData,
  samples: FlameSamples,
  filter: Filter,
  visit: (sample: number, lane: number) => void,
): void {
  const pass = passes(filter, samples);
  for (let lane = 0; lane < data.lanes.length; lane++) {
    if (!lanePasses(filter, data, lane)) continue;
    const end = samples.laneStart[lane + 1]!;
    for (let sample = samples.laneStart[lane]!; sample < end; sample++) if (pass(sample)) visit(sample, lane);
  }
}

/** Nodes as they are found: callers first. */
class Growing {
  caller = new Int32Array(1024);
  box = new Int32Array(1024);
  depth = new Int32Array(1024);
  length = 0;

  add(caller: number, box: number): number {
    if (this.length === this.caller.length) {
      const larger = (column: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> => {
        const result = new Int32Array(column.length * 2);
        result.set(column);
        return result;
      };
      this.caller = larger(this.caller);
      this.box = larger(this.box);
      this.depth = larger(this.depth);
    }
    const node = this.length++;
    this.caller[node] = caller;
    this.box[node] = box;
    this.depth[node] = caller < 0 ? 0 : this.depth[caller]! + 1;
    return node;
  }
}

/** Groups of samples under the same root frames: the node that stands for each. */
class Groups {
  /** By lane and task, and by node. */
  readonly #index = new Map<number, number>();
  readonly #groupOf = new Map<number, number>();
  readonly nodes: number[] = [];
  readonly #tree: Growing;
  readonly #path: (lane: number, task: number) => readonly number[];

  constructor(tree: Growing, data: FlameData, catalog: Catalog, roots: Roots) {
    this.#tree = tree;
    this.#path = (lane, task) => [
      ...(roots.guest ? [catalog.guestBox(data.lanes[lane]!.guest)] : []),
      ...(roots.vcpu ? [catalog.laneBox(lane)] : []),
      ...(roots.task ? [catalog.taskBox(task)] : []),
    ];
  }

  of(lane: number, task: number): number {
    const key = lane * 2 ** 26 + task + 1;
    let group = this.#index.get(key);
    if (group === undefined) {
      const node = this.#path(lane, task).reduce((node, box) => this.#child(node, box), 0);
      group = this.#groupOf.get(node) ?? this.nodes.push(node) - 1;
      this.#groupOf.set(node, group);
      this.#index.set(key, group);
    }
    return group;
  }

  readonly #children = new Map<number, number>();
  #child(node: number, box: number): number {
    const key = node * 2 ** 26 + box;
    const child = this.#children.get(key) ?? this.#tree.add(node, box);
    this.#children.set(key, child);
    return child;
  }
}

/** Samples by group, so that each group's stacks are looked up in one table that is used again for the next. */
function byGroup(groupOf: Int32Array, groups: number): { order: Int32Array; start: Int32Array } {
  const start = new Int32Array(groups + 1);
  for (const group of groupOf) if (group >= 0) start[group + 1]!++;
  for (let group = 0; group < groups; group++) start[group + 1]! += start[group]!;
  const next = start.slice();
  const order = new Int32Array(start[groups]!);
  for (let sample = 0; sample < groupOf.length; sample++) {
    if (groupOf[sample]! >= 0) order[next[groupOf[sample]!]!++] = sample;
  }
  return { order, start };
}

export function callTree(data: FlameData, catalog: Catalog, filter: Filter, roots: Roots, widths: Widths): CallTree {
  const tree = new Growing();
  tree.add(-1, ALL);
  const groups = new Groups(tree, data, catalog, roots);
  const groupOf = data.profiles.map((samples) => {
    const groupOf = new Int32Array(samples.stack.length).fill(-1);
    let [lastLane, lastTask, last] = [-1, -1, -1];
    eachPassing(data, samples, filter, (sample, lane) => {
      const task = samples.task[sample]!;
      if (lane !== lastLane || task !== lastTask) [lastLane, lastTask, last] = [lane, task, groups.of(lane, task)];
      groupOf[sample] = last;
    });
    return groupOf;
  });
  const sampleNode = data.profiles.map((samples) => new Int32Array(samples.stack.length).fill(-1));
  const sorted = groupOf.map((groupOf) => byGroup(groupOf, groups.nodes.length));

  // In front of the stacks, as number 0, "no stack at all".
  const nodeOf = new Int32Array(data.stacks.caller.length + 1).fill(-1);
  const touched: number[] = [];
  const pending: number[] = [];
  for (const [group, root] of groups.nodes.entries()) {
    for (const [profile, { order, start }] of sorted.entries()) {
      const { stack } = data.profiles[profile]!;
      const nodes = sampleNode[profile]!;
      for (let at = start[group]!; at < start[group + 1]!; at++) {
        const sample = order[at]!;
        let from = stack[sample]!;
        if (nodeOf[from + 1]! < 0) {
          while (from >= 0 && nodeOf[from + 1]! < 0) {
            pending.push(from);
            from = data.stacks.caller[from]!;
          }
          let node = from >= 0 ? nodeOf[from + 1]! : root;
          if (stack[sample]! < 0) {
            node = tree.add(root, NO_STACK);
            nodeOf[0] = node;
            touched.push(0);
          }
          for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
            node = tree.add(node, catalog.functions + data.stacks.fn[next]!);
            nodeOf[next + 1] = node;
            touched.push(next + 1);
          }
        }
        nodes[sample] = nodeOf[stack[sample]! + 1]!;
      }
    }
    for (const stack of touched) nodeOf[stack] = -1;
    touched.length = 0;
  }
  return weighed(tree, data, sampleNode, widths, catalog.names.length);
}

function weighed(
  tree: Growing,
  data: FlameData,
  sampleNode: readonly Int32Array[],
  widths: Widths,
  boxes: number,
): CallTree {
  const { length } = tree;
  const [caller, box, depth] = [tree.caller, tree.box, tree.depth].map((column) => column.slice(0, length)) as [
    Int32Array,
    Int32Array,
    Int32Array,
  ];
  let samples = 0;
  const totals = (self: Float64Array): Side => {
    const total = self.slice();
    for (let node = length - 1; node > 0; node--) total[caller[node]!]! += total[node]!;
    return { self, total };
  };
  const side = (profile: number): Side => {
    const self = new Float64Array(length);
    const nodes = sampleNode[profile] ?? new Int32Array(0);
    for (let sample = 0; sample < nodes.length; sample++) {
      const node = nodes[sample]!;
      if (node < 0) continue;
      samples++;
      self[node]! += data.profiles[profile]!.weight[sample]!;
    }
    return totals(self);
  };
  const [a, b] = [side(0), side(1)];
  const { firstChild, children } = childrenOf(caller);
  return {
    length,
    boxes,
    caller,
    box,
    depth,
    ...(data.profiles.length < 2 || widths === "a" ? a : widths === "b" ? b : totals(blended(a, b))),
    sides: [a, b],
    firstChild,
    children,
    outermost: outermost(box, firstChild, children, boxes),
    sampleNode,
    samples,
  };
}

/** Half of each profile's share, in weights of the first. */
function blended(a: Side, b: Side): Float64Array {
  const [totalA, totalB] = [a.total[0]!, b.total[0]!];
  if (totalA === 0 || totalB === 0) return a.self.map((self, node) => self + b.self[node]!);
  return a.self.map((self, node) => (self + (b.self[node]! * totalA) / totalB) / 2);
}

function childrenOf(caller: Int32Array): { firstChild: Int32Array; children: Int32Array } {
  const firstChild = new Int32Array(caller.length + 1);
  for (let node = 1; node < caller.length; node++) firstChild[caller[node]! + 1]!++;
  for (let node = 0; node < caller.length; node++) firstChild[node + 1]! += firstChild[node]!;
  const next = firstChild.slice();
  const children = new Int32Array(Math.max(0, caller.length - 1));
  for (let node = 1; node < caller.length; node++) children[next[caller[node]!]!++] = node;
  return { firstChild, children };
}

/** A walk in depth, counting how often each box is among the callers. */
function outermost(box: Int32Array, firstChild: Int32Array, children: Int32Array, boxes: number): Uint8Array {
  const found = new Uint8Array(box.length);
  const open = new Int32Array(boxes);
  const next = firstChild.slice();
  const path = [0];
  const enter = (node: number): void => {
    found[node] = open[box[node]!]!++ === 0 ? 1 : 0;
  };
  enter(0);
  while (path.length > 0) {
    const node = path[path.length - 1]!;
    if (next[node]! < firstChild[node + 1]!) {
      const child = children[next[node]!++]!;
      enter(child);
      path.push(child);
    } else {
      open[box[node]!]!--;
      path.pop();
    }
  }
  return found;
}
