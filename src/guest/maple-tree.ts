/**
 * The maple tree (include/linux/maple_tree.h, lib/maple_tree.c; since 6.1): ranges of numbers, here of addresses, with
 * a pointer each. A link to a node carries its type in bits 3 to 6, a node's link back the slot it hangs in. Allocation
 * trees (arange) keep gaps as well, which are of no interest.
 *
 * As in the XArray a node has one place only, checked by the link back, so the walk ends whatever memory holds.
 */
import { type Gva, gva } from "../base/index.ts";
import { type Budget, Inconsistent } from "./lists.ts";
import { type Look, taggedPointer } from "./look.ts";

const NODE_MASK = 0xff;
/** Low bits of the tree's link to its root: an internal entry (xarray.h). Those of links between nodes are 0. */
const INTERNAL = 2;
/** In a node's link back: slot it hangs in (MAPLE_PARENT_SLOT_MASK); of the root, bit 0. */
const SLOT_SHIFT = 3;
const SLOT_MASK = 0x1f;
const ROOT = 1;
/**
 * 10 levels of nodes with at least 2 entries, as the kernel's own limit (MAPLE_HEIGHT_MAX is 31): deeper claims are
 * false.
 */
const DEEPEST = 31;

export interface MapleRange {
  readonly first: number;
  /** The first number behind it. */
  readonly end: number;
  readonly entry: Gva;
}

interface Frame {
  readonly node: Gva;
  readonly leaf: boolean;
  readonly slots: number;
  readonly slotAt: number;
  readonly pivotAt: number;
  readonly end: number;
  from: number;
  slot: number;
}

/** What a tree holds, in order. Throws Unreadable, Inconsistent, TooMany, or VivError for want of types. */
export function* walkMapleTree(look: Look, tree: Gva, budget: Budget): Generator<MapleRange, void> {
  const { space } = look;
  const what = "memory maps";
  const { ma_root } = look.offsets(what, "maple_tree", "ma_root");
  const R = look.offsets(what, "maple_range_64", "parent", "pivot", "slot");
  const A = look.offsets(what, "maple_arange_64", "parent", "pivot", "slot");
  const leafType = look.enumerator("maple_type", "maple_leaf_64") ?? 1;
  const rangeType = look.enumerator("maple_type", "maple_range_64") ?? 2;
  const allocationType = look.enumerator("maple_type", "maple_arange_64") ?? 3;

  const enter = (link: { at: Gva; tag: number }, from: number, end: number, parent: Gva, slot: number): Frame => {
    const type = (link.tag >> 3) & 0xf;
    if (
      (link.tag & 3) !== (slot < 0 ? INTERNAL : 0) ||
      (type !== leafType && type !== rangeType && type !== allocationType)
    )
      throw new Inconsistent("a maple tree's node has no known type");
    const layout = type === allocationType ? A : R;
    const back = taggedPointer(space, link.at, layout.parent, NODE_MASK);
    const right =
      slot < 0 ? (back.tag & ROOT) !== 0 : back.at === parent && ((back.tag >> SLOT_SHIFT) & SLOT_MASK) === slot;
    if (!right) throw new Inconsistent("a maple tree's node is dead or not where it says");
    return {
      node: link.at,
      leaf: type === leafType,
      slots: (layout.slot - layout.pivot) / 8 + 1,
      slotAt: layout.slot,
      pivotAt: layout.pivot,
      end,
      from,
      slot: 0,
    };
  };

  const root = taggedPointer(space, tree, ma_root, NODE_MASK);
  if (root.at === 0 && root.tag === 0) return;
  // A tree of one entry from 0 on holds it in place of the root: no address space looks so.
  const stack: Frame[] = [enter(root, 0, 2 ** 64, gva(0), -1)];
  for (let top = stack.at(-1); top; top = stack.at(-1)) {
    if (top.slot >= top.slots || top.from >= top.end) {
      stack.pop();
      continue;
    }
    const slot = top.slot++;
    // The last slot has no pivot, and one after the last in use is 0.
    const pivot = slot < top.slots - 1 ? space.u64(top.node, top.pivotAt + slot * 8) : 0;
    const end = pivot === 0 && slot > 0 ? top.end : Math.min(pivot + 1, top.end);
    const first = top.from;
    if (end <= first) throw new Inconsistent("a maple tree's pivots do not rise");
    top.from = end;
    const entry = taggedPointer(space, top.node, top.slotAt + slot * 8, NODE_MASK);
    if (entry.at === 0 && entry.tag === 0) continue;
    budget.spend();
    if (!top.leaf) {
      if (stack.length > DEEPEST) throw new Inconsistent("a maple tree is too deep");
      stack.push(enter(entry, first, end, top.node, slot));
    } else if ((entry.tag & 3) === 0) {
      yield { first, end, entry: gva(entry.at + entry.tag) };
    }
  }
}
