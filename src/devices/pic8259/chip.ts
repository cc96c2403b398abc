/**
 * One 8259A interrupt controller: requests, priorities, the command words. Intel 8259A data sheet (8086 mode only).
 * One deviation: an edge once latched stays requested even if the line falls before INTA, so that a device may pulse
 * its line; the data sheet has it turn into a spurious IRQ 7. A level that goes away does turn into one.
 */
import { CASCADE, ICW1, ICW2_VECTOR, ICW4, OCW2, OCW3 } from "./registers.ts";

export interface ChipState {
  /** Requested, in service, masked: one bit per IRQ. */
  irr: number;
  isr: number;
  imr: number;
  /** Levels of the input pins. */
  lines: number;
  /** Level-triggered inputs. */
  elcr: number;
  vectorBase: number;
  /** The IRQ with the lowest priority; the next one up has the highest. */
  lowest: number;
  /** Which ICW the data port takes next: 2, 3, 4, or 0 when initialised. */
  expects: number;
  needsIcw4: boolean;
  single: boolean;
  autoEoi: boolean;
  rotateOnAutoEoi: boolean;
  specialFullyNested: boolean;
  specialMask: boolean;
  /** The next read is the answer to a poll command. */
  poll: boolean;
  readIsr: boolean;
}

export const chipPowerUp = (vectorBase: number): ChipState => ({
  irr: 0,
  isr: 0,
  imr: 0xff,
  lines: 0,
  elcr: 0,
  vectorBase,
  lowest: 7,
  expects: 0,
  needsIcw4: false,
  single: false,
  autoEoi: false,
  rotateOnAutoEoi: false,
  specialFullyNested: false,
  specialMask: false,
  poll: false,
  readIsr: false,
});

const SPURIOUS = 7;

export class Chip {
  state: ChipState;
  /** The slave's INT comes in at CASCADE. */
  readonly #master: boolean;
  /** Called after anything that may have changed INT. */
  readonly #changed: () => void;

  constructor(state: ChipState, master: boolean, changed: () => void) {
    this.state = state;
    this.#master = master;
    this.#changed = changed;
  }

  /** The INT output. */
  get interrupting(): boolean {
    return this.pending() >= 0;
  }

