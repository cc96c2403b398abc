/**
 * The local vector table, SDM vol. 3A 11.5.1: as what the local APIC's own sources come in, and the pins LINT0 and LINT1. It
 * works on its APIC's registers; the timer that one entry belongs to is apic-timer.ts.
 */
import { APIC, LVT_LEVEL, LVT_MASKED, REMOTE_IRR, SVR_ENABLE } from "./apic-registers.ts";
import type { LocalApicState } from "./local-apic-state.ts";
import { DELIVERY } from "./messages.ts";

const MODE = 0x700;
const modeOf = (entry: number): number => (entry & MODE) >> 8;

export interface LocalVectorPorts {
  /** Takes an interrupt in one of the modes of DELIVERY. */
  accept(mode: number, vector: number): void;
  /** Takes a fixed interrupt; false where it was refused. */
  acceptFixed(vector: number, level: boolean): boolean;
  /** What is pending may have changed. */
  changed(): void;
}

export class LocalVectors {
  readonly #state: () => Pick<LocalApicState, "registers" | "lint">;
  readonly #ports: LocalVectorPorts;

  constructor(state: () => Pick<LocalApicState, "registers" | "lint">, ports: LocalVectorPorts) {
    this.#state = state;
    this.#ports = ports;
  }

  /** Writes an entry. While the APIC is software-disabled all are masked and stay so, SDM 11.4.7.2. */
  set(index: number, value: number): void {
    const { registers: r, lint } = this.#state();
    const masked = (r[APIC.svr.index]! & SVR_ENABLE) === 0 ? LVT_MASKED : 0;
    const kept = (value & LVT_LEVEL) !== 0 ? r[index]! & REMOTE_IRR : 0;
    r[index] = value | masked | kept;
    if (index === APIC.lvtLint0.index && lint[0]) this.pinActive(0, false);
    else if (index === APIC.lvtLint1.index && lint[1]) this.pinActive(1, false);
  }

  /** A local interrupt source fires: the entry says as what. */
  signal(index: number): void {
    const entry = this.#state().registers[index]!;
    if ((entry & LVT_MASKED) !== 0) return;
    const fixedOnly = index === APIC.lvtTimer.index || index === APIC.lvtError.index;
    this.#ports.accept(fixedOnly ? DELIVERY.fixed : modeOf(entry), entry & 0xff);
  }

  /** A LINT pin is high. Edges count when they come, levels as long as they last. */
  pinActive(pin: 0 | 1, edge: boolean): void {
    const { registers: r } = this.#state();
    const index = APIC.lvtLint0.index + pin;
    const entry = r[index]!;
    const mode = modeOf(entry);
    if ((entry & LVT_MASKED) !== 0) return;
    if (mode === DELIVERY.extInt) this.#ports.changed();
    else if (mode === DELIVERY.fixed && (entry & LVT_LEVEL) !== 0) {
      if ((entry & REMOTE_IRR) === 0 && this.#ports.acceptFixed(entry & 0xff, true)) r[index] = entry | REMOTE_IRR;
    } else if (edge) this.signal(index);
  }

  /** EOI of a level-triggered vector: a pin that is still high asks again. */
  endOfInterrupt(vector: number): void {
    const { registers: r, lint } = this.#state();
    for (const pin of [0, 1] as const) {
      const index = APIC.lvtLint0.index + pin;
      if ((r[index]! & REMOTE_IRR) === 0 || (r[index]! & 0xff) !== vector) continue;
      r[index]! &= ~REMOTE_IRR;
      if (lint[pin]) this.pinActive(pin, false);
    }
  }

  /** Whether LINT0 is high and passes the 8259's interrupts on. */
  get extInt(): boolean {
    const { registers: r, lint } = this.#state();
    return lint[0] && (r[APIC.lvtLint0.index]! & (LVT_MASKED | MODE)) === DELIVERY.extInt << 8;
  }
}
