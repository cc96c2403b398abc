/** AVX, AVX2, FMA and F16C: rows of every family. */
import type { Row } from "../row.ts";
import { FMA } from "./fma.ts";
import { AVX_FLOAT_FORMS, AVX_FORMS } from "./forms.ts";
import { F16C } from "./half.ts";
import { AVX_MASKED } from "./masked.ts";
import { AVX_PERMUTE } from "./permute.ts";

/** What heeds MXCSR. */
export const AVX_FLOAT_ROWS: readonly Row[] = [...AVX_FLOAT_FORMS, ...FMA, ...F16C];
export const AVX_ROWS: readonly Row[] = [...AVX_FORMS, ...AVX_PERMUTE, ...AVX_MASKED, ...AVX_FLOAT_ROWS];
