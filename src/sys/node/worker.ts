/** The workers that a machine's threads run in; nothing else, so that it is loaded, and the first made, before all else. */
import { readdirSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import type { BundledWorker } from "./bundled-worker.ts";

/** Heap for short-lived objects, MiB: the threads make few, and unused room counts against every guest. */
const YOUNG_GENERATION_MIB = 8;

/** What a worker runs, and what a debugger calls it. */
const NAMES = { machine: "machine-worker", copier: "copier-worker" } as const;
type Role = keyof typeof NAMES;

/** What the compiler keeps with each of its projects. */
const BUILD_INFO = ".tsbuildinfo";

let ahead: Worker | undefined;

/**
 * What a worker runs: all its modules in one file, as 300 take a tenth of a second more to load. Where something was compiled since that was
 * made, the modules themselves. `dist`: the compiled projects.
 */
export function workerFile(dist: URL, role: Role): URL {
  const timeOf = (file: URL): number => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const own = new URL("sys/node/", dist);
  const bundle = new URL(`${NAMES[role]}.bundle.cjs`, own);
  const bundled = timeOf(bundle);
  const projects = [own, ...readdirSync(dist).map((room) => new URL(`${room}/`, dist))];
  const isNew = bundled > 0 && projects.every((project) => timeOf(new URL(BUILD_INFO, project)) <= bundled);
  return isNew ? bundle : new URL(`${NAMES[role]}.js`, own);
}

/** Whether the process is the command's own, which may give V8 flags. */
let isOurs = false;

function make(role: Role): Worker {
  const file = workerFile(new URL("../../", import.meta.url), role);
  const isBundle = file.pathname.endsWith(".cjs");
  const workerData: BundledWorker = { file: fileURLToPath(file), mayKeep: isOurs };
  return new Worker(isBundle ? new URL("bundled-worker.js", import.meta.url) : file, {
    workerData,
    resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MIB },
    name: `vivarium ${role}`,
    // What a crash prints belongs to the error, not on the user's terminal.
    stderr: true,
  });
}

/** Makes the worker of the machine that will be started first: it loads its modules while the command loads its own. */
export function makeWorkerAhead(): void {
  isOurs = true;
  ahead ??= make("machine");
}

/** A worker for a machine, for good. */
export function takeWorker(): Worker {
  const worker = ahead ?? make("machine");
  ahead = undefined;
  return worker;
}

/** A worker that copies templates for a machine's vCPU. */
export const makeCopier = (): Worker => make("copier");
