import type { Ns } from "../base/index.ts";

/**
 * The ports through which the outside world enters a machine. Nothing in `machine/`
 * or `devices/` reads time, randomness or input any other way, so that a run can be
 * recorded, replayed and tested.
 */
export interface Clock {
  /** Monotonic time since the machine was created. Never goes back. */
  now(): Ns;
  /** Wall-clock time, in milliseconds since 1970-01-01T00:00Z; read by the RTC only. */
  wallTime(): number;
}

export interface Entropy {
  /** Fills `into` with random bytes. */
  fill(into: Uint8Array): void;
}

/**
 * One wire between a device and an interrupt controller's input. Level-triggered
 * devices hold it high until served; edge-triggered ones raise and lower it.
 */
export interface IrqLine {
  set(high: boolean): void;
}
