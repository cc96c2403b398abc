/** Runs a machine in a worker thread. */
import { Worker } from "node:worker_threads";
import { VivError } from "../../base/index.ts";
import { HostLink, type MachineEnd, type MachineThread } from "../../vmm/index.ts";
import type { MachineMessage, MachineStart } from "./machine-protocol.ts";

const crashed = (cause: unknown): VivError =>
  new VivError(
    "vm.crashed",
    `the machine failed inside (${cause instanceof Error ? cause.message : String(cause)}); this is a fault of Vivarium's, please report it`,
    { cause },
  );

/** Heap for short-lived objects, MiB: the machine's thread makes few, and unused room counts against every guest. */
const YOUNG_GENERATION_MIB = 8;

/** What can be handed over whole instead of copied: bytes that have a buffer of their own. */
const ownBuffers = (...parts: (Uint8Array | undefined)[]): ArrayBuffer[] =>
  parts.flatMap((bytes) =>
    bytes?.buffer instanceof ArrayBuffer && bytes.byteLength === bytes.buffer.byteLength ? [bytes.buffer] : [],
  );

/** Starts the thread, which takes the boot images over for good; settles when the guest's first instruction is next, rejects where the machine cannot be made. */
export async function startMachineThread(what: Omit<MachineStart, "link">): Promise<MachineThread> {
  const link = new HostLink();
  const workerData: MachineStart = { ...what, link: link.buffer };
  const worker = new Worker(new URL("./machine-worker.js", import.meta.url), {
    workerData,
    transferList: ownBuffers(what.boot.kernel, what.boot.initrd),
    resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MIB },
    name: "vivarium machine",
    // What a crash prints belongs to the error, not on the user's terminal.
    stderr: true,
  });
  let answer = (): void => undefined;
  let started!: () => void;
  const running = new Promise<void>((resolve) => {
    started = resolve;
  });
  const ended = new Promise<MachineEnd>((resolve, reject) => {
    worker.on("message", (message: MachineMessage) => {
      switch (message.kind) {
        case "doorbell":
          answer();
          break;
        case "started":
          started();
          break;
        case "ended":
          resolve(message.end);
          break;
        case "failed":
          reject(new VivError(message.code, message.message));
      }
    });
    worker.on("messageerror", (error) => reject(crashed(error)));
    worker.on("error", (error) => reject(crashed(error)));
    // After `ended` or `failed` this changes nothing.
    worker.on("exit", () => resolve({ reason: "stopped" }));
  });
  // Whoever asks later still gets the reason.
  ended.catch(() => undefined);
  await Promise.race([running, ended]);
  return {
    link,
    ended,
    onDoorbell: (listener) => {
      answer = listener;
      // It may have rung before anyone listened.
      listener();
    },
    terminate: async () => {
      await worker.terminate();
    },
  };
}
