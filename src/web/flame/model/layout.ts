/** What a graph draws and asks: boxes in rows, as wide as their weights. */

export interface Box {
  /** Number in the catalog. */
  readonly box: number;
  /** Row, counted from the root. */
  readonly depth: number;
  readonly start: number;
  readonly weight: number;
  /** Of `weight`, what no box of the next row has. */
  readonly self: number;
  /** Weights in the profiles that are compared. */
  readonly a: number;
  readonly b: number;
}

/** `isMany`: stands for several boxes side by side, each too narrow to be drawn; `box` is the widest of them. */
export type Paint = (
  box: number,
  depth: number,
  start: number,
  weight: number,
  a: number,
  b: number,
  isMany: boolean,
) => void;

export interface Layout {
  readonly total: number;
  /** Paints what lies between `from` and `to`, row after row in each column; boxes narrower than `least` together. */
  paint(from: number, to: number, least: number, paint: Paint): void;
  /** The box in row `depth` at `x`, however narrow. */
  at(x: number, depth: number): Box | undefined;
  /** The box that this chain of boxes leads to, from the root's child on; not every layout can tell. */
  find?(path: readonly number[]): Box | undefined;
}

/** From the root to the box: what is above it. */
export function pathTo(layout: Layout, box: Box): Box[] {
  const middle = box.start + box.weight / 2;
  const path: Box[] = [];
  for (let depth = 0; depth < box.depth; depth++) {
    const above = layout.at(middle, depth);
    if (above !== undefined) path.push(above);
  }
  return [...path, box];
}
