/** Where the TLBs keep a page: both are direct-mapped on the page number (memory-map.ts). And the cache of computed jumps. */
import type { I32 } from "../../wasm/index.ts";
import {
  CODE_TLB_ENTRIES,
  CODE_TLB_ENTRY_SIZE,
  JUMP_CACHE_ENTRIES,
  JUMP_CACHE_ENTRY_SIZE,
  TLB_ENTRIES,
  TLB_ENTRY_SIZE,
} from "../memory-map.ts";

const PAGE_SHIFT = 12;

const offsetOf =
  (entries: number, size: number) =>
  (low: I32): I32 =>
    low.shrU(PAGE_SHIFT - Math.log2(size)).and((entries - 1) * size);

/** Offset of an entry in its set, from the low half of a linear address. */
export const dataTlbOffset = offsetOf(TLB_ENTRIES, TLB_ENTRY_SIZE);
export const codeTlbOffset = offsetOf(CODE_TLB_ENTRIES, CODE_TLB_ENTRY_SIZE);

/** Offset of a target in the cache of computed jumps: code is aligned, and what is jumped to in turn lies together. */
export const jumpCacheOffset = (low: I32): I32 =>
  low
    .xor(low.shrU(6))
    .and(JUMP_CACHE_ENTRIES - 1)
    .shl(Math.log2(JUMP_CACHE_ENTRY_SIZE));
