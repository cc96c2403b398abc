/** The x87 floating-point unit: all its rows. */
import type { Row } from "../row.ts";
import { X87_ARITHMETIC } from "./x87-arithmetic.ts";
import { X87_CONTROL } from "./x87-control.ts";
import { X87_STACK } from "./x87-stack.ts";
import { X87_TRANSFER } from "./x87-transfer.ts";

export const X87_ROWS: readonly Row[] = [...X87_TRANSFER, ...X87_STACK, ...X87_ARITHMETIC, ...X87_CONTROL];
