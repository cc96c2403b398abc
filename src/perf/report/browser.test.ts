import { beforeEach, describe, expect, it } from "vitest";
import { INFO, randomProfile } from "../../../tests/perf/random-profile.ts";
import { ProfileBuilder } from "../builder.ts";
import type { Profile } from "../profile.ts";
import { type Annotate, Browser } from "./browser.ts";
import { keysOf } from "./keyboard.ts";
import { defaultOptions } from "./rows.ts";
import { paint } from "./screen.ts";

const SIZE = { columns: 100, rows: 24 };

/** main calls work (70, half of it in leaf) and rest (30); an evil task beside them. */
function smallProfile(): Profile {
  const builder = new ProfileBuilder();
  const guest = builder.guest({ name: "web", hostPid: 7000, vcpuThreads: [7001], opaque: false });
  const dso = builder.dso({ kind: "user", guest, name: "/bin/spin" });
  const frame = (name: string, start: number) => {
    const symbol = builder.symbol({ name, dso, start, size: 64 });
    return builder.frame({ address: start + 4, offset: start + 4, dso, symbol, mode: "guest.user" });
  };
  const main = builder.stack(-1, frame("main", 0x1000));
  const work = builder.stack(main, frame("work", 0x1040));
  const leaf = builder.stack(work, frame("leaf", 0x1080));
  const rest = builder.stack(main, frame("rest", 0x10c0));
  const task = builder.task({ guest, pid: 5, tid: 5, comm: "spin" });
  const evil = builder.task({ guest, pid: 6, tid: 6, comm: "\x1b[2Jevil\x07" });
  const sample = (stack: number, weight: number, whose = task): void =>
    builder.sample({ time: 0, stack, task: whose, vcpu: 0, mode: "guest.user", weight });
  sample(leaf, 35);
  sample(work, 35);
  sample(rest, 20);
  sample(rest, 10, evil);
  return builder.build(INFO);
}

describe("the interactive report", () => {
  const asked: number[] = [];
  const annotate: Annotate = (symbol) => {
    asked.push(symbol);
    return {
      title: "work in spin",
      lines: [
        { percent: 0, text: "1040: push rbp" },
        { percent: 90, text: "1041: add eax, 1" },
        { percent: 10, text: "1044: ret" },
      ],
    };
  };
  let browser: Browser;
  beforeEach(() => {
    const profile = smallProfile();
    browser = new Browser(profile, defaultOptions(profile), annotate);
  });

  const shown = (): string[] =>
    browser
      .screen(SIZE)
      .map(({ spans, selected }) => (selected === true ? "> " : "  ") + spans.map((s) => s.text).join(""));
  const rows = (): string[] =>
    shown()
      .slice(2, -1)
      .filter((text) => text.trim() !== "");
  const press = (typed: string): boolean =>
    keysOf(typed)
      .map((key) => browser.press(key))
      .every(Boolean);
  const last = (): string => shown().at(-1)!.trim();

  it("shows rows with their shares", () => {
    expect(shown()[0]).toContain("Samples: 4 of event 'cpu-clock', 100 ns");
    expect(shown()[1]).toMatch(/Children +Self +Command +Shared Object +Symbol/);
    expect(rows()[0]).toMatch(/^> \+ +90.00% +0.00% +spin +spin +\[u\] main/);
    expect(rows()).toHaveLength(6);
  });

  it("opens and closes call graphs, branch by branch", () => {
    press("\r");
    expect(
      rows()
        .slice(0, 4)
        .map((row) => row.trim()),
    ).toEqual([
      expect.stringMatching(/^> - +90.00%/),
      // All go through main: it is open at once.
      expect.stringMatching(/^- +90.00% main$/),
      expect.stringMatching(/^\+ +70.00% work$/),
      expect.stringMatching(/^20.00% rest$/),
    ]);
    press("\x1b[B\x1b[B+");
    expect(rows()[3]!.trim()).toMatch(/^35.00% leaf$/);
    press("\x1b[A\x1b[A+");
    expect(rows()).toHaveLength(6);
    press("e");
    expect(
      rows()
        .map((row) => row.trim())
        .filter((row) => row.endsWith(" leaf")),
    ).toHaveLength(2);
    press("C");
    expect(rows()).toHaveLength(6);
  });

  it("filters, and takes the filter away", () => {
    press("/LEA");
    expect(last()).toBe("Filter: LEA_");
    press("\x7fa\r");
    expect(rows()).toHaveLength(1);
    expect(rows()[0]).toContain("[u] leaf");
    press("\x1b");
    expect(rows()).toHaveLength(6);
  });

  it("sorts by what is typed, and says what is wrong", () => {
    press("s\x15guest\r");
    expect(rows()).toEqual([expect.stringMatching(/100.00% +100.00% +web$/)]);
    press("s\x15nothing\r");
    expect(last()).toMatch(/^No sort key "nothing": guest, vcpu/);
    press("ssym\r");
    expect(last()).toMatch(/No sort key/);
  });

  it("zooms in and out", () => {
    press("t");
    expect(shown()[0]).toContain(", comm spin");
    expect(rows().every((row) => row.includes("spin "))).toBe(true);
    expect(rows()).toHaveLength(4);
    press("\x1b[D");
    expect(rows()).toHaveLength(6);
    press("d");
    expect(shown()[0]).toContain(", dso spin");
  });

  it("annotates the symbol under the cursor, at its hottest instruction", () => {
    press("\x1b[B");
    expect(rows()[1]).toContain("work");
    press("a");
    expect(asked.length).toBe(1);
    expect(rows()).toEqual(["           | 1040: push rbp", ">    90.00 | 1041: add eax, 1", "     10.00 | 1044: ret"]);
    press("q");
    expect(rows()).toHaveLength(6);
  });

  it("lets no name of a guest reach the terminal as it is", () => {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: what is looked for
    const codes = paint(browser.screen(SIZE), SIZE).match(/\x1b\[[0-9]*[a-zA-Z]|\x07/g)!; // oxlint-disable-line no-control-regex
    expect(new Set(codes)).toEqual(
      new Set(["\x1b[H", "\x1b[K", "\x1b[J", "\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[7m", "\x1b[31m"]),
    );
    expect(shown().join("\n")).toContain("evil");
  });

  it("ends with q, with control-C, and with escape where there is nothing to go back to", () => {
    expect(press("?")).toBe(true);
    expect(shown().join("\n")).toContain("zoom into");
    expect(press("q")).toBe(true);
    expect(press("\x1b")).toBe(false);
    expect(press("q")).toBe(false);
    expect(press("/\x03")).toBe(false);
  });

  it("keeps the cursor on the screen, whatever its size", () => {
    const profile = randomProfile(3, { samples: 2000 });
    const large = new Browser(profile, defaultOptions(profile), annotate);
    for (const [keys, size] of [
      ["\x1b[F", { columns: 40, rows: 10 }],
      ["\x1b[5~", { columns: 40, rows: 30 }],
      ["\x1b[6~\x1b[A", { columns: 10, rows: 4 }],
      ["\x1b[H", { columns: 1, rows: 1 }],
    ] as const) {
      for (const key of keysOf(keys)) large.press(key);
      const lines = large.screen(size);
      expect(lines.filter(({ selected }) => selected)).toHaveLength(1);
      expect(paint(lines, size).split("\r\n").length).toBeLessThanOrEqual(size.rows);
    }
  });
});
