/** Trees of random profiles under random choices, beside a program that does the same with lists of names. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { randomProfile } from "../../../../tests/flame/profiles.ts";
import { type FlameData, flameData } from "../../../perf/flame/data.ts";
import { type PlainSample, plainSamples, plainTree, treeOf } from "./brute-force.ts";
import { callTree } from "./call-tree.ts";
import { catalogOf } from "./catalog.ts";
import { Derived } from "./derived.ts";
import { functionTotals } from "./function-table.ts";
import { type Box, pathTo } from "./layout.ts";
import { calleesOf, calleesOfAll, callersOf, callersOfAll } from "./merged.ts";
import { matchedWeight, matches } from "./search.ts";
import type { Chosen, ViewState } from "./view-state.ts";

const SAMPLES = 120;

const some = (count: number): fc.Arbitrary<Chosen> =>
  fc.option(
    fc.uniqueArray(fc.nat(count - 1)).map((rows) => rows.toSorted((a, b) => a - b)),
    { nil: undefined },
  );

const choices = fc.record({
  guests: some(3),
  lanes: some(6),
  tasks: some(20),
  modes: some(3),
  range: fc.option(
    fc.tuple(fc.nat(SAMPLES * 1000), fc.nat(SAMPLES * 1000)).map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const),
    { nil: undefined },
  ),
  roots: fc.record({ guest: fc.boolean(), vcpu: fc.boolean(), task: fc.boolean() }),
  widths: fc.constantFrom("a" as const, "b" as const, "both" as const),
});

const stateOf = (choice: Partial<ViewState>): ViewState => ({
  view: "calls",
  order: "heavy",
  upward: false,
  colour: "mode",
  theme: "auto",
  search: "",
  isRegex: false,
  filling: undefined,
  zoom: [],
  range: undefined,
  guests: undefined,
  lanes: undefined,
  tasks: undefined,
  modes: undefined,
  roots: { guest: false, vcpu: false, task: false },
  widths: "a",
  ...choice,
});

interface Case {
  readonly data: FlameData;
  readonly state: ViewState;
}
const cases: fc.Arbitrary<Case> = fc.tuple(fc.nat(1000), fc.boolean(), choices).map(([seed, isComparison, choice]) => ({
  data: flameData(randomProfile(seed, SAMPLES), isComparison ? randomProfile(seed + 1, SAMPLES) : undefined),
  state: stateOf(choice),
}));

/** The tree and, of what it should be, the samples, with the weights that boxes are as wide as. */
function both({ data, state }: Case) {
  const catalog = catalogOf(data);
  const tree = new Derived(data, catalog).tree(state);
  const samples = plainSamples(data, catalog, state, state.roots);
  const sum = (profile: number): number =>
    samples.reduce((sum, sample) => (sample.profile === profile ? sum + sample.weight : sum), 0);
  const [a, b] = [sum(0), sum(1)];
  const { widths } = state;
  const scale =
    data.profiles.length < 2 || widths === "a"
      ? [1, 0]
      : widths === "b"
        ? [0, 1]
        : a === 0 || b === 0
          ? [1, 1]
          : [1 / 2, a / b / 2];
  const weighed = samples
    .map((sample) => ({ ...sample, weight: sample.weight * scale[sample.profile]! }))
    .filter(({ weight }) => weight > 0);
  return { catalog, tree, samples, weighed, a, b, total: weighed.reduce((sum, { weight }) => sum + weight, 0) };
}

function expectSame(found: ReturnType<typeof treeOf>, wanted: ReturnType<typeof treeOf>): void {
  expect([...found.keys()].sort()).toEqual([...wanted.keys()].sort());
  for (const [chain, { total, self }] of wanted) {
    expect(found.get(chain)!.total, `total of ${chain}`).toBeCloseTo(total, 6);
    expect(found.get(chain)!.self, `self of ${chain}`).toBeCloseTo(self, 6);
  }
}

const runs = { numRuns: 150, seed: 7 };
const check = (property: (one: Case) => void): void => fc.assert(fc.property(cases, property), runs);

