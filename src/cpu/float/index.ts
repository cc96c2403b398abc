/** Floating point: the runtime functions that meanings call. */
import type { RuntimeFunction } from "../runtime/define.ts";

export const FLOAT_FUNCTIONS: readonly RuntimeFunction[] = [];
