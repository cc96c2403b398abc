/** Time and randomness of a browser, as the ports of a machine. */
import { ns } from "../../base/index.ts";
import type { Clock, Entropy } from "../../machine/ports.ts";

const NS_PER_MS = 1e6;
/** What getRandomValues gives at a time (Web Cryptography API, 10.1.1). */
const MAX_RANDOM = 65536;

/**
 * Monotonic, since the thread was started (High Resolution Time, 8). Browsers make it coarse, so that a page cannot time
 * the processor's caches: steps of 5 µs to 20 µs in a page that is isolated, as ours has to be anyway.
 */
export const hostClock: Clock = {
  now: () => ns(Math.floor(performance.now() * NS_PER_MS)),
  wallTime: () => Date.now(),
};

export const hostEntropy: Entropy = {
  fill: (into) => {
    for (let at = 0; at < into.length; at += MAX_RANDOM) {
      // The browser refuses memory that threads share.
      const part = new Uint8Array(Math.min(into.length - at, MAX_RANDOM));
      into.set(crypto.getRandomValues(part), at);
    }
  },
};
