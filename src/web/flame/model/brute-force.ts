/** The same answers in the plainest way: each sample's stack as a list of names. Tests compare the trees with it. */
import type { FlameData } from "../../../perf/flame/data.ts";
import { MODES } from "../../../perf/profile.ts";
import type { Roots } from "./call-tree.ts";
import { type Catalog, NO_STACK } from "./catalog.ts";
import type { Box } from "./layout.ts";
import type { ViewState } from "./view-state.ts";

export interface PlainSample {
  /** Box numbers, from the root's child on. */
  readonly stack: readonly number[];
  readonly weight: number;
  readonly profile: number;
}

const lets = (chosen: readonly number[] | undefined, index: number): boolean =>
  chosen === undefined || chosen.includes(index);

/** Samples that pass, lane after lane. */
export function plainSamples(data: FlameData, catalog: Catalog, state: ViewState, roots: Roots): PlainSample[] {
  const passed: PlainSample[] = [];
  for (const [profile, samples] of data.profiles.entries()) {
    for (const [lane, { guest }] of data.lanes.entries()) {
      for (let at = samples.laneStart[lane]!; at < samples.laneStart[lane + 1]!; at++) {
        const [task, mode, time] = [samples.task[at]!, samples.mode[at]!, samples.time[at]!];
        if (mode >= MODES.length || !lets(state.guests, guest) || !lets(state.lanes, lane)) continue;
        if (!lets(state.tasks, task) || !lets(state.modes, mode)) continue;
        if (state.range !== undefined && (time < state.range[0] || time >= state.range[1])) continue;
        const stack: number[] = [];
        for (let from = samples.stack[at]!; from >= 0; from = data.stacks.caller[from]!) {
          stack.unshift(catalog.functions + data.stacks.fn[from]!);
        }
        if (stack.length === 0) stack.push(NO_STACK);
        if (roots.task) stack.unshift(catalog.taskBox(task));
        if (roots.vcpu) stack.unshift(catalog.laneBox(lane));
        if (roots.guest) stack.unshift(catalog.guestBox(guest));
        passed.push({ stack, weight: samples.weight[at]!, profile });
      }
    }
  }
  return passed;
}

/** Weights by chain of boxes, and of those that end there. */
export type PlainTree = Map<string, { total: number; self: number }>;

export function plainTree(chains: Iterable<{ readonly stack: readonly number[]; readonly weight: number }>): PlainTree {
  const tree: PlainTree = new Map();
  for (const { stack, weight } of chains) {
    for (let depth = 1; depth <= stack.length; depth++) {
      const key = stack.slice(0, depth).join(" ");
      const node = tree.get(key) ?? { total: 0, self: 0 };
      node.total += weight;
      if (depth === stack.length) node.self += weight;
      tree.set(key, node);
    }
  }
  return tree;
}

/** The whole of a merged layout in the same form; also checks that boxes lie inside each other, side by side, heaviest first. */
export function treeOf(layout: { readonly root: Box; below(box: Box): readonly Box[] }): PlainTree {
  const tree: PlainTree = new Map();
  const walk = (box: Box, path: readonly number[]): void => {
    let at = box.start;
    let last = Number.POSITIVE_INFINITY;
    for (const child of layout.below(box)) {
      if (Math.abs(child.start - at) > 1e-6 || child.weight > last || child.depth !== box.depth + 1) {
        throw new Error(`box ${[...path, child.box].join(" ")} lies at ${child.start}, not ${at}`);
      }
      at += child.weight;
      last = child.weight;
      const chain = [...path, child.box];
      tree.set(chain.join(" "), { total: child.weight, self: child.self });
      walk(child, chain);
    }
    if (at > box.start + box.weight + 1e-6) throw new Error(`what ${path.join(" ")} calls is wider than it is`);
  };
  walk(layout.root, []);
  return tree;
}
