/**
 * Call trees merged by function, heaviest first: from a root to those it calls, or from a function to its callers. Nodes have their children when
 * somebody looks at them: what is too narrow to see costs nothing, and is exact once it is zoomed in to.
 */
import type { CallTree } from "./call-tree.ts";
import type { Box, Layout, Paint } from "./layout.ts";

/** Weights beside each other: as wide as boxes are, and in both profiles. */
interface Weights {
  readonly total: number[];
  readonly a: number[];
  readonly b: number[];
}

/** Nodes of the call tree that make up a merged one, with the weight that each brings along; without, their totals. */
interface Entries extends Partial<Weights> {
  readonly nodes: readonly number[];
}

interface MergedNode extends Box {
  readonly entries: Entries;
  children?: readonly MergedNode[];
}

/** A child in the making. */
class Collected {
  readonly box: number;
  readonly nodes: number[] = [];
  readonly weights: Weights = { total: [], a: [], b: [] };
  total = 0;
  self = 0;
  a = 0;
  b = 0;

  constructor(box: number) {
    this.box = box;
  }
}

/** Children by box: looked up a million times, so in a table that is used again. */
class Collector {
  readonly #slot: Int32Array;
  #rows: Collected[] = [];

  constructor(boxes: number) {
    this.#slot = new Int32Array(boxes).fill(-1);
  }

  of(box: number): Collected {
    const slot = this.#slot[box]!;
    if (slot >= 0) return this.#rows[slot]!;
    const made = new Collected(box);
    this.#slot[box] = this.#rows.push(made) - 1;
    return made;
  }

  /** All, and begins anew. */
  take(): Collected[] {
    const rows = this.#rows;
    for (const { box } of rows) this.#slot[box] = -1;
    this.#rows = [];
    return rows;
  }
}

abstract class Merged implements Layout {
  protected readonly tree: CallTree;
  protected readonly collector: Collector;
  readonly #root: MergedNode;

  constructor(tree: CallTree, root: Omit<MergedNode, "depth" | "start">) {
    this.tree = tree;
    this.collector = new Collector(tree.boxes);
    this.#root = { ...root, depth: 0, start: 0 };
  }

  get total(): number {
    return this.#root.weight;
  }

  /** What the next row has. */
  protected abstract collect(node: MergedNode): readonly Collected[];

  #children(node: MergedNode): readonly MergedNode[] {
    if (node.children !== undefined) return node.children;
    const collected = this.collect(node).filter(({ total }) => total > 0);
    collected.sort((one, other) => other.total - one.total || one.box - other.box);
    let start = node.start;
    node.children = collected.map(({ box, nodes, weights, total, self, a, b }) => {
      const entries = weights.total.length > 0 ? { nodes, ...weights } : { nodes };
      const child = { box, depth: node.depth + 1, start, weight: total, self, a, b, entries };
      start += total;
      return child;
    });
    return node.children;
  }

  paint(from: number, to: number, least: number, paint: Paint): void {
    const open: MergedNode[] = [this.#root];
    for (let node = open.pop(); node !== undefined; node = open.pop()) {
      paint(node.box, node.depth, node.start, node.weight, node.a, node.b, false);
      const children = this.#children(node);
      // The heaviest come first: once one is too narrow, all the rest are.
      for (let index = firstAfter(children, from); index < children.length; index++) {
        const child = children[index]!;
        if (child.start >= to) break;
        if (child.weight < least) {
          const last = children[children.length - 1]!;
          const weight = last.start + last.weight - child.start;
          if (weight >= least / 2) paint(child.box, child.depth, child.start, weight, child.a, child.b, true);
          break;
        }
        open.push(child);
      }
    }
  }

  at(x: number, depth: number): MergedNode | undefined {
    let node: MergedNode | undefined = this.#root;
    if (x < 0 || x >= this.total) return undefined;
    while (node !== undefined && node.depth < depth) {
      const children = this.#children(node);
      const child: MergedNode | undefined = children[firstAfter(children, x)];
      node = child !== undefined && child.start <= x ? child : undefined;
    }
    return node;
  }

  find(path: readonly number[]): MergedNode | undefined {
    let node: MergedNode | undefined = this.#root;
    for (const box of path) {
      if (node === undefined) break;
      node = this.#children(node).find((child) => child.box === box);
    }
    return node;
  }

  /** The box's children, heaviest first; for the keyboard, and for tests. */
  below(box: Box): readonly Box[] {
    return this.#children(box as MergedNode);
  }

  get root(): Box {
    return this.#root;
  }
}

