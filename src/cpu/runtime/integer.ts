/** The runtime functions that integer instructions call. */
import { BIT_FUNCTIONS } from "./bits.ts";
import { DIVIDE_FUNCTIONS } from "./divide.ts";
import { MULTIPLY_FUNCTIONS } from "./multiply.ts";
import { STRING_FUNCTIONS } from "./strings.ts";

export const INTEGER_FUNCTIONS = [...MULTIPLY_FUNCTIONS, ...DIVIDE_FUNCTIONS, ...BIT_FUNCTIONS, ...STRING_FUNCTIONS];
