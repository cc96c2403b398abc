/**
 * MC146818A real-time clock and CMOS memory, ports 0x70 and 0x71. The time is the wall clock plus the
 * offset the guest has set; nothing ticks while nobody asks: flags are computed when they are read, and a timer
 * runs only for an interrupt that is enabled. Not modelled: daylight saving, the square wave output,
 * the divider chain's reset (register A bits 6..4 keep what is written).
 */
import { ns } from "../../base/index.ts";
import type { AccessSize, IoDevice } from "../../machine/bus.ts";
import type { GuestRam } from "../../machine/memory.ts";
import type { Clock, IrqLine } from "../../machine/ports.ts";
import { layout } from "../../machine/registers.ts";
import type { Section } from "../../machine/state.ts";
import type { Timer, Timers } from "../../machine/timers.ts";
import { fromRegisters, nextAlarm, type TimeRegisters, toRegisters } from "./calendar.ts";
import { A, B, C, CMOS_FIELDS, CMOS_SIZE, EVENTS, NMI_MASK, RTC_REGISTERS, TIME_REGISTERS } from "./registers.ts";

export interface RtcOptions {
  readonly irq: IrqLine;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly ram: Pick<GuestRam, "size" | "lowSize">;
}

export interface RtcState {
  index: number;
  nmiMasked: boolean;
  /** All 128 bytes. Those of the running time hold it only while B.SET is on. */
  cmos: Uint8Array;
  /** The guest's time minus the wall clock, in milliseconds. */
  offset: number;
  /** Events up to here are in register C: milliseconds of the guest's time, and periods since the machine's start. */
  checked: number;
  periods: number;
}

const IMAGE = layout(RTC_REGISTERS, CMOS_SIZE);
const INDEX = RTC_REGISTERS;
const TIME_INDEXES = new Set<number>(TIME_REGISTERS.map((name) => INDEX[name].offset));
const REGISTER_INDEXES = new Set<number>(Object.values(INDEX).map((row) => row.offset));

/** Before each second: 244 µs of warning and 1984 µs of update (data sheet, "Update Cycle"). */
const UPDATE_MS = 2.228;
/** A timer that finds its second not yet there tries again after this long, for clocks of whole milliseconds. */
const MIN_WAIT_MS = 0.5;
const NS_PER_MS = 1e6;

/** Periodic rate in nanoseconds by register A's low bits; 0 where there is none. Rates 1 and 2 are as 8 and 9. */
const periodNs = (a: number): number => {
  const rate = a & A.RATE;
  return rate === 0 ? 0 : (1e9 * 2 ** ((rate < 3 ? rate + 7 : rate) - 1)) / 32768;
};

const initialCmos = (ram: RtcOptions["ram"]): Uint8Array => {
  const cmos = IMAGE.reset.slice();
  for (const { offset, width, value } of CMOS_FIELDS) {
    const stored = Math.min(Math.floor(value(ram.lowSize, ram.size - ram.lowSize)), 2 ** (8 * width) - 1);
    for (let i = 0; i < width; i++) cmos[offset + i] = stored >>> (8 * i);
  }
  return cmos;
};

export class Rtc implements IoDevice, Section<RtcState> {
  readonly name = "rtc";
  readonly section = { name: "rtc", version: 1 };
  readonly #options: RtcOptions;
  #state: RtcState;
  #timer: Timer | undefined;

  constructor(options: RtcOptions) {
    this.#options = options;
    this.#state = { index: 0, nmiMasked: false, cmos: initialCmos(options.ram), offset: 0, checked: 0, periods: 0 };
    this.#state.checked = this.#now();
    this.#state.periods = this.#periods();
  }

  get state(): RtcState {
    return this.#state;
  }

  /** The guest keeps NMIs from the processor (port 0x70 bit 7). */
  get nmiMasked(): boolean {
    return this.#state.nmiMasked;
  }

  restore(state: RtcState): void {
    this.#state = state;
    this.#update();
  }

  /** The reset pin: interrupts off, flags cleared, the time runs on (data sheet, "RESET"). */
  reset(): void {
    const { cmos } = this.#state;
    cmos[INDEX.b.offset]! &= ~(EVENTS | B.SQUARE_WAVE);
    cmos[INDEX.c.offset] = 0;
    this.#state.index = 0;
    this.#state.nmiMasked = false;
    this.#update();
  }

  read(offset: number, size: AccessSize): number {
    // The index port is write-only. A wider access finds only the byte it starts at.
    const value = offset === 0 ? 0xff : this.#readCmos(this.#state.index);
    return size === 1 ? value : size === 2 ? 0xff00 | value : (0xffffff00 | value) >>> 0;
  }

  write(offset: number, size: AccessSize, value: number): void {
    if (offset === 0) {
      this.#state.index = value & (CMOS_SIZE - 1);
      this.#state.nmiMasked = (value & NMI_MASK) !== 0;
      if (size > 1) this.#writeCmos(this.#state.index, (value >>> 8) & 0xff);
    } else {
      this.#writeCmos(this.#state.index, value & 0xff);
    }
  }

