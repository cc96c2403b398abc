/** Runs a machine in a worker thread. */
import { Worker } from "node:worker_threads";
import {
  MachineHandle,
  type MachineMessage,
  type MachineStart,
  type MachineThread,
  ownBuffers,
} from "../../vmm/index.ts";

/** Heap for short-lived objects, MiB: the machine's thread makes few, and unused room counts against every guest. */
const YOUNG_GENERATION_MIB = 8;

/** Starts the thread, which takes the boot images over for good; settles when the guest's first instruction is next, rejects where the machine cannot be made. */
export async function startMachineThread(what: Omit<MachineStart, "link">): Promise<MachineThread> {
  const machine = new MachineHandle(async () => {
    await worker.terminate();
  });
  const workerData: MachineStart = { ...what, link: machine.link.buffer };
  const worker = new Worker(new URL("./machine-worker.js", import.meta.url), {
    workerData,
    transferList: ownBuffers(what.boot.kernel, what.boot.initrd),
    resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MIB },
    name: "vivarium machine",
    // What a crash prints belongs to the error, not on the user's terminal.
    stderr: true,
  });
  worker.on("message", (message: MachineMessage) => machine.receive(message));
  worker.on("messageerror", (error) => machine.crashed(error));
  worker.on("error", (error) => machine.crashed(error));
  worker.on("exit", () => machine.gone());
  await machine.started;
  return machine;
}
