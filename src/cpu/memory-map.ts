/**
 * Where everything lies in the one linear memory of a machine. The first part belongs to the engine, guest RAM follows;
 * the engine's part is reserved, not used: pages nobody touches cost nothing.
 */
import { GiB, KiB, MiB } from "../base/index.ts";
import { STATE_SIZE } from "./state.ts";

/** The vCPU's state. The first 4 KiB of memory stay empty, so that a zero pointer hits nothing. */
export const STATE_BASE = 4 * KiB;

/** Calls of compiled code that are still open, in a ring (jit/region-code.ts). */
export const CALL_STACK = STATE_BASE + STATE_SIZE;
export const CALL_STACK_SIZE = 1 * KiB;

/**
 * Calls that copied code waits for (interpreter/record-writer.ts), by the state's `returnTop`: where they return to, linear (i64), and
 * `codeMap` as it was (i32 at 8). The first is none.
 */
export const RETURN_STACK = CALL_STACK + CALL_STACK_SIZE;
export const RETURN_SIZE = 16;
export const RETURNS = 192;

/** What observed code counts (statistics/observer.ts); `samples` are one number for each place that `where` may name. */
export const COUNTERS = layOut(RETURN_STACK + RETURNS * RETURN_SIZE, {
  accesses: 8,
  misses: 8,
  compiledInstructions: 8,
  regionsEntered: 8,
  budget: 4,
  where: 4,
  samples: 16,
});

/**
 * Data TLB: direct-mapped on the page number, sets by privilege and address space (SDM vol. 3A, 4.10.2; runtime/translations.ts). An entry
 * is 32 bytes: read tag (i64), write tag (i64), addend (i32: host address = low half of the linear address + addend), flags (i32).
 * A tag is the page's linear address, or NO_TAG.
 */
export const TLB_ENTRIES = 4096;
export const TLB_ENTRY_SIZE = 32;
export const TLB_SET_SIZE = TLB_ENTRIES * TLB_ENTRY_SIZE;
/** Two sets: supervisor, and supervisor while EFLAGS.AC overrides SMAP. */
export const TLB_BASE = 64 * KiB;
export const NO_TAG = 1;
/** Entry flags: a global page; its number stands in the log of its set. */
export const TLB_GLOBAL = 1;
export const TLB_LOGGED = 2;

/**
 * Code TLB: tag (i64), code page (i32), flags (i32). The supervisor's set. As many entries as for data: where a program's libraries lie differs
 * from run to run, and with a quarter of them two hot pages fell on one entry in some runs, which then took millions of page walks.
 */
export const CODE_TLB_ENTRIES = 4096;
export const CODE_TLB_ENTRY_SIZE = 16;
export const CODE_TLB_SET_SIZE = CODE_TLB_ENTRIES * CODE_TLB_ENTRY_SIZE;
export const CODE_TLB_BASE = TLB_BASE + 2 * TLB_SET_SIZE;

/** Bytes of a filter: one bit for each number modulo eight times this. */
export const TLB_FILTER_SIZE = 1 * KiB;
const DATA_LOG_SIZE = TLB_ENTRIES * 2;
const CODE_LOG_SIZE = CODE_TLB_ENTRIES * 2;

/** What is known of the supervisor's sets, by address. */
export const SHARED = layOut(CODE_TLB_BASE + CODE_TLB_SET_SIZE, {
  /** Numbers (u16) of entries that are not global; of the set under EFLAGS.AC; of code. */
  dataLog: DATA_LOG_SIZE,
  openLog: DATA_LOG_SIZE,
  codeLog: CODE_LOG_SIZE,
  /** Pages that were entered for fetching. */
  codeFilter: TLB_FILTER_SIZE,
  /** Regions of 4 MiB in which a large global page was used, and the pages of 1 GiB (i64). */
  largeFilter: TLB_FILTER_SIZE,
  hugePages: 64,
  hugeCount: 4,
  /** How long the logs are. The first two lie side by side. */
  dataCount: 4,
  openCount: 4,
  codeCount: 4,
  /** What the fields of the same name were when code was entered. */
  codeKey: 4,
  codeLimit: 4,
  /** The set's number, see the field of the same name. */
  codeMap: 4,
});

