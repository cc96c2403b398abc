/** The loop that a region is rooted in: what control may pass on its way from the root back to it. */
import type { Near } from "../templates/near-code.ts";
import { isShort } from "./short.ts";

/** Positions of its instructions. Undefined where there is none, or one of more than `limit` instructions. */
export function loopAround(nodes: ReadonlyMap<number, Near>, root: number, limit: number): Set<number> | undefined {
  // There is no template for what begins it.
  if (!nodes.has(root)) return undefined;
  const ways = waysOf(nodes);
  const back = new Map<number, number[]>();
  const ahead = new Set([root]);
  for (const pos of ahead) {
    for (const to of ways.get(pos)!) {
      ahead.add(to);
      const list = back.get(to);
      if (list) list.push(pos);
      else back.set(to, [pos]);
    }
  }
  if (!back.has(root)) return undefined;
  const inside = new Set([root]);
  for (const pos of inside) {
    for (const from of back.get(pos)!) inside.add(from);
    if (inside.size > limit) return undefined;
  }
  return inside;
}

/** Where control goes from each instruction: through calls of short functions only, which the region has inside. */
function waysOf(nodes: ReadonlyMap<number, Near>): Map<number, readonly number[]> {
  const ways = new Map<number, number[]>();
  const behind: number[] = [];
  for (const [pos, node] of nodes) {
    const { kind, next, target } = node;
    const list = [...node.targets];
    if (target !== undefined && (!kind.calls || leadsInside(nodes, target))) {
      list.push(target);
      if (kind.calls && nodes.has(next)) behind.push(next);
    }
    if (!kind.calls && !kind.ends) list.push(next);
    ways.set(
      pos,
      list.filter((to) => nodes.has(to)),
    );
  }
  for (const [pos, { kind }] of nodes) if (kind.returns) ways.set(pos, behind);
  return ways;
}

/** Whether a call leads to a function that the region has inside. */
function leadsInside(nodes: ReadonlyMap<number, Near>, start: number): boolean {
  return isShort(start, (pos) => {
    const node = nodes.get(pos);
    if (!node) return undefined;
    const { calls, switches, ends } = node.kind;
    return { calls, switches, ends, target: node.target, next: node.next };
  });
}
