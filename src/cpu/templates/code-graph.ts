/** What copied code is made of: blocks, the ways between them, and calls that stay in the function. */
import type { Near } from "./near-code.ts";

/** A return looks whether it goes behind one of so many calls within the function. */
const MAX_RETURNS = 4;

export interface Block {
  readonly pos: number;
  readonly nodes: Near[];
  readonly successors: number[];
  /** Flags are looked at before they are set, here or behind. */
  liveIn: boolean;
}

export interface Graph {
  readonly blocks: Block[];
  /** Of blocks, by position. */
  readonly numbers: ReadonlyMap<number, number>;
  readonly inner: InnerCalls;
}

/** Calls that stay in the function, by position: what they call returns in it. And where such returns go to. */
export interface InnerCalls {
  readonly calls: ReadonlySet<number>;
  readonly returns: ReadonlyMap<number, readonly number[]>;
}

/** Returns of the function that begins at a position, behind what it calls itself too. */
function returnsFrom(nodes: ReadonlyMap<number, Near>, start: number): number[] {
  const seen = new Set([start]);
  for (const pos of seen) {
    const node = nodes.get(pos);
    if (!node) continue;
    const { kind, target, next } = node;
    if (target !== undefined && !kind.calls) seen.add(target);
    if (kind.calls || !kind.ends) seen.add(next);
  }
  return [...seen].filter((pos) => nodes.get(pos)?.kind.returns);
}

function innerCalls(nodes: ReadonlyMap<number, Near>): InnerCalls {
  const functions = new Map<number, number[]>();
  const returns = new Map<number, number[]>();
  const calls = new Set<number>();
  for (const { pos, kind, target, next } of nodes.values()) {
    if (!kind.calls || target === undefined || !nodes.has(target)) continue;
    const ends = functions.get(target) ?? returnsFrom(nodes, target);
    functions.set(target, ends);
    if (ends.length > 0) calls.add(pos);
    for (const end of ends) {
      const list = returns.get(end);
      if (!list) returns.set(end, [next]);
      else if (list.length < MAX_RETURNS && !list.includes(next)) list.push(next);
    }
  }
  return { calls, returns };
}

/** Cuts instructions into blocks where `leaders` are. */
export function assemble(nodes: ReadonlyMap<number, Near>, leaders: ReadonlySet<number>): Graph {
  const inner = innerCalls(nodes);
  const numbers = new Map<number, number>();
  for (const pos of leaders) if (nodes.has(pos)) numbers.set(pos, numbers.size);
  const blocks: Block[] = [];
  for (const pos of numbers.keys()) {
    const inside: Near[] = [];
    const successors: number[] = [];
    const follow = (to: number) => {
      const number = numbers.get(to);
      if (number !== undefined && !successors.includes(number)) successors.push(number);
    };
    for (let at = pos; ; ) {
      const node = nodes.get(at);
      if (!node) break;
      inside.push(node);
      const { kind } = node.kind.template;
      const waits = node.kind.calls && !inner.calls.has(at);
      if (node.target !== undefined && !waits) follow(node.target);
      for (const to of inner.returns.get(at) ?? []) follow(to);
      if (!waits && (kind === "ends" || kind === "jump" || kind === "computed")) break;
      at = node.next;
      if (leaders.has(at) || kind === "branch" || waits) {
        follow(at);
        break;
      }
    }
    blocks.push({ pos, nodes: inside, successors, liveIn: true });
  }
  return { blocks, numbers, inner };
}
