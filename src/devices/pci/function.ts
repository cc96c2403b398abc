/**
 * One PCI function: 256 bytes of configuration space declared as a table, base address registers that map
 * the function's devices onto the buses, and an interrupt pin. PCI Local Bus Specification 3.0, chapter 6.
 * Not modelled: expansion ROM, parity and system errors, self test.
 */
import type { AccessSize, Bus, IoDevice } from "../../machine/bus.ts";
import { layout, type RegisterTable } from "../../machine/registers.ts";
import type { Section } from "../../machine/state.ts";
import { BAR, BAR_COUNT, BAR0_OFFSET, COMMAND, CONFIG_SPACE_SIZE, STATUS, TYPE0_HEADER } from "./registers.ts";

export interface PciBar {
  /** Which of the six registers; a 64-bit one takes the next as well. */
  readonly index: number;
  readonly space: "io" | "memory32" | "memory64";
  /** In bytes, a power of two. */
  readonly size: number;
  readonly prefetchable?: boolean;
  /** What answers there. A device belongs to one register. */
  readonly device: IoDevice;
}

export interface PciFunctionOptions {
  readonly name: string;
  readonly vendorId: number;
  readonly deviceId: number;
  /** Base class, subclass and programming interface, such as 0x060000. */
  readonly classCode: number;
  readonly revision?: number;
  readonly subsystemVendorId?: number;
  readonly subsystemId?: number;
  /** 1 for INTA#; 0 or absent for none. */
  readonly interruptPin?: number;
  /** Registers behind the header: capabilities and the device's own. */
  readonly registers?: RegisterTable;
  /** Offset of the first capability in `registers`. */
  readonly capabilities?: number;
  readonly bars?: readonly PciBar[];
  /** Called after the guest wrote configuration bytes `offset .. offset + size`. */
  readonly onWrite?: (offset: number, size: number) => void;
}

/** What a function reaches through the bus it sits on. */
export interface PciHost {
  readonly ports: Bus;
  readonly memory: Bus;
  /** Whether functions may be mapped there. */
  allows(space: "io" | "memory", start: number, size: number): boolean;
  /** The function's interrupt pin changed. */
  interruptChanged(): void;
}

export interface PciFunctionState {
  config: Uint8Array;
  /** The device asserts its interrupt. */
  interrupt: boolean;
}

const barRows = (bars: readonly PciBar[]): RegisterTable => {
  const rows: Record<string, RegisterTable[string]> = {};
  for (const { index, space, size, prefetchable } of bars) {
    const last = space === "memory64" ? index + 1 : index;
    const smallest = space === "io" ? 4 : 16;
    const largest = space === "io" ? 256 : space === "memory32" ? 2 ** 31 : 2 ** 52;
    const fits = size >= smallest && size <= largest && Number.isInteger(Math.log2(size));
    if (!fits || index < 0 || last >= BAR_COUNT || rows[`bar${index}`] !== undefined) {
      throw new RangeError(`base address register ${index} of ${size} bytes is not possible`);
    }
    const offset = BAR0_OFFSET + 4 * index;
    const flags =
      space === "io" ? BAR.IO : (space === "memory64" ? BAR.MEMORY64 : 0) | (prefetchable ? BAR.PREFETCHABLE : 0);
    const decoded = space === "io" ? 0xffff & ~(size - 1) : size > 0xffffffff ? 0 : -size >>> 0;
    rows[`bar${index}`] = { offset, width: 4, access: "rw", reset: flags, writable: decoded };
    if (space !== "memory64") continue;
    const high = size > 0xffffffff ? -(size / 2 ** 32) >>> 0 : 0xffffffff;
    rows[`bar${index + 1}`] = { offset: offset + 4, width: 4, access: "rw", writable: high };
  }
  return rows;
};

/** The header's rows with this function's identity as their values after reset. */
const headerRows = (options: PciFunctionOptions): RegisterTable => ({
  ...TYPE0_HEADER,
  vendorId: { ...TYPE0_HEADER.vendorId, reset: options.vendorId },
  deviceId: { ...TYPE0_HEADER.deviceId, reset: options.deviceId },
  status: { ...TYPE0_HEADER.status, reset: options.capabilities ? STATUS.CAPABILITIES : 0 },
  revision: { ...TYPE0_HEADER.revision, reset: options.revision ?? 0 },
  programmingInterface: { ...TYPE0_HEADER.programmingInterface, reset: options.classCode & 0xff },
  subclass: { ...TYPE0_HEADER.subclass, reset: (options.classCode >> 8) & 0xff },
  baseClass: { ...TYPE0_HEADER.baseClass, reset: (options.classCode >> 16) & 0xff },
  subsystemVendorId: { ...TYPE0_HEADER.subsystemVendorId, reset: options.subsystemVendorId ?? 0 },
  subsystemId: { ...TYPE0_HEADER.subsystemId, reset: options.subsystemId ?? 0 },
  capabilities: { ...TYPE0_HEADER.capabilities, reset: options.capabilities ?? 0 },
  interruptPin: { ...TYPE0_HEADER.interruptPin, reset: options.interruptPin ?? 0 },
});

