/** What an unwinder reads: 64-bit words of a stack. */
export interface StackWords {
  /** The word at an address, with sign; NaN where it is not readable. */
  word(at: number): number;
}

/** General registers by the numbers that instructions give them. */
export const GPR = { rax: 0, rcx: 1, rdx: 2, rbx: 3, rsp: 4, rbp: 5, rsi: 6, rdi: 7, r10: 10, r13: 13 } as const;
export const GPR_COUNT = 16;

/** Registers by their DWARF numbers (System V ABI, AMD64 supplement, figure 3.36). */
export const DWARF = { rbp: 6, rsp: 7, ra: 16 } as const;
export const DWARF_REGISTERS = 17;
/** The same names in the order in which instructions number them. */
export const DWARF_OF_GPR = [0, 2, 1, 3, 7, 6, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15] as const;

/** Why a chain ends before its thread's start. */
export type Truncated = "depth" | "unreadable" | "unknown-code" | "no-progress";
/** What one step outwards has found: the caller, the user's code behind it, that there is none, or nothing. */
export type Step = "frame" | "user" | "end" | Truncated;

/** Changes from one stack to another: of an NMI in an interrupt in a task there are three. Stops stacks that lead into each other. */
export const MAX_SWITCHES = 16;

/** The user's half of what five levels of page tables hold. */
export const isUserAddress = (value: number): boolean => value > 0 && value < 2 ** 56;
