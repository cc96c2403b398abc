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

function innerCalls(nodes: ReadonlyMap<number, Near>): InnerCalls {
  const returns = new Map<number, number[]>();
  const calls = new Set<number>();
  for (const call of nodes.values()) {
    if (!call.kind.calls || call.target === undefined || !nodes.has(call.target)) continue;
    const seen = new Set([call.target]);
    for (const pos of seen) {
      const node = nodes.get(pos);
      if (!node) continue;
      const { kind, target, next } = node;
      if (kind.returns) {
        calls.add(call.pos);
        const list = returns.get(pos);
        if (!list) returns.set(pos, [call.next]);
        else if (list.length < MAX_RETURNS && !list.includes(call.next)) list.push(call.next);
      }
      if (target !== undefined && !kind.calls) seen.add(target);
      if (kind.calls || !kind.ends) seen.add(next);
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
