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
import type { CodeObserver } from "./runtime/define.ts";
import { INTEGER_FUNCTIONS } from "./runtime/integer.ts";
import { VECTOR_RUNTIME } from "./runtime/vector.ts";

/** What is known of the interpreter without its code. */
export interface SoftwareTables {
  readonly handlers: HandlerTable;
  /** What runtime functions do to the state. */
  readonly effects: RuntimeEffects;
}

export interface Software extends SoftwareTables {
  readonly compiled: WebAssembly.Module;
  /** The handlers of AVX; made when they are first asked for. */
  readonly avx: () => WebAssembly.Module;
  /** Who looks on while its code runs, and compiled code's. */
  readonly observer?: CodeObserver | undefined;
}

/** The modules: all that every model has, and AVX. */
export type EnginePart = "interpreter" | "avx";

/** What generateInterpreter of this very version wrote before: bytes, or compiled already. */
export type GeneratedParts = Partial<Record<EnginePart, () => Uint8Array | WebAssembly.Module>>;

let made: Software | undefined;

const FAMILIES = [...INTEGER_FUNCTIONS, ...VECTOR_RUNTIME, ...FLOAT_FUNCTIONS, ...SAVE_FUNCTIONS];
const AVX: ReadonlySet<unknown> = new Set(AVX_ROWS);
const BASE = ROWS.filter((row) => !AVX.has(row));

/** Writes a module of the interpreter: about half a second of work, the same bytes each time. */
export function generateInterpreter(part: EnginePart = "interpreter", observer?: CodeObserver): Uint8Array {
  if (part === "interpreter") return buildInterpreter(BASE, FAMILIES, observer);
  return buildFurther(AVX_ROWS, numberHandlers(BASE, AVX_ROWS).first, FAMILIES, observer);
}

/** Makes the engine. */
export function software(generated: GeneratedParts = {}): Software {
  return (made ??= make(generated));
}

/** Another one, whose code somebody looks at; made anew each time. */
export const observedSoftware = (observer: CodeObserver): Software => make({}, observer);

export const softwareTables = (): SoftwareTables => ({
  handlers: numberHandlers(BASE, AVX_ROWS),
  effects: new RuntimeEffects(runtimeFunctions({ ...HANDLER, typeIndex: 0 }, FAMILIES)),
});

function make(generated: GeneratedParts, observer?: CodeObserver): Software {
  const compile = (part: EnginePart) => {
    const module = generated[part]?.() ?? generateInterpreter(part, observer);
    return module instanceof WebAssembly.Module ? module : new WebAssembly.Module(module);
  };
  let avx: WebAssembly.Module | undefined;
  return {
    ...softwareTables(),
    observer,
    compiled: compile("interpreter"),
    avx: () => (avx ??= compile("avx")),
  };
}
