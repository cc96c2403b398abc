/**
 * Where everything lies in the one linear memory of a machine. The first part belongs to the engine, guest RAM follows;
 * the engine's part is reserved, not used: pages nobody touches cost nothing.
 */
import { KiB, MiB } from "../base/index.ts";
import { STATE_SIZE } from "./state.ts";

/** The vCPU's state. The first 4 KiB of memory stay empty, so that a zero pointer hits nothing. */
export const STATE_BASE = 4 * KiB;

/**
 * Data TLB: direct-mapped on the page number, one set per privilege (SDM vol. 3A, 4.10.2). An entry is 32 bytes:
 * read tag (i64), write tag (i64), addend (i32: host address = low half of the linear address + addend), flags (i32).
 * A tag is the page's linear address, or NO_TAG.
 */
export const TLB_ENTRIES = 4096;
export const TLB_ENTRY_SIZE = 32;
export const TLB_SET_SIZE = TLB_ENTRIES * TLB_ENTRY_SIZE;
export const TLB_BASE = 64 * KiB;
/** Sets: supervisor, user, supervisor while EFLAGS.AC overrides SMAP. */
export const TLB_SETS = 3;
export const NO_TAG = 1;
/** Entry flags. */
export const TLB_GLOBAL = 1;

/** Code TLB: tag (i64), code page (i32), flags (i32). Sets: supervisor, user. */
export const CODE_TLB_ENTRIES = 1024;
export const CODE_TLB_ENTRY_SIZE = 16;
export const CODE_TLB_SET_SIZE = CODE_TLB_ENTRIES * CODE_TLB_ENTRY_SIZE;
export const CODE_TLB_BASE = TLB_BASE + TLB_SETS * TLB_SET_SIZE;

/** Records made for one instruction at a time (single step). */
export const STEP_BASE = CODE_TLB_BASE + 2 * CODE_TLB_SET_SIZE;

/** Constant tables of runtime functions. */
export const TABLES_BASE = 512 * KiB;

/** A data TLB set that stays empty, in use while alignment is checked: every access takes the slow way. */
export const TLB_NONE = 768 * KiB;

/** For each page of RAM, its first code page object (i32), 0 where it holds no decoded code. */
export const CODE_PAGE_INDEX = 1 * MiB;

/** Code pages and decoded records. When it is full, all of it is dropped. */
export const ARENA_BASE = 8 * MiB;
export const ARENA_END = 72 * MiB;

/** For each record of the arena, 16 bits: which entry of its region it is, where it is one (jit/region-code.ts). */
export const REGION_ENTRIES = ARENA_END;
/** Bytes of the arena for a byte of entries. */
const RECORD_BYTES_PER_ENTRY_BYTE = 16;

export const RAM_BASE = REGION_ENTRIES + (ARENA_END - ARENA_BASE) / RECORD_BYTES_PER_ENTRY_BYTE;

if (STATE_BASE + STATE_SIZE > TLB_BASE || STEP_BASE + 4 * KiB > TABLES_BASE) throw new Error("memory map overlaps");
if (TLB_NONE + TLB_SET_SIZE > CODE_PAGE_INDEX) throw new Error("memory map overlaps");
