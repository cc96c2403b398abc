/**
 * Runtime functions: what a meaning calls because it is long or rare. Each is declared once, by name, and
 * written with the same typed writer, so that interpreter and compiled code share it.
 */
import type { Callable, ExprOf, FunctionBuilder, Signature, ValType } from "../../wasm/index.ts";

/** What the body of a runtime function may use. */
export interface RuntimeEnv {
  /** A field of the CPU state, read here and now. */
  get<T extends ValType = "i32">(field: string, type?: T): ExprOf<T>;
  set(field: string, value: ExprOf<ValType>): void;
  /** Address of a field in linear memory. */
  address(field: string): number;
  /** Another runtime function. */
  fn(name: string): Callable;
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
