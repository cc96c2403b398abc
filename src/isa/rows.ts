/** The whole instruction set: every family's rows in one table. */

import { AVX_ROWS } from "./avx/index.ts";
import { SAVE_ROWS } from "./float/save.ts";
import { SSE_FLOAT_ROWS } from "./float/sse.ts";
import { X87_ROWS } from "./float/x87.ts";
import { INTEGER_ROWS } from "./integer/index.ts";
import type { Row } from "./row.ts";
import { FAR_ROWS } from "./system/far.ts";
import { IO } from "./system/io.ts";
import { PRIVILEGED } from "./system/privileged.ts";
import { SEGMENT_ROWS } from "./system/segments.ts";
import { VECTOR_ROWS } from "./vector/index.ts";

export const ROWS: readonly Row[] = [
  ...INTEGER_ROWS,
  ...IO,
  ...PRIVILEGED,
  ...SEGMENT_ROWS,
  ...FAR_ROWS,
  ...VECTOR_ROWS,
  ...SSE_FLOAT_ROWS,
  ...X87_ROWS,
  ...SAVE_ROWS,
  ...AVX_ROWS,
];
