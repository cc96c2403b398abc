/** Floating point: the runtime functions that meanings call. */
import type { RuntimeFunction } from "../runtime/define.ts";
import { FMA_FUNCTIONS } from "./fma.ts";
import { HALF_FUNCTIONS } from "./half.ts";
import { SSE_APPROXIMATE } from "./sse-approximate.ts";
import { SSE_ARITHMETIC } from "./sse-arithmetic.ts";
import { SSE_CONVERT } from "./sse-convert.ts";
import { SSE_FINISH } from "./sse-unit.ts";
import { X87_FUNCTIONS } from "./x87.ts";

export const FLOAT_FUNCTIONS: readonly RuntimeFunction[] = [
  SSE_FINISH,
  ...SSE_ARITHMETIC,
  ...SSE_CONVERT,
  ...SSE_APPROXIMATE,
  ...FMA_FUNCTIONS,
  ...HALF_FUNCTIONS,
  ...X87_FUNCTIONS,
];
