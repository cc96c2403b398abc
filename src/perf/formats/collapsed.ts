/**
 * Folded stacks, as Brendan Gregg's FlameGraph tools read them (stackcollapse-perf.pl writes them so): a line for each stack, functions
 * from the outermost on with semicolons between, a blank, and what all its samples weigh. `_[k]` marks the kernel's functions; ours, `_[h]`,
 * the host's.
 */
import { dsoShortName, frameName, MODE_SUFFIX, NO_STACK, UNKNOWN } from "../names.ts";
import { MODES, type Profile } from "../profile.ts";
import { inParts } from "./json.ts";

export interface CollapsedOptions {
  /** A first frame for each guest; without it, stacks of all guests add up. */
  readonly guests?: boolean;
  /** A frame for each command. */
  readonly comms?: boolean;
  /** Marks for kernel and host. */
  readonly suffixes?: boolean;
}

/** What may stand between semicolons. */
const folded = (name: string): string => name.replace(/;/g, ":").replace(/[\p{Cc}\p{Zl}\p{Zp}]/gu, "?") || UNKNOWN;

export function collapsed(profile: Profile, options: CollapsedOptions = {}): Iterable<Uint8Array> {
  return inParts(lines(profile, options));
}

/** A tree of functions: frames with the same name below the same callers are one node. */
class Tree {
  readonly callers: number[] = [];
  readonly names: string[] = [];
  readonly #nodes = new Map<string, number>();

  node(caller: number, name: string): number {
    const key = `${caller} ${name}`;
    let node = this.#nodes.get(key);
    if (node === undefined) {
      node = this.names.push(name) - 1;
      this.callers.push(caller);
      this.#nodes.set(key, node);
    }
    return node;
  }

  line(node: number): string {
    const names: string[] = [];
    for (let at = node; at >= 0; at = this.callers[at]!) names.push(this.names[at]!);
    return names.reverse().join(";");
  }
}

function* lines(
  profile: Profile,
  { guests = true, comms = true, suffixes = true }: CollapsedOptions,
): Generator<string> {
  const { samples, stacks, frames, tasks } = profile;
  const tree = new Tree();
  const names = Array.from(frames.mode, (mode, frame) => {
    const suffix = suffixes ? MODE_SUFFIX[MODES[mode]!] : "";
    return `${folded(nameOf(profile, frame))}${suffix}`;
  });
  const roots = tasks.map(({ guest, comm }) => {
    const first = guests ? tree.node(-1, folded(profile.guests[guest]!.name)) : -1;
    return comms ? tree.node(first, folded(comm)) : first;
  });
  /** Nodes by root and stack. */
  const nodes = new Map<number, Int32Array>();
  const nodeOf = (root: number, stack: number): number => {
    let known = nodes.get(root);
    if (known === undefined) nodes.set(root, (known = new Int32Array(stacks.frame.length).fill(-1)));
    const path: number[] = [];
    let at = stack;
    for (; at >= 0 && known[at]! < 0; at = stacks.caller[at]!) path.push(at);
    let node = at < 0 ? root : known[at]!;
    for (const below of path.reverse()) known[below] = node = tree.node(node, names[stacks.frame[below]!]!);
    return node;
  };
  const weights: number[] = [];
  for (let i = 0; i < samples.stack.length; i++) {
    const root = roots[samples.task[i]!]!;
    const stack = samples.stack[i]!;
    const node = stack < 0 ? tree.node(root, NO_STACK) : nodeOf(root, stack);
    weights[node] = (weights[node] ?? 0) + samples.weight[i]!;
  }
  for (const [node, weight] of weights.entries()) {
    if (weight !== undefined) yield `${tree.line(node)} ${Math.round(weight)}\n`;
  }
}

/** Addresses would tear functions without a name apart: they go by their DSO. */
function nameOf(profile: Profile, frame: number): string {
  const name = frameName(profile, frame);
  if (name !== undefined) return name;
  const dso = dsoShortName(profile, profile.frames.dso[frame]!);
  return dso.startsWith("[") ? dso : `[${dso}]`;
}
