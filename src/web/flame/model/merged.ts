/**
 * Call trees merged by function, heaviest first: from a root to those it calls, or from a function to its callers. Nodes have their children when
 * somebody looks at them: what is too narrow to see costs nothing, and is exact once it is zoomed in to.
 */
import type { CallTree } from "./call-tree.ts";
import type { Box, Layout, Paint } from "./layout.ts";

/** Nodes of the call tree that make up a merged one, with the weight each brings along (of the wide, and of both sides). */
interface Entries {
  readonly nodes: readonly number[];
  /** Absent: their totals. */
  readonly weights?: readonly Weights[];
}
interface Weights {
  total: number;
  a: number;
  b: number;
}

interface MergedNode extends Box {
  readonly entries: Entries;
  children?: readonly MergedNode[];
}

interface Collected {
  readonly box: number;
  readonly nodes: number[];
  readonly weights: Weights[];
  total: number;
  self: number;
  a: number;
  b: number;
}

abstract class Merged implements Layout {
  protected readonly tree: CallTree;
  readonly #root: MergedNode;

  constructor(tree: CallTree, root: Omit<MergedNode, "depth" | "start">) {
    this.tree = tree;
    this.#root = { ...root, depth: 0, start: 0 };
  }

  get total(): number {
    return this.#root.weight;
  }

  /** What the next row has. */
  protected abstract collect(node: MergedNode): Iterable<Collected>;

  #children(node: MergedNode): readonly MergedNode[] {
    if (node.children !== undefined) return node.children;
    const collected = [...this.collect(node)].filter(({ total }) => total > 0);
    collected.sort((one, other) => other.total - one.total || one.box - other.box);
    let start = node.start;
    node.children = collected.map(({ box, nodes, weights, total, self, a, b }) => {
      const entries = weights.length > 0 ? { nodes, weights } : { nodes };
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
  protected collect({ entries }: MergedNode): Iterable<Collected> {
    const { firstChild, children, box, total, self, sides } = this.tree;
    const [a, b] = sides as [CallTree["sides"][0], CallTree["sides"][0]];
    const collected = new Map<number, Collected>();
    for (const node of entries.nodes) {
      for (let at = firstChild[node]!; at < firstChild[node + 1]!; at++) {
        const child = children[at]!;
        const into = collectedAs(collected, box[child]!);
        into.nodes.push(child);
        into.total += total[child]!;
        into.self += self[child]!;
        into.a += a.total[child]!;
        into.b += b.total[child]!;
      }
    }
    return collected.values();
  }
}

/** Up the callers. An entry is the node that was reached; several that are called from the same node go on as one. */
class Callers extends Merged {
  /** Where each call node's weights went, if it was reached in the row being made. */
  readonly #reached = new Map<number, Weights>();

  protected collect({ entries, depth }: MergedNode): Iterable<Collected> {
    const { caller, box } = this.tree;
    const collected = new Map<number, Collected>();
    this.#reached.clear();
    for (const [at, node] of entries.nodes.entries()) {
      const { total, a, b } = entries.weights![at]!;
      // The first row of a graph of everything is made of the entries themselves.
      const above = depth === 0 && this.#ofAll ? node : caller[node]!;
      if (above <= 0) continue;
      const into = collectedAs(collected, box[above]!);
      into.total += total;
      into.a += a;
      into.b += b;
      if (caller[above]! <= 0) into.self += total;
      const weights = this.#reached.get(above);
      if (weights === undefined) {
        const own = { total, a, b };
        this.#reached.set(above, own);
        into.nodes.push(above);
        into.weights.push(own);
      } else {
        weights.total += total;
        weights.a += a;
        weights.b += b;
      }
    }
    return collected.values();
  }

  readonly #ofAll: boolean;
  constructor(tree: CallTree, root: Omit<MergedNode, "depth" | "start">, ofAll: boolean) {
    super(tree, root);
    this.#ofAll = ofAll;
  }
}

function collectedAs(collected: Map<number, Collected>, box: number): Collected {
  let into = collected.get(box);
  if (into === undefined) {
    into = { box, nodes: [], weights: [], total: 0, self: 0, a: 0, b: 0 };
    collected.set(box, into);
  }
  return into;
}

/** The weights of nodes: their totals, or what they have themselves. */
const weightsOf = (tree: CallTree, which: "self" | "total", nodes: readonly number[]): Weights[] =>
  nodes.map((node) => ({
    total: tree[which][node]!,
    a: tree.sides[0]![which][node]!,
    b: tree.sides[1]![which][node]!,
  }));

function rootOf(
  box: number,
  self: number,
  nodes: readonly number[],
  weights: Weights[],
): Omit<MergedNode, "depth" | "start"> {
  const sum = { total: 0, a: 0, b: 0 };
  for (const { total, a, b } of weights) {
    sum.total += total;
    sum.a += a;
    sum.b += b;
  }
  return { box, weight: sum.total, self, a: sum.a, b: sum.b, entries: { nodes, weights } };
}

/** From the root down: the flame graph as it is mostly drawn. */
export function calleesOfAll(tree: CallTree): Merged {
  return new Callees(tree, rootOf(tree.box[0]!, tree.self[0]!, [0], weightsOf(tree, "total", [0])));
}

/** From the functions that were running, up to their callers. */
export function callersOfAll(tree: CallTree): Merged {
  const nodes: number[] = [];
  for (let node = 0; node < tree.length; node++) {
    if (tree.sides[0]!.self[node]! > 0 || tree.sides[1]!.self[node]! > 0) nodes.push(node);
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
