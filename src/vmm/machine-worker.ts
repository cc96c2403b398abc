/** What the machine's thread does on any host: makes the vCPU, boots, and runs to the end without going back to its event loop. */
import { VivError } from "../base/index.ts";
import {
  type CopierChannel,
  type CopierLink,
  CountingCpu,
  Cpu,
  type GeneratedParts,
  LockstepCpu,
  linkToCopier,
  software,
} from "../cpu/index.ts";
import { PHYSICAL_BITS } from "../cpu/runtime/paging.ts";
import type { ImageSource } from "../machine/boot/index.ts";
import type { Clock, Entropy } from "../machine/ports.ts";
import { guestRam } from "./guest-memory.ts";
import { MachineLink } from "./link.ts";
import { Machine } from "./machine.ts";
import type { MachineMessage, MachineStart } from "./machine-protocol.ts";
import { SampleArea } from "./sampling/area.ts";
import { Capture } from "./sampling/capture.ts";

/** The thread's own side of its host. */
export interface MachineHost {
  readonly clock: Clock;
  readonly entropy: Entropy;
  /** What the system calls this thread, where it says that. */
  readonly threadId?: number | undefined;
  /** What `generateInterpreter` of this version wrote before; without it, it writes now. */
  readonly generated?: GeneratedParts;
  /** To a thread that copies templates for the vCPU (JitPorts.copier). */
  readonly copier?: CopierChannel | undefined;
  /** A file that the BootSpec names; `what` explains it in messages. It and its methods throw a VivError where it cannot be read. */
  readFile(name: string, what: string): ImageSource;
  /** Sends the host's thread a message. */
  tell(message: MachineMessage): void;
}

/** How often code is entered before it is compiled, and for how many instructions others are waited for, to be compiled with it. */
const JIT = {
  off: false,
  on: { templates: 5000, threshold: 20_000, wait: 3_000_000 },
  forced: { threshold: 0 },
} as const;

/** Returns when the machine has ended. Throws where the fault is our own; what the user can mend is told as `failed`. */
export function runMachine(start: MachineStart, host: MachineHost): void {
  const { link, memory, ramSize, cpu, jit, lockstep, stats, boot } = start;
  const { clock, entropy } = host;
  try {
    software(host.generated);
    let counting: CountingCpu | undefined;
    let plain: Cpu | undefined;
    const area = new SampleArea(memory);
    const machine = new Machine({
      boot,
      readFile: (name, what) => host.readFile(name, what),
      clock,
      entropy,
      link: new MachineLink(link, () => host.tell({ kind: "doorbell" })),
      physicalAddressBits: PHYSICAL_BITS,
      ram: guestRam(memory, ramSize),
      createVcpu: (ports) => {
        const thresholds = JIT[jit];
        const options = {
          memory,
          ramSize,
          model: cpu,
          ports,
          id: 0,
          jit: thresholds && { ...thresholds, copier: copierFor(start, host) },
        };
        if (stats) {
          counting = new CountingCpu({ ...options, now: () => clock.now() });
          plain = counting;
          return counting;
        }
        if (lockstep > 0) return new LockstepCpu({ ...options, slice: lockstep });
        plain = new Cpu(options);
        return plain;
      },
      sampling: { area, capture: (watched) => new Capture({ ...watched, area, memory, cpu: plain!, vcpu: 0 }) },
    });
    machine.boot();
    host.tell({ kind: "started", threadId: host.threadId });
    const end = machine.run();
    host.tell({ kind: "ended", end, statistics: counting?.statistics });
  } catch (error) {
    if (!(error instanceof VivError)) throw error;
    host.tell({ kind: "failed", code: error.code, message: error.message });
  }
}

function copierFor({ memory, jit, stats }: MachineStart, { copier }: MachineHost): CopierLink | undefined {
  const thresholds = JIT[jit];
  if (!copier || !thresholds || !("templates" in thresholds)) return undefined;
  return linkToCopier(copier, { memory, passes: thresholds.templates, counts: stats });
}
