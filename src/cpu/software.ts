/**
 * The generated interpreter: one module for all vCPUs of a process, whatever their model; and one with the handlers of AVX and
 * what builds on it, which nobody pays for whose model has none.
 */
import { AVX_ROWS } from "../isa/avx/index.ts";
import { ROWS } from "../isa/rows.ts";
import { FLOAT_FUNCTIONS } from "./float/index.ts";
import { SAVE_FUNCTIONS } from "./float/save.ts";
import {
  buildFurther,
  buildInterpreter,
  HANDLER,
  type HandlerTable,
  numberHandlers,
  runtimeFunctions,
} from "./interpreter/build.ts";
import { RuntimeEffects } from "./jit/effects.ts";
import { INTEGER_FUNCTIONS } from "./runtime/integer.ts";
import { VECTOR_RUNTIME } from "./runtime/vector.ts";

export interface Software {
  readonly handlers: HandlerTable;
  readonly compiled: WebAssembly.Module;
  /** The handlers of AVX; made when they are first asked for. */
  readonly avx: () => WebAssembly.Module;
  /** What runtime functions do to the state. */
  readonly effects: RuntimeEffects;
}

/** The modules: all that every model has, and AVX. */
export type EnginePart = "interpreter" | "avx";

/** Bytes that generateInterpreter of this very version wrote before. */
export type GeneratedParts = Partial<Record<EnginePart, () => Uint8Array>>;

let made: Software | undefined;

const FAMILIES = [...INTEGER_FUNCTIONS, ...VECTOR_RUNTIME, ...FLOAT_FUNCTIONS, ...SAVE_FUNCTIONS];
const AVX: ReadonlySet<unknown> = new Set(AVX_ROWS);
const BASE = ROWS.filter((row) => !AVX.has(row));

/** Writes a module of the interpreter: about half a second of work, the same bytes each time. */
export function generateInterpreter(part: EnginePart = "interpreter"): Uint8Array {
  if (part === "interpreter") return buildInterpreter(BASE, FAMILIES);
  return buildFurther(AVX_ROWS, numberHandlers(BASE, AVX_ROWS).first, FAMILIES);
}

/** Makes the engine. */
export function software(generated: GeneratedParts = {}): Software {
  if (made) return made;
  const compile = (part: EnginePart) => new WebAssembly.Module(generated[part]?.() ?? generateInterpreter(part));
  let avx: WebAssembly.Module | undefined;
  made = {
    handlers: numberHandlers(BASE, AVX_ROWS),
    effects: new RuntimeEffects(runtimeFunctions({ ...HANDLER, typeIndex: 0 }, FAMILIES)),
    compiled: compile("interpreter"),
    avx: () => (avx ??= compile("avx")),
  };
  return made;
}
