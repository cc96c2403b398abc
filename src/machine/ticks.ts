/**
 * Counters derived from the machine's clock. A counter is never advanced step by step: its value is computed
 * from the time, so it cannot drift, and reading it costs the same however long the guest slept.
 */
import { type Ns, ns } from "../base/index.ts";

const NS_PER_SECOND = 1e9;

/** A clock of `hz` that has run since the machine was created. */
export class TickRate {
  readonly #hz: number;

  constructor(hz: number) {
    this.#hz = hz;
  }

  /** Ticks completed at `time`. */
  at(time: Ns): number {
    return Math.floor((time * this.#hz) / NS_PER_SECOND);
  }

  /** The first nanosecond at which `tick` ticks are completed. */
  timeOf(tick: number): Ns {
    let time = Math.ceil((tick * NS_PER_SECOND) / this.#hz);
    while (this.at(ns(time)) < tick) time += 1;
    return ns(time);
  }
}

/**
 * The shortest time between two interrupts of one periodic timer. A guest can program periods down to
 * a nanosecond; without a floor the host would do nothing but fire them (denial of service).
 */
export const MIN_TIMER_PERIOD = ns(50_000);

/**
 * When a periodic timer that started at `start` fires next after `now`. Periods that have passed
 * meanwhile are coalesced into the interrupt already given: the guest gets one, not a burst, and the phase
 * stays that of `start`. Periods under the floor are fired at a multiple of their length. Unit: that of the arguments.
 */
export function nextPeriod(start: number, period: number, now: number, floor: number = MIN_TIMER_PERIOD): number {
  const step = period >= floor ? period : period * Math.ceil(floor / period);
  return start + (Math.floor((now - start) / step) + 1) * step;
}
