/**
 * What the recorder (recorder.c) and the software CPU share: where a tested instruction and its memory lie, and the record
 * that carries a state from one to the other. The recorder's C gets the numbers of both tables as macros (record.ts).
 */

/** Pages, the same on both sides; all of them below 4 GiB, for compatibility mode. The page behind READ_ONLY is not present. */
export const PLACES = {
  /** Filled with INT3; the instruction lies in the middle, so that branches land on an INT3 too. */
  CODE: 0x10_0000,
  INSTRUCTION: 0x10_0800,
  /** Two pages; operands lie in a window across their boundary. */
  DATA: 0x11_0000,
  WINDOW: 0x11_0e00,
  READ_ONLY: 0x11_2000,
  ABSENT: 0x11_3000,
  STACK: 0x11_8000,
  STACK_WINDOW: 0x11_8800,
} as const;

export const PAGE = 4096;
export const WINDOW_BYTES = 1024;
export const STACK_WINDOW_BYTES = 512;
export const CODE_BYTES = 16;

/** A record: offsets of its parts. */
export const RECORD = {
  GPR: 0,
  RIP: 128,
  RFLAGS: 136,
  /** CS DS ES SS FS GS, 16 bits each. */
  SELECTORS: 144,
  FS_BASE: 160,
  GS_BASE: 168,
  /** What ended the run: vector and error code. */
  VECTOR: 176,
  ERROR: 180,
  CR2: 184,
  /** An FXSAVE64 image. */
  FX: 192,
  DATA_WINDOW: 704,
  STACK_PART: 1728,
  CODE_PART: 2240,
  /** Upper halves of the YMM registers. */
  YMM: 2256,
  SIZE: 2512,
} as const;

/** Offsets in the FXSAVE image (SDM vol. 1, table 10-2). */
export const FX = { FCW: 0, FSW: 2, FTW: 4, FOP: 6, FIP: 8, FDP: 16, MXCSR: 24, ST: 32, XMM: 160 } as const;

export const SELECTOR_NAMES = ["cs", "ds", "es", "ss", "fs", "gs"] as const;

/** The selectors of Linux, which the software CPU's descriptor table copies. */
export const USER_CODE_32 = 0x23;
export const USER_DATA = 0x2b;
export const USER_CODE_64 = 0x33;

/** 16-bit code at CODE, and 16-bit data at DATA, which reaches as far as the stack: the two entries of the LDT. */
export const CODE_16 = 0x07;
export const DATA_16 = 0x0f;
export const LDT = { CODE_16: 0x0000_fb10_0000_ffffn, DATA_16: 0x0000_f311_0000_ffffn } as const;

/** Code widths. */
export type Mode = 64 | 32 | 16;

/** What offsets in code and data start from: 16-bit segments have bases. */
export const origins = (mode: Mode): { readonly code: number; readonly data: number } =>
  mode === 16 ? { code: PLACES.CODE, data: PLACES.DATA } : { code: 0, data: 0 };

/** The byte of the read-only page at an offset. */
export const readOnlyByte = (offset: number): number => (offset * 7 + 3) & 0xff;
