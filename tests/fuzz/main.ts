/**
 * The fuzz command: random byte strings as guest code, in every mode; the host must survive all of them.
 *
 *   npm run fuzz -- --count 1000000 --seed 1     that many strings
 *   npm run fuzz -- --lockstep                   loops instead, compiled and interpreted side by side
 *   npm run fuzz -- --seed 1 --index 4711        one of them again, instruction by instruction
 */
import { parseArgs } from "node:util";
import { Worker } from "node:worker_threads";
import { Fuzzer } from "./fuzz.ts";
import type { News, Order } from "./worker.ts";

/** A case takes a millisecond. One that takes this long will not end. */
const HANG_MS = 30_000;
const PROGRESS_MS = 5_000;
/** More than these are one and the same. */
const MAX_FAILURES = 20;

const { values } = parseArgs({
  options: {
    count: { type: "string", default: "100000" },
    seed: { type: "string", default: "1" },
    from: { type: "string", default: "0" },
    index: { type: "string" },
    lockstep: { type: "boolean", default: false },
  },
});

function number(text: string, name: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) throw new Error(`--${name} wants a whole number, not "${text}"`);
  return value;
}

const seed = number(values.seed, "seed");

function reproduce(index: number): void {
  const fuzzer = new Fuzzer(seed, values.lockstep);
  fuzzer.run(index, { log: (line) => console.log(line) });
  // Once more without looking: only then does code run as it does in a guest.
  const { failure, instructions } = fuzzer.run(index);
  console.log(failure ?? `${instructions} instructions, nothing wrong`);
  process.exitCode = failure === undefined ? 0 : 1;
}

function fuzz(from: number, count: number): void {
  const progress = new SharedArrayBuffer(4);
  const at = new Int32Array(progress);
  const order: Order = { seed, from, count, lockstep: values.lockstep, progress };
  const worker = new Worker(new URL("./worker.js", import.meta.url), { workerData: order });
  const started = performance.now();
  let moved = started;
  let last = 0;
  let failures = 0;
  let instructions = 0;
  const state = (done: number) => {
    const seconds = (performance.now() - started) / 1000;
    const rate = (done / seconds).toFixed(0);
    return `${done} of ${count} strings, ${rate} a second, ${(instructions / 1e6).toFixed(1)} M instructions, ${failures} failures`;
  };
  const end = (summary: string) => {
    clearInterval(timer);
    console.log(`${summary} (seed ${seed}, ${((performance.now() - started) / 1000).toFixed(0)} s)`);
    process.exitCode = failures === 0 ? 0 : 1;
    void worker.terminate();
  };
  const fail = (index: number, text: string) => {
    failures++;
    console.log(
      `string ${index}: ${text}\n  again with: npm run fuzz --${values.lockstep ? " --lockstep" : ""} --seed ${seed} --index ${index}`,
    );
  };
  const timer = setInterval(() => {
    const now = Atomics.load(at, 0);
    if (now !== last) {
      last = now;
      moved = performance.now();
    } else if (performance.now() - moved > HANG_MS) {
      fail(from + now, "does not end");
      end(state(now));
      return;
    }
    console.log(state(now));
  }, PROGRESS_MS);
  worker.on("error", (error) => {
    fail(from + Atomics.load(at, 0), `the thread died: ${error.stack}`);
    end(state(Atomics.load(at, 0)));
  });
  worker.on("message", (news: News) => {
    if (news.kind === "instructions") instructions += news.count;
    else if (news.kind === "done") end(state(count));
    else {
      fail(news.index, news.text);
      if (failures === MAX_FAILURES) end(state(Atomics.load(at, 0)));
    }
  });
}

if (values.index !== undefined) reproduce(number(values.index, "index"));
else fuzz(number(values.from, "from"), number(values.count, "count"));
