/** The address after the #: what was chosen comes back, and nonsense is no harm. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { COLOURS, fromAddress, ORDERS, THEMES, toAddress, VIEWS, type ViewState, WIDTHS } from "./view-state.ts";

const rows = fc.option(
  fc.uniqueArray(fc.nat(5000)).map((rows) => rows.toSorted((a, b) => a - b)),
  { nil: undefined },
);
const states: fc.Arbitrary<ViewState> = fc.record({
  view: fc.constantFrom(...VIEWS),
  order: fc.constantFrom(...ORDERS),
  upward: fc.boolean(),
  roots: fc.record({ guest: fc.boolean(), vcpu: fc.boolean(), task: fc.boolean() }),
  colour: fc.constantFrom(...COLOURS),
  widths: fc.constantFrom(...WIDTHS),
  theme: fc.constantFrom(...THEMES),
  search: fc.string({ unit: "grapheme" }),
  isRegex: fc.boolean(),
  range: fc.option(fc.tuple(fc.nat(), fc.nat()), { nil: undefined }),
  filling: fc.option(fc.nat(100_000), { nil: undefined }),
  zoom: fc.array(fc.nat(100_000)),
  guests: rows,
  lanes: rows,
  tasks: rows,
  modes: rows,
});

it("brings every state back", () => {
  fc.assert(
    fc.property(states, states, (state, initial) => {
      const start = {
        ...initial,
        range: undefined,
        filling: undefined,
        zoom: [],
        guests: undefined,
        lanes: undefined,
        tasks: undefined,
        modes: undefined,
      };
      expect(fromAddress(toAddress(state, start), start)).toEqual(state);
      expect(toAddress(start, start)).toBe("");
    }),
    { seed: 1 },
  );
});

it("takes any address, and stays small", () => {
  const initial = fc.sample(states, { numRuns: 1, seed: 3 })[0]!;
  fc.assert(
    fc.property(fc.string(), (address) => {
      fromAddress(address, initial);
    }),
    { seed: 2 },
  );
  const { tasks, view, zoom } = fromAddress(
    "tasks=0-999999999.0-999999999&view=evil&zoom=1.x&%zz=%zz&search=%",
    initial,
  );
  expect(tasks!.length).toBe(65536);
  expect(view).toBe(initial.view);
  expect(zoom).toEqual([]);
});
