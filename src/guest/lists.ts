/**
 * The kernel's linked lists (include/linux/list.h, types.h): `list_head` is {next, prev}, `hlist_head` {first},
 * `hlist_node` {next, pprev}, where pprev is the address of the pointer that leads here. Their members have never
 * moved.
 *
 * Every step checks the way back, which is also what makes a walk end: in memory that stands still an entry that comes
 * a second time would need two entries before it. In memory that changes the budget ends it.
 */
import type { Gva } from "../base/index.ts";
import { type AddressSpace, Unreadable } from "./memory.ts";

const NEXT = 0;
const BACK = 8;

/** What was read contradicts itself: it changed meanwhile, or was never what it claims to be. */
export class Inconsistent extends Error {
  override readonly name = "Inconsistent";
}

/** More than a guest of this size can have. */
export class TooMany extends Error {
  override readonly name = "TooMany";
}

/**
 * How many entries a whole look at something may touch, so that lists that change under the walk or lists of lists come
 * to an end.
 */
export class Budget {
  readonly #most: number;
  #left: number;

  constructor(most: number) {
    this.#most = most;
    this.#left = most;
  }

  /** Throws TooMany. */
  spend(count = 1): void {
    this.#left -= count;
    if (this.#left < 0) throw new TooMany(`more than ${this.#most} entries`);
  }
}

/** The entries of a list by the addresses of their `list_head`s. Throws Unreadable, Inconsistent, TooMany. */
export function* walkList(space: AddressSpace, head: Gva, budget: Budget): Generator<Gva, void> {
  for (let at = head; ; ) {
    const next = space.pointer(at, NEXT);
    if (space.pointer(next, BACK) !== at) throw new Inconsistent("a list's link does not lead back");
    if (next === head) return;
    budget.spend();
    yield next;
    at = next;
  }
}

/** The entries of an `hlist_head`, or of an `hlist_nulls_head`, whose end is an odd number. Throws as `walkList`. */
export function* walkHashChain(space: AddressSpace, head: Gva, budget: Budget): Generator<Gva, void> {
  for (let link = head; ; ) {
    if ((space.u32(link) & 1) !== 0) return;
    const node = space.pointer(link);
    if (node === 0) return;
    if (space.pointer(node, BACK) !== link) throw new Inconsistent("a hash chain's link does not lead back");
    budget.spend();
    yield node;
    link = node;
  }
}

/** Rows that were read, and what is missing. */
export interface Listing<Row> {
  readonly rows: readonly Row[];
  /** Why something is missing or doubtful, a phrase each; empty: nothing is. */
  readonly gaps: readonly string[];
}

/** Items that can not be read before a listing gives up: a hostile guest makes each cost us an exception. */
const MOST_LOST = 1000;

/** True of what a changing or hostile guest makes a reader throw; everything else is passed on. */
export const isGuestFault = (error: unknown): error is Unreadable | Inconsistent | TooMany =>
  error instanceof Unreadable || error instanceof Inconsistent || error instanceof TooMany;

/**
 * Puts what `read` makes of each item into `rows`; what can not be read is counted in `gaps` under the name `what`.
 * Throws as `items`, and TooMany.
 */
export function readEach<Item, Row>(
  items: Iterable<Item>,
  read: (item: Item) => Row | undefined,
  rows: Row[],
  gaps: string[],
  what: string,
): void {
  let lost = 0;
  try {
    for (const item of items) {
      try {
        const row = read(item);
        if (row !== undefined) rows.push(row);
      } catch (error) {
        if (!isGuestFault(error) || error instanceof TooMany) throw error;
        lost++;
        if (lost > MOST_LOST) throw new TooMany(`more than ${MOST_LOST} that can not be read`);
      }
    }
  } finally {
    if (lost > 0) gaps.push(`${lost} ${what} changed while they were read`);
  }
}

/**
 * What `read` gives. A guest that runs changes its lists meanwhile, so what fails is tried once more; what fails again
 * stays as far as it came, and says so.
 */
export function readListing<Row>(read: (rows: Row[], gaps: string[]) => void): Listing<Row> {
  let best: { rows: Row[]; gaps: string[] } | undefined;
  for (let attempt = 0; attempt < 2; attempt++) {
    const rows: Row[] = [];
    const gaps: string[] = [];
    try {
      read(rows, gaps);
    } catch (error) {
      if (!isGuestFault(error)) throw error;
      gaps.push(`cut after ${rows.length}: ${error.message}`);
      if (error instanceof TooMany) return { rows, gaps };
    }
    if (gaps.length === 0) return { rows, gaps };
    if (!best || rows.length > best.rows.length || gaps.length < best.gaps.length) best = { rows, gaps };
  }
  return best!;
}

/** What `read` gives, or undefined where the guest's memory does not bear it out, tried twice. */
export function tryRead<T>(read: () => T): T | undefined {
  for (let attempt = 0; attempt < 2; attempt++) {
    try {
      return read();
    } catch (error) {
      if (!isGuestFault(error)) throw error;
    }
  }
  return undefined;
}
