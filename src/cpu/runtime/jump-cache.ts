/** Where computed jumps and returns have led before: what is noted holds as long as `codeMap` is what it was. */
import type { FunctionBuilder, I32, I64 } from "../../wasm/index.ts";
import { JUMP_CACHE } from "../memory-map.ts";
import type { RuntimeEnv } from "./define.ts";
import { jumpCacheOffset } from "./tlb.ts";

/** Whether a target is not the one noted at an address, or may be other code by now: there is `codeMap` as it was, eight bytes on. */
export function differs(f: FunctionBuilder, env: Pick<RuntimeEnv, "get">, target: I64, at: I32, base: number): I32 {
  const other = (f.loadExpr("i64.load", at, base) as I64).xor(target);
  const changed = (f.loadExpr("i32.load", at, base + 8) as I32).xor(env.get("codeMap"));
  return other.or(changed.extendU()).nez();
}

/** Whether the cache has something else than a target, and the target's record if it has not. */
export function remembered(f: FunctionBuilder, env: Pick<RuntimeEnv, "get">, target: I64) {
  const entry = f.let(jumpCacheOffset(f.let(target.wrap())));
  const record = f.loadExpr("i32.load", entry, JUMP_CACHE + 12) as I32;
  return { differs: differs(f, env, target, entry, JUMP_CACHE), record };
}

export function remember(f: FunctionBuilder, env: Pick<RuntimeEnv, "get">, target: I64, record: I32): void {
  const entry = f.let(jumpCacheOffset(f.let(target.wrap())));
  f.store("i64.store", entry, target, JUMP_CACHE);
  f.store("i32.store", entry, env.get("codeMap"), JUMP_CACHE + 8);
  f.store("i32.store", entry, record, JUMP_CACHE + 12);
}
