import { type Ns, ns } from "../base/index.ts";
import type { Clock } from "./ports.ts";

/** One pending call. `deadline` is on the machine's clock. */
export interface Timer {
  readonly deadline: Ns;
  readonly fire: () => void;
}

const NEVER = ns(Number.POSITIVE_INFINITY);

/**
 * The machine's timer queue: devices ask to be called at a time on the machine's clock.
 * The run loop calls `run` between slices and sleeps until `next` when the guest halts.
 * A timer never fires early; how late it may be is bounded by the length of a slice.
 */
export class Timers {
  readonly #clock: Clock;
  /** Sorted by deadline; a machine has about a dozen. */
  readonly #pending: Timer[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  at(deadline: Ns, fire: () => void): Timer {
    const timer = { deadline, fire };
    let i = this.#pending.length;
    while (i > 0 && this.#pending[i - 1]!.deadline > deadline) i--;
    this.#pending.splice(i, 0, timer);
    return timer;
  }

  cancel(timer: Timer | undefined): void {
    if (timer === undefined) return;
    const i = this.#pending.indexOf(timer);
    if (i >= 0) this.#pending.splice(i, 1);
  }

  /** When the earliest timer is due; Infinity when there is none. */
  next(): Ns {
    return this.#pending.length > 0 ? this.#pending[0]!.deadline : NEVER;
  }

  /** Fires all that is due, in order of deadline. */
  run(): void {
    while (this.#pending.length > 0 && this.#pending[0]!.deadline <= this.#clock.now()) {
      this.#pending.shift()!.fire();
    }
  }
}