  setLine(irq: number, high: boolean): void {
    const s = this.state;
    const bit = 1 << irq;
    const rising = high && (s.lines & bit) === 0;
    s.lines = high ? s.lines | bit : s.lines & ~bit;
    if ((s.elcr & bit) !== 0 || this.#isCascade(irq)) s.irr = high ? s.irr | bit : s.irr & ~bit;
    else if (rising) s.irr |= bit;
    this.#changed();
  }

  setElcr(value: number): void {
    const s = this.state;
    const changed = s.elcr ^ value;
    s.elcr = value;
    // A pin that changes its trigger mode has no edge latched any more.
    s.irr = (s.irr & ~changed) | (s.lines & changed & value);
    this.#changed();
  }

  /** The request that would be served now, or -1. */
  pending(): number {
    const s = this.state;
    const requested = s.irr & ~s.imr;
    if (requested === 0) return -1;
    let blocking = s.isr;
    if (s.specialMask) blocking &= ~s.imr;
    if (s.specialFullyNested && this.#master) blocking &= ~(1 << CASCADE);
    const irq = this.#highest(requested);
    const inService = this.#highest(blocking);
    return inService >= 0 && this.#rank(inService) <= this.#rank(irq) ? -1 : irq;
  }

  /** The INTA cycle: moves the request to in-service. IRQ 7 when there is none any more (spurious). */
  acknowledge(): number {
    const irq = this.pending();
    if (irq < 0) return SPURIOUS;
    const s = this.state;
    const bit = 1 << irq;
    if ((s.elcr & bit) === 0 && !this.#isCascade(irq)) s.irr &= ~bit;
    if (!s.autoEoi) s.isr |= bit;
    else if (s.rotateOnAutoEoi) s.lowest = irq;
    this.#changed();
    return irq;
  }

  writeCommand(value: number): void {
    if ((value & ICW1.marker) !== 0) this.#initialise(value);
    else if ((value & OCW3.marker) !== 0) this.#control(value);
    else this.#endOfInterrupt(value >> 5, value & 7);
    this.#changed();
  }

  writeData(value: number): void {
    const s = this.state;
    switch (s.expects) {
      case 0:
        s.imr = value;
        break;
      case 2:
        s.vectorBase = value & ICW2_VECTOR;
        s.expects = s.single ? (s.needsIcw4 ? 4 : 0) : 3;
        break;
      case 3:
        // The wiring of the pair is fixed, so what ICW3 says of it changes nothing.
        s.expects = s.needsIcw4 ? 4 : 0;
        break;
      default:
        s.specialFullyNested = (value & ICW4.specialFullyNested) !== 0;
        s.autoEoi = (value & ICW4.autoEoi) !== 0;
        s.expects = 0;
    }
    this.#changed();
  }

  readCommand(): number {
    if (this.state.poll) return this.#answerPoll();
    return this.state.readIsr ? this.state.isr : this.state.irr;
  }

  readData(): number {
    return this.state.poll ? this.#answerPoll() : this.state.imr;
  }

  #isCascade(irq: number): boolean {
    return this.#master && irq === CASCADE;
  }

  #answerPoll(): number {
    this.state.poll = false;
    return this.pending() < 0 ? 0 : 0x80 | this.acknowledge();
  }

  /** ICW1, data sheet "Initialization Command Words 1 and 2". The lines and ELCR are outside the chip's reach. */
  #initialise(value: number): void {
    const { lines, elcr, vectorBase } = this.state;
    this.state = {
      ...chipPowerUp(vectorBase),
      lines,
      elcr,
      irr: lines & (elcr | (this.#master ? 1 << CASCADE : 0)),
      imr: 0,
      expects: 2,
      single: (value & ICW1.single) !== 0,
      needsIcw4: (value & ICW1.needsIcw4) !== 0,
    };
  }

  #control(value: number): void {
    const s = this.state;
    if ((value & OCW3.poll) !== 0) s.poll = true;
    if ((value & OCW3.select) !== 0) s.readIsr = (value & OCW3.isr) !== 0;
    if ((value & OCW3.specialMaskEnable) !== 0) s.specialMask = (value & OCW3.specialMask) !== 0;
  }

  #endOfInterrupt(command: number, level: number): void {
    const s = this.state;
    switch (command) {
      case OCW2.clearRotateOnAutoEoi:
      case OCW2.setRotateOnAutoEoi:
        s.rotateOnAutoEoi = command === OCW2.setRotateOnAutoEoi;
        break;
      case OCW2.nonSpecificEoi:
      case OCW2.rotateOnNonSpecificEoi: {
        // In special mask mode a masked in-service bit is not cleared by a non-specific EOI.
        const irq = this.#highest(s.specialMask ? s.isr & ~s.imr : s.isr);
        if (irq < 0) break;
        s.isr &= ~(1 << irq);
        if (command === OCW2.rotateOnNonSpecificEoi) s.lowest = irq;
        break;
      }
      case OCW2.specificEoi:
      case OCW2.rotateOnSpecificEoi:
        s.isr &= ~(1 << level);
        if (command === OCW2.rotateOnSpecificEoi) s.lowest = level;
        break;
      case OCW2.setPriority:
        s.lowest = level;
        break;
    }
  }

  /** 0 is the highest priority. */
  #rank(irq: number): number {
    return (irq - next(this.state.lowest)) & 7;
  }

  #highest(irqs: number): number {
    if (irqs === 0) return -1;
    let irq = next(this.state.lowest);
    while ((irqs & (1 << irq)) === 0) irq = next(irq);
    return irq;
  }
}

/** The next IRQ in the circle of eight. */
const next = (irq: number): number => (irq + 1) & 7;
