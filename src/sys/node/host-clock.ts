/** Time and randomness of this host, as the ports of a machine. */
import { randomFillSync } from "node:crypto";
import { performance } from "node:perf_hooks";
import { ns } from "../../base/index.ts";
import type { Clock, Entropy } from "../../machine/ports.ts";

const NS_PER_MS = 1e6;

/** Monotonic (CLOCK_MONOTONIC below), whole nanoseconds; since the thread was started. */
export const hostClock: Clock = {
  now: () => ns(Math.floor(performance.now() * NS_PER_MS)),
  wallTime: () => Date.now(),
};

export const hostEntropy: Entropy = {
  fill: (into) => {
    randomFillSync(into);
  },
};
