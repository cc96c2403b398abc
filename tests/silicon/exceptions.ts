/** What the proof leaves out, row by row, and where the software CPU may differ from the recorded one; each with its reason. */

import type { Row } from "../../src/isa/row.ts";

const ENTERS_KERNEL = "enters the host's kernel; src/cpu/system tests it";
const UMIP = "the host's kernel stands in for it where the processor refuses it (UMIP); src/cpu/system tests it";
const HYPERCALL = "the host's hypervisor answers it";
const MACHINES = "its answer is the machine's own";

const UNCHANGED = "which components it leaves out depends on what ran before; src/cpu/float/save.test.ts tests it";

/** Rows that are not run, by mnemonic or whole key. */
export const NOT_RUN: Readonly<Record<string, string>> = {
  SYSCALL: ENTERS_KERNEL,
  SYSENTER: ENTERS_KERNEL,
  SGDT: UMIP,
  SIDT: UMIP,
  SLDT: UMIP,
  STR: UMIP,
  SMSW: UMIP,
  VMCALL: HYPERCALL,
  VMMCALL: HYPERCALL,
  CPUID: MACHINES,
  RDTSC: MACHINES,
  RDTSCP: MACHINES,
  RDPID: MACHINES,
  XGETBV: MACHINES,
  XSAVEOPT: UNCHANGED,
  XSAVEOPT64: UNCHANGED,
  RDRAND: MACHINES,
  RDSEED: MACHINES,
};

const CF = 1;
const PF = 4;
const AF = 0x10;
const ZF = 0x40;
const SF = 0x80;
const OF = 0x800;
export const FLAG_NAMES: readonly (readonly [string, number])[] = [
  ["CF", CF],
  ["PF", PF],
  ["AF", AF],
  ["ZF", ZF],
  ["SF", SF],
  ["OF", OF],
];

const AFTER_SHIFT = AF | OF;
/**
 * Flags that the manual leaves undefined (SDM vol. 2, each instruction's "Flags Affected"). They are recorded, and compared
 * all the same: the software CPU follows the recorded processor, but for what DIFFERENCES names.
 */
export const UNDEFINED_FLAGS: Readonly<Record<string, number>> = {
  AND: AF,
  OR: AF,
  XOR: AF,
  TEST: AF,
  ANDN: AF | PF,
  BLSR: AF | PF,
  BLSMSK: AF | PF,
  BLSI: AF | PF,
  BEXTR: AF | SF | PF,
  BZHI: AF | PF,
  TZCNT: OF | SF | PF | AF,
  LZCNT: OF | SF | PF | AF,
  BSF: CF | OF | SF | AF | PF,
  BSR: CF | OF | SF | AF | PF,
  BT: OF | SF | AF | PF,
  BTS: OF | SF | AF | PF,
  BTR: OF | SF | AF | PF,
  BTC: OF | SF | AF | PF,
  ROL: OF,
  ROR: OF,
  RCL: OF,
  RCR: OF,
  SHL: AFTER_SHIFT | CF,
  SHR: AFTER_SHIFT | CF,
  SAR: AFTER_SHIFT | CF,
  SHLD: AFTER_SHIFT | CF | SF | ZF | PF,
  SHRD: AFTER_SHIFT | CF | SF | ZF | PF,
  MUL: SF | ZF | AF | PF,
  IMUL: SF | ZF | AF | PF,
  DIV: CF | OF | SF | ZF | AF | PF,
  IDIV: CF | OF | SF | ZF | AF | PF,
  AAA: OF | SF | ZF | PF,
  AAS: OF | SF | ZF | PF,
  AAM: OF | AF | CF,
  AAD: OF | AF | CF,
  DAA: OF,
  DAS: OF,
};

export interface Difference {
  readonly reason: string;
  /** Flags that may differ. */
  readonly flags?: number;
  /** Bits of the x87 status word that may differ. */
  readonly status?: number;
  /** x87 registers may differ by this many units in the last place. */
  readonly ulps?: number;
  /** The address of a page fault may be another byte of the operand. */
  readonly anyByte?: boolean;
  /** What a faulting instruction left below the stack pointer may differ. */
  readonly belowStack?: boolean;
  /** Fields that may differ. */
  readonly fields?: readonly string[];
  /** The upper halves of YMM registers may differ after a fault. */
  readonly upperHalves?: boolean;
}

const PRODUCT: Difference = { reason: "clears ZF whatever the product, and the manual leaves it undefined", flags: ZF };
/** Of rows with a bare memory operand. */
const IMAGE: Difference = { reason: "processors touch an image's bytes in an order of their own", anyByte: true };
const MASKED: Difference = { reason: "a write that is refused is reported at the operand's last byte", anyByte: true };
const GATHER: Difference = {
  reason:
    "a fault leaves the upper half of a mask of which only the lower counts as it is, all ones or zero in each element",
  upperHalves: true,
};
const TRANSCENDENTAL: Difference = {
  reason: "the manual promises one unit in the last place (SDM vol. 1, 8.3.10); C1 says which way it was rounded",
  ulps: 1,
  status: 0x200,
};

/** Where the software CPU may differ, by mnemonic. */
export const DIFFERENCES: Readonly<Record<string, Difference>> = {
  CALL: {
    reason: "the processor writes the return address before it compares the target with the segment's limit",
    belowStack: true,
  },
  VMASKMOVPS: MASKED,
  VMASKMOVPD: MASKED,
  VPMASKMOVD: MASKED,
  VPMASKMOVQ: MASKED,
  VGATHERQPS: GATHER,
  VPGATHERQD: GATHER,
  MUL: PRODUCT,
  IMUL: PRODUCT,
  F2XM1: TRANSCENDENTAL,
  FYL2X: TRANSCENDENTAL,
  FYL2XP1: TRANSCENDENTAL,
  FPTAN: TRANSCENDENTAL,
  FPATAN: TRANSCENDENTAL,
  FSIN: TRANSCENDENTAL,
  FCOS: TRANSCENDENTAL,
  FSINCOS: TRANSCENDENTAL,
};

/** The same for all rows with an attribute. */
export const DIFFERENCES_OF_KIND: Readonly<Record<string, Difference>> = {
  fpu: {
    reason:
      "the operand pointer changes with every instruction, while newer processors change it at exceptions alone " +
      "(CPUID.7.EBX.FDP_EXCPTN_ONLY, which no model has); the opcode register lacks the r/m field of memory operands",
    fields: ["fop", "fdp"],
  },
};

export function differenceOf({ mnemonic, attributes, operands }: Row): Difference {
  const kind = Object.entries(DIFFERENCES_OF_KIND).find(([attribute]) => attributes.has(attribute))?.[1];
  const own = DIFFERENCES[mnemonic] ?? (operands.some((o) => o.text === "m") ? IMAGE : undefined);
  return { ...kind, ...own, reason: own?.reason ?? kind?.reason ?? "none" };
}
