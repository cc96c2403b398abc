/** The workers that a machine's threads run in, and who looks into it; nothing else, so that it is loaded, and the first made, before all else. */
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { bundleOr } from "./bundle.ts";

/** Heap for short-lived objects, MiB: the threads make few, and unused room counts against every guest. */
const YOUNG_GENERATION_MIB = 8;

/** What a worker runs, and what a debugger calls it. */
const NAMES = { machine: "machine-worker", copier: "copier-worker", observer: "observer-worker" } as const;
type Role = keyof typeof NAMES;
/** That every machine needs. */
const ROLES: readonly Role[] = ["machine", "copier"];

const ahead = new Map<Role, Worker>();

/** What a worker runs: all its modules in one file, as 300 take a tenth of a second more to load. `dist`: the compiled projects. */
export const workerFile = (dist: URL, role: Role): URL =>
  bundleOr(dist, `sys/node/${NAMES[role]}.bundle.cjs`, `sys/node/${NAMES[role]}.js`);

/** What a worker is told when it is made. */
export interface WorkerSetting {
  /**
   * The file with all its modules, if it is made from that: a script in a function's body, which takes `require` and `__filename`.
   */
  readonly bundle?: string;
  /** For V8, before anything is compiled that runs in a guest's stead. They hold for the whole process: only the command gives any. */
  readonly flags?: readonly string[];
}

let v8Flags: Pick<WorkerSetting, "flags"> = {};

function make(role: Role): Worker {
  const file = workerFile(new URL("../../", import.meta.url), role);
  const isBundle = file.pathname.endsWith(".cjs");
  const workerData: WorkerSetting = { ...v8Flags, ...(isBundle ? { bundle: fileURLToPath(file) } : {}) };
  return new Worker(isBundle ? new URL("bundled-worker.js", import.meta.url) : file, {
    workerData,
    resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MIB },
    name: `vivarium ${role}`,
    // What a crash prints belongs to the error, not on the user's terminal.
    stderr: true,
  });
}

/** Makes the workers of the machine that will be started first: they load what they run while the command loads its own. */
export function makeWorkersAhead(flags: readonly string[]): void {
  v8Flags = { flags };
  for (const role of ROLES) ahead.set(role, make(role));
}

/** A worker, for good. */
export function takeWorker(role: Role): Worker {
  const worker = ahead.get(role) ?? make(role);
  ahead.delete(role);
  return worker;
}

/** Nobody will take a worker that was made ahead. */
export function dismissWorker(role: Role): void {
  void ahead.get(role)?.terminate();
  ahead.delete(role);
}
