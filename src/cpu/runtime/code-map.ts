/** Where a code page keeps the record of an instruction (interpreter/record.ts, CODE_PAGE). */
import type { FunctionBuilder, I32 } from "../../wasm/index.ts";
import { CODE_MAP, CODE_PAGE } from "../interpreter/record.ts";

const POINTER = 4;

/** The record at an address, by its low bits, in a code page; 0 where nothing is decoded there. */
export function recordIn(f: FunctionBuilder, page: I32, low: I32): I32 {
  const part = low.shrU(Math.log2(CODE_MAP.covers / POINTER)).and((CODE_MAP.parts - 1) * POINTER);
  const map = f.loadExpr("i32.load", page.add(part), CODE_PAGE.maps) as I32;
  return f.load("i32.load", map.add(low.shl(Math.log2(POINTER)).and((CODE_MAP.covers - 1) * POINTER)));
}
