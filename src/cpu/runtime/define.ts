/**
 * Runtime functions: what a meaning calls because it is long or rare. Each is declared once, by name, and
 * written with the same typed writer, so that interpreter and compiled code share it.
 */
import type { Callable, ExprOf, FunctionBuilder, I32, Signature, ValType } from "../../wasm/index.ts";

/** What the body of a runtime function may use. */
export interface RuntimeEnv {
  /** A field of the CPU state, read here and now. */
  get<T extends ValType = "i32">(field: string, type?: T): ExprOf<T>;
  set(field: string, value: ExprOf<ValType>): void;
  /** Address of a field in linear memory. */
  address(field: string): number;
  /** Another runtime function. */
  fn(name: string): Callable;
  /** Absent as a rule; see there. */
  readonly observer?: CodeObserver | undefined;
}

/**
 * Looks on while generated code runs: what these functions write is executed where they are called. Code that is generated without an
 * observer has no trace of it.
 */
export interface CodeObserver {
  /** A memory access begins. */
  access(f: FunctionBuilder): void;
  /** It is not answered by the data TLB's entry for its address. */
  miss(f: FunctionBuilder): void;
  /** A compiled region begins, with so much budget left. */
  regionEntered(f: FunctionBuilder, budget: I32): void;
  /** It is being left. May be called twice on one way out, the second time with the final budget. */
  regionLeft(f: FunctionBuilder, budget: I32): void;
}

export interface RuntimeFunction extends Signature {
  readonly name: string;
  readonly build: (f: FunctionBuilder, env: RuntimeEnv) => void;
}

/** `params` and `results` are lists of types in one string: `"i64 i32"`. */
export function runtime(
  name: string,
  params: string,
  results: string,
  build: (f: FunctionBuilder, env: RuntimeEnv) => void,
): RuntimeFunction {
  const types = (list: string) => list.split(" ").filter(Boolean) as ValType[];
  return { name, params: types(params), results: types(results), build };
}
