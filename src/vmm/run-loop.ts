/**
 * The run loop: drives one vCPU in slices and serves timers and the outside world between them. Knows no threads and no
 * host: it waits through a port.
 */
import { type Ns, ns } from "../base/index.ts";
import type { Clock } from "../machine/ports.ts";
import type { Timers } from "../machine/timers.ts";
import type { SliceEnd, Vcpu } from "./vcpu.ts";

/** How the run loop rests. It must use no host CPU. */
export interface Waiter {
  /** Returns at `until` on the machine's clock, or earlier when something came from outside since `look` began. */
  wait(until: Ns): void;
}

export interface RunLoopPorts {
  readonly clock: Clock;
  readonly timers: Pick<Timers, "run" | "next">;
  readonly vcpu: Pick<Vcpu, "run" | "instructions">;
  readonly waiter: Waiter;
  /** Serves what came from outside. Says whether the guest may run, and how the run ends where it shall. */
  look(): "run" | "pause" | "stop";
  /** Passes on what the guest sent. */
  flush(): void;
  /** The guest stopped, reset or switched off the machine in this slice. False ends the run. */
  settle(end: SliceEnd): boolean;
}

/** How long a slice should take; a timer fires at most about this late, or twice this when the guest's pace changes. */
const SLICE_NS = 500_000;
/** Instructions of a slice. The least keeps a slow guest from spending its time in this loop, the most bounds a slice
 *  after a guest's slow stretch (device accesses, page faults) has ended. */
export const MIN_BUDGET = 1_000;
export const MAX_BUDGET = 250_000;
/** A shorter slice says little about the guest's pace. */
const MIN_MEASURED = MIN_BUDGET / 2;
/** A slice ends early for a timer, but is not cut shorter than this for one. */
const MIN_SLICE_NS = 20_000;

const FOREVER = ns(Number.POSITIVE_INFINITY);

export class RunLoop {
  readonly #ports: RunLoopPorts;
  /** Instructions a nanosecond, by the last full slices. */
  #pace = 0.02;

  constructor(ports: RunLoopPorts) {
    this.#ports = ports;
  }

  /** Runs the machine until `look` or `settle` ends it. */
  run(): void {
    const { timers, vcpu, waiter } = this.#ports;
    for (;;) {
      const order = this.#ports.look();
      if (order === "stop") return;
      if (order === "pause") {
        waiter.wait(FOREVER);
        continue;
      }
      timers.run();
      const started = this.#ports.clock.now();
      const before = vcpu.instructions;
      const end = vcpu.run(this.#budget(started));
      this.#measure(vcpu.instructions - before, this.#ports.clock.now() - started);
      this.#ports.flush();
      if (!this.#ports.settle(end)) return;
      if (end === "halted") waiter.wait(timers.next());
    }
  }

  #budget(now: Ns): number {
    const length = Math.max(MIN_SLICE_NS, Math.min(SLICE_NS, this.#ports.timers.next() - now));
    return Math.min(MAX_BUDGET, Math.max(MIN_BUDGET, Math.floor(length * this.#pace)));
  }

  /**
   * Takes the pace of this slice over at once when it was slow, and slowly when it was fast: a slice too short costs
   * little, one too long delays timers.
   */
  #measure(instructions: number, took: number): void {
    if (instructions < MIN_MEASURED) return;
    const pace = instructions / Math.max(took, 1);
    this.#pace = pace < this.#pace ? pace : this.#pace + (pace - this.#pace) / 8;
  }
}
