/** The machine's thread: makes the vCPU, boots, and runs to the end without ever going back to its event loop. */
import { parentPort, workerData } from "node:worker_threads";
import { VivError } from "../../base/index.ts";
import { Cpu, software } from "../../cpu/index.ts";
import { PHYSICAL_BITS } from "../../cpu/runtime/paging.ts";
import { Machine, MachineLink } from "../../vmm/index.ts";
import { cachedInterpreter } from "./engine-cache.ts";
import { guestRam } from "./guest-memory.ts";
import { hostClock, hostEntropy } from "./host-clock.ts";
import type { MachineMessage, MachineStart } from "./machine-protocol.ts";

const start = workerData as MachineStart;
const tell = (message: MachineMessage): void => parentPort?.postMessage(message);

try {
  const memory = start.memory as WebAssembly.Memory;
  software(cachedInterpreter());
  const machine = new Machine({
    boot: start.boot,
    clock: hostClock,
    entropy: hostEntropy,
    link: new MachineLink(start.link, () => tell({ kind: "doorbell" })),
    physicalAddressBits: PHYSICAL_BITS,
    ram: guestRam(memory, start.ramSize),
    createVcpu: (ports) => new Cpu({ memory, ramSize: start.ramSize, model: start.cpu, ports, id: 0 }),
  });
  machine.boot();
  tell({ kind: "started" });
  tell({ kind: "ended", end: machine.run() });
} catch (error) {
  if (!(error instanceof VivError)) throw error;
  tell({ kind: "failed", code: error.code, message: error.message });
}
