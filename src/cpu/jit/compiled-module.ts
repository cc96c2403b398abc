/** A module of compiled functions: what they call, its bytes, and an instance of it. */
import { type Callable, type FunctionBuilder, ModuleBuilder } from "../../wasm/index.ts";
import { MAX_PAGES } from "../memory-map.ts";
import type { CodeObserver } from "../runtime/define.ts";
import type { RuntimeEffects } from "./effects.ts";

/** A function and the slot that it is for. */
export interface Compiled {
  readonly slot: number;
  readonly f: FunctionBuilder;
}

export class CompiledModule {
  readonly effects: RuntimeEffects;
  readonly observer: CodeObserver | undefined;
  readonly #imports = new Map<string, Callable>();

  constructor(effects: RuntimeEffects, observer: CodeObserver | undefined) {
    this.effects = effects;
    this.observer = observer;
  }

  /** A runtime function, as its functions call it. */
  fn(name: string): Callable {
    const known = this.#imports.get(name);
    if (known) return known;
    const callable = { name, index: this.#imports.size, ...this.effects.signature(name) };
    this.#imports.set(name, callable);
    return callable;
  }

  /** Names of the runtime functions that it imports. */
  get imports(): string[] {
    return [...this.#imports.keys()];
  }

  /** It exports its functions by their slots. It imports no table: V8 before 12 would copy it for each instance. */
  encode(compiled: readonly Compiled[]): Uint8Array {
    const module = new ModuleBuilder({ initial: 1, maximum: MAX_PAGES, shared: true });
    for (const [name, callable] of this.#imports) module.import("cpu", name, callable);
    for (const { slot, f } of compiled) {
      module.adopt(f);
      module.export(String(slot), f);
    }
    return module.encode().slice();
  }
}

/**
 * What V8 holds for a module for each of its bytes (code of two compilers, and what those noted), more or less; it counts none of it, and
 * would wait with collecting until there is garbage enough in its heap. So each module has an untouched ArrayBuffer of such a size, which
 * V8 counts, and which costs nothing but address space.
 */
const WEIGHT = 24;
const weights = new WeakMap<object, ArrayBuffer>();
export function weigh(holder: object, bytes: number): void {
  const maxByteLength = bytes * WEIGHT;
  // One that can be resized is mapped, not taken from the C library's heap.
  weights.set(holder, new ArrayBuffer(maxByteLength, { maxByteLength }));
}

/** What a module's functions need of a vCPU. */
export interface Linked {
  readonly memory: WebAssembly.Memory;
  /** Runtime functions of the interpreter's instance, by name. */
  readonly functions: Readonly<Record<string, unknown>>;
}

/** The functions of a module of so many bytes, by their slots. */
export function instantiate(
  module: WebAssembly.Module,
  bytes: number,
  imports: readonly string[],
  { memory, functions }: Linked,
): Readonly<Record<string, unknown>> {
  const cpu = Object.fromEntries(
    imports.map((name) => {
      if (!(name in functions)) throw new Error(`the interpreter exports no ${name}`);
      return [name, functions[name] as never];
    }),
  );
  const instance = new WebAssembly.Instance(module, { env: { memory }, cpu });
  weigh(instance, bytes);
  return instance.exports;
}
