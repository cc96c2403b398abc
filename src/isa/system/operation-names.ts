/**
 * System instructions too rare to be generated: TypeScript executes them (cpu/system), called by number through the
 * import `system`. They take operands from the state's fields scratch0 to scratch2 and leave a result in scratch0.
 */
import { type I32, i32 } from "../../wasm/index.ts";

const NAMES = [
  // Segment registers and descriptor tables (cpu/system/segments.ts).
  "load_segment",
  "lldt",
  "ltr",
  "lar",
  "lsl",
  "verr",
  "verw",
  // Far transfers (cpu/system/far.ts, returns.ts, interrupts.ts).
  "far_jump",
  "far_call",
  "far_return",
  "iret",
  "int_n",
  "software_interrupt",
  "icebp",
  // Control and model-specific registers and the rest (cpu/system/control.ts, msr.ts).
  "cpuid",
  "rdmsr",
  "wrmsr",
  "read_control",
  "write_control",
  "read_debug",
  "write_debug",
  "lmsw",
  "xsetbv",
  "io_permission",
  "check_base",
  "rdpmc",
  "invpcid",
  "sysenter",
  "sysexit",
  "hypercall",
] as const;

export type OperationName = (typeof NAMES)[number];

export const OPERATION_NAMES: readonly OperationName[] = NAMES;

/** The number generated code calls an operation by. */
export const operation = (name: OperationName): I32 => i32(NAMES.indexOf(name));
