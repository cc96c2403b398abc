/** The library's front door on Node: starts a machine, from files or with the default guest. */
import { randomFillSync } from "node:crypto";
import { resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { ConsoleRequest, ProgressListener } from "../../image/index.ts";
import {
  type BootSpec,
  bootDefaultGuest,
  bootOwnKernel,
  type MachineConfig,
  type MachineThread,
  type ResolvedConfig,
  resolveConfig,
  sampler,
  VirtualMachine,
} from "../../vmm/index.ts";
import { createGuestMemory, guestRam } from "./guest-memory.ts";
import { unpackedKernel } from "./kernel-cache.ts";
import { makeMachineThread } from "./machine-thread.ts";

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
    // It loads its modules, which takes as long as all the rest, while the files are read here.
    const waiting = makeMachineThread();
    let memory: WebAssembly.Memory;
    let thread: MachineThread;
    try {
      const boot =
        config.kernel === undefined
          ? await defaultGuest(config, console, onProgress)
          : await bootOwnKernel(config, config.kernel, (name, what) =>
              what === "kernel" ? unpackedKernel(resolve(name)) : resolve(name),
            );
      memory = createGuestMemory(config.memory);
      thread = await waiting.start({ memory, ramSize: config.memory, cpu, jit, lockstep, stats, boot });
    } catch (error) {
      await waiting.terminate();
      throw error;
    }
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

/** Loads what only the default guest needs, too. */
async function defaultGuest(
  config: ResolvedConfig,
  console: ConsoleRequest | undefined,
  progress: ProgressListener | undefined,
): Promise<BootSpec> {
  const [{ buildDefaultGuest }, { guestPorts }] = await Promise.all([
    import("../../image/index.ts"),
    import("./guest.ts"),
  ]);
  const guest = await buildDefaultGuest(guestPorts(), progress && { progress });
  return bootDefaultGuest({ ...guest, kernel: await unpackedKernel(guest.kernel) }, config, console);
}
