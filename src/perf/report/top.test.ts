import { describe, expect, it } from "vitest";
import { randomProfile } from "../../../tests/perf/random-profile.ts";
import { keysOf } from "./keyboard.ts";
import { report } from "./rows.ts";
import { EMPTY_TOP, nextTop, topScreen } from "./top.ts";
import { TopView } from "./top-view.ts";

const options = { sort: ["dso", "sym"], filter: {}, zero: false } as const;
const profile = randomProfile(1, { samples: 500, guests: 1 });

describe("top", () => {
  const first = nextTop(EMPTY_TOP, profile, options);

  it("begins as a report of what came", () => {
    const { rows, total } = report(profile, {
      ...options,
      children: false,
      graph: false,
      order: "callee",
      relative: false,
    });
    expect(first.rows.map(({ weight }) => weight)).toEqual(rows.filter(({ self }) => self > 0).map(({ self }) => self));
    expect(first).toMatchObject({ total, samples: 500, lost: 0 });
  });

  it("lets fade what no longer comes, by an eighth each time", () => {
    const nothing = randomProfile(1, { samples: 0, guests: 1 });
    let state = first;
    for (let i = 0; i < 5; i++) state = nextTop(state, nothing, options);
    expect(state.total).toBeCloseTo(first.total * (7 / 8) ** 5, 5);
    expect(state.rows.map(({ cells }) => cells)).toEqual(first.rows.map(({ cells }) => cells));
    expect(nextTop(first, nothing, { ...options, zero: true }).rows).toEqual([]);
  });

  it("puts new samples above old ones, matched by name in another guest's profile", () => {
    const other = nextTop(first, randomProfile(2, { samples: 5000, guests: 1 }), options);
    expect(other.rows.length).toBe(first.rows.length);
    expect(other.samples).toBe(5500);
  });

  it("fits the screen", () => {
    const screen = topScreen(first, options.sort, "web, 999 Hz", { columns: 60, rows: 12 });
    const text = screen.map(({ spans }) => spans.map((span) => span.text).join(""));
    expect(text).toHaveLength(11);
    expect(text[0]).toBe("Samples: 500  web, 999 Hz");
    expect(text[1]).toMatch(/^ Overhead {2}Shared Object +Symbol/);
    expect(text[2]).toMatch(/^ +\d+\.\d\d% {2}\S+ +\[[gu.]\] /);
  });
});

describe("top on a terminal", () => {
  const view = new TopView(options, "web");
  const text = (): string[] =>
    view.screen({ columns: 80, rows: 10 }).map(({ spans }) => spans.map((span) => span.text).join(""));
  const press = (keys: string): boolean => keysOf(keys).every((key) => view.press(key));

  it("shows what came, scrolls, pauses and forgets", () => {
    expect(text()[0]).toBe("Samples: 0  web");
    view.update(profile);
    const full = text();
    expect(full).toHaveLength(10);
    press("\x1b[B\x1b[B");
    expect(text().slice(2, 7)).toEqual(full.slice(4, 9));
    press("\x1b[Hp");
    view.update(profile);
    expect(text().slice(0, 9)).toEqual(full.slice(0, 9));
    expect(text()[9]).toContain("(paused)");
    press("pz");
    view.update(randomProfile(1, { samples: 0, guests: 1 }));
    expect(
      text()
        .slice(2, 9)
        .every((row) => row === ""),
    ).toBe(true);
    expect(press("q")).toBe(false);
  });
});
