/** The machine's thread. */
import { parentPort, workerData } from "node:worker_threads";
import { type MachineStart, runMachine } from "../../vmm/index.ts";
import { cachedInterpreter } from "./engine-cache.ts";
import { hostClock, hostEntropy } from "./host-clock.ts";

runMachine(workerData as MachineStart, {
  clock: hostClock,
  entropy: hostEntropy,
  interpreter: cachedInterpreter(),
  tell: (message) => parentPort?.postMessage(message),
});
