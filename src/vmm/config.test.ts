import { describe, expect, it } from "vitest";
import { CONFIG, CONFIG_ROWS, configMarkdown, describeRow, formatSize, resolveConfig } from "./config.ts";
import { nearest } from "./nearest.ts";

const failure = (work: () => unknown): unknown => {
  try {
    work();
  } catch (error) {
    return error;
  }
  throw new Error("it went through");
};

describe("a machine's configuration", () => {
  it("has the documented defaults", () => {
    expect(resolveConfig({})).toEqual({
      name: undefined,
      unlisted: false,
      opaque: false,
      kernel: undefined,
      initrd: undefined,
      append: undefined,
      memory: 536870912,
      cpu: "x86-64-v2",
      onReset: "reboot",
      jit: "on",
      lockstep: 0,
      stats: false,
    });
  });

  it.each([
    ["512M", 512 * 2 ** 20],
    ["3G", 3 * 2 ** 30],
    ["1.5g", 1.5 * 2 ** 30],
    ["2097152", 2 ** 21],
    ["64 MiB", 64 * 2 ** 20],
    [256 * 2 ** 20, 256 * 2 ** 20],
  ])("takes %s as memory", (given, bytes) => {
    expect(resolveConfig({ memory: given }).memory).toBe(bytes);
  });

  it.each(["", "lots", "-1G", "1T", "12", "100G", "1000000", 0, Number.NaN])("refuses %s as memory", (given) => {
    expect(failure(() => resolveConfig({ memory: given }))).toMatchObject({ code: "config.value" });
  });

  it.each([
    ["100", 100],
    [0, 0],
    [1_000_000, 1_000_000],
  ])("takes %s as a count", (given, count) => {
    expect(resolveConfig({ lockstep: given }).lockstep).toBe(count);
  });

  it.each(["", "often", "-1", "1.5", 0.5, "1e3", 1_000_001])("refuses %s as a count", (given) => {
    expect(failure(() => resolveConfig({ lockstep: given }))).toMatchObject({ code: "config.value" });
  });

  it("takes a switch as true or false, and nothing else", () => {
    expect(resolveConfig({ stats: true }).stats).toBe(true);
    expect(failure(() => resolveConfig({ stats: "yes" as unknown as boolean }))).toMatchObject({
      code: "config.value",
    });
  });

  it("counts nothing in lockstep", () => {
    const both = { stats: true, lockstep: 10 };
    expect(failure(() => resolveConfig(both))).toMatchObject({ code: "config.stats" });
  });

  it("names the choices when refusing another", () => {
    const error = failure(() => resolveConfig({ cpu: "pentium" as "max" }));
    expect(error).toMatchObject({ code: "config.value", message: expect.stringContaining("x86-64-v2") });
  });

  it("finds what a mistyped option was meant to be", () => {
    const error = failure(() => resolveConfig({ memroy: "1G" } as object));
    expect(error).toMatchObject({ code: "config.unknown", message: expect.stringContaining('"memory"') });
  });

  it("refuses an initrd without a kernel", () => {
    expect(failure(() => resolveConfig({ initrd: "x" }))).toMatchObject({ code: "config.initrd" });
  });

  it("names each flag after its option, as the command line expects", () => {
    for (const [key, row] of CONFIG_ROWS) {
      expect(row.flag).toBe(`--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`);
    }
    expect(new Set(CONFIG_ROWS.map(([, row]) => row.flag)).size).toBe(CONFIG_ROWS.length);
  });

  it("documents every row", () => {
    expect(describeRow(CONFIG.memory)).toContain("default 512M");
    for (const [key] of CONFIG_ROWS) expect(configMarkdown()).toContain(`\`${key}\``);
  });

  it("formats sizes in the largest whole unit", () => {
    expect([2 ** 30, 1536 * 2 ** 20, 5, 0].map(formatSize)).toEqual(["1G", "1536M", "5", "0"]);
  });
});

describe("the nearest name", () => {
  it.each([
    ["--memry", "--memory"],
    ["--Memory", "--memory"],
    ["--kernal", "--kernel"],
    ["--frobnicate", undefined],
    ["x", undefined],
  ])("of %s is %s", (word, name) => {
    expect(nearest(word, ["--memory", "--kernel", "--initrd"])).toBe(name);
  });
});
