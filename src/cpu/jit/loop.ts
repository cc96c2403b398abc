/** The loop that a region is rooted in: what control may pass on its way from the root back to it. */
import type { Block, Blocks } from "./blocks.ts";

/** Undefined where there is none, or one of more than `limit` instructions. */
export function loopAround(found: Blocks, limit: number): Blocks | undefined {
  const { blocks, entries, pages } = found;
  const ways = waysOf(found);
  const back: number[][] = blocks.map(() => []);
  ways.forEach((list, from) => {
    for (const to of list) back[to]!.push(from);
  });
  const root = entries[0]!;
  const [ahead, behind] = [reach(ways, root), reach(back, root)];
  const inside = blocks.map((_, b) => ahead.has(b) && behind.has(b));
  // An instruction that repeats itself is no loop.
  const loops = ways.some((list, b) => {
    const repeats = blocks[b]!.instructions.at(-1)!.repeats;
    return inside[b] && list.some((to) => inside[to] && !(repeats && to === b));
  });
  if (!loops) return undefined;
  const numbers = new Map<number, number>();
  blocks.forEach((_, b) => {
    if (inside[b]) numbers.set(b, numbers.size);
  });
  const kept = [...numbers.keys()].map((b): Block => {
    const successors = blocks[b]!.successors.flatMap((s) => numbers.get(s) ?? []);
    return { ...blocks[b]!, successors };
  });
  if (kept.reduce((sum, block) => sum + block.instructions.length, 0) > limit) return undefined;
  return { blocks: kept, entries: entries.flatMap((b) => numbers.get(b) ?? []), pages };
}

/** Successors, with the ways that a call takes back, and those of computed jumps, which may lead to any entry. */
function waysOf({ blocks, entries }: Blocks): number[][] {
  const numbers = new Map(blocks.map((block, b) => [block.pos, b]));
  const returns: number[] = [];
  for (const block of blocks) {
    const last = block.instructions.at(-1)!;
    const next = last.calls ? numbers.get(last.next) : undefined;
    if (next !== undefined && block.successors.length > 0) returns.push(next);
  }
  return blocks.map((block) => {
    const last = block.instructions.at(-1)!;
    const computed = last.row.mnemonic === "RET" ? returns : last.switches && !last.calls ? entries : [];
    return [...block.successors, ...computed];
  });
}

function reach(ways: readonly (readonly number[])[], root: number): Set<number> {
  const seen = new Set([root]);
  for (const block of seen) for (const to of ways[block]!) seen.add(to);
  return seen;
}
