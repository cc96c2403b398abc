/**
 * Exits, counted: how often the vCPU's thread left guest code for what, and how long that took. A table in shared memory that the machine's
 * thread writes and a watcher reads.
 */
import { HOST_WORK, type HostWorkName, WORK } from "../../cpu/host-work.ts";

/** Different details that each work may have; a larger one is counted with the last. */
const DETAILS: Partial<Record<HostWorkName, number>> = { operation: 64, event: 256, port: 64, memory: 64 };
const FIRST: number[] = [];
let rows = 0;
for (const name of HOST_WORK) {
  FIRST.push(rows);
  rows += DETAILS[name] ?? 1;
}
/** Of the logarithm of the time in nanoseconds, to base 2. */
export const EXIT_BUCKETS = 32;
/** Count, nanoseconds in all, shortest, longest, sum of the squares; then the buckets. */
const NUMBERS = 5 + EXIT_BUCKETS;
export const EXITS_SIZE = rows * NUMBERS * Float64Array.BYTES_PER_ELEMENT;

export interface ExitRow {
  readonly work: HostWorkName;
  readonly detail: number;
  readonly count: number;
  /** Nanoseconds. */
  readonly total: number;
  readonly least: number;
  readonly most: number;
  /** Sum of the squares, for the spread. */
  readonly squares: number;
  /** How many took from 2^i to below 2^(i+1) nanoseconds. */
  readonly buckets: readonly number[];
}

export class ExitTable {
  readonly #numbers: Float64Array;

  constructor(buffer: SharedArrayBuffer, at: number) {
    this.#numbers = new Float64Array(buffer, at, rows * NUMBERS);
  }

  clear(): void {
    this.#numbers.fill(0);
  }

  add(work: number, detail: number, took: number): void {
    const numbers = this.#numbers;
    const most = (DETAILS[HOST_WORK[work]!] ?? 1) - 1;
    const row = (FIRST[work]! + Math.min(detail, most)) * NUMBERS;
    const count = numbers[row]!;
    numbers[row] = count + 1;
    numbers[row + 1]! += took;
    if (count === 0 || took < numbers[row + 2]!) numbers[row + 2] = took;
    if (took > numbers[row + 3]!) numbers[row + 3] = took;
    numbers[row + 4]! += took * took;
    numbers[row + 5 + Math.min(EXIT_BUCKETS - 1, 31 - Math.clz32(Math.max(1, took)))]!++;
  }

  /** All that happened at all. */
  read(): ExitRow[] {
    return HOST_WORK.flatMap((work) =>
      Array.from({ length: DETAILS[work] ?? 1 }, (_, detail) => {
        const row = (FIRST[WORK[work]]! + detail) * NUMBERS;
        const [count = 0, total = 0, least = 0, most = 0, squares = 0, ...buckets] = this.#numbers.subarray(
          row,
          row + NUMBERS,
        );
        return { work, detail, count, total, least, most, squares, buckets };
      }).filter(({ count }) => count > 0),
    );
  }
}
