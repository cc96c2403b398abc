/**
 * The x87 floating-point unit: all its runtime functions.
 *
 * Measured against an Intel processor (Sapphire Rapids): everything but the transcendental functions leaves the same
 * registers, status and memory, bit for bit. The transcendental ones raise the same exceptions and differ by at most
 * one unit in the last place; identical with plain operands are FYL2X 99.3 %, FCOS 96.7 %, F2XM1 96.7 %, FSIN 96.6 %,
 * FPATAN 96.1 %, FSINCOS 95.2 %, FPTAN 94.8 %, FYL2XP1 90.9 % (x87-transcendental.test.ts shows the figures).
 * They are computed to 120 bits, reduced by the 66-bit pi and cut to 67 bits where processors were found to cut; what
 * differs comes from the processors' tables, which nobody outside knows.
 *
 * Not modelled: FERR# and IRQ 13 for CR0.NE = 0 (SDM vol. 1, 8.7.2); FYL2XP1 outside its range, which is undefined.
 */
import type { RuntimeFunction } from "../runtime/define.ts";
import { ARITHMETIC_FUNCTIONS } from "./x87-arithmetic.ts";
import { COMPARE_FUNCTIONS } from "./x87-compare.ts";
import { LOGARITHM_FUNCTIONS } from "./x87-logarithm.ts";
import { REGISTER_FUNCTIONS } from "./x87-registers.ts";
import { REMAINDER_FUNCTIONS } from "./x87-remainder.ts";
import { STACK_FUNCTIONS } from "./x87-stack.ts";
import { TRANSFER_FUNCTIONS } from "./x87-transfer.ts";
import { TRIGONOMETRIC_FUNCTIONS } from "./x87-trigonometry.ts";
import { WIDE_FUNCTIONS } from "./x87-wide.ts";

export const X87_FUNCTIONS: readonly RuntimeFunction[] = [
  ...REGISTER_FUNCTIONS,
  ...STACK_FUNCTIONS,
  ...TRANSFER_FUNCTIONS,
  ...ARITHMETIC_FUNCTIONS,
  ...REMAINDER_FUNCTIONS,
  ...COMPARE_FUNCTIONS,
  ...WIDE_FUNCTIONS,
  ...TRIGONOMETRIC_FUNCTIONS,
  ...LOGARITHM_FUNCTIONS,
];
