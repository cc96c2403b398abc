/**
 * What a runtime function does to the part of the state that compiled code keeps in locals. It follows from the function itself:
 * its body is written once into nothing, and the fields it names are noted.
 */
import { FunctionBuilder, type Signature, typed } from "../../wasm/index.ts";
import type { RuntimeEnv, RuntimeFunction } from "../runtime/define.ts";
import { IMPORTS } from "../runtime/imports.ts";
import { GPR_NAMES, offsetOf } from "../state.ts";

export interface Effects {
  /** It reads or writes general registers. */
  readonly registers: boolean;
  /** It reads or writes the arithmetic flags' fields. */
  readonly flags: boolean;
  /** It reads or writes XMM registers. */
  readonly vectors: boolean;
  /** It may choose another TLB set. */
  readonly tlb: boolean;
  /** It may call what is not generated code: devices, which may lay out memory anew. */
  readonly outside: boolean;
}

/** Imports that reach the whole state. */
const ALL: Effects = { registers: true, flags: true, vectors: true, tlb: true, outside: true };
const NONE: Effects = { registers: false, flags: false, vectors: false, tlb: false, outside: false };
const WIDE_IMPORTS = new Set(["system"]);

export class RuntimeEffects {
  readonly #functions: ReadonlyMap<string, RuntimeFunction>;
  readonly #known = new Map<string, Effects>(
    IMPORTS.map(({ name }) => [name, WIDE_IMPORTS.has(name) ? ALL : { ...NONE, outside: true }]),
  );

  constructor(functions: readonly RuntimeFunction[]) {
    this.#functions = new Map(functions.map((f) => [f.name, f]));
  }

  /** Parameters and results of a runtime function or an import. */
  signature(name: string): Signature {
    return IMPORTS.find((row) => row.name === name) ?? this.#function(name);
  }

  #function(name: string): RuntimeFunction {
    const found = this.#functions.get(name);
    if (!found) throw new Error(`no runtime function ${name}`);
    return found;
  }

  of(name: string): Effects {
    const known = this.#known.get(name);
    if (known) return known;
    // Recursion ends here; what the function does besides is added below.
    this.#known.set(name, NONE);
    const wanted = this.#function(name);
    const fields = new Set<string>();
    const written = new Set<string>();
    const called = new Set<string>();
    const f = new FunctionBuilder(name, 0, wanted);
    const env: RuntimeEnv = {
      get: (field, type) => {
        fields.add(field);
        return typed(type ?? ("i32" as never), () => undefined);
      },
      set: (field) => {
        fields.add(field);
        written.add(field);
      },
      address: (field) => {
        fields.add(field);
        return offsetOf(field);
      },
      fn: (other) => {
        called.add(other);
        const { params, results } = this.signature(other);
        return { name: other, index: 0, params, results };
      },
    };
    wanted.build(f, env);
    const inner = [...called].map((other) => this.of(other));
    const effects: Effects = {
      registers: GPR_NAMES.some((r) => fields.has(r)) || inner.some((e) => e.registers),
      flags: [...fields].some((name) => name.startsWith("flag")) || inner.some((e) => e.flags),
      vectors: [...fields].some((name) => name.startsWith("ymm")) || inner.some((e) => e.vectors),
      tlb: written.has("dataTlb") || inner.some((e) => e.tlb),
      outside: inner.some((e) => e.outside),
    };
    this.#known.set(name, effects);
    return effects;
  }
}
