/** The worker that a machine's thread runs in; nothing else, so that it is loaded, and the worker made, before all else. */
import { Worker } from "node:worker_threads";

/** Heap for short-lived objects, MiB: the machine's thread makes few, and unused room counts against every guest. */
const YOUNG_GENERATION_MIB = 8;

let ahead: Worker | undefined;

const make = (): Worker =>
  new Worker(new URL("./machine-worker.js", import.meta.url), {
    resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MIB },
    name: "vivarium machine",
    // What a crash prints belongs to the error, not on the user's terminal.
    stderr: true,
  });

/** Makes the worker of the machine that will be started first: it loads its modules while the caller loads its own. */
export function makeWorkerAhead(): void {
  ahead ??= make();
}

/** A worker for a machine, for good. */
export function takeWorker(): Worker {
  const worker = ahead ?? make();
  ahead = undefined;
  return worker;
}
