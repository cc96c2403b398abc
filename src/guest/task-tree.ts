/** Processes as a family tree: children right behind their parents. */
import type { Process } from "./tasks.ts";

export interface TreeRow {
  readonly process: Process;
  /** 0: its parent is not in the list. */
  readonly depth: number;
}

/**
 * Every process once, children in the order of their numbers. What claims to be its own ancestor stands at the end,
 * without depth.
 */
export function taskTree(processes: readonly Process[]): TreeRow[] {
  const sorted = [...processes].sort((a, b) => a.pid - b.pid);
  const children = new Map<number, Process[]>();
  const known = new Set(sorted.map((process) => process.pid));
  const roots: Process[] = [];
  for (const process of sorted) {
    if (!known.has(process.ppid) || process.ppid === process.pid) {
      roots.push(process);
      continue;
    }
    const siblings = children.get(process.ppid);
    if (siblings) siblings.push(process);
    else children.set(process.ppid, [process]);
  }
  const rows: TreeRow[] = [];
  const placed = new Set<Process>();
  const place = (root: Process): void => {
    const stack: TreeRow[] = [{ process: root, depth: 0 }];
    for (let row = stack.pop(); row; row = stack.pop()) {
      if (placed.has(row.process)) continue;
      placed.add(row.process);
      rows.push(row);
      for (const process of (children.get(row.process.pid) ?? []).reverse())
        stack.push({ process, depth: row.depth + 1 });
    }
  };
  for (const root of roots) place(root);
  for (const process of sorted) if (!placed.has(process)) place(process);
  return rows;
}
