/** The generated interpreter: one module for all vCPUs of a process, whatever their model. */
import { ROWS } from "../isa/rows.ts";
import { FLOAT_FUNCTIONS } from "./float/index.ts";
import { SAVE_FUNCTIONS } from "./float/save.ts";
import { buildInterpreter, HANDLER, type HandlerTable, numberHandlers, runtimeFunctions } from "./interpreter/build.ts";
import { RuntimeEffects } from "./jit/effects.ts";
import { INTEGER_FUNCTIONS } from "./runtime/integer.ts";
import { VECTOR_RUNTIME } from "./runtime/vector.ts";

export interface Software {
  readonly handlers: HandlerTable;
  readonly compiled: WebAssembly.Module;
  /** What runtime functions do to the state. */
  readonly effects: RuntimeEffects;
}

let made: Software | undefined;

const FAMILIES = [...INTEGER_FUNCTIONS, ...VECTOR_RUNTIME, ...FLOAT_FUNCTIONS, ...SAVE_FUNCTIONS];

/** Writes the interpreter's module: about half a second of work, the same bytes each time. */
export function generateInterpreter(): Uint8Array {
  return buildInterpreter(ROWS, FAMILIES);
}

/** Makes the engine; `generated` are bytes that generateInterpreter of this very version wrote before. */
export function software(generated?: Uint8Array): Software {
  made ??= {
    handlers: numberHandlers(ROWS),
    effects: new RuntimeEffects(runtimeFunctions({ ...HANDLER, typeIndex: 0 }, FAMILIES)),
    compiled: new WebAssembly.Module(generated ?? generateInterpreter()),
  };
  return made;
}
