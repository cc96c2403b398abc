/** The runtime functions of MMX and SSE but for floating point. */
import { VECTOR_AES } from "./vector-aes.ts";
import { VECTOR_CLMUL } from "./vector-clmul.ts";
import { VECTOR_EACH } from "./vector-each.ts";
import { VECTOR_MMX } from "./vector-mmx.ts";
import { VECTOR_SHA } from "./vector-sha.ts";
import { VECTOR_STRING } from "./vector-string.ts";

export const VECTOR_RUNTIME = [
  ...VECTOR_MMX,
  ...VECTOR_EACH,
  ...VECTOR_STRING,
  ...VECTOR_AES,
  ...VECTOR_CLMUL,
  ...VECTOR_SHA,
];
