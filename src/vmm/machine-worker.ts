/** What the machine's thread does on any host: makes the vCPU, boots, and runs to the end without going back to its event loop. */
import { VivError } from "../base/index.ts";
import { Cpu, software } from "../cpu/index.ts";
import { PHYSICAL_BITS } from "../cpu/runtime/paging.ts";
import type { Clock, Entropy } from "../machine/ports.ts";
import { guestRam } from "./guest-memory.ts";
import { MachineLink } from "./link.ts";
import { Machine } from "./machine.ts";
import type { MachineMessage, MachineStart } from "./machine-protocol.ts";

/** The thread's own side of its host. */
export interface MachineHost {
  readonly clock: Clock;
  readonly entropy: Entropy;
  /** Bytes that `generateInterpreter` of this version wrote before; without them it writes them now. */
  readonly interpreter?: Uint8Array | undefined;
  /** Sends the host's thread a message. */
  tell(message: MachineMessage): void;
}

/** Returns when the machine has ended. Throws where the fault is our own; what the user can mend is told as `failed`. */
export function runMachine({ link, memory, ramSize, cpu, boot }: MachineStart, host: MachineHost): void {
  const { clock, entropy } = host;
  try {
    software(host.interpreter);
    const machine = new Machine({
      boot,
      clock,
      entropy,
      link: new MachineLink(link, () => host.tell({ kind: "doorbell" })),
      physicalAddressBits: PHYSICAL_BITS,
      ram: guestRam(memory, ramSize),
      createVcpu: (ports) => new Cpu({ memory, ramSize, model: cpu, ports, id: 0 }),
    });
    machine.boot();
    host.tell({ kind: "started" });
    host.tell({ kind: "ended", end: machine.run() });
  } catch (error) {
    if (!(error instanceof VivError)) throw error;
    host.tell({ kind: "failed", code: error.code, message: error.message });
  }
}
