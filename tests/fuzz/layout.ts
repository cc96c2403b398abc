/** Where the fuzzer puts what a guest needs, all in 320 KiB; linear addresses are the same ones, plus aliases by paging. */
export const RAM_SIZE = 0x5_0000;

export const GDT = 0x1000;
export const GDT_ENTRIES = 32;
export const IDT = 0x2000;
export const LDT = 0x3000;
export const TSS = 0x4000;
export const TSS2 = 0x5000;
/** Top-level tables first; those of 32-bit paging last. */
export const PML5 = 0x6000;
export const PML4 = 0x7000;
export const PDPT = 0x8000;
export const PD = 0x9000;
export const PT = 0xa000;
export const PD32 = 0xb000;
export const PT32 = 0xc000;
/** The byte string lies somewhere in these pages. */
export const CODE = 0x1_0000;
export const CODE_SIZE = 0x3000;
/** One exception handler each 16 bytes. */
export const HANDLERS = 0x1_4000;
export const HANDLER_SIZE = 16;
export const STACK0 = 0x2_4000;
export const STACK3 = 0x2_8000;
export const DATA = 0x3_0000;
export const DATA_SIZE = 0x1_0000;
/** The upper half of the address space shows the same pages in long mode. */
export const HIGH_ALIAS = 0xffff_8000_0000_0000n;
export const HIGH_ALIAS_57 = 0xff00_0000_0000_0000n;

/** Descriptors at fixed places of the GDT, by index. The rest is whatever chance makes. */
export const SELECTOR = {
  code64: 1,
  data: 2,
  code32User: 3,
  dataUser: 4,
  code64User: 5,
  code32: 6,
  code16: 7,
  data16: 8,
  tss: 9,
  ldt: 11,
  tss2: 13,
  tss16: 14,
  callGate: 15,
  callGate64: 16,
  taskGate: 18,
  conforming: 19,
} as const;
