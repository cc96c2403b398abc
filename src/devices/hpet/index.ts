/**
 * The high precision event timer: a 64-bit counter of 100 MHz and three comparators. IA-PC HPET specification 1.0a.
 * A comparator matches when the counter becomes equal to it, so a value already passed matches after the counter wraps;
 * drivers read the counter back to notice. Comparator, schedule and coalescing are in comparator.ts.
 * A 64-bit access comes as two, low half first: reading the counter's low half holds its high half for the
 * access that follows. Writes to the running counter are dropped (the specification leaves them undefined).
 */
import type { AccessSize, IoDevice } from "../../machine/bus.ts";
import type { Clock, IrqLine } from "../../machine/ports.ts";
import { decoder, writableBits } from "../../machine/registers.ts";
import type { Section } from "../../machine/state.ts";
import { TickRate } from "../../machine/ticks.ts";
import type { Timer, Timers } from "../../machine/timers.ts";
import {
  advance,
  type ComparatorState,
  comparatorReset,
  has,
  plus,
  schedule,
  type Wide,
  writeComparator,
  writeConfig,
} from "./comparator.ts";
import {
  CONFIG,
  HPET_HZ,
  HPET_REGISTERS,
  HPET_TIMERS,
  TIMER,
  TIMER_BASE,
  TIMER_REGISTERS,
  TIMER_STRIDE,
} from "./registers.ts";

export { HPET_MINIMUM_TICK } from "./comparator.ts";
export { HPET_HZ, HPET_REGISTERS } from "./registers.ts";

export interface HpetOptions {
  readonly clock: Clock;
  readonly timers: Timers;
  /** ISA wires 0 and 8, which the HPET has for itself under legacy replacement. */
  readonly irq0: IrqLine;
  readonly irq8: IrqLine;
  /** I/O APIC pins. */
  pin(number: number): IrqLine;
}

export interface HpetState {
  config: number;
  status: number;
  /** The counter at clock tick `start`; it runs from there while enabled. */
  counter: Wide;
  start: number;
  comparators: ComparatorState[];
  /** The high half held by a read of the counter's low half, or -1. */
  heldHigh: number;
  /** Levels of the 8254's and the RTC's outputs, for when legacy replacement ends. */
  replaced: [boolean, boolean];
}

const RATE = new TickRate(HPET_HZ);
const TIMERS_END = TIMER_BASE + HPET_TIMERS * TIMER_STRIDE;
const readable = decoder(HPET_REGISTERS, "r");
const writable = decoder(HPET_REGISTERS, "w");
const timerReadable = decoder(TIMER_REGISTERS, "r");
const timerWritable = decoder(TIMER_REGISTERS, "w");

const powerUp = (): HpetState => ({
  config: 0,
  status: 0,
  counter: { low: 0, high: 0 },
  start: 0,
  comparators: Array.from({ length: HPET_TIMERS }, comparatorReset),
  heldHigh: -1,
  replaced: [false, false],
});

export class Hpet implements IoDevice, Section<HpetState> {
  readonly name = "HPET";
  readonly section = { name: "hpet", version: 1 };
  /** Where the 8254's channel 0 and the RTC are wired to: passed on to IRQ 0 and 8 unless replaced. */
  readonly irq0: IrqLine = { set: (high) => this.#passOn(0, high) };
  readonly irq8: IrqLine = { set: (high) => this.#passOn(1, high) };
  readonly #options: HpetOptions;
  readonly #isa: readonly [IrqLine, IrqLine];
  readonly #armed: (Timer | undefined)[] = [];
  /** The line each timer holds high, in level mode. */
  readonly #holding: (IrqLine | undefined)[] = [];
  readonly #pins: IrqLine[] = [];
  #state = powerUp();

  constructor(options: HpetOptions) {
    this.#options = options;
    this.#isa = [options.irq0, options.irq8];
    for (let pin = 0; pin <= TIMER.routeMask; pin++) {
      if ((TIMER_REGISTERS.routes.reset & (1 << pin)) !== 0) this.#pins[pin] = options.pin(pin);
    }
  }

  get state(): HpetState {
    return this.#state;
  }

  restore(state: HpetState): void {
    this.#state = state;
    for (let n = 0; n < HPET_TIMERS; n++) {
      this.#driveLevel(n);
      this.#arm(n);
    }
  }

  reset(): void {
    const { replaced } = this.#state;
    const legacy = this.#legacy;
    this.restore({ ...powerUp(), replaced });
    if (legacy) this.#reconnect();
  }

  /** Registers are for 32-bit and 64-bit accesses; narrower reads see a part, narrower writes are dropped. */
  read(offset: number, size: AccessSize): number {
    this.#settle();
    const value = this.#get(offset & ~3) >>> ((offset & 3) * 8);
    return size === 4 ? value : value & (2 ** (8 * size) - 1);
  }

  write(offset: number, size: AccessSize, value: number): void {
    if (size !== 4 || (offset & 3) !== 0) return;
    this.#settle();
    this.#state.heldHigh = -1;
    if (offset >= TIMER_BASE && offset < TIMERS_END) this.#setTimer(offset - TIMER_BASE, value);
    else this.#set(offset, value);
  }

  get #enabled(): boolean {
    return (this.#state.config & CONFIG.enable) !== 0;
  }

  get #legacy(): boolean {
    return (this.#state.config & CONFIG.legacy) !== 0;
  }

  get #tick(): number {
    return RATE.at(this.#options.clock.now());
  }

  #counter(): Wide {
    const { counter, start } = this.#state;
    return this.#enabled ? plus(counter, this.#tick - start) : counter;
  }

  #get(offset: number): number {
    const s = this.#state;
    const { heldHigh } = s;
    s.heldHigh = -1;
    if (offset >= TIMER_BASE && offset < TIMERS_END) return this.#getTimer(offset - TIMER_BASE);
    const name = readable(offset);
    switch (name) {
      case undefined:
        return 0;
      case "counterLow": {
        const { low, high } = this.#counter();
        s.heldHigh = high;
        return low;
      }
      case "counterHigh":
        return heldHigh >= 0 ? heldHigh : this.#counter().high;
      case "capabilities":
      case "period":
        return HPET_REGISTERS[name].reset;
      default:
        return s[name];
    }
  }