export class PciFunction implements Section<PciFunctionState> {
  readonly name: string;
  readonly section: { readonly name: string; readonly version: number };
  readonly interruptPin: number;
  readonly #options: PciFunctionOptions;
  readonly #reset: Uint8Array;
  readonly #writable: Uint8Array;
  readonly #bars: readonly PciBar[];
  #state: PciFunctionState;
  #host: PciHost | undefined;
  /** Where each base address register is mapped now. */
  readonly #mapped = new Map<PciBar, number>();

  constructor(options: PciFunctionOptions) {
    this.name = options.name;
    this.section = { name: `pci.${options.name}`, version: 1 };
    this.interruptPin = options.interruptPin ?? 0;
    this.#options = options;
    this.#bars = options.bars ?? [];
    const table = { ...headerRows(options), ...barRows(this.#bars), ...options.registers };
    ({ reset: this.#reset, writable: this.#writable } = layout(table, CONFIG_SPACE_SIZE));
    this.#state = { config: this.#reset.slice(), interrupt: false };
  }

  get state(): PciFunctionState {
    return this.#state;
  }

  restore(state: PciFunctionState): void {
    this.#state = state;
    this.#remap();
    this.#host?.interruptChanged();
  }

  reset(): void {
    this.restore({ config: this.#reset.slice(), interrupt: false });
  }

  /** Puts the function on a bus. */
  connect(host: PciHost): void {
    this.#host = host;
    this.#remap();
  }

  /** Bytes outside the 256 read as ones. */
  readConfig(offset: number, size: AccessSize): number {
    let value = 0;
    for (let i = 0; i < size; i++) value |= (this.#state.config[offset + i] ?? 0xff) << (8 * i);
    return value >>> 0;
  }

  writeConfig(offset: number, size: AccessSize, value: number): void {
    const { config } = this.#state;
    for (let i = 0; i < size && offset + i < CONFIG_SPACE_SIZE; i++) {
      const mask = this.#writable[offset + i]!;
      config[offset + i] = (config[offset + i]! & ~mask) | ((value >>> (8 * i)) & mask);
    }
    const end = offset + size;
    const mapping = offset < BAR0_OFFSET + 4 * BAR_COUNT && end > BAR0_OFFSET;
    const command = offset < TYPE0_HEADER.command.offset + 2 && end > TYPE0_HEADER.command.offset;
    if (mapping || command) this.#remap();
    if (command) this.#host?.interruptChanged();
    this.#options.onWrite?.(offset, size);
  }

  /** Sets bytes of the configuration space from the device's side, such as a capability's status. */
  setConfig(offset: number, size: AccessSize, value: number): void {
    for (let i = 0; i < size; i++) this.#state.config[offset + i] = value >>> (8 * i);
  }

  /** Asserts or releases the interrupt pin. */
  setInterrupt(high: boolean): void {
    if (high === this.#state.interrupt) return;
    this.#state.interrupt = high;
    const status = this.readConfig(TYPE0_HEADER.status.offset, 2);
    this.setConfig(TYPE0_HEADER.status.offset, 2, high ? status | STATUS.INTERRUPT : status & ~STATUS.INTERRUPT);
    this.#host?.interruptChanged();
  }

  /** The level of the pin: asserted and not disabled by the command register. */
  get interrupt(): boolean {
    return this.#state.interrupt && (this.#command() & COMMAND.INTX_DISABLE) === 0;
  }

  #command(): number {
    return this.readConfig(TYPE0_HEADER.command.offset, 2);
  }

  /** Where the guest wants `bar`, or undefined while it decodes nothing or points where nothing may be. */
  #wanted(bar: PciBar): number | undefined {
    const space = bar.space === "io" ? "io" : "memory";
    if ((this.#command() & (space === "io" ? COMMAND.IO : COMMAND.MEMORY)) === 0) return undefined;
    const offset = BAR0_OFFSET + 4 * bar.index;
    const low = this.readConfig(offset, 4);
    const high = bar.space === "memory64" ? this.readConfig(offset + 4, 4) : 0;
    const start = high * 2 ** 32 + ((low & (space === "io" ? ~0x3 : ~0xf)) >>> 0);
    return this.#host?.allows(space, start, bar.size) ? start : undefined;
  }

  /** Brings the buses in line with the registers. First all that moves goes, so that two may change places. */
  #remap(): void {
    const host = this.#host;
    if (host === undefined) return;
    const bus = (bar: PciBar): Bus => (bar.space === "io" ? host.ports : host.memory);
    for (const bar of this.#bars) {
      if (!this.#mapped.has(bar) || this.#wanted(bar) === this.#mapped.get(bar)) continue;
      bus(bar).detach(bar.device);
      this.#mapped.delete(bar);
    }
    for (const bar of this.#bars) {
      const start = this.#wanted(bar);
      if (start === undefined || this.#mapped.has(bar)) continue;
      try {
        bus(bar).attach(start, bar.size, bar.device);
        this.#mapped.set(bar, start);
      } catch (error) {
        // The guest placed it over another device. Real buses then answer twice; here the first keeps the range.
        if (!(error instanceof RangeError)) throw error;
      }
    }
  }
}
