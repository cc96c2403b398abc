/** All unprivileged integer instructions. */
import type { Row } from "../row.ts";
import { ARITHMETIC } from "./arithmetic.ts";
import { BITS } from "./bits.ts";
import { CONTROL } from "./control.ts";
import { DECIMAL } from "./decimal.ts";
import { EXCHANGE } from "./exchange.ts";
import { FLAGS } from "./flags.ts";
import { MISC } from "./misc.ts";
import { MOVES } from "./moves.ts";
import { MULTIPLY } from "./multiply.ts";
import { SHIFTS } from "./shifts.ts";
import { STACK } from "./stack.ts";
import { STRINGS } from "./strings.ts";

export const INTEGER_ROWS: readonly Row[] = [
  ...ARITHMETIC,
  ...MOVES,
  ...SHIFTS,
  ...MULTIPLY,
  ...BITS,
  ...STACK,
  ...CONTROL,
  ...STRINGS,
  ...FLAGS,
  ...DECIMAL,
  ...EXCHANGE,
  ...MISC,
];
