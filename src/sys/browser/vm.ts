/** The library's front door in a browser: starts a machine, from files by URL or with a default guest that a server keeps ready. */
import type { ConsoleRequest, GuestIndex } from "../../image/index.ts";
import {
  type BootSpec,
  bootDefaultGuest,
  bootOwnKernel,
  createGuestMemory,
  guestRam,
  type MachineConfig,
  type ResolvedConfig,
  resolveConfig,
  sampler,
  VirtualMachine,
} from "../../vmm/index.ts";
import { readUrl, readUrlIfThere } from "./files.ts";
import { hostEntropy } from "./host-clock.ts";
import { startMachineThread } from "./machine-thread.ts";
import { requireBrowser } from "./requirements.ts";

/** How often is looked where the machine's thread is, for statistics: as often as pages may. */
const SAMPLE_MS = 4;

export interface VmOptions extends MachineConfig {
  /** Where the default guest is served, ending in a slash: `guest.json`, `kernel` and `initrd`. */
  readonly guest?: string | undefined;
  /** Gives the default guest a shell on its console, for a terminal of this size. */
  readonly console?: ConsoleRequest | undefined;
  /** Where the generated interpreter is served. Without it each start takes half a second longer. */
  readonly interpreter?: string | undefined;
}

const GUEST = "guest/";
/** Tabs have limits of their own, well below the machine's memory; small devices' are lower. */
const MEMORY_ADVICE = "give it less (the option memory, as 256M), or close other tabs";

/** A virtual machine in this tab. `kernel` and `initrd` are URLs here, or bytes. */
export class Vm extends VirtualMachine {
  /** Settles when the guest runs. Throws VivError: a browser that lacks something, a file that is not there, too little memory. */
  static async start(options: VmOptions = {}): Promise<Vm> {
    const { guest = GUEST, console, interpreter, ...given } = options;
    requireBrowser();
    const config = resolveConfig(given);
    const { cpu, jit, lockstep, stats } = config;
    // Before anything is fetched: it is what fails most.
    const memory = createGuestMemory(config.memory, MEMORY_ADVICE);
    const [boot, generated] = await Promise.all([
      config.kernel === undefined ? servedGuest(guest, config, console) : bootOwnKernel(config, config.kernel, readUrl),
      interpreter === undefined ? undefined : readUrlIfThere(interpreter, "interpreter"),
    ]);
    const what = { memory, ramSize: config.memory, cpu, jit, lockstep, stats, boot };
    const thread = await startMachineThread(what, generated);
    if (stats) {
      const sampling = setInterval(sampler(memory), SAMPLE_MS);
      const end = () => clearInterval(sampling);
      thread.ended.then(end, end);
    }
    return new Vm({
      thread,
      agent: config.kernel === undefined,
      ram: guestRam(memory, config.memory),
      random: (into) => hostEntropy.fill(into),
      delay: (milliseconds) =>
        new Promise((resolve) => {
          setTimeout(resolve, milliseconds);
        }),
    });
  }
}

async function servedGuest(at: string, config: ResolvedConfig, console: ConsoleRequest | undefined): Promise<BootSpec> {
  const [index, kernel, initrd] = await Promise.all(
    ["guest.json", "kernel", "initrd"].map((name) => readUrl(at + name, "default guest")),
  );
  const { kernelCommandLine } = JSON.parse(new TextDecoder().decode(index)) as GuestIndex;
  return bootDefaultGuest({ kernel: kernel!, initrd: initrd!, kernelCommandLine }, config, console);
}
