/**
 * The interrupt router: brings messages of I/O APICs, MSI-capable devices and local APICs to the local APICs they address.
 * It stands for the system bus of SDM vol. 3A 11.1 and holds no state of its own.
 * Lowest-priority delivery picks the lowest PPR and, among equals, the first attached: arbitration is model specific
 * (SDM 11.6.2.4), and a fixed choice keeps runs repeatable. Not modelled: focus processors, the remapping of an IOMMU.
 */
import type { IrqLine } from "../ports.ts";
import {
  DELIVERY,
  destination8,
  type EoiListener,
  type InterruptMessage,
  type InterruptTarget,
  SHORTHAND,
} from "./messages.ts";

/** The 1 MiB of addresses that are interrupt messages, SDM 11.11.1. */
const MSI_ADDRESS_BASE = 0xfee;

export class InterruptRouter {
  readonly #targets: InterruptTarget[] = [];
  readonly #listeners: EoiListener[] = [];

  /** LINT0 of every local APIC: the 8259's INT output goes here. */
  readonly extInt: IrqLine = { set: (high) => this.#lint(0, high) };
  /** LINT1 of every local APIC: the machine's NMI sources go here. */
  readonly nmi: IrqLine = { set: (high) => this.#lint(1, high) };

  attach(target: InterruptTarget): void {
    this.#targets.push(target);
  }

  attachIoApic(listener: EoiListener): void {
    this.#listeners.push(listener);
  }

  /** Sends to all destinations (to one with lowest-priority mode). False if nobody accepted. */
  deliver(message: InterruptMessage): boolean {
    const { mode, vector, level, logical, destination } = message;
    if (mode === DELIVERY.lowestPriority) {
      return this.#lowestPriority(message)?.accept(DELIVERY.fixed, vector, level) ?? false;
    }
    let accepted = false;
    for (const target of this.#targets) {
      if (target.matches(destination, logical) && target.accept(mode, vector, level)) accepted = true;
    }
    return accepted;
  }

  /** An IPI: as `deliver`, or to the set a shorthand names, seen from `sender`. */
  ipi(sender: InterruptTarget, shorthand: number, message: InterruptMessage): void {
    if (shorthand === SHORTHAND.none) {
      this.deliver(message);
      return;
    }
    const mode = message.mode === DELIVERY.lowestPriority ? DELIVERY.fixed : message.mode;
    for (const target of this.#targets) {
      const wanted = shorthand === SHORTHAND.all || (target === sender) === (shorthand === SHORTHAND.self);
      if (wanted) target.accept(mode, message.vector, message.level);
    }
  }

  /** A message signalled interrupt: a device's write of `data` to `address`. False if it reached nobody. */
  msi(address: number, data: number): boolean {
    if (address >>> 20 !== MSI_ADDRESS_BASE) return false;
    return this.deliver({
      vector: data & 0xff,
      mode: (data >> 8) & 7,
      level: (data & 0x8000) !== 0,
      logical: (address & 4) !== 0,
      destination: destination8((address >> 12) & 0xff),
    });
  }

  /** A level-triggered interrupt was served: tells the I/O APICs. */
  endOfInterrupt(vector: number): void {
    for (const listener of this.#listeners) listener.eoi(vector);
  }

  #lowestPriority(message: InterruptMessage): InterruptTarget | undefined {
    let best: InterruptTarget | undefined;
    for (const target of this.#targets) {
      if (!target.enabled || !target.matches(message.destination, message.logical)) continue;
      if (best === undefined || target.priority < best.priority) best = target;
    }
    return best;
  }

  #lint(pin: 0 | 1, high: boolean): void {
    for (const target of this.#targets) target.lint(pin, high);
  }
}
