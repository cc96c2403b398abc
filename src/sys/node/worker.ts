/** The worker that a machine's thread runs in; nothing else, so that it is loaded, and the worker made, before all else. */
import { readdirSync, statSync } from "node:fs";
import { Worker } from "node:worker_threads";

/** Heap for short-lived objects, MiB: the machine's thread makes few, and unused room counts against every guest. */
const YOUNG_GENERATION_MIB = 8;

/** What the compiler keeps with each of its projects. */
const BUILD_INFO = ".tsbuildinfo";

let ahead: Worker | undefined;

/**
 * What the worker runs: all its modules in one file, as 300 take a tenth of a second more to load. Where something was compiled since that was
 * made, the modules themselves. `dist`: the compiled projects.
 */
export function workerFile(dist: URL): URL {
  const timeOf = (file: URL): number => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const own = new URL("sys/node/", dist);
  const bundle = new URL("machine-worker.bundle.js", own);
  const bundled = timeOf(bundle);
  const projects = [own, ...readdirSync(dist).map((room) => new URL(`${room}/`, dist))];
  const isNew = bundled > 0 && projects.every((project) => timeOf(new URL(BUILD_INFO, project)) <= bundled);
  return isNew ? bundle : new URL("machine-worker.js", own);
}

const make = (): Worker =>
  new Worker(workerFile(new URL("../../", import.meta.url)), {
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
