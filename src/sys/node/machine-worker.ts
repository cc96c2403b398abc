/** The machine's thread. It is told everything in its first message, and hears no other but its copier's, which it asks for. */
import { setFlagsFromString } from "node:v8";
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";
import { type EnginePart, type GeneratedParts, generateInterpreter, software } from "../../cpu/software.ts";
import type { MachineStart } from "../../vmm/index.ts";
import { runMachine } from "../../vmm/machine-worker.ts";
import { threadId } from "./cpu-time.ts";
import { cachedEngine } from "./engine-cache.ts";
import { OpenFiles } from "./files.ts";
import { hostClock, hostEntropy } from "./host-clock.ts";
import type { WorkerSetting } from "./worker.ts";

/** The first message. `copier`: to the thread of copier-worker.ts. */
export interface MachineWorkerStart extends MachineStart {
  readonly copier: MessagePort | undefined;
}

const files = new OpenFiles();
const { flags = [], bundle } = workerData as WorkerSetting;
for (const flag of flags) setFlagsFromString(flag);
const engine = (part: EnginePart) =>
  cachedEngine(part, generateInterpreter, (bytes) => new WebAssembly.Module(bytes), bundle);
const generated: GeneratedParts = { interpreter: () => engine("interpreter"), avx: () => engine("avx") };
// While the host's thread finds out what to boot.
software(generated);

parentPort?.once("message", ({ copier, ...start }: MachineWorkerStart) =>
  runMachine(start, {
    clock: hostClock,
    entropy: hostEntropy,
    copier: copier && {
      send: (message) => copier.postMessage(message),
      receive: () => receiveMessageOnPort(copier)!.message,
    },
    readFile: (name, what) => files.read(name, what),
    generated,
    threadId: threadId(),
    tell: (message) => parentPort?.postMessage(message),
  }),
);
