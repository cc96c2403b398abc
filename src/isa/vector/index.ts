/** MMX and SSE but for floating-point computation: rows of every family. */
import { VECTOR_ARITHMETIC } from "./arithmetic.ts";
import { COMPARES } from "./compare.ts";
import { CRYPTOGRAPHY } from "./crypto.ts";
import { LANE_MOVES } from "./lane.ts";
import { LOGIC } from "./logic.ts";
import { MMX_STATE } from "./mmx.ts";
import { MOVES } from "./move.ts";
import { SHIFTS } from "./shift.ts";
import { SHUFFLES } from "./shuffle.ts";
import { STRING_COMPARES } from "./string.ts";

export const VECTOR_ROWS = [
  ...MMX_STATE,
  ...MOVES,
  ...LOGIC,
  ...VECTOR_ARITHMETIC,
  ...COMPARES,
  ...SHIFTS,
  ...SHUFFLES,
  ...LANE_MOVES,
  ...STRING_COMPARES,
  ...CRYPTOGRAPHY,
];
