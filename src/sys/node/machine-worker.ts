/** The machine's thread. It is told everything in its first message, and hears no other but its copier's, which it asks for. */
import { type MessagePort, parentPort, receiveMessageOnPort } from "node:worker_threads";
import { generateInterpreter } from "../../cpu/software.ts";
import type { MachineStart } from "../../vmm/index.ts";
import { runMachine } from "../../vmm/machine-worker.ts";
import { cachedEngine } from "./engine-cache.ts";
import { OpenFiles } from "./files.ts";
import { hostClock, hostEntropy } from "./host-clock.ts";

/** The first message. `copier`: to the thread of copier-worker.ts. */
export interface MachineWorkerStart extends MachineStart {
  readonly copier: MessagePort | undefined;
}

const files = new OpenFiles();

parentPort?.once("message", ({ copier, ...start }: MachineWorkerStart) =>
  runMachine(start, {
    clock: hostClock,
    entropy: hostEntropy,
    copier: copier && {
      send: (message) => copier.postMessage(message),
      receive: () => receiveMessageOnPort(copier)!.message,
    },
    readFile: (name, what) => files.read(name, what),
    generated: {
      interpreter: () => start.engine ?? cachedEngine("interpreter", generateInterpreter),
      avx: () => cachedEngine("avx", generateInterpreter),
    },
    tell: (message) => parentPort?.postMessage(message),
  }),
);
