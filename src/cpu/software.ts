/** The generated interpreter, made once per process and model-independent: every vCPU instantiates the same module. */
import { ROWS } from "../isa/rows.ts";
import { FLOAT_FUNCTIONS } from "./float/index.ts";
import { SAVE_FUNCTIONS } from "./float/save.ts";
import { buildInterpreter, type Interpreter } from "./interpreter/build.ts";
import { INTEGER_FUNCTIONS } from "./runtime/integer.ts";
import { VECTOR_RUNTIME } from "./runtime/vector.ts";

export interface Software extends Interpreter {
  readonly compiled: WebAssembly.Module;
}

let made: Software | undefined;

export function software(): Software {
  if (!made) {
    const interpreter = buildInterpreter(ROWS, [
      ...INTEGER_FUNCTIONS,
      ...VECTOR_RUNTIME,
      ...FLOAT_FUNCTIONS,
      ...SAVE_FUNCTIONS,
    ]);
    made = { ...interpreter, compiled: new WebAssembly.Module(interpreter.module) };
  }
  return made;
}
