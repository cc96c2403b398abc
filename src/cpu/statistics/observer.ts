/** The observer that counts: what it writes into generated code adds to numbers in linear memory (memory-map.ts, COUNTERS). */
import { type FunctionBuilder, type I32, type I64, i32 } from "../../wasm/index.ts";
import { COUNTERS } from "../memory-map.ts";
import type { CodeObserver } from "../runtime/define.ts";
import { WHERE } from "./place.ts";

const add = (f: FunctionBuilder, counter: number, amount: I64 | number): void => {
  f.store("i64.store", i32(0), (f.loadExpr("i64.load", i32(0), counter) as I64).add(amount), counter);
};
const setWord = (f: FunctionBuilder, at: number, value: I32): void => f.store("i32.store", i32(0), value, at);

export const countingObserver: CodeObserver = {
  access: (f) => add(f, COUNTERS.accesses, 1),
  miss: (f) => add(f, COUNTERS.misses, 1),
  regionEntered: (f, budget) => {
    add(f, COUNTERS.regionsEntered, 1);
    setWord(f, COUNTERS.budget, budget);
    setWord(f, COUNTERS.where, i32(WHERE.compiled));
  },
  regionLeft: (f, budget) => {
    const retired = f.loadExpr("i32.load", i32(0), COUNTERS.budget).sub(budget);
    add(f, COUNTERS.compiledInstructions, retired.extendS());
    setWord(f, COUNTERS.budget, budget);
    setWord(f, COUNTERS.where, i32(WHERE.interpreter));
  },
};
