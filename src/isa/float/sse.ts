/** All floating point instructions of SSE to SSE4.1. */
import type { Row } from "../row.ts";
import { SSE_APPROXIMATE } from "./sse-approximate.ts";
import { SSE_ARITHMETIC } from "./sse-arithmetic.ts";
import { SSE_COMPARE } from "./sse-compare.ts";
import { SSE_CONTROL } from "./sse-control.ts";
import { SSE_CONVERT } from "./sse-convert.ts";
import { SSE_ROUND } from "./sse-round.ts";

export const SSE_FLOAT_ROWS: readonly Row[] = [
  ...SSE_ARITHMETIC,
  ...SSE_COMPARE,
  ...SSE_CONVERT,
  ...SSE_ROUND,
  ...SSE_APPROXIMATE,
  ...SSE_CONTROL,
];
