/** The library's front door on Node: starts a machine, from files or with the default guest. */
import { randomFillSync } from "node:crypto";
import { resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { VivError } from "../../base/index.ts";
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
  type VirtualMachineOptions,
} from "../../vmm/index.ts";
import { UNNAMED } from "../../vmm/observer/observed-guest.ts";
import type { ObserverStart } from "../../vmm/observer/observer.ts";
import type { WatchedGuest } from "../../vmm/observer/orders.ts";
import type { GuestRow } from "../../vmm/registry/guest.ts";
import type { RemoteVm } from "../../vmm/registry/remote-vm.ts";
import { createGuestMemory, guestRam } from "./guest-memory.ts";
import { unpackedKernel } from "./kernel-cache.ts";
import { makeMachineThread } from "./machine-thread.ts";
import type { ObserverThread } from "./observer-thread.ts";
import type { Listing } from "./registry/listing.ts";
import { version } from "./version.ts";

/** How often is looked where the machine's thread is, for statistics. */
const SAMPLE_MS = 1;

/** What every machine has so far. */
const VCPUS = 1;
const ACCELERATOR = "software";

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
  /** Why a guest that was given no name has none, where that was not asked for: there is no place for the registry. */
  readonly unlisted: VivError | undefined;
  readonly #listing: Listing | undefined;
  readonly #observed: ObserverStart;
  #observer: Promise<ObserverThread> | undefined;

  /** Made by `Vm.start`. */
  private constructor(
    options: VirtualMachineOptions,
    listing: Listing | VivError | undefined,
    observed: ObserverStart,
  ) {
    super(options);
    this.#observed = observed;
    if (listing instanceof VivError) this.unlisted = listing;
    else {
      this.#listing = listing;
      listing?.run(this, () => this.observer());
    }
  }

  /** What this user's processes know the guest by; undefined where it is not listed. */
  override get name(): string | undefined {
    return this.#listing?.entry.name;
  }

  /** Twelve hexadecimal digits, made anew for every guest; undefined where it is not listed. */
  get id(): string | undefined {
    return this.#listing?.entry.id;
  }

  /** The thread that looks inside, made when it is first asked something. */
  override observer(): Promise<ObserverThread> {
    this.#observer ??= import("./observer-thread.ts").then(
      (module) => new module.ObserverThread(this.#observed, version()),
    );
    return this.#observer;
  }

  /** This user's guests, whichever process runs them, by name. Throws VivError `registry.unsafe`. */
  static async list(): Promise<readonly GuestRow[]> {
    return (await import("./registry/guests.ts")).listGuests();
  }

  /**
   * A guest by its name, or by what its id begins with, whichever process of this user's runs it. Throws VivError `guest.unknown`,
   * `guest.unresponsive`.
   */
  static async connect(name: string): Promise<RemoteVm> {
    return (await import("./registry/guests.ts")).connectGuest(name);
  }

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
    const listing = listed(config);
    let memory: WebAssembly.Memory;
    let thread: MachineThread;
    try {
      const [boot] = await Promise.all([bootSpec(config, console, onProgress), listing]);
      memory = createGuestMemory(config.memory);
      thread = await waiting.start({ memory, ramSize: config.memory, cpu, jit, lockstep, stats, boot });
    } catch (error) {
      await Promise.all([waiting.terminate(), listing.then(withdraw, () => undefined)]);
      throw error;
    }
    if (stats) {
      const sampling = setInterval(sampler(memory), SAMPLE_MS);
      sampling.unref();
      const end = () => clearInterval(sampling);
      thread.ended.then(end, end);
    }
    const machine: VirtualMachineOptions = {
      thread,
      agent: config.kernel === undefined,
      ram: guestRam(memory, config.memory),
      random: (into) => void randomFillSync(into),
      delay: (milliseconds) => delay(milliseconds, undefined, { ref: false }),
    };
    const place = await listing;
    const guest: WatchedGuest = {
      name: place && !(place instanceof VivError) ? place.entry.name : UNNAMED,
      hostPid: process.pid,
      vcpuThreads: [thread.threadId ?? process.pid],
      opaque: config.opaque,
    };
    return new Vm(machine, place, { memory, ramSize: config.memory, link: thread.link.buffer, guest });
  }

  /** Switches the machine off, as pulling the plug would; settles when it is gone, and those who are connected to it know. */
  override async stop(): Promise<void> {
    await super.stop();
    (await this.#observer)?.close();
    await this.#listing?.close();
  }
}

/** The guest's place in the registry. Without one a guest runs all the same, unless it was given a name. */
async function listed({ name, unlisted, opaque, memory }: ResolvedConfig): Promise<Listing | VivError | undefined> {
  if (unlisted) return undefined;
  const { list } = await import("./registry/listing.ts");
  try {
    return await list({ vcpus: VCPUS, memory, accelerator: ACCELERATOR, opaque }, name);
  } catch (error) {
    if (name !== undefined || !(error instanceof VivError)) throw error;
    return error;
  }
}

const withdraw = async (listing: Listing | VivError | undefined): Promise<void> => {
  if (!(listing instanceof VivError)) await listing?.close();
};

const bootSpec = (
  config: ResolvedConfig,
  console: ConsoleRequest | undefined,
  onProgress: ProgressListener | undefined,
): Promise<BootSpec> =>
  config.kernel === undefined
    ? defaultGuest(config, console, onProgress)
    : bootOwnKernel(config, config.kernel, (name, what) =>
        what === "kernel" ? unpackedKernel(resolve(name)) : resolve(name),
      );

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
