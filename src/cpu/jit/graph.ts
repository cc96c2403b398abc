/**
 * Control flow as WebAssembly wants it: a graph of blocks becomes nested blocks and loops. After N. Ramsey, "Beyond Relooper:
 * Recursive Translation of Unstructured Control Flow to Structured Control Flow" (ICFP 2022): a block is written inside
 * the block that dominates it; loop heads become loops, blocks with several ways in become the end of a wasm block.
 *
 * Blocks that control enters from outside, or by an edge that no loop can express (irreducible flow), are entries: a switch in front
 * of everything leads to them.
 */

export interface Graph {
  /** Successors of each block, by number. */
  readonly successors: readonly (readonly number[])[];
  /** Blocks entered from outside, in the order of their entry numbers. */
  readonly entries: readonly number[];
}

export interface Structure {
  /** Entries, with those that irreducible flow made; the position is the entry number. */
  readonly entries: readonly number[];
  /** Position of each block in reverse postorder; -1 where it cannot be reached. */
  readonly order: Int32Array;
  /** Blocks each block dominates immediately. The last list belongs to the switch in front. */
  readonly children: readonly (readonly number[])[];
  /** A loop begins here. */
  readonly isHeader: Uint8Array;
  /** Several ways forward lead here, or it is an entry beside others. */
  readonly isMerge: Uint8Array;
  /** How control gets from one block to another of its successors. */
  edge(from: number, to: number): "back" | "forward" | "entry" | "inline";
  /** Whether any edge or entry needs the switch in front. */
  readonly switches: boolean;
}

/** Undefined where more than `maxEntries` entries would be needed. */
export function structure(graph: Graph, maxEntries: number): Structure | undefined {
  const entries = [...graph.entries];
  for (;;) {
    const made = analyse(graph, entries);
    const wild = made.irreducible.filter((b) => !entries.includes(b));
    if (wild.length === 0) return made.structure;
    for (const block of wild) if (!entries.includes(block)) entries.push(block);
    if (entries.length > maxEntries) return undefined;
  }
}

function analyse(graph: Graph, entries: readonly number[]): { structure: Structure; irreducible: number[] } {
  const count = graph.successors.length;
  const root = count;
  const successors = (b: number) => (b === root ? entries : graph.successors[b]!);

  // Reverse postorder, without recursion: a guest chooses how deep the graph is.
  const order = new Int32Array(count + 1).fill(-1);
  const sequence: number[] = [];
  const seen = new Uint8Array(count + 1);
  const stack: [number, number][] = [[root, 0]];
  seen[root] = 1;
  while (stack.length > 0) {
    const top = stack.at(-1)!;
    const list = successors(top[0]);
    if (top[1] < list.length) {
      const next = list[top[1]++]!;
      if (seen[next]) continue;
      seen[next] = 1;
      stack.push([next, 0]);
    } else {
      sequence.push(top[0]);
      stack.pop();
    }
  }
  sequence.reverse();
  sequence.forEach((b, i) => {
    order[b] = i;
  });

  const predecessors: number[][] = Array.from({ length: count + 1 }, () => []);
  for (const b of sequence) for (const s of successors(b)) predecessors[s]!.push(b);

  // Immediate dominators (Cooper, Harvey and Kennedy, "A Simple, Fast Dominance Algorithm").
  const idom = new Int32Array(count + 1).fill(-1);
  idom[root] = root;
  for (let changed = true; changed; ) {
    changed = false;
    for (const b of sequence) {
      if (b === root) continue;
      let best = -1;
      for (const p of predecessors[b]!) {
        if (idom[p] === -1) continue;
        best = best === -1 ? p : meet(idom, order, p, best);
      }
      if (idom[b] !== best) {
        idom[b] = best;
        changed = true;
      }
    }
  }
  const dominates = (a: number, b: number): boolean => {
    let at = b;
    while (order[at]! > order[a]!) at = idom[at]!;
    return at === a;
  };

  const isHeader = new Uint8Array(count + 1);
  const isMerge = new Uint8Array(count + 1);
  const irreducible: number[] = [];
  let switches = entries.length > 1;
  const kind = (from: number, to: number): "back" | "forward" | "entry" | "inline" => {
    if (order[to]! < 0) throw new Error(`no edge leads to block ${to}`);
    if (order[to]! > order[from]!) return isMerge[to] ? "forward" : "inline";
    return dominates(to, from) ? "back" : "entry";
  };
  for (const b of sequence) {
    if (b === root) continue;
    let forward = 0;
    for (const p of predecessors[b]!) {
      if (p === root) forward += entries.length > 1 ? 2 : 1;
      else if (order[p]! < order[b]!) forward++;
      else if (dominates(b, p)) isHeader[b] = 1;
      else {
        irreducible.push(b);
        switches = true;
      }
    }
    if (forward > 1) isMerge[b] = 1;
  }
  const children: number[][] = Array.from({ length: count + 1 }, () => []);
  for (const b of sequence) if (b !== root) children[idom[b]!]!.push(b);
  return { structure: { entries, order, children, isHeader, isMerge, edge: kind, switches }, irreducible };
}

function meet(idom: Int32Array, order: Int32Array, a: number, b: number): number {
  while (a !== b) {
    while (order[a]! > order[b]!) a = idom[a]!;
    while (order[b]! > order[a]!) b = idom[b]!;
  }
  return a;
}
