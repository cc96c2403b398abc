/**
 * The local APIC's timer, SDM vol. 3A 11.5.4: one-shot, periodic and TSC-deadline. Its input clock runs at 1 GHz,
 * so that a count is a nanosecond times the divisor. The count is computed from the time it started;
 * only a count that can interrupt has a host timer, so a masked timer costs nothing.
 */
import { type Ns, ns } from "../../base/index.ts";
import type { Clock } from "../ports.ts";
import { nextPeriod } from "../ticks.ts";
import type { Timer, Timers } from "../timers.ts";
import { TIMER_MODE } from "./apic-registers.ts";

/** The rate of the timer's input clock. */
export const APIC_TIMER_HZ = 1_000_000_000;

export interface ApicTimerState {
  initialCount: number;
  /** The divide configuration register as written. */
  divide: number;
  mode: number;
  masked: boolean;
  /** A count is going on: false after an expired one-shot. */
  running: boolean;
  /** When the count stood at its initial value. */
  start: number;
  /** TSC deadline as a time; 0 when disarmed. */
  deadline: number;
}

export const apicTimerReset = (): ApicTimerState => ({
  initialCount: 0,
  divide: 0,
  mode: TIMER_MODE.oneShot,
  masked: true,
  running: false,
  start: 0,
  deadline: 0,
});

/** Divide configuration bits 3, 1, 0: 2, 4, 8 .. 128, and 1 for all ones. */
export const divisor = (divide: number): number => 1 << ((((divide >> 1) & 4) + (divide & 3) + 1) & 7);

export class ApicTimer {
  #state: ApicTimerState;
  readonly #clock: Clock;
  readonly #timers: Timers;
  /** Called when the count reaches zero with the interrupt not masked. */
  readonly #expired: () => void;
  #armed: Timer | undefined;

  constructor(state: ApicTimerState, clock: Clock, timers: Timers, expired: () => void) {
    this.#state = state;
    this.#clock = clock;
    this.#timers = timers;
    this.#expired = expired;
  }

  /** Goes on from another state: a reset or a snapshot. */
  adopt(state: ApicTimerState): void {
    this.#state = state;
    this.#arm();
  }

  get currentCount(): number {
    return this.#countAt(this.#clock.now());
  }

  /** A write to the initial count register starts the count; 0 stops it. In TSC-deadline mode it is ignored. */
  setInitialCount(count: number): void {
    const s = this.#state;
    if (s.mode === TIMER_MODE.tscDeadline) return;
    this.#settle();
    s.initialCount = count;
    s.running = count !== 0;
    s.start = this.#clock.now();
    this.#arm();
  }

  /** A new divisor: the count goes on from where it is, at the new rate. */
  setDivide(divide: number): void {
    this.#settle();
    const count = this.currentCount;
    this.#state.divide = divide;
    this.#continueFrom(count);
  }

  /** Mode and mask of the LVT entry; the reserved mode 3 counts like one-shot. Entering or leaving TSC-deadline mode disarms; else the count goes on. */
  configure(mode: number, masked: boolean): void {
    const s = this.#state;
    this.#settle();
    const count = this.currentCount;
    const crosses = mode !== s.mode && (mode === TIMER_MODE.tscDeadline || s.mode === TIMER_MODE.tscDeadline);
    s.mode = mode;
    s.masked = masked;
    if (crosses) {
      s.deadline = 0;
      s.initialCount = 0;
      s.running = false;
    }
    this.#continueFrom(count);
  }

  /** IA32_TSC_DEADLINE as a time; 0 disarms. Outside TSC-deadline mode writes are ignored. */
  setDeadline(deadline: Ns | 0): void {
    if (this.#state.mode !== TIMER_MODE.tscDeadline) return;
    this.#settle();
    this.#state.deadline = deadline;
    this.#arm();
  }

  get deadline(): Ns {
    const { mode, deadline } = this.#state;
    return ns(mode === TIMER_MODE.tscDeadline && deadline > this.#clock.now() ? deadline : 0);
  }

  #countAt(now: Ns): number {
    const { mode, running, initialCount, start, divide } = this.#state;
    if (!running || mode === TIMER_MODE.tscDeadline) return 0;
    const elapsed = Math.floor((now - start) / divisor(divide));
    return mode === TIMER_MODE.periodic ? initialCount - (elapsed % initialCount) : Math.max(0, initialCount - elapsed);
  }

  #continueFrom(count: number): void {
    const s = this.#state;
    if (s.running) s.start = this.#clock.now() - (s.initialCount - count) * divisor(s.divide);
    this.#arm();
  }

  /** What was due before the guest changes the timer happens first. */
  #settle(): void {
    const now = this.#clock.now();
    if (this.#armed !== undefined && this.#armed.deadline <= now) {
      this.#timers.cancel(this.#armed);
      this.#fire();
    }
    if (this.#state.mode !== TIMER_MODE.periodic && this.#countAt(now) === 0) this.#state.running = false;
  }

  #arm(): void {
    this.#timers.cancel(this.#armed);
    this.#armed = undefined;
    const { mode, running, masked, initialCount, start, divide, deadline } = this.#state;
    if (mode === TIMER_MODE.tscDeadline) {
      if (deadline === 0) return;
      if (deadline <= this.#clock.now()) this.#fire();
      else this.#armed = this.#timers.at(ns(deadline), this.#fire);
    } else if (running && !masked) {
      const period = initialCount * divisor(divide);
      const at = mode === TIMER_MODE.periodic ? nextPeriod(start, period, this.#clock.now()) : start + period;
      this.#armed = this.#timers.at(ns(at), this.#fire);
    }
  }

  readonly #fire = (): void => {
    const s = this.#state;
    this.#armed = undefined;
    if (s.mode === TIMER_MODE.tscDeadline) s.deadline = 0;
    else if (s.mode === TIMER_MODE.periodic) this.#arm();
    else s.running = false;
    if (!s.masked) this.#expired();
  };
}