/** User pages of one PCID: data set, code set, and what is known of them; offsets in the group. */
export const TLB_GROUP = layOut(0, {
  data: TLB_SET_SIZE,
  code: CODE_TLB_SET_SIZE,
  dataLog: DATA_LOG_SIZE,
  codeLog: CODE_LOG_SIZE,
  codeFilter: TLB_FILTER_SIZE,
  /** Of large pages that are not global, those of supervisors too. */
  largeFilter: TLB_FILTER_SIZE,
  dataCount: 4,
  codeCount: 4,
  codeKey: 4,
  codeLimit: 4,
  codeMap: 4,
  /** Whom it belongs to, or -1, and when it was chosen last. */
  pcid: 4,
  used: 4,
  /** 0 until its entries have been emptied for the first time. */
  filled: 4,
});
/** Linux uses six PCIDs on each processor, and 0 while it starts. */
export const TLB_GROUPS = 8;
export const TLB_GROUPS_BASE = 5 * MiB;

/** Records made for one instruction at a time (single step). */
export const STEP_BASE = Math.ceil(SHARED.size / 64) * 64;

/** Constant tables of runtime functions. */
export const TABLES_BASE = 512 * KiB;

/** A data TLB set that stays empty, in use while alignment is checked: every access takes the slow way. */
export const TLB_NONE = 768 * KiB;

/** For each page of RAM, its first code page object (i32), 0 where it holds no decoded code. */
export const CODE_PAGE_INDEX = 1 * MiB;

/** Code pages and decoded records. When it is full, all of it is dropped. */
export const ARENA_BASE = 8 * MiB;
export const ARENA_END = 72 * MiB;

/** Part of a code page's map for what nothing is decoded of (interpreter/record.ts, CODE_MAP): always zero. */
export const EMPTY_MAP = ARENA_BASE;

/** For each record of the arena, 16 bits: which entry of its region it is, where it is one (jit/region-code.ts). */
export const REGION_ENTRIES = ARENA_END;
/** Bytes of the arena for a byte of entries. */
const RECORD_BYTES_PER_ENTRY_BYTE = 16;

/** For each table slot, i32: how often its region may still be left until it is looked at again. */
export const REGION_EXITS = REGION_ENTRIES + (ARENA_END - ARENA_BASE) / RECORD_BYTES_PER_ENTRY_BYTE;

/** For each table slot, i32: how many accesses may still miss the TLB until its region is looked at. */
export const REGION_MISSES = REGION_EXITS + 256 * KiB;

/** For each table slot, 16 bytes: mapping of code (i32) and linear address (i64 at 8) with which its region was last found to be in order. */
export const REGION_MAPS = REGION_EXITS + 512 * KiB;

/**
 * Where computed jumps of copied code have led: linear address (i64), `codeMap` as it was (i32 at 8), record (i32 at 12), each in the place
 * that its address has (runtime/tlb.ts).
 */
export const JUMP_CACHE = REGION_MAPS + 1 * MiB;
export const JUMP_CACHE_ENTRIES = 4096;
export const JUMP_CACHE_ENTRY_SIZE = 16;

/** Samples of the vCPU, and what is to be known to take them (vmm/sampling/area.ts). */
export const SAMPLES = REGION_EXITS + 2 * MiB;
export const SAMPLES_SIZE = 3 * MiB;

export const RAM_BASE = SAMPLES + SAMPLES_SIZE;

const PAGE = 64 * KiB;
/** The most memory a wasm32 memory can have, in pages. */
export const MAX_PAGES = (4 * GiB) / PAGE;

/** Pages of 64 KiB a machine's memory needs. Throws RangeError where guest RAM does not fit beside the engine's part. */
export function memoryPages(ramSize: number): number {
  const pages = Math.ceil((RAM_BASE + ramSize) / PAGE);
  if (pages > MAX_PAGES) throw new RangeError(`guest RAM of ${ramSize} bytes does not fit in one WebAssembly memory`);
  return pages;
}

/** Addresses of parts that lie one behind the other, by their sizes; `size` is where the last one ends. */
function layOut<Names extends string>(base: number, sizes: Record<Names, number>): Record<Names | "size", number> {
  let at = base;
  const place = (size: number): number => {
    const here = at;
    at += size;
    return here;
  };
  const placed = Object.entries<number>(sizes).map(([name, size]) => [name, place(size)] as const);
  return Object.fromEntries([...placed, ["size", at]]) as Record<Names | "size", number>;
}

if (COUNTERS.size > TLB_BASE || STEP_BASE + 4 * KiB > TABLES_BASE) throw new Error("memory map overlaps");
if (TLB_GROUPS_BASE + TLB_GROUPS * TLB_GROUP.size > ARENA_BASE) throw new Error("memory map overlaps");
if (JUMP_CACHE + JUMP_CACHE_ENTRIES * JUMP_CACHE_ENTRY_SIZE > SAMPLES) throw new Error("memory map overlaps");
if (TLB_NONE + TLB_SET_SIZE > CODE_PAGE_INDEX) throw new Error("memory map overlaps");
