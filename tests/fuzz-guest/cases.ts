/** Runs a fuzzer's cases one by one, and keeps what went wrong with what is needed to have it again. */
import { Random } from "../fuzz/random.ts";

export interface FuzzResult {
  readonly cases: number;
  /** Cases that still had in them what was looked for. */
  readonly found: number;
  /** What went wrong, with what to run again. */
  readonly failures: readonly string[];
  /** Of the longest case. */
  readonly slowest: { readonly index: number; readonly milliseconds: number };
}

export interface FuzzOptions {
  readonly seed: number;
  readonly count: number;
  /** The first case's number. */
  readonly from?: number;
  /** A case that takes longer is a failure. */
  readonly limit?: number;
  /** Milliseconds, from any start. */
  readonly now: () => number;
}

export interface FuzzKind {
  readonly name: string;
  /** True where it still had in it what was looked for. */
  run(random: Random): boolean;
}

/** No case comes near it. */
const LIMIT_MS = 10_000;

/** Each case is of a kind that chance picks. */
export function runCases(
  { seed, count, from = 0, limit = LIMIT_MS, now }: FuzzOptions,
  kinds: readonly FuzzKind[],
): FuzzResult {
  const failures: string[] = [];
  let found = 0;
  let slowest = { index: from, milliseconds: 0 };
  for (let index = from; index < from + count; index++) {
    const random = new Random(seed, index);
    const began = now();
    const kind = random.pick(kinds);
    try {
      if (kind.run(random)) found++;
    } catch (error) {
      const what = error instanceof Error ? (error.stack ?? error.message) : String(error);
      failures.push(`seed ${seed} case ${index} (${kind.name}): ${what}`);
    }
    const milliseconds = now() - began;
    if (milliseconds > limit)
      failures.push(`seed ${seed} case ${index} (${kind.name}) took ${milliseconds.toFixed(0)} ms`);
    if (milliseconds > slowest.milliseconds) slowest = { index, milliseconds };
  }
  return { cases: count, found, failures, slowest };
}