  #getTimer(offset: number): number {
    const comparator = this.#state.comparators[Math.floor(offset / TIMER_STRIDE)]!;
    switch (timerReadable(offset % TIMER_STRIDE)) {
      case "config":
        return comparator.config;
      case "routes":
        return TIMER_REGISTERS.routes.reset;
      case "comparatorLow":
        return comparator.value.low;
      case "comparatorHigh":
        return comparator.value.high;
      default:
        return 0;
    }
  }

  #set(offset: number, value: number): void {
    const s = this.#state;
    switch (writable(offset)) {
      case "config":
        this.#setConfig(value & writableBits(HPET_REGISTERS.config));
        break;
      case "status":
        s.status &= ~(value & writableBits(HPET_REGISTERS.status));
        for (let n = 0; n < HPET_TIMERS; n++) this.#driveLevel(n);
        break;
      case "counterLow":
        if (!this.#enabled) s.counter.low = value >>> 0;
        break;
      case "counterHigh":
        if (!this.#enabled) s.counter.high = value >>> 0;
        break;
    }
  }

  #setConfig(value: number): void {
    const s = this.#state;
    const counter = this.#counter();
    const wasLegacy = this.#legacy;
    s.config = value;
    s.counter = counter;
    s.start = this.#tick;
    if (this.#legacy && !wasLegacy) for (const line of this.#isa) line.set(false);
    for (let n = 0; n < HPET_TIMERS; n++) this.#reschedule(n);
    if (wasLegacy && !this.#legacy) this.#reconnect();
  }

  #setTimer(offset: number, value: number): void {
    const n = Math.floor(offset / TIMER_STRIDE);
    const comparator = this.#state.comparators[n]!;
    switch (timerWritable(offset % TIMER_STRIDE)) {
      case "config":
        writeConfig(comparator, value);
        // A status bit stands for a level; there is none in edge mode.
        if (!has(comparator, TIMER.level)) this.#state.status &= ~(1 << n);
        break;
      case "comparatorLow":
        writeComparator(comparator, "low", value >>> 0);
        break;
      case "comparatorHigh":
        writeComparator(comparator, "high", value >>> 0);
        break;
      default:
        return;
    }
    this.#reschedule(n);
  }

  #reschedule(n: number): void {
    const comparator = this.#state.comparators[n]!;
    comparator.match = -1;
    if (this.#enabled) schedule(comparator, this.#counter(), this.#tick);
    this.#driveLevel(n);
    this.#arm(n);
  }

  /** What was due before this access happens first. */
  #settle(): void {
    const tick = this.#tick;
    for (const [n, { match }] of this.#state.comparators.entries()) {
      if (match >= 0 && match <= tick) this.#match(n);
    }
  }

  /** Waits for the next match if it interrupts. What else it changes is worked out at the next access. */
  #arm(n: number): void {
    this.#options.timers.cancel(this.#armed[n]);
    this.#armed[n] = undefined;
    const comparator = this.#state.comparators[n]!;
    if (comparator.match < 0 || !has(comparator, TIMER.interrupt)) return;
    this.#armed[n] = this.#options.timers.at(RATE.timeOf(comparator.match), () => this.#match(n));
  }

  #match(n: number): void {
    const comparator = this.#state.comparators[n]!;
    const counter = this.#counter();
    advance(comparator, counter);
    schedule(comparator, counter, this.#tick);
    this.#arm(n);
    if (has(comparator, TIMER.level)) {
      this.#state.status |= 1 << n;
      this.#driveLevel(n);
    } else if (has(comparator, TIMER.interrupt)) {
      const line = this.#line(n);
      line?.set(true);
      line?.set(false);
    }
  }

  #line(n: number): IrqLine | undefined {
    if (this.#legacy && n < this.#isa.length) return this.#isa[n];
    return this.#pins[(this.#state.comparators[n]!.config >> TIMER.routeShift) & TIMER.routeMask];
  }

  /** Holds a level-triggered timer's line high while its status bit is set. */
  #driveLevel(n: number): void {
    const comparator = this.#state.comparators[n]!;
    const asserted =
      (this.#state.status & (1 << n)) !== 0 && has(comparator, TIMER.level) && has(comparator, TIMER.interrupt);
    const line = asserted ? this.#line(n) : undefined;
    const before = this.#holding[n];
    if (line === before) return;
    this.#holding[n] = line;
    if (before !== undefined && !this.#holding.includes(before)) before.set(false);
    line?.set(true);
  }

  #passOn(n: 0 | 1, high: boolean): void {
    this.#state.replaced[n] = high;
    if (!this.#legacy) this.#isa[n].set(high);
  }

  #reconnect(): void {
    for (const n of [0, 1] as const) this.#isa[n].set(this.#state.replaced[n]);
  }
}
