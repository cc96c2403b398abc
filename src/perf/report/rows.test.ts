import { describe, expect, it } from "vitest";
import { randomProfile } from "../../../tests/perf/random-profile.ts";
import type { Profile } from "../profile.ts";
import { type Call, callsOf } from "./calls.ts";
import { FrameNames } from "./frame-names.ts";
import { SORT_KEYS, type SortKey } from "./keys.ts";
import { type CallOrder, type Report, report } from "./rows.ts";

/** What a report should be, sample by sample with no thought for speed. */
function bruteForce(profile: Profile, sort: readonly SortKey[], children: boolean) {
  const names = new FrameNames(profile);
  const { samples, stacks } = profile;
  const rows = new Map<string, { self: number; total: number; samples: number }>();
  for (let i = 0; i < samples.stack.length; i++) {
    const frames: number[] = [];
    for (let s = samples.stack[i]!; s >= 0; s = stacks.caller[s]!) frames.push(stacks.frame[s]!);
    if (frames.length === 0) frames.push(names.withoutStack(samples.mode[i]!));
    const keys = frames.map((frame) => {
      const subject = { frame, task: samples.task[i]!, vcpu: samples.vcpu[i]! };
      return sort.map((key) => keyOf(names, key, subject)).join(" | ");
    });
    for (const key of new Set(keys)) {
      const at = keys.indexOf(key);
      if (at > 0 && !children) continue;
      const row = rows.get(key) ?? { self: 0, total: 0, samples: 0 };
      row.total += samples.weight[i]!;
      if (at === 0) {
        row.self += samples.weight[i]!;
        row.samples++;
      }
      rows.set(key, row);
    }
  }
  return rows;
}

/** Symbols of the same name in two guests' kernels are two; in a module or program of theirs that has the same name, one. */
const keyOf = (names: FrameNames, key: SortKey, subject: Parameters<(typeof SORT_KEYS)["sym"]["text"]>[1]): string =>
  SORT_KEYS[key].text(names, subject) + (key === "sym" ? ` ${names.dso(subject.frame)}` : "");

const SORTS: readonly (readonly SortKey[])[] = [
  ["comm", "dso", "sym"],
  ["sym"],
  ["guest", "vcpu", "dso"],
  ["guest", "tid"],
  ["mode", "pid", "guest"],
];

describe.each([1, 2, 3, 4])("a report of random profile %i", (seed) => {
  const profile = randomProfile(seed, { samples: 3000 });

  it.each(SORTS.flatMap((sort) => [true, false].map((children) => ({ sort, children }))))(
    "sums up $sort, children $children",
    ({ sort, children }) => {
      const expected = bruteForce(profile, sort, children);
      const { rows, names, total } = report(profile, {
        sort,
        children,
        graph: true,
        order: "caller",
        filter: {},
        relative: false,
      });
      const found = new Map(
        rows.map((row) => [
          sort.map((key) => keyOf(names, key, row)).join(" | "),
          { self: row.self, total: row.total, samples: row.samples },
        ]),
      );
      expect(found.size).toBe(rows.length);
      expect(found).toEqual(expected);
      expect(total).toBe(profile.samples.weight.reduce((a, b) => a + b, 0));
      const weights = rows.map((row) => row.total);
      expect(weights).toEqual([...weights].sort((a, b) => b - a));
    },
  );

  it.each(["caller", "callee"] as const)("puts all of a row in its call graph, read from the %s", (order) => {
    for (const children of [true, false]) {
      const result = report(profile, {
        sort: ["comm", "sym"],
        children,
        graph: true,
        order,
        filter: {},
        relative: false,
      });
      const chains = chainsByHand(profile, result, order);
      for (const row of result.rows) {
        const calls = callsOf(result, row);
        expect(calls.reduce((sum, call) => sum + call.weight, 0)).toBe(row.total);
        expect(flattened(result, calls)).toEqual(chains.get(row.id));
      }
    }
  });

  it("filters by what a sample is", () => {
    const all = report(profile, {
      sort: ["sym"],
      children: false,
      graph: false,
      order: "callee",
      filter: {},
      relative: false,
    });
    const filter = { guests: ["guest-1"], comms: ["task-1", "task-2"], vcpus: [1], time: { from: 1e5, to: 2e6 } };
    const some = report(profile, {
      sort: ["guest", "comm", "vcpu"],
      children: false,
      graph: false,
      order: "callee",
      filter,
      relative: true,
    });
    expect(some.rows.map(({ task, vcpu }) => [profile.tasks[task]!.guest, vcpu])).toEqual([
      [1, 1],
      [1, 1],
    ]);
    expect(some.rows.reduce((sum, row) => sum + row.self, 0)).toBe(some.total);
    const { names } = all;
    const symbol = names.symbol(all.rows[0]!.frame)!;
    const filtered = (sort: readonly SortKey[]): Report =>
      report(profile, {
        sort,
        children: true,
        graph: true,
        order: "callee",
        filter: { symbols: [symbol] },
        relative: false,
      });
    const named = all.rows.filter((row) => names.symbol(row.frame) === symbol);
    const self = named.reduce((sum, row) => sum + row.self, 0);
    // Rows of symbols have what they called, too; rows of tasks the samples at the symbol.
    const one = filtered(["sym"]);
    expect(one.rows.map((row) => row.self)).toEqual(named.map((row) => row.self));
    expect(one.rows.every((row) => row.total > row.self)).toBe(true);
    expect(filtered(["comm"]).rows.reduce((sum, row) => sum + row.total, 0)).toBe(self);
    expect(one.total).toBe(all.total);
  });
});

/** By row: each chain as text, with its weight. */
function chainsByHand(profile: Profile, result: Report, order: CallOrder): Map<number, Map<string, number>> {
  const { names, options } = result;
  const { samples, stacks } = profile;
  const rowIds = new Map(
    result.rows.map((row) => [`${profile.tasks[row.task]!.comm} ${names.functionClass[row.frame]}`, row.id]),
  );
  const chains = new Map<number, Map<string, number>>();
  for (let i = 0; i < samples.stack.length; i++) {
    // From the sample up.
    const frames: number[] = [];
    for (let s = samples.stack[i]!; s >= 0; s = stacks.caller[s]!) frames.push(stacks.frame[s]!);
    if (frames.length === 0) frames.push(names.withoutStack(samples.mode[i]!));
    const comm = profile.tasks[samples.task[i]!]!.comm;
    const ids = frames.map((frame) => rowIds.get(`${comm} ${names.functionClass[frame]}`)!);
    for (const id of options.children ? new Set(ids) : [ids[0]!]) {
      let chain = frames;
      if (order === "callee") chain = frames.slice(ids.indexOf(id));
      else if (ids[0] !== id) chain = frames.slice(0, ids.lastIndexOf(id) + 1);
      if (order === "caller") chain = [...chain].reverse();
      const text = chain.map((frame) => names.functionClass[frame]).join(" ");
      const mine = chains.get(id) ?? new Map<string, number>();
      chains.set(id, mine.set(text, (mine.get(text) ?? 0) + samples.weight[i]!));
    }
  }
  return chains;
}

function flattened(result: Report, calls: readonly Call[], before = ""): Map<string, number> {
  const found = new Map<string, number>();
  for (const call of calls) {
    const text = before + String(result.names.functionClass[call.frame]);
    if (call.self > 0) found.set(text, call.self);
    for (const [chain, weight] of flattened(result, call.calls, `${text} `)) found.set(chain, weight);
  }
  return found;
}
