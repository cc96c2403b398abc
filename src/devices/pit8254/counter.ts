/**
 * One counter of the 8254 (Intel 82C54 data sheet, "Mode Definitions"). Nothing counts: the counting element and OUT
 * are functions of the ticks since the count was loaded. A tick is a falling edge of CLK; a count that
 * is written is loaded on the next one.
 */
import { ACCESS, CONTROL, STATUS } from "./registers.ts";

export interface CounterState {
  mode: number;
  access: number;
  bcd: boolean;
  gate: boolean;
  /** The count register: 1 to 65536 (10000 in BCD), or 0 before the first is written. */
  reload: number;
  /** The count in use; 0 while none is loaded. */
  count: number;
  /** The tick at which the counting element held `count`. */
  start: number;
  /** Ticks done when the gate stopped the counter, or -1 while it runs. */
  stoppedAt: number;
  /** Modes 2 and 3: the tick at which `reload` replaces `count`, or -1. */
  switchAt: number;
  /** That tick is in mid-period of mode 3. */
  switchLow: boolean;
  /** The low byte of a count that is written in two, or -1. */
  pendingLow: number;
  readHigh: boolean;
  latched: number;
  latchedStatus: number;
}

export const counterPowerUp = (gate: boolean): CounterState => ({
  mode: 3,
  access: ACCESS.both,
  bcd: false,
  gate,
  reload: 0,
  count: 0,
  start: 0,
  stoppedAt: -1,
  switchAt: -1,
  switchLow: false,
  pendingLow: -1,
  readHigh: false,
  latched: -1,
  latchedStatus: -1,
});

const NEVER = Number.POSITIVE_INFINITY;

export class Counter {
  state: CounterState;

  constructor(state: CounterState) {
    this.state = state;
  }

  /** A control word for this counter: stops it until a count is written. */
  setControl(value: number): void {
    const s = this.state;
    const mode = (value >> CONTROL.modeShift) & 7;
    Object.assign(s, counterPowerUp(s.gate), {
      mode: mode > 5 ? mode - 4 : mode,
      access: (value >> CONTROL.accessShift) & 3,
      bcd: (value & CONTROL.bcd) !== 0,
    });
  }

  /** A byte of the count. */
  write(value: number, tick: number): void {
    const s = this.state;
    this.#advance(tick);
    if (s.access === ACCESS.low) this.#load(value, tick);
    else if (s.access === ACCESS.high) this.#load(value << 8, tick);
    else if (s.pendingLow < 0) {
      s.pendingLow = value;
      // Mode 0: the first byte stops the count at once.
      if (s.mode === 0) s.count = 0;
    } else {
      this.#load((value << 8) | s.pendingLow, tick);
      s.pendingLow = -1;
    }
  }

  read(tick: number): number {
    const s = this.state;
    if (s.latchedStatus >= 0) {
      const status = s.latchedStatus;
      s.latchedStatus = -1;
      return status;
    }
    const value = s.latched >= 0 ? s.latched : this.#element(tick);
    let high = s.access === ACCESS.high;
    let last = true;
    if (s.access === ACCESS.both) {
      high = s.readHigh;
      s.readHigh = !s.readHigh;
      last = high;
    }
    if (last) s.latched = -1;
    return high ? value >> 8 : value & 0xff;
  }

  /** Holds the count for reading; a latch not yet read stays. */
  latchCount(tick: number): void {
    if (this.state.latched < 0) this.state.latched = this.#element(tick);
  }

