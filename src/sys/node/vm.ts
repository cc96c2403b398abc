/** The library's front door on Node: starts a machine, from files or with the default guest. */
import { randomFillSync } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { buildDefaultGuest, type ConsoleRequest, type ProgressListener } from "../../image/index.ts";
import {
  bootDefaultGuest,
  bootOwnKernel,
  type MachineConfig,
  resolveConfig,
  sampler,
  VirtualMachine,
} from "../../vmm/index.ts";
import { readUserFile } from "./files.ts";
import { guestPorts } from "./guest.ts";
import { createGuestMemory, guestRam } from "./guest-memory.ts";
import { startMachineThread } from "./machine-thread.ts";

/** How often is looked where the machine's thread is, for statistics. */
const SAMPLE_MS = 1;

export interface VmOptions extends MachineConfig {
  /** Gives the default guest a shell on its console, for a terminal of this size. */
  readonly console?: ConsoleRequest | undefined;
  /** Told how the default guest's building goes on, where it has to be built first. */
  readonly onProgress?: ProgressListener | undefined;
}

/**
 * A virtual machine on this host.
 *
 * ```ts
 * await using vm = await Vm.start({ memory: "1G" });
 * const { exitCode } = await vm.exec(["uname", "-a"], { onStdout: (data) => void process.stdout.write(data) });
 * ```
 */
export class Vm extends VirtualMachine {
  /**
   * Starts a machine with a kernel of the caller's or, without one, the default guest, which is built at first use. Settles
   * when the guest runs. Throws VivError: a file that is not there or no kernel, too little memory, and so on.
   */
  static async start(options: VmOptions = {}): Promise<Vm> {
    const { console, onProgress, ...given } = options;
    const config = resolveConfig(given);
    const { cpu, jit, lockstep, stats } = config;
    const boot =
      config.kernel === undefined
        ? bootDefaultGuest(
            await buildDefaultGuest(guestPorts(), onProgress && { progress: onProgress }),
            config,
            console,
          )
        : await bootOwnKernel(config, config.kernel, readUserFile);
    const memory = createGuestMemory(config.memory);
    const what = { memory, ramSize: config.memory, cpu, jit, lockstep, stats, boot };
    const thread = await startMachineThread(what);
    if (stats) {
      const sampling = setInterval(sampler(memory), SAMPLE_MS);
      sampling.unref();
      const end = () => clearInterval(sampling);
      thread.ended.then(end, end);
    }
    return new Vm({
      thread,
      agent: config.kernel === undefined,
      ram: guestRam(memory, config.memory),
      random: (into) => void randomFillSync(into),
      delay: (milliseconds) => delay(milliseconds, undefined, { ref: false }),
    });
  }
}