  /** The guest's time in milliseconds since 1970. */
  #now(): number {
    return this.#options.clock.wallTime() + this.#state.offset;
  }

  #b(): number {
    return this.#state.cmos[INDEX.b.offset]!;
  }

  #readCmos(index: number): number {
    const { cmos } = this.#state;
    if (TIME_INDEXES.has(index) && (this.#b() & B.SET) === 0) this.#latch();
    if (index === INDEX.a.offset) return cmos[index]! | (this.#updating() ? A.UPDATE_IN_PROGRESS : 0);
    if (index !== INDEX.c.offset) return cmos[index]!;
    this.#collect();
    const flags = cmos[index]!;
    const value = flags | (flags & this.#b() & EVENTS ? C.REQUEST : 0);
    cmos[index] = 0;
    this.#update();
    return value;
  }

  #writeCmos(index: number, value: number): void {
    const { cmos } = this.#state;
    if (!REGISTER_INDEXES.has(index)) {
      cmos[index] = value;
      return;
    }
    this.#collect();
    const before = this.#b();
    const running = (before & B.SET) === 0;
    if (running) this.#latch();
    const mask = IMAGE.writable[index]!;
    cmos[index] = (cmos[index]! & ~mask) | (value & mask);
    // SET turns the update interrupt off (data sheet, register B).
    if (index === INDEX.b.offset && value & B.SET) cmos[index]! &= ~B.UPDATE;
    const ends = !running && (this.#b() & B.SET) === 0;
    if (ends || (running && TIME_INDEXES.has(index))) this.#setTime(cmos[INDEX.b.offset]!);
    if (index === INDEX.a.offset) this.#state.periods = this.#periods();
    this.#update();
  }

  #updating(): boolean {
    const fraction = ((this.#now() % 1000) + 1000) % 1000;
    return (this.#b() & B.SET) === 0 && fraction >= 1000 - UPDATE_MS;
  }

  /** Writes the running time into its registers. */
  #latch(): void {
    const registers = toRegisters(Math.floor(this.#now() / 1000), this.#b());
    for (const name of TIME_REGISTERS) this.#state.cmos[INDEX[name].offset] = registers[name];
  }

  /** Takes the time from its registers; the next second is a full one away. */
  #setTime(mode: number): void {
    const registers = {} as TimeRegisters;
    for (const name of TIME_REGISTERS) registers[name] = this.#state.cmos[INDEX[name].offset]!;
    this.#state.offset = fromRegisters(registers, mode) * 1000 - this.#options.clock.wallTime();
    this.#state.checked = this.#now();
  }

  #periods(): number {
    const period = periodNs(this.#state.cmos[INDEX.a.offset]!);
    return period === 0 ? 0 : Math.floor(this.#options.clock.now() / period);
  }

  #nextAlarm(after: number): number {
    const { cmos } = this.#state;
    const alarm = {
      seconds: cmos[INDEX.secondsAlarm.offset]!,
      minutes: cmos[INDEX.minutesAlarm.offset]!,
      hours: cmos[INDEX.hoursAlarm.offset]!,
    };
    return nextAlarm(Math.floor(after / 1000), alarm, this.#b()) * 1000;
  }

  /** Sets the flags of what has happened since the last look. */
  #collect(): void {
    const state = this.#state;
    const now = this.#now();
    const periods = this.#periods();
    let flags = periods !== state.periods ? C.PERIODIC : 0;
    if ((this.#b() & B.SET) === 0) {
      if (Math.floor(now / 1000) > Math.floor(state.checked / 1000)) flags |= C.UPDATE;
      if (this.#nextAlarm(state.checked) <= now) flags |= C.ALARM;
    }
    state.cmos[INDEX.c.offset]! |= flags;
    state.checked = now;
    state.periods = periods;
  }

  /** Drives the interrupt and sets the timer for the next one. An event that is already flagged needs none. */
  #update(): void {
    this.#collect();
    const { clock, timers, irq } = this.#options;
    const { cmos, checked, periods } = this.#state;
    const enabled = this.#b() & EVENTS;
    const pending = cmos[INDEX.c.offset]! & enabled;
    timers.cancel(this.#timer);
    this.#timer = undefined;
    irq.set(pending !== 0);
    if (pending !== 0) return;

    let wait = Number.POSITIVE_INFINITY;
    const period = periodNs(cmos[INDEX.a.offset]!);
    if (enabled & B.PERIODIC && period > 0) wait = (periods + 1) * period - clock.now();
    if ((this.#b() & B.SET) === 0) {
      const seconds = (at: number): number => Math.max(at - checked, MIN_WAIT_MS) * NS_PER_MS;
      if (enabled & B.UPDATE) wait = Math.min(wait, seconds((Math.floor(checked / 1000) + 1) * 1000));
      if (enabled & B.ALARM) wait = Math.min(wait, seconds(this.#nextAlarm(checked)));
    }
    if (wait === Number.POSITIVE_INFINITY) return;
    this.#timer = timers.at(ns(clock.now() + Math.ceil(wait)), () => {
      this.#timer = undefined;
      this.#update();
    });
  }
}
