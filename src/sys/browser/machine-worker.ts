/** The machine's thread: a dedicated worker. It is told everything in its first message, and hears no other. */
import type { MachineMessage } from "../../vmm/index.ts";
import { runMachine } from "../../vmm/machine-worker.ts";
import { hostClock, hostEntropy } from "./host-clock.ts";
import type { WorkerStart } from "./machine-thread.ts";

/** The part of DedicatedWorkerGlobalScope used here: TypeScript knows it only in place of a page's globals. */
interface WorkerScope {
  onmessage: ((event: { readonly data: WorkerStart }) => void) | null;
  postMessage(message: MachineMessage): void;
}
const scope = globalThis as unknown as WorkerScope;

scope.onmessage = ({ data: { machine, interpreter } }) =>
  runMachine(machine, {
    clock: hostClock,
    entropy: hostEntropy,
    readFile: (name) => {
      throw new Error(`the page has not fetched ${name}`);
    },
    generated: interpreter ? { interpreter: () => interpreter } : {},
    tell: (message) => scope.postMessage(message),
  });
