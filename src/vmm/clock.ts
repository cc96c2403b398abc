/**
 * The machine's clock: the host's, standing still while the machine is held, so that a guest which was paused does not find
 * its watchdogs expired. The wall clock goes on.
 */
import { type Ns, ns } from "../base/index.ts";
import type { Clock } from "../machine/ports.ts";

export class MachineClock implements Clock {
  readonly #host: Clock;
  /** What the host's clock is ahead. */
  #ahead: number;
  #heldAt: number | undefined;

  /** Starts at 0. */
  constructor(host: Clock) {
    this.#host = host;
    this.#ahead = host.now();
  }

  now(): Ns {
    return ns((this.#heldAt ?? this.#host.now()) - this.#ahead);
  }

  wallTime(): number {
    return this.#host.wallTime();
  }

  hold(): void {
    this.#heldAt ??= this.#host.now();
  }

  release(): void {
    if (this.#heldAt === undefined) return;
    this.#ahead += this.#host.now() - this.#heldAt;
    this.#heldAt = undefined;
  }
}
