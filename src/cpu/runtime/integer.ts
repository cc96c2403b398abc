/** The runtime functions that integer instructions call. */
import { BIT_FUNCTIONS } from "./bits.ts";
import { DIVIDE_FUNCTIONS } from "./divide.ts";
import { STRING_FUNCTIONS } from "./strings.ts";

export const INTEGER_FUNCTIONS = [...DIVIDE_FUNCTIONS, ...BIT_FUNCTIONS, ...STRING_FUNCTIONS];