describe("the call tree", () => {
  it("has the totals of the samples that pass, of each profile and of all", () =>
    check((one) => {
      const { tree, samples, a, b, total } = both(one);
      expect(tree.samples).toBe(samples.length);
      expect(tree.sides.map(({ total }) => total[0])).toEqual([a, b]);
      expect(tree.total[0]).toBeCloseTo(total, 6);
      expect(tree.self.reduce((sum, self) => sum + self, 0)).toBeCloseTo(total, 6);
    }));

  it("merges from the root down as lists of names do", () =>
    check((one) => {
      const { tree, weighed } = both(one);
      expectSame(treeOf(calleesOfAll(tree)), plainTree(weighed));
    }));

  it("merges from the leaves up as reversed lists do", () =>
    check((one) => {
      const { tree, weighed } = both(one);
      const reversed = weighed.map(({ stack, weight }) => ({ stack: stack.toReversed(), weight }));
      expectSame(treeOf(callersOfAll(tree)), plainTree(reversed));
    }));

  it("puts above and below a function what called it, and what it called, from its outermost call", () =>
    check((one) => {
      const { tree, weighed, catalog } = both(one);
      for (let box = catalog.functions; box < catalog.names.length; box++) {
        const cut = (of: (sample: PlainSample, at: number) => readonly number[]) =>
          weighed.flatMap((sample) => {
            const at = sample.stack.indexOf(box);
            return at < 0 ? [] : [{ stack: of(sample, at), weight: sample.weight }];
          });
        const callees = calleesOf(tree, box);
        const below = cut(({ stack }, at) => stack.slice(at + 1));
        expectSame(treeOf(callees), plainTree(below));
        expect(callees.total).toBeCloseTo(
          below.reduce((sum, { weight }) => sum + weight, 0),
          6,
        );
        const above = cut(({ stack }, at) => stack.slice(0, at).toReversed());
        expectSame(treeOf(callersOf(tree, box)), plainTree(above));
      }
    }));

  it("gives each function its self and total weight, recursion once", () =>
    check((one) => {
      const { tree, weighed, catalog } = both(one);
      const { self, total } = functionTotals(tree);
      for (let box = 0; box < catalog.names.length; box++) {
        const sum = (passes: (stack: readonly number[]) => boolean): number =>
          weighed.reduce((sum, { stack, weight }) => (passes(stack) ? sum + weight : sum), 0);
        if (box > 0)
          expect(total[box]).toBeCloseTo(
            sum((stack) => stack.includes(box)),
            6,
          );
        expect(self[box]).toBeCloseTo(
          sum((stack) => stack.at(-1) === box),
          6,
        );
      }
    }));

  it("gives boxes the weights of both profiles", () =>
    check((one) => {
      const { tree, samples } = both(one);
      const sides = [0, 1].map((side) => plainTree(samples.filter(({ profile }) => profile === side)));
      const layout = calleesOfAll(tree);
      const walk = (box: Box, path: readonly number[]): void => {
        for (const child of layout.below(box)) {
          const chain = [...path, child.box];
          const [a, b] = sides.map((side) => side.get(chain.join(" "))?.total ?? 0);
          expect([child.a, child.b]).toEqual([a, b]);
          walk(child, chain);
        }
      };
      walk(layout.root, []);
    }));

  it("finds the share that a search matches, each sample once", () =>
    check((one) => {
      const { tree, weighed, catalog } = both(one);
      for (const search of [
        { text: "F1", isRegex: false },
        { text: "^f[2-4]$", isRegex: true },
        { text: "^F", isRegex: true },
      ]) {
        const found = matches(catalog, search)!;
        const wanted = catalog.names.map((name) =>
          search.isRegex ? new RegExp(search.text).test(name) : name.toLowerCase().includes(search.text.toLowerCase()),
        );
        expect([...found].map(Boolean)).toEqual(wanted);
        const weight = weighed.reduce(
          (sum, { stack, weight }) => (stack.some((box) => wanted[box]) ? sum + weight : sum),
          0,
        );
        expect(matchedWeight(tree, found)).toBeCloseTo(weight, 6);
      }
    }));
});

