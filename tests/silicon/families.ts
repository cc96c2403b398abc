/** The families of rows, a file of records each. */

import { FMA } from "../../src/isa/avx/fma.ts";
import { AVX_ROWS } from "../../src/isa/avx/index.ts";
import { SAVE_ROWS } from "../../src/isa/float/save.ts";
import { SSE_FLOAT_ROWS } from "../../src/isa/float/sse.ts";
import { X87_ROWS } from "../../src/isa/float/x87.ts";
import { INTEGER_ROWS } from "../../src/isa/integer/index.ts";
import type { Row } from "../../src/isa/row.ts";
import { ROWS } from "../../src/isa/rows.ts";
import { VECTOR_ROWS } from "../../src/isa/vector/index.ts";

const named: Readonly<Record<string, readonly Row[]>> = {
  integer: INTEGER_ROWS,
  vector: VECTOR_ROWS,
  sse: SSE_FLOAT_ROWS,
  x87: X87_ROWS,
  save: SAVE_ROWS,
  avx: AVX_ROWS.filter((row) => !FMA.includes(row)),
  fma: FMA,
};
const taken = new Set(Object.values(named).flat());

export const FAMILIES: Readonly<Record<string, readonly Row[]>> = {
  ...named,
  system: ROWS.filter((row) => !taken.has(row)),
};

export const fileOf = (family: string): URL => new URL(`records/${family}.txt`, import.meta.url);
