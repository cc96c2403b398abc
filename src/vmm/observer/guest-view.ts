/**
 * The way into a guest that runs: its memory and its vCPU's registers as they are right now, read by a thread that has no part in running
 * it. There is nothing here that writes.
 */
import { type Gva, gva, VivError } from "../../base/index.ts";
import { STATE_BASE } from "../../cpu/memory-map.ts";
import { offsetOf } from "../../cpu/state.ts";
import { findKernel } from "../../guest/find-kernel.ts";
import type { ControlRegisters } from "../../guest/kernel.ts";
import { RecentKernels } from "../../guest/kernel-cache.ts";
import type { LinuxKernel } from "../../guest/linux-kernel.ts";
import { Look } from "../../guest/look.ts";
import { PhysicalMemory } from "../../guest/memory.ts";
import { guestRam } from "../guest-memory.ts";

/** For all guests of this process: they share kernels. */
const kernels = new RecentKernels();

export interface GuestMemory {
  readonly memory: WebAssembly.Memory;
  readonly ramSize: number;
}

export class GuestView {
  readonly memory: PhysicalMemory;
  readonly #view: DataView;
  #kernel: LinuxKernel | undefined;

  constructor({ memory, ramSize }: GuestMemory) {
    this.memory = new PhysicalMemory(guestRam(memory, ramSize));
    this.#view = new DataView(memory.buffer);
  }

  /** Of each vCPU. */
  get registers(): readonly ControlRegisters[] {
    return [
      {
        cr3: this.#unsigned("cr3"),
        cr4: this.#unsigned("cr4"),
        lstar: this.#address("lstar"),
        gsBase: this.#address("gs.base"),
        kernelGsBase: this.#address("kernelGsBase"),
        cpl: this.#view.getInt32(STATE_BASE + offsetOf("cpl"), true),
      },
    ];
  }

  /** The kernel that runs now, its modules up to date. Throws VivError where none is found, which says why. */
  kernel(): LinuxKernel {
    const { registers } = this;
    if (this.#kernel?.stillThere(registers)) {
      this.#kernel.refresh();
      return this.#kernel;
    }
    this.#kernel = undefined;
    const found = findKernel(this.memory, registers, kernels);
    if (!found.found) throw new VivError(`guest.${found.code}`, found.message);
    this.#kernel = found.kernel;
    return found.kernel;
  }

  /** Throws as `kernel`, and where the kernel has no types. */
  look(): Look {
    return new Look(this.kernel());
  }

  #unsigned(field: string): number {
    const at = STATE_BASE + offsetOf(field);
    return this.#view.getUint32(at + 4, true) * 2 ** 32 + this.#view.getUint32(at, true);
  }
  #address(field: string): Gva {
    const at = STATE_BASE + offsetOf(field);
    return gva(this.#view.getInt32(at + 4, true) * 2 ** 32 + this.#view.getUint32(at, true));
  }
}
