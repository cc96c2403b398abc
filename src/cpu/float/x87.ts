/** The x87 floating-point unit: all its runtime functions. */
import type { RuntimeFunction } from "../runtime/define.ts";
import { ARITHMETIC_FUNCTIONS } from "./x87-arithmetic.ts";
import { COMPARE_FUNCTIONS } from "./x87-compare.ts";
import { REGISTER_FUNCTIONS } from "./x87-registers.ts";
import { REMAINDER_FUNCTIONS } from "./x87-remainder.ts";
import { STACK_FUNCTIONS } from "./x87-stack.ts";
import { TRANSFER_FUNCTIONS } from "./x87-transfer.ts";

export const X87_FUNCTIONS: readonly RuntimeFunction[] = [
  ...REGISTER_FUNCTIONS,
  ...STACK_FUNCTIONS,
  ...TRANSFER_FUNCTIONS,
  ...ARITHMETIC_FUNCTIONS,
  ...REMAINDER_FUNCTIONS,
  ...COMPARE_FUNCTIONS,
];
