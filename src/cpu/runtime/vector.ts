/** The runtime functions of MMX and SSE but for floating point. */
import { VECTOR_MMX } from "./vector-mmx.ts";

export const VECTOR_RUNTIME = [...VECTOR_MMX];