  latchStatus(tick: number): void {
    const s = this.state;
    if (s.latchedStatus >= 0) return;
    s.latchedStatus =
      (this.out(tick) ? STATUS.out : 0) |
      (this.#isNull(tick) ? STATUS.nullCount : 0) |
      (s.access << CONTROL.accessShift) |
      (s.mode << CONTROL.modeShift) |
      (s.bcd ? CONTROL.bcd : 0);
  }

  /** GATE: a level in modes 0, 2, 3 and 4, a trigger in 1, 2, 3 and 5. */
  setGate(gate: boolean, tick: number): void {
    const s = this.state;
    if (gate === s.gate) return;
    this.#advance(tick);
    const elapsed = this.#elapsed(tick);
    s.gate = gate;
    switch (s.mode) {
      case 0:
      case 4:
        if (s.count === 0) break;
        if (gate) s.start = tick - s.stoppedAt;
        s.stoppedAt = gate ? -1 : Math.max(elapsed, 0);
        break;
      case 2:
      case 3:
        s.stoppedAt = gate ? -1 : Math.max(elapsed, 0);
        if (gate && s.reload !== 0) this.#trigger(tick);
        break;
      default:
        if (gate && s.reload !== 0) this.#trigger(tick);
    }
  }

  /** The OUT pin. */
  out(tick: number): boolean {
    this.#advance(tick);
    const s = this.state;
    const { mode, count } = s;
    const e = this.#elapsed(tick);
    if (count === 0) return mode !== 0;
    switch (mode) {
      case 0:
        return e >= count;
      case 1:
        return e < 0 || e >= count;
      case 2:
        return !s.gate || e < 0 || e % count !== count - 1;
      case 3:
        return !s.gate || e < 0 || e % count < highHalf(count);
      default:
        return e !== count;
    }
  }

  /** The first tick after `tick` at which OUT rises, or Infinity. */
  nextRise(tick: number): number {
    this.#advance(tick);
    const s = this.state;
    if (s.count === 0 || s.stoppedAt >= 0) return NEVER;
    const { start, count, switchAt } = s;
    const once = (at: number): number => (at > tick ? at : NEVER);
    switch (s.mode) {
      case 0:
      case 1:
        return once(start + count);
      case 2:
      case 3: {
        const next = start + Math.max(1, Math.floor((tick - start) / count) + 1) * count;
        if (switchAt < 0 || next <= switchAt) return next;
        return switchAt + (s.switchLow ? s.reload - highHalf(s.reload) : s.reload);
      }
      default:
        return once(start + count + 1);
    }
  }

  /** Ticks between two rises; 0 if it does not repeat. */
  get period(): number {
    const { mode, count } = this.state;
    return mode === 2 || mode === 3 ? count : 0;
  }

  /** The modulus of the counting element. */
  get #span(): number {
    return this.state.bcd ? 10_000 : 65_536;
  }

  #elapsed(tick: number): number {
    const { stoppedAt, start } = this.state;
    return stoppedAt >= 0 ? stoppedAt : tick - start;
  }

  /** Takes a whole count as written. */
  #load(written: number, tick: number): void {
    const s = this.state;
    const value = s.bcd ? fromBcd(written) % 10_000 : written;
    s.reload = value === 0 ? this.#span : value;
    // A period of 1 is not allowed in modes 2 and 3; the shortest that is stands in.
    const periodic = s.mode === 2 || s.mode === 3;
    if (periodic && s.reload === 1) s.reload = 2;
    if (s.mode === 1 || s.mode === 5) return;
    if (!periodic || s.count === 0) {
      this.#trigger(tick);
      s.stoppedAt = s.gate ? -1 : 0;
      return;
    }
    // Running: the new count follows the current period, in mode 3 the current half of it.
    const e = Math.max(this.#elapsed(tick), 0);
    const phase = e % s.count;
    s.switchLow = s.mode === 3 && phase < highHalf(s.count);
    s.switchAt = s.start + e - phase + (s.switchLow ? highHalf(s.count) : s.count);
  }

  /** Loads the count register on the next tick. */
  #trigger(tick: number): void {
    const s = this.state;
    s.count = s.reload;
    s.start = tick + 1;
    s.switchAt = -1;
  }

  /** Makes a count that has become due the current one. */
  #advance(tick: number): void {
    const s = this.state;
    if (s.switchAt < 0 || s.stoppedAt >= 0 || tick < s.switchAt) return;
    s.count = s.reload;
    s.start = s.switchLow ? s.switchAt - highHalf(s.reload) : s.switchAt;
    s.switchAt = -1;
  }

  /** What a read of the counter gives. */
  #element(tick: number): number {
    this.#advance(tick);
    const { mode, count, bcd } = this.state;
    if (count === 0) return 0;
    const e = Math.max(this.#elapsed(tick), 0);
    let value: number;
    if (mode === 2) value = count - (e % count);
    else if (mode === 3) value = squareWave(count, e % count);
    else value = (((count - e) % this.#span) + this.#span) % this.#span;
    value %= this.#span;
    return bcd ? toBcd(value) : value;
  }

  /** A count was written that the counting element does not hold yet. */
  #isNull(tick: number): boolean {
    const s = this.state;
    this.#advance(tick);
    return s.count === 0 || s.switchAt >= 0 || s.count !== s.reload || (s.stoppedAt < 0 && tick < s.start);
  }
}

/** Mode 3: OUT is high for the larger half of an odd count. */
const highHalf = (count: number): number => (count + 1) >> 1;

/** Mode 3 counts by two, twice per period; an odd count starts from the even number below it. */
const squareWave = (count: number, phase: number): number => {
  const high = highHalf(count);
  return (count & ~1) - 2 * (phase < high ? phase : phase - high);
};

const fromBcd = (value: number): number =>
  (value >> 12) * 1000 + ((value >> 8) & 15) * 100 + ((value >> 4) & 15) * 10 + (value & 15);

const toBcd = (value: number): number =>
  (Math.floor(value / 1000) << 12) |
  ((Math.floor(value / 100) % 10) << 8) |
  ((Math.floor(value / 10) % 10) << 4) |
  (value % 10);
