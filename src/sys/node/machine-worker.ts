/** The machine's thread. It is told everything in its first message, and hears no other. */
import { parentPort } from "node:worker_threads";
import { generateInterpreter } from "../../cpu/software.ts";
import type { MachineStart } from "../../vmm/index.ts";
import { runMachine } from "../../vmm/machine-worker.ts";
import { cachedEngine } from "./engine-cache.ts";
import { OpenFiles } from "./files.ts";
import { hostClock, hostEntropy } from "./host-clock.ts";

const files = new OpenFiles();

parentPort?.once("message", (start: MachineStart) =>
  runMachine(start, {
    clock: hostClock,
    entropy: hostEntropy,
    // There where the process has --expose-gc.
    collect: globalThis.gc,
    readFile: (name, what) => files.read(name, what),
    generated: {
      interpreter: () => start.engine ?? cachedEngine("interpreter", generateInterpreter),
      avx: () => cachedEngine("avx", generateInterpreter),
    },
    tell: (message) => parentPort?.postMessage(message),
  }),
);
