/**
 * The XArray (include/linux/xarray.h): 64-way nodes below one head. An entry's low bits say what it is: 00 a pointer; 1
 * a value; 10 internal: above 4096 a node, below 64·4 a sibling, whose number in the same node is that of the slot
 * which holds the entry for several.
 *
 * A node has one place only, as its parent and offset are checked: so hostile nodes can neither form loops nor share
 * children to make the walk grow beyond the memory they take.
 */
import { type Gva, gva } from "../base/index.ts";
import { type Budget, Inconsistent } from "./lists.ts";
import { type Look, taggedPointer } from "./look.ts";
import type { AddressSpace } from "./memory.ts";

const CHUNK_SHIFT = 6;
const SLOTS = 64;
/** Shift of the highest node an index of 64 bits can need: deeper claims are false. */
const HIGHEST_SHIFT = 60;
/** Internal entries up to this number are no nodes (xa_is_node). */
const LAST_RESERVED = 4096;

export interface XArrayEntry {
  /** First index. */
  readonly index: number;
  /** How many it covers. */
  readonly count: number;
  /** The pointer; 0 for a value. */
  readonly pointer: Gva;
}

interface Frame {
  readonly node: Gva;
  readonly shift: number;
  /** Index of its first slot. */
  readonly base: number;
  slot: number;
}

/**
 * The entries that cover indices `first` to `last`, in order. Throws Unreadable, Inconsistent, TooMany, or VivError for
 * want of types.
 */
export function* walkXArray(
  look: Look,
  array: Gva,
  first: number,
  last: number,
  budget: Budget,
): Generator<XArrayEntry, void> {
  const { space } = look;
  const { xa_head } = look.offsets("the page cache", "xarray", "xa_head");
  const N = look.offsets("the page cache", "xa_node", "shift", "offset", "parent", "slots");
  const head = readEntry(space, array, xa_head);
  if (head.kind === "empty") return;
  if (head.kind !== "node") {
    if (first === 0) yield { index: 0, count: 1, pointer: head.pointer };
    return;
  }
  const enter = (node: Gva, parent: Gva, slot: number, base: number, below: number): Frame => {
    const shift = space.u8(node, N.shift);
    if (shift % CHUNK_SHIFT !== 0 || shift > below) throw new Inconsistent("an XArray node is too high");
    // The topmost has no place, and any number for it.
    if (space.pointer(node, N.parent) !== parent || (parent !== 0 && space.u8(node, N.offset) !== slot))
      throw new Inconsistent("an XArray node is not where it says");
    return { node, shift, base, slot: clampSlot(first, base, shift) };
  };
  const stack: Frame[] = [enter(head.pointer, gva(0), 0, 0, HIGHEST_SHIFT)];
  for (let top = stack.at(-1); top; top = stack.at(-1)) {
    const index = top.base + top.slot * 2 ** top.shift;
    if (top.slot >= SLOTS || index > last) {
      stack.pop();
      continue;
    }
    const slot = top.slot++;
    const entry = readEntry(space, top.node, N.slots + slot * 8);
    if (entry.kind === "empty") continue;
    budget.spend();
    if (entry.kind === "node") {
      stack.push(enter(entry.pointer, top.node, slot, index, top.shift - CHUNK_SHIFT));
      continue;
    }
    // The walk may begin in the middle of what one entry covers.
    const holder = entry.kind === "sibling" ? entry.slot : slot;
    if (holder > slot) throw new Inconsistent("an XArray sibling comes before its entry");
    const held = holder === slot ? entry : readEntry(space, top.node, N.slots + holder * 8);
    if (held.kind !== "pointer" && held.kind !== "value") throw new Inconsistent("an XArray sibling has no entry");
    while (top.slot < SLOTS) {
      const next = readEntry(space, top.node, N.slots + top.slot * 8);
      if (next.kind !== "sibling" || next.slot !== holder) break;
      top.slot++;
    }
    const size = 2 ** top.shift;
    yield {
      index: top.base + holder * size,
      count: (top.slot - holder) * size,
      pointer: held.pointer,
    };
  }
}

const clampSlot = (index: number, base: number, shift: number): number =>
  Math.min(SLOTS, Math.max(0, Math.floor((index - base) / 2 ** shift)));

type Entry =
  | { readonly kind: "empty" | "value"; readonly pointer: Gva }
  | { readonly kind: "pointer" | "node"; readonly pointer: Gva }
  | { readonly kind: "sibling"; readonly slot: number; readonly pointer: Gva };

const NOTHING = gva(0);

function readEntry(space: AddressSpace, at: Gva, offset: number): Entry {
  const { at: pointer, tag } = taggedPointer(space, at, offset, 3);
  if ((tag & 1) !== 0) return { kind: "value", pointer: NOTHING };
  if (tag === 0) return pointer === 0 ? { kind: "empty", pointer } : { kind: "pointer", pointer };
  if (pointer < 0 || pointer > LAST_RESERVED) return { kind: "node", pointer };
  if (pointer < SLOTS * 4) return { kind: "sibling", slot: pointer / 4, pointer: NOTHING };
  // XA_RETRY_ENTRY, XA_ZERO_ENTRY: nothing that could be read.
  return { kind: "empty", pointer };
}
