/**
 * PCI bus 0 and configuration mechanism #1 (PCI Local Bus Specification 3.0, 3.2.2.3.2). A configuration
 * access to a slot without a function reads all ones. Not modelled: bridges to other buses, special cycles.
 */
import type { AccessSize, Bus, IoDevice } from "../../machine/bus.ts";
import {
  PCI_DEVICES,
  PCI_GSI_BASE,
  PCI_GSI_COUNT,
  PCI_IO_WINDOW,
  PCI_MEMORY_WINDOW,
  pciGsi,
} from "../../machine/platform.ts";
import type { IrqLine } from "../../machine/ports.ts";
import type { Section } from "../../machine/state.ts";
import type { PciFunction, PciHost } from "./function.ts";
import { CONFIG_ADDRESS_BITS, CONFIG_ADDRESS_ENABLE, MULTIFUNCTION, PCI_FUNCTIONS, TYPE0_HEADER } from "./registers.ts";

export { type PciBar, PciFunction, type PciFunctionOptions } from "./function.ts";
export { hostBridge } from "./host-bridge.ts";

export interface PciOptions {
  readonly ports: Bus;
  readonly memory: Bus;
  /** The interrupt controller inputs `PCI_GSI_BASE ..`, `PCI_GSI_COUNT` of them. */
  readonly interrupts: readonly IrqLine[];
}

export interface PciState {
  /** CONFIG_ADDRESS. */
  address: number;
}

export class PciBus implements Section<PciState> {
  readonly section = { name: "pci", version: 1 };
  /** CONFIG_ADDRESS, port 0xcf8: 32-bit accesses at offset 0 only. */
  readonly address: IoDevice;
  /** CONFIG_DATA, ports 0xcfc .. 0xcff. */
  readonly data: IoDevice;
  #state: PciState = { address: 0 };
  readonly #slots = new Map<number, PciFunction>();
  readonly #host: PciHost;
  readonly #interrupts: readonly IrqLine[];

  constructor(options: PciOptions) {
    this.#interrupts = options.interrupts;
    this.#host = {
      ports: options.ports,
      memory: options.memory,
      allows: (space, start, size) => {
        const window = space === "io" ? PCI_IO_WINDOW : PCI_MEMORY_WINDOW;
        return start >= window.start && start + size <= window.end;
      },
      interruptChanged: () => this.#updateInterrupts(),
    };
    this.address = {
      name: "pci-config-address",
      read: (offset, size) => (offset === 0 && size === 4 ? this.#state.address : size === 1 ? 0xff : 0xffff),
      write: (offset, size, value) => {
        if (offset === 0 && size === 4) this.#state.address = (value & CONFIG_ADDRESS_BITS) >>> 0;
      },
    };
    this.data = {
      name: "pci-config-data",
      read: (offset, size) => this.#read(offset, size),
      write: (offset, size, value) => this.#write(offset, size, value),
    };
  }

  get state(): PciState {
    return this.#state;
  }

  restore(state: PciState): void {
    this.#state = state;
  }

  /** Resets the bus and every function on it. */
  reset(): void {
    this.#state = { address: 0 };
    for (const pciFunction of this.#slots.values()) pciFunction.reset();
  }

  /** Puts a function into a slot. Throws RangeError when the slot is taken or does not exist. */
  attach(device: number, index: number, pciFunction: PciFunction): void {
    const slot = device * PCI_FUNCTIONS + index;
    const exists = device >= 0 && device < PCI_DEVICES && index >= 0 && index < PCI_FUNCTIONS;
    if (!exists || this.#slots.has(slot)) throw new RangeError(`PCI slot ${device}.${index} is not free`);
    this.#slots.set(slot, pciFunction);
    pciFunction.connect(this.#host);
  }

  /** Every function that is there, for snapshots. */
  get functions(): Iterable<PciFunction> {
    return this.#slots.values();
  }

  /** The function that CONFIG_ADDRESS selects. Bus, device and function number are its bits 23..8. */
  #selected(): PciFunction | undefined {
    const { address } = this.#state;
    return address >= CONFIG_ADDRESS_ENABLE ? this.#slots.get((address >>> 8) & 0xffff) : undefined;
  }

  #read(offset: number, size: AccessSize): number {
    const selected = this.#selected();
    if (selected === undefined) return size === 4 ? 0xffffffff : 2 ** (8 * size) - 1;
    const register = (this.#state.address & 0xfc) + offset;
    const value = selected.readConfig(register, size);
    const shift = 8 * (TYPE0_HEADER.headerType.offset - register);
    return shift >= 0 && shift < 8 * size && this.#isMultifunction() ? (value | (MULTIFUNCTION << shift)) >>> 0 : value;
  }

  #write(offset: number, size: AccessSize, value: number): void {
    this.#selected()?.writeConfig((this.#state.address & 0xfc) + offset, size, value);
  }

  /** Function 0's header says whether it is worth looking for others. */
  #isMultifunction(): boolean {
    const slot = (this.#state.address >>> 8) & 0xffff;
    if (slot % PCI_FUNCTIONS !== 0) return false;
    for (let i = 1; i < PCI_FUNCTIONS; i++) if (this.#slots.has(slot + i)) return true;
    return false;
  }

  /** Functions share the inputs: one is high while any function on it asserts its pin. */
  #updateInterrupts(): void {
    const levels = Array.from({ length: PCI_GSI_COUNT }, () => false);
    for (const [slot, { interruptPin, interrupt }] of this.#slots) {
      if (interruptPin === 0 || !interrupt) continue;
      levels[pciGsi(Math.floor(slot / PCI_FUNCTIONS), interruptPin - 1) - PCI_GSI_BASE] = true;
    }
    levels.forEach((level, i) => {
      this.#interrupts[i]?.set(level);
    });
  }
}
