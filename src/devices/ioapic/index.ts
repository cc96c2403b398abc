/**
 * The I/O APIC: 24 pins, each with a redirection entry that says as which message it goes to the local APICs.
 * 82093AA data sheet; EOI register of version 0x20.
 * A wire here says "asserted", so the polarity bit is kept for the guest to read and has no effect.
 */
import type { AccessSize, IoDevice } from "../../machine/bus.ts";
import { destination8, type EoiListener, type InterruptMessage } from "../../machine/interrupts/messages.ts";
import type { IrqLine } from "../../machine/ports.ts";
import { decoder } from "../../machine/registers.ts";
import type { Section } from "../../machine/state.ts";
import {
  ENTRY,
  ENTRY_HIGH_WRITABLE,
  IOAPIC,
  IOAPIC_ID_BITS,
  IOAPIC_INDEX,
  IOAPIC_PINS,
  IOAPIC_VERSION,
} from "./registers.ts";

export * from "./registers.ts";

const readable = decoder(IOAPIC, "r");

export interface IoApicState {
  select: number;
  id: number;
  /** Low and high half of each pin's entry. */
  low: number[];
  high: number[];
  asserted: boolean[];
}

/** Where messages go: the InterruptRouter. */
export interface MessageSink {
  deliver(message: InterruptMessage): boolean;
}

export class IoApic implements IoDevice, EoiListener, Section<IoApicState> {
  readonly name = "I/O APIC";
  readonly section = { name: "ioapic", version: 1 };
  readonly #router: MessageSink;
  #state = powerUp();

  constructor(router: MessageSink) {
    this.#router = router;
  }

  get state(): IoApicState {
    return this.#state;
  }

  restore(state: IoApicState): void {
    this.#state = state;
  }

  /** RESET: all pins masked. The wires stay as they are. */
  reset(): void {
    this.#state = { ...powerUp(), asserted: this.#state.asserted };
  }

  /** The wire into `pin`; throws RangeError if there is no such pin. */
  line(pin: number): IrqLine {
    if (!(pin >= 0 && pin < IOAPIC_PINS)) throw new RangeError(`the I/O APIC has no pin ${pin}`);
    return { set: (high) => this.#setPin(pin, high) };
  }

  read(offset: number, size: AccessSize): number {
    const register = readable(offset);
    if (register === undefined) return 0;
    const value = register === "select" ? this.#state.select : this.#get(this.#state.select);
    const shifted = value >>> ((offset & 3) * 8);
    return size === 4 ? shifted : shifted & (2 ** (8 * size) - 1);
  }

  /** Narrow writes are taken for the select register only, whose upper bytes are empty. */
  write(offset: number, size: AccessSize, value: number): void {
    if (offset === IOAPIC.select.offset) this.#state.select = value & IOAPIC.select.writable;
    else if (size !== 4) return;
    else if (offset === IOAPIC.window.offset) this.#set(this.#state.select, value);
    else if (offset === IOAPIC.eoi.offset) this.eoi(value & IOAPIC.eoi.writable);
  }

  /** A level interrupt with this vector was served: pins still asserted interrupt again. */
  eoi(vector: number): void {
    const { low } = this.#state;
    for (let pin = 0; pin < IOAPIC_PINS; pin++) {
      const entry = low[pin]!;
      if ((entry & ENTRY.vector) !== vector || (entry & ENTRY.remoteIrr) === 0) continue;
      low[pin] = entry & ~ENTRY.remoteIrr;
      this.#serveLevel(pin);
    }
  }

  #get(index: number): number {
    const s = this.#state;
    switch (index) {
      case IOAPIC_INDEX.id:
      case IOAPIC_INDEX.arbitration:
        return s.id;
      case IOAPIC_INDEX.version:
        return IOAPIC_VERSION;
      default: {
        const pin = (index - IOAPIC_INDEX.redirection) >> 1;
        if (pin < 0 || pin >= IOAPIC_PINS) return 0;
        return ((index & 1) === 0 ? s.low[pin]! : s.high[pin]!) >>> 0;
      }
    }
  }

  #set(index: number, value: number): void {
    const s = this.#state;
    if (index === IOAPIC_INDEX.id) s.id = value & IOAPIC_ID_BITS;
    const pin = (index - IOAPIC_INDEX.redirection) >> 1;
    if (pin < 0 || pin >= IOAPIC_PINS) return;
    if ((index & 1) === 1) {
      s.high[pin] = value & ENTRY_HIGH_WRITABLE;
      return;
    }
    // Remote IRR has a meaning for level-triggered pins only: switching to edge clears it,
    // which is how systems end an interrupt where there is no EOI register.
    const kept = (value & ENTRY.level) !== 0 ? s.low[pin]! & ENTRY.remoteIrr : 0;
    s.low[pin] = (value & ENTRY.writable) | kept;
    this.#serveLevel(pin);
  }

  #setPin(pin: number, asserted: boolean): void {
    const s = this.#state;
    const rising = asserted && !s.asserted[pin];
    s.asserted[pin] = asserted;
    const entry = s.low[pin]!;
    if ((entry & ENTRY.level) !== 0) this.#serveLevel(pin);
    // An edge on a masked pin is not held pending: 82093AA, interrupt mask.
    else if (rising && (entry & ENTRY.mask) === 0) this.#send(pin);
  }

  #serveLevel(pin: number): void {
    const s = this.#state;
    const entry = s.low[pin]!;
    if (!s.asserted[pin] || (entry & (ENTRY.level | ENTRY.mask | ENTRY.remoteIrr)) !== ENTRY.level) return;
    if (this.#send(pin)) s.low[pin] = entry | ENTRY.remoteIrr;
  }

  #send(pin: number): boolean {
    const entry = this.#state.low[pin]!;
    return this.#router.deliver({
      vector: entry & ENTRY.vector,
      mode: (entry >> ENTRY.deliveryShift) & 7,
      level: (entry & ENTRY.level) !== 0,
      logical: (entry & ENTRY.logical) !== 0,
      destination: destination8(this.#state.high[pin]! >>> 24),
    });
  }
}

const powerUp = (): IoApicState => ({
  select: 0,
  id: 0,
  low: Array.from({ length: IOAPIC_PINS }, () => ENTRY.mask),
  high: Array.from({ length: IOAPIC_PINS }, () => 0),
  asserted: Array.from({ length: IOAPIC_PINS }, () => false),
});