/** Index of the first that ends after `x`. */
function firstAfter(nodes: readonly MergedNode[], x: number): number {
  let [low, high] = [0, nodes.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    const node = nodes[middle]!;
    if (node.start + node.weight > x) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Down the calls. */
class Callees extends Merged {
  protected collect({ entries }: MergedNode): readonly Collected[] {
    const { firstChild, children, box, total, self, sides } = this.tree;
    const [a, b] = sides;
    for (const node of entries.nodes) {
      for (let at = firstChild[node]!; at < firstChild[node + 1]!; at++) {
        const child = children[at]!;
        const into = this.collector.of(box[child]!);
        into.nodes.push(child);
        into.total += total[child]!;
        into.self += self[child]!;
        into.a += a.total[child]!;
        into.b += b.total[child]!;
      }
    }
    return this.collector.take();
  }
}

/** Up the callers. An entry is the node that was reached; several that are called from the same node go on as one. */
class Callers extends Merged {
  readonly #ofAll: boolean;
  /** Where each call node's weights are among those of its box, if it was reached in the row being made. */
  readonly #reached: Int32Array;

  constructor(tree: CallTree, root: Omit<MergedNode, "depth" | "start">, ofAll: boolean) {
    super(tree, root);
    this.#ofAll = ofAll;
    this.#reached = new Int32Array(tree.length).fill(-1);
  }

  protected collect({ entries, depth }: MergedNode): readonly Collected[] {
    const { caller, box } = this.tree;
    const { nodes } = entries;
    const [totals, as, bs] = [entries.total!, entries.a!, entries.b!];
    for (let at = 0; at < nodes.length; at++) {
      // The first row of a graph of everything is made of the entries themselves.
      const above = depth === 0 && this.#ofAll ? nodes[at]! : caller[nodes[at]!]!;
      if (above <= 0) continue;
      const [total, a, b] = [totals[at]!, as[at]!, bs[at]!];
      const into = this.collector.of(box[above]!);
      into.total += total;
      into.a += a;
      into.b += b;
      if (caller[above]! <= 0) into.self += total;
      const { weights } = into;
      const place = this.#reached[above]!;
      if (place < 0) {
        this.#reached[above] = into.nodes.push(above) - 1;
        weights.total.push(total);
        weights.a.push(a);
        weights.b.push(b);
      } else {
        weights.total[place]! += total;
        weights.a[place]! += a;
        weights.b[place]! += b;
      }
    }
    const collected = this.collector.take();
    for (const { nodes } of collected) for (const node of nodes) this.#reached[node] = -1;
    return collected;
  }
}

/** The weights of nodes: their totals, or what they have themselves. */
function weightsOf(tree: CallTree, which: "self" | "total", nodes: readonly number[]): Weights {
  const [a, b] = tree.sides;
  return {
    total: nodes.map((node) => tree[which][node]!),
    a: nodes.map((node) => a[which][node]!),
    b: nodes.map((node) => b[which][node]!),
  };
}

const sum = (weights: readonly number[]): number => weights.reduce((sum, weight) => sum + weight, 0);

const rootOf = (
  box: number,
  self: number,
  nodes: readonly number[],
  weights: Weights,
): Omit<MergedNode, "depth" | "start"> => ({
  box,
  weight: sum(weights.total),
  self,
  a: sum(weights.a),
  b: sum(weights.b),
  entries: { nodes, ...weights },
});

/** From the root down: the flame graph as it is mostly drawn. */
export function calleesOfAll(tree: CallTree): Merged {
  return new Callees(tree, rootOf(tree.box[0]!, tree.self[0]!, [0], weightsOf(tree, "total", [0])));
}

/** From the functions that were running, up to their callers. */
export function callersOfAll(tree: CallTree): Merged {
  const [a, b] = tree.sides;
  const nodes: number[] = [];
  for (let node = 0; node < tree.length; node++) {
    if (a.self[node]! > 0 || b.self[node]! > 0) nodes.push(node);
  }
  return new Callers(tree, rootOf(tree.box[0]!, 0, nodes, weightsOf(tree, "self", nodes)), true);
}

const outermostOf = (tree: CallTree, box: number): number[] => {
  const nodes: number[] = [];
  for (let node = 0; node < tree.length; node++) {
    if (tree.box[node] === box && tree.outermost[node] === 1) nodes.push(node);
  }
  return nodes;
};

/** One function, and those it calls. Where it calls itself, that is below its outermost call, so that nothing counts twice. */
export function calleesOf(tree: CallTree, box: number): Merged {
  const nodes = outermostOf(tree, box);
  const self = nodes.reduce((sum, node) => sum + tree.self[node]!, 0);
  return new Callees(tree, rootOf(box, self, nodes, weightsOf(tree, "total", nodes)));
}

/** One function, and those that call it, from its outermost call. */
export function callersOf(tree: CallTree, box: number): Merged {
  const nodes = outermostOf(tree, box);
  const weights = weightsOf(tree, "total", nodes);
  const self = nodes.reduce((sum, node) => (tree.caller[node]! <= 0 ? sum + tree.total[node]! : sum), 0);
  return new Callers(tree, rootOf(box, self, nodes, weights), false);
}
