/** The machine's thread. */
import { parentPort, workerData } from "node:worker_threads";
import type { MachineStart } from "../../vmm/index.ts";
import { runMachine } from "../../vmm/machine-worker.ts";
import { cachedInterpreter } from "./engine-cache.ts";
import { hostClock, hostEntropy } from "./host-clock.ts";

runMachine(workerData as MachineStart, {
  clock: hostClock,
  entropy: hostEntropy,
  generated: { interpreter: () => cachedInterpreter("interpreter"), avx: () => cachedInterpreter("avx") },
  tell: (message) => parentPort?.postMessage(message),
});