describe("a layout", () => {
  it("paints what it finds at each place, and all of what is wide enough", () =>
    check((one) => {
      const { tree, total } = both(one);
      for (const layout of [calleesOfAll(tree), callersOfAll(tree)]) {
        const least = total / 40;
        let painted = 0;
        layout.paint(0, total, least, (box, depth, start, weight, _a, _b, isMany) => {
          if (isMany || weight === 0) return;
          painted++;
          const found = layout.at(start + weight / 2, depth)!;
          expect([found.box, found.start, found.weight]).toEqual([box, start, weight]);
          const path = pathTo(layout, found);
          expect(path).toHaveLength(depth + 1);
          expect(layout.find(path.slice(1).map(({ box }) => box))).toBe(found);
        });
        const wide = (box: Box): number =>
          layout.below(box).reduce((sum, child) => sum + (child.weight >= least ? 1 + wide(child) : 0), 0);
        if (total > 0) expect(painted).toBe(1 + wide(layout.root));
      }
    }));

  it("shows samples as time went: runs of neighbours with the same callers", () =>
    check(({ data, state }) => {
      const byTime = { ...state, order: "time" as const };
      const catalog = catalogOf(data);
      const derived = new Derived(data, catalog);
      const side = state.widths === "b" && data.profiles.length > 1 ? 1 : 0;
      const samples = plainSamples(data, catalog, byTime, derived.roots(byTime)).filter(
        ({ profile }) => profile === side,
      );
      const wanted: string[] = [];
      let total = 0;
      /** Open runs by depth: what leads there, and since when. */
      let open: { readonly key: string; readonly start: number }[] = [];
      const close = (keep: number): void => {
        for (const [depth, { key, start }] of open.entries())
          if (depth >= keep) wanted.push(`${key}: ${start} ${total}`);
        open = open.slice(0, keep);
      };
      for (const { stack, weight } of samples) {
        const keys = ["0", ...stack.map((_, at) => [0, ...stack.slice(0, at + 1)].join(" "))];
        const shared = keys.findIndex((key, depth) => open[depth]?.key !== key);
        close(shared < 0 ? keys.length : shared);
        for (let depth = open.length; depth < keys.length; depth++) open.push({ key: keys[depth]!, start: total });
        total += weight;
      }
      close(0);
      const layout = derived.layout(byTime);
      expect(layout.total).toBe(total);
      const found: string[] = [];
      layout.paint(0, total, 0, (box, depth, start, weight) => {
        const run = layout.at(start + weight / 2, depth)!;
        expect([run.box, run.start, run.weight]).toEqual([box, start, weight]);
        found.push(
          `${pathTo(layout, run)
            .map(({ box }) => box)
            .join(" ")}: ${start} ${start + weight}`,
        );
      });
      expect(found.sort()).toEqual(wanted.sort());
    }));

  it("covers in time order what is there, also where runs are too narrow to be drawn alone", () => {
    const data = flameData(randomProfile(5, 5000));
    const state = stateOf({ order: "time" });
    const layout = new Derived(data, catalogOf(data)).layout(state);
    const least = layout.total / 100;
    const covered: number[] = [];
    const end: number[] = [];
    layout.paint(0, layout.total, least, (_box, depth, start, weight) => {
      expect(start).toBeGreaterThanOrEqual(end[depth] ?? 0);
      end[depth] = start + weight;
      covered[depth] = (covered[depth] ?? 0) + weight;
    });
    // Everything, guests, vCPUs, and the first function of nearly all.
    for (const depth of [0, 1, 2]) expect(covered[depth]).toBeCloseTo(layout.total, 6);
    expect(covered[3]).toBeGreaterThan(layout.total * 0.9);
  });
});

it("groups samples without a stack, and an empty profile, without failing", () => {
  const data = flameData(randomProfile(1, 0));
  const tree = callTree(data, catalogOf(data), {}, { guest: true, vcpu: true, task: true }, "both");
  expect([tree.length, tree.samples, tree.total[0]]).toEqual([1, 0, 0]);
  expect(calleesOfAll(tree).at(0, 0)).toBeUndefined();
});
