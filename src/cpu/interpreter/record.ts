/**
 * A decoded instruction as generated code reads it: 32 bytes in linear memory. Register fields hold the offset
 * of the register from the start of the state (for x87, segment, control and debug registers: its number).
 */
export const RECORD_SIZE = 32;

export const RECORD = {
  /** Table slot of the handler, u16: of this instruction, or of this one and the branch after it together. */
  handler: 0,
  /** Table slot of the handler of this instruction alone, u16. */
  single: 2,
  /** First to fourth register operand, u16. The third shares bytes with the upper half of the immediate, the fourth with the lower. */
  register: [4, 6, 28, 24],
  /** Memory operand: offsets of base and index register (of `zero` where absent; VSIB: of a vector register), u16. */
  base: 8,
  index: 10,
  scale: 12,
  /** Length of the instruction, u8. */
  length: 13,
  /** Offset in its page, u16. */
  pageOffset: 14,
  /** Displacement, i32; relative branches: the record of a target in the same page once known, else 0. */
  displacement: 16,
  link: 16,
  /** Offset of the segment base field (of `zero` where it is flat), u16; segment number, u8; address size in bytes, u8. */
  segmentBase: 20,
  segment: 22,
  addressBytes: 23,
  /**
   * Relative calls and jumps, where others have a memory operand: `codeMap` as it was when the record of a target on another page was noted, i32, and
   * that record.
   */
  farMap: 8,
  far: 20,
  /** First immediate, i64; a branch displacement, i32, counts from the next instruction. */
  immediate: 24,
  /** Jumps: how often until the target is worth compiling, i32; counts down as they are taken. */
  heat: 28,
} as const;

/**
 * Behind the record of an instruction across two pages: the record it was decoded to, the one that goes on after it, and what it was
 * decoded from. The first page is watched for changes as any code; of the second the bytes are kept, and a mask of those that count.
 */
export const ACROSS = {
  memo: 3 * RECORD_SIZE,
  /** From `memo` on: the bytes (15 at most), 1 where they are valid, the mask. */
  known: 15,
  mask: 16,
} as const;

/**
 * The map of a code page has a record pointer (i32) for each byte, and comes in parts: code lies in few places of most pages, as far as it
 * runs. Where nothing was decoded yet the part is one that stays empty (memory-map.ts, EMPTY_MAP).
 */
export const CODE_MAP = { parts: 16, covers: 256, size: 256 * 4 } as const;

/** A code page: decoded code of one page of RAM in one mode. A header, then pointers to the parts of its map (i32). */
export const CODE_PAGE = {
  /** Next code page of the same RAM page in another mode, i32. */
  next: 0,
  /** Offset of the page from the start of RAM, i32. */
  ramOffset: 4,
  /** Mode it was decoded in, i32. */
  mode: 8,
  /** Not 0 where compiled regions hold code of the page, i32. */
  regions: 12,
  /** Which of the 64 runs of 64 bytes hold decoded instructions, i64. */
  coverage: 16,
  /** Blocks that were decoded in it, i32. */
  decodes: 24,
  maps: 32,
  size: 32 + CODE_MAP.parts * 4,
} as const;
