/** Runs cases in a thread of its own, so that one that never ends does not take the watchdog with it. */
import { parentPort, workerData } from "node:worker_threads";
import { Fuzzer } from "./fuzz.ts";

/** What the main thread asks for. */
export interface Order {
  readonly seed: number;
  readonly from: number;
  readonly count: number;
  readonly lockstep: boolean;
  /** Here the worker notes which case it is at, counted from `from`. */
  readonly progress: SharedArrayBuffer;
}

/** What it hears. */
export type News =
  | { readonly kind: "failure"; readonly index: number; readonly text: string }
  | { readonly kind: "done" }
  | { readonly kind: "instructions"; readonly count: number };

/** Between two reports. */
const REPORT = 1000;

const { seed, from, count, lockstep, progress } = workerData as Order;
const at = new Int32Array(progress);
const fuzzer = new Fuzzer(seed, lockstep);
const say = (news: News) => parentPort?.postMessage(news);
// Guest faults are thrown by the thousand; their stacks are nobody's business.
Error.stackTraceLimit = 0;
let instructions = 0;
for (let i = 0; i < count; i++) {
  Atomics.store(at, 0, i);
  const verdict = fuzzer.run(from + i);
  instructions += verdict.instructions;
  if (verdict.failure !== undefined) say({ kind: "failure", index: from + i, text: verdict.failure });
  if (i % REPORT === REPORT - 1 || i === count - 1) {
    say({ kind: "instructions", count: instructions });
    instructions = 0;
  }
}
say({ kind: "done" });
