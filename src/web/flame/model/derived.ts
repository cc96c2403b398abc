/** What follows from the reader's choices: each part is worked out again when something it depends on was changed. */
import type { FlameData } from "../../../perf/flame/data.ts";
import { MODES } from "../../../perf/profile.ts";
import { type CallTree, callTree, type Filter, type Roots } from "./call-tree.ts";
import type { Catalog } from "./catalog.ts";
import { change, type FunctionTotals, functionTotals } from "./function-table.ts";
import type { Layout } from "./layout.ts";
import { calleesOf, calleesOfAll, callersOf, callersOfAll } from "./merged.ts";
import { matchedWeight, matches } from "./search.ts";
import { TimeOrder } from "./time-order.ts";
import { type Timeline, timeline } from "./timeline.ts";
import type { Chosen, ViewState } from "./view-state.ts";

/** Bins of a strip: more than pixels that most screens have for one. */
const BINS = 2048;

/** Keeps the last values: one made from the same as now is taken again. */
function kept<Value>(most = 1): (from: readonly unknown[], make: () => Value) => Value {
  const last: { readonly from: readonly unknown[]; readonly value: Value }[] = [];
  return (from, make) => {
    const at = last.findIndex((one) => one.from.every((part, at) => part === from[at]));
    const [found] = at < 0 ? [{ from, value: make() }] : last.splice(at, 1);
    last.unshift(found!);
    last.length = Math.min(last.length, most);
    return found!.value;
  };
}

function mask(chosen: Chosen, length: number): Uint8Array | undefined {
  if (chosen === undefined) return undefined;
  const bytes = new Uint8Array(length);
  for (const index of chosen) if (index < length) bytes[index] = 1;
  return bytes;
}

export interface Found {
  readonly boxes: Uint8Array;
  /** Weight of the samples that have a match. */
  readonly weight: number;
}

export class Derived {
  readonly #data: FlameData;
  readonly #catalog: Catalog;
  readonly #filter = kept<Filter>();
  /** Heaviest first and as time went have different groups, and people go to and fro. */
  readonly #tree = kept<CallTree>(2);
  readonly #totals = kept<FunctionTotals>(2);
  readonly #timeline = kept<Timeline>();
  readonly #layout = kept<Layout>(3);
  readonly #callers = kept<Layout>();
  readonly #callees = kept<Layout>();
  readonly #found = kept<Uint8Array | undefined>();
  readonly #weight = kept<number>();
  readonly #largest = kept<number>(2);

  constructor(data: FlameData, catalog: Catalog) {
    this.#data = data;
    this.#catalog = catalog;
  }

  filter({ guests, lanes, tasks, modes, range }: ViewState): Filter {
    return this.#filter([guests, lanes, tasks, modes, range?.[0], range?.[1]], () => ({
      guests: mask(guests, this.#data.guests.length),
      lanes: mask(lanes, this.#data.lanes.length),
      tasks: mask(tasks, this.#data.tasks.length),
      modes: mask(modes, MODES.length),
      range,
    }));
  }

  tree(state: ViewState): CallTree {
    const filter = this.filter(state);
    const { guest, vcpu, task } = this.roots(state);
    return this.#tree([filter, guest, vcpu, task, state.widths], () =>
      callTree(this.#data, this.#catalog, filter, { guest, vcpu, task }, state.widths),
    );
  }

  /** In time order each vCPU has its own time: it has to be told apart. */
  roots(state: ViewState): Roots {
    return this.isByTime(state) ? { ...state.roots, guest: true, vcpu: true } : state.roots;
  }

  isByTime(state: ViewState): boolean {
    return state.view === "calls" && state.order === "time";
  }

  totals(state: ViewState): FunctionTotals {
    const tree = this.tree(state);
    return this.#totals([tree], () => functionTotals(tree));
  }

  timeline(state: ViewState): Timeline {
    const { guests, lanes, tasks, modes } = state;
    return this.#timeline([guests, lanes, tasks, modes], () => timeline(this.#data, this.filter(state), BINS));
  }

  layout(state: ViewState): Layout {
    const tree = this.tree(state);
    return this.#layout([tree, state.view, this.isByTime(state)], () => {
      if (state.view === "callers") return callersOfAll(tree);
      if (!this.isByTime(state)) return calleesOfAll(tree);
      const side = state.widths === "b" && this.#data.profiles.length > 1 ? 1 : 0;
      return new TimeOrder(tree, this.#data.profiles, side);
    });
  }

  /** The slices above and below a function. */
  sandwich(state: ViewState, box: number): { readonly callers: Layout; readonly callees: Layout } {
    const tree = this.tree(state);
    return {
      callers: this.#callers([tree, box], () => callersOf(tree, box)),
      callees: this.#callees([tree, box], () => calleesOf(tree, box)),
    };
  }

  /** Throws SyntaxError where the regular expression is none. */
  found(state: ViewState): Found | undefined {
    const boxes = this.#found([state.search, state.isRegex], () =>
      matches(this.#catalog, { text: state.search, isRegex: state.isRegex }),
    );
    if (boxes === undefined) return undefined;
    const tree = this.tree(state);
    return { boxes, weight: this.#weight([tree, boxes], () => matchedWeight(tree, boxes)) };
  }

  /** The largest change of any function's share: what the strongest colour stands for. */
  largestChange(state: ViewState): number {
    const tree = this.tree(state);
    return this.#largest([tree], () => {
      const [a, b] = this.totals(state).sides;
      let largest = 0;
      for (let box = this.#catalog.functions; box < a.total.length; box++) {
        largest = Math.max(largest, Math.abs(change(tree, a.total[box]!, b.total[box]!)));
      }
      return largest;
    });
  }
}
