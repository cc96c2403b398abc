/** Where the vCPU's thread is at a moment, as it says itself and other threads see. */
import { COUNTERS } from "../memory-map.ts";

/** What COUNTERS.where says. */
export const WHERE = { outside: 0, interpreter: 1, compiled: 2, device: 3 } as const;
/** Its word of linear memory. */
export const PLACE = COUNTERS.where >> 2;

/**
 * Looks where the thread of a vCPU is at this moment; called from another thread, again and again, it finds out how generated code's time
 * is divided, which no clock in the code itself could say without slowing down what it measures.
 */
export function sampler(memory: WebAssembly.Memory): () => void {
  const words = new Int32Array(memory.buffer);
  const places = Object.values(WHERE).length;
  return () => {
    const where = words[PLACE]!;
    if (where >= 0 && where < places) words[(COUNTERS.samples >> 2) + where]!++;
  };
}
