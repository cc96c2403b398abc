/** What a worker runs where all its modules are in one file (bundle/main.ts): that file. */
import { createRequire } from "node:module";
import { workerData } from "node:worker_threads";
import { runKept } from "./kept-script.ts";
import type { WorkerSetting } from "./worker.ts";

const { bundle, flags } = workerData as WorkerSetting & { readonly bundle: string };
runKept(bundle, createRequire(bundle), flags !== undefined);
