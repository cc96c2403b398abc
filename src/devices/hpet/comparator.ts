/**
 * One timer of the HPET and the 64-bit arithmetic it needs. 64-bit values are pairs of unsigned 32-bit halves;
 * differences are plain numbers, exact below 2^53 ticks (three years), and farther ones never come due.
 */
import { MIN_TIMER_PERIOD, nextPeriod } from "../../machine/ticks.ts";
import { HPET_HZ, TIMER, TIMER_REGISTERS } from "./registers.ts";

export interface Wide {
  low: number;
  high: number;
}

const TWO_32 = 2 ** 32;

export const plus = (a: Wide, ticks: number): Wide => {
  const low = a.low + (ticks % TWO_32);
  return { low: low % TWO_32, high: (a.high + Math.floor(ticks / TWO_32) + (low >= TWO_32 ? 1 : 0)) % TWO_32 };
};

/** Ticks from `from` up to `to`, around the end of the counter if need be: 0 to 2^64 (2^32 for `only32`). */
const distance = (from: Wide, to: Wide, only32: boolean): number => {
  if (only32) return (to.low - from.low) >>> 0;
  const difference = (to.high - from.high) * TWO_32 + (to.low - from.low);
  return difference < 0 ? difference + TWO_32 * TWO_32 : difference;
};

export interface ComparatorState {
  config: number;
  value: Wide;
  period: Wide;
  /** VAL_SET was written: the next write to the comparator goes to its value, in periodic mode. */
  setValue: boolean;
  /** The low half was written under VAL_SET; the high half follows. */
  setHigh: boolean;
  /** The clock tick of the next match, or -1 while the counter stands still or the match is out of reach. */
  match: number;
}

export const comparatorReset = (): ComparatorState => ({
  config: TIMER_REGISTERS.config.reset,
  value: { low: TIMER_REGISTERS.comparatorLow.reset, high: TIMER_REGISTERS.comparatorHigh.reset },
  period: { low: 0, high: 0 },
  setValue: false,
  setHigh: false,
  match: -1,
});

/** Beyond this many ticks (a year and a half) nothing is scheduled. */
const HORIZON = 2 ** 52;
/** The shortest period that loses no interrupt: what the ACPI HPET table calls the minimum tick. */
export const HPET_MINIMUM_TICK = (MIN_TIMER_PERIOD * HPET_HZ) / 1e9;

export const has = (s: ComparatorState, bit: number): boolean => (s.config & bit) !== 0;

/** Finds the next match: when `counter`, which it is at `tick`, next becomes equal to the comparator. */
export function schedule(s: ComparatorState, counter: Wide, tick: number): void {
  const only32 = has(s, TIMER.only32);
  const ahead = distance(counter, s.value, only32) || (only32 ? TWO_32 : HORIZON);
  s.match = ahead < HORIZON ? tick + ahead : -1;
}

/**
 * After a match: a periodic comparator moves on by its period, past `counter` and past what a slow guest missed.
 * The interrupts of the periods it passes are coalesced into one.
 */
export function advance(s: ComparatorState, counter: Wide): void {
  const period = s.period.high * TWO_32 + s.period.low;
  if (!has(s, TIMER.periodic) || period === 0) return;
  const only32 = has(s, TIMER.only32);
  const step = nextPeriod(0, period, distance(s.value, counter, only32), HPET_MINIMUM_TICK);
  if (!(step < HORIZON)) return;
  s.value = plus(s.value, step);
  if (only32) s.value.high = 0;
}

export function writeConfig(s: ComparatorState, value: number): void {
  const { writable } = TIMER_REGISTERS.config;
  const route = (value >> TIMER.routeShift) & TIMER.routeMask;
  // A route that is not offered is not taken: software reads the field back to see.
  const offered = route === 0 || (TIMER_REGISTERS.routes.reset & (1 << route)) !== 0;
  const kept = offered ? 0 : TIMER.routeMask << TIMER.routeShift;
  const bits = writable & ~TIMER.setValue & ~kept;
  s.config = (s.config & ~bits) | (value & bits);
  s.setValue = (value & TIMER.setValue) !== 0;
  s.setHigh = false;
  if (!has(s, TIMER.only32)) return;
  s.value.high = 0;
  s.period.high = 0;
}

/**
 * A write to one half of the comparator. In one-shot mode it sets the value. In periodic mode it sets the period,
 * and the value as well if VAL_SET was written before (2.3.9.2.2).
 */
export function writeComparator(s: ComparatorState, half: keyof Wide, written: number): void {
  const value = half === "high" && has(s, TIMER.only32) ? 0 : written;
  const periodic = has(s, TIMER.periodic);
  const follows = half === "high" && s.setHigh;
  if (!periodic || s.setValue || follows) s.value[half] = value;
  if (periodic) s.period[half] = value;
  s.setHigh = half === "low" && s.setValue;
  s.setValue = false;
}
