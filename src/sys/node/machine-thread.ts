/** Runs a machine in a worker thread, with another beside it that copies templates. */
import { MessageChannel, type MessagePort, type Worker } from "node:worker_threads";
import {
  MachineHandle,
  type MachineMessage,
  type MachineStart,
  type MachineThread,
  ownBuffers,
} from "../../vmm/index.ts";
import type { MachineWorkerStart } from "./machine-worker.ts";
import { dismissWorker, takeWorker } from "./worker.ts";

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
  let copier: Worker | undefined;
  const machine = new MachineHandle(async () => {
    await Promise.all([worker.terminate(), copier?.terminate()]);
  });
  const worker = takeWorker("machine");
  worker.on("message", (message: MachineMessage) => machine.receive(message));
  worker.on("messageerror", (error) => machine.crashed(error));
  worker.on("error", (error) => machine.crashed(error));
  worker.on("exit", () => {
    void copier?.terminate();
    machine.gone();
  });
  /** The way to a copier. */
  const connect = (): MessagePort => {
    const { port1, port2 } = new MessageChannel();
    copier = takeWorker("copier");
    copier.on("error", (error) => machine.crashed(error));
    copier.postMessage(port1, [port1]);
    return port2;
  };
  return {
    start: async (what) => {
      const port = what.jit === "on" ? connect() : undefined;
      if (!port) dismissWorker("copier");
      const start: MachineWorkerStart = { ...what, link: machine.link.buffer, copier: port };
      const own = ownBuffers(what.boot.kernel, what.boot.initrd);
      worker.postMessage(start, port ? [...own, port] : own);
      await machine.started;
      return machine;
    },
    terminate: () => machine.terminate(),
  };
}
