/** AVX, AVX2, FMA and F16C: rows of every family. */
import type { Row } from "../row.ts";
import { AVX_FORMS } from "./forms.ts";

export const AVX_ROWS: readonly Row[] = [...AVX_FORMS];
