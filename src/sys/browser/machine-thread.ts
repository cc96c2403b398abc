/** Runs a machine in a dedicated worker. */
import {
  MachineHandle,
  type MachineMessage,
  type MachineStart,
  type MachineThread,
  ownBuffers,
} from "../../vmm/index.ts";

/** The worker's one message. */
export interface WorkerStart {
  readonly machine: MachineStart;
  /** The generated interpreter, where it need not be generated in the worker. */
  readonly interpreter?: Uint8Array | undefined;
}

/** Starts the thread, which takes boot images and interpreter over for good; settles when the guest's first instruction is next, rejects where the machine cannot be made. */
export async function startMachineThread(
  what: Omit<MachineStart, "link">,
  interpreter: Uint8Array | undefined,
): Promise<MachineThread> {
  const worker = new Worker(new URL("./machine-worker.js", import.meta.url), {
    type: "module",
    name: "vivarium machine",
  });
  const machine = new MachineHandle(async () => worker.terminate());
  worker.onmessage = ({ data }: MessageEvent<MachineMessage>) => machine.receive(data);
  worker.onmessageerror = () => machine.crashed("a message cannot be read");
  // A script that cannot be loaded has no message.
  worker.onerror = ({ message }) => machine.crashed(message || "its worker's script cannot be loaded");
  const start: WorkerStart = { machine: { ...what, link: machine.link.buffer }, interpreter };
  worker.postMessage(start, ownBuffers(what.boot.kernel, what.boot.initrd, interpreter));
  try {
    await machine.started;
  } catch (error) {
    worker.terminate();
    throw error;
  }
  return machine;
}
