/** What an unwinder reads: 64-bit words of a stack. */
export interface StackWords {
  /** The word at an address, with sign; NaN where it is not readable. */
  word(at: number): number;
}

/** Registers by their DWARF numbers (System V ABI, AMD64 supplement, figure 3.36). */
export const DWARF = { rbx: 3, rbp: 6, rsp: 7, ra: 16 } as const;
export const DWARF_REGISTERS = 17;
/** The same names in the order in which instructions number them. */
export const DWARF_OF_GPR = [0, 2, 1, 3, 7, 6, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15] as const;
