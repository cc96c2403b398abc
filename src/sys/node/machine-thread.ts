/** Runs a machine in a worker thread. */
import {
  MachineHandle,
  type MachineMessage,
  type MachineStart,
  type MachineThread,
  ownBuffers,
} from "../../vmm/index.ts";
import { takeWorker } from "./worker.ts";

/** A thread that loads what a machine is made of, and waits for one to run. */
export interface WaitingThread {
  /**
   * Hands over the machine, boot images and all, for good; settles when the guest's first instruction is next, rejects where the
   * machine cannot be made.
   */
  start(what: Omit<MachineStart, "link">): Promise<MachineThread>;
  /** No machine will come. */
  terminate(): Promise<void>;
}

/** Makes the thread. It keeps the process alive until it is told to start or to end. */
export function makeMachineThread(): WaitingThread {
  const machine = new MachineHandle(async () => {
    await worker.terminate();
  });
  const worker = takeWorker();
  worker.on("message", (message: MachineMessage) => machine.receive(message));
  worker.on("messageerror", (error) => machine.crashed(error));
  worker.on("error", (error) => machine.crashed(error));
  worker.on("exit", () => machine.gone());
  return {
    start: async (what) => {
      const start: MachineStart = { ...what, link: machine.link.buffer };
      worker.postMessage(start, ownBuffers(what.boot.kernel, what.boot.initrd));
      await machine.started;
      return machine;
    },
    terminate: () => machine.terminate(),
  };
}
