/** What is said of a box: in the tooltip, and in one line below. */

import type { CallTree } from "../model/call-tree.ts";
import { type Catalog, KINDS } from "../model/catalog.ts";
import { change, type FunctionTotals, share } from "../model/function-table.ts";
import type { Box } from "../model/layout.ts";
import { change as changeText, percent, quantity, type Unit } from "../model/quantities.ts";
import { MODE_NAMES } from "./palette.ts";
import type { Facts } from "./tooltip.ts";

export interface Described {
  readonly catalog: Catalog;
  readonly tree: CallTree;
  readonly totals: FunctionTotals;
  readonly unit: Unit;
  /** What is zoomed in to. */
  readonly focus: Box | undefined;
}

export function describe(box: Box, { catalog, tree, totals, unit, focus }: Described): Facts {
  const all = tree.total[0]!;
  const weight = (of: number): string => `${quantity(of, unit)} · ${percent(share(of, all))}`;
  const isFunction = box.box >= catalog.functions;
  const isComparison = tree.sampleNode.length > 1;
  const mode = MODE_NAMES[catalog.mode[box.box]!];
  const kind = KINDS.find(({ name }) => name === catalog.kinds[box.box])!.label;
  const rows: (readonly [string, string])[] = [];
  if (isFunction) {
    rows.push(["where", mode === undefined || mode === kind ? kind : `${kind}, ${mode}`]);
    rows.push(["DSO", catalog.dsoNames[catalog.dso[box.box]!] ?? "none known"]);
  }
  rows.push(["total", weight(box.weight)], ["self", weight(box.self)]);
  if (focus !== undefined && focus.weight > 0) rows.push(["of the zoomed", percent(share(box.weight, focus.weight))]);
  if (isFunction) {
    const everywhere = totals.total[box.box]!;
    if (everywhere > box.weight * (1 + 1e-9)) {
      rows.push(["everywhere", `${weight(everywhere)}, self ${percent(share(totals.self[box.box]!, all))}`]);
    }
  }
  if (isComparison) {
    const [a, b] = tree.sides.map(({ total }) => total[0]!) as [number, number];
    rows.push(["A → B", `${percent(share(box.a, a))} → ${percent(share(box.b, b))}`]);
    rows.push(["change", `${changeText(change(tree, box.a, box.b))} points`]);
  }
  return { name: catalog.names[box.box]!, rows };
}

export const inOneLine = ({ name, rows }: Facts): string =>
  [name, ...rows.map(([what, value]) => `${what} ${value}`)].join("   ");
