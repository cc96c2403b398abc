/** Functions with what they take themselves, and with all they call: the rows of the table. */
import type { CallTree, Side } from "./call-tree.ts";

/** By box number of the catalog. A function that calls itself counts once. */
export interface FunctionTotals extends Side {
  readonly sides: readonly [Side, Side];
}

export function functionTotals(tree: CallTree): FunctionTotals {
  const { boxes } = tree;
  const sum = (of: Side): Side => {
    const [self, total] = [new Float64Array(boxes), new Float64Array(boxes)];
    for (let node = 0; node < tree.length; node++) {
      const box = tree.box[node]!;
      self[box]! += of.self[node]!;
      if (tree.outermost[node] === 1) total[box]! += of.total[node]!;
    }
    return { self, total };
  };
  return { ...sum(tree), sides: [sum(tree.sides[0]), sum(tree.sides[1])] };
}

/** Changes between two profiles, as shares of each profile's total: of `b` less of `a`. */
export const change = (tree: CallTree, a: number, b: number): number =>
  share(b, tree.sides[1].total[0]!) - share(a, tree.sides[0].total[0]!);

export const share = (weight: number, of: number): number => (of === 0 ? 0 : weight / of);
