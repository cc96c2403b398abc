import { describe, expect, it } from "vitest";
import type { CpuStatistics } from "../sys/node/index.ts";
import { statisticsTable, statisticsText } from "./statistics.ts";

const STATISTICS: CpuStatistics = {
  instructions: { retired: 12_345_678, compiled: 12_000_000 },
  exits: { budget: 100, attention: 20, fault: 3, leave: 4000, step: 0, halted: 7 },
  events: { interrupts: 60, faultsInside: 900, deviceAccesses: 55, regionsEntered: 1_000_000 },
  tlb: { hits: 3_000_000, misses: 1_000_000, walks: 999 },
  time: { interpreter: 25e6, compiler: 25e6, compiled: 50e6, devices: 0, other: 0, samples: 75 },
  code: { regions: 80, regionsMade: 90, regionsDropped: 10, bytes: 2 ** 20, bytesMade: 2 ** 21, decodedBytes: 4096 },
};

describe("statistics at the end of a run", () => {
  const table = statisticsTable(STATISTICS);
  const line = (name: string): string => table.split("\n").find((one) => one.startsWith(name)) ?? "";

  it.each([
    ["instructions", /12,345,678$/],
    ["TLB hits", /3,000,000 {2}75\.0 %$/],
    ["TLB misses", /1,000,000 {2}25\.0 %$/],
    ["exits, halted", / 7$/],
    ["time, compiled code", /50\.0 ms {2}50\.0 %$/],
    ["time, devices", / 0\.0 ms {2}0\.000 %$/],
    ["code cache, compiled", / 1,024 KiB {2}2,048 KiB made$/],
    ["code cache, regions", / 80 {2}90 made, 10 dropped$/],
  ])("say %s", (name, wanted) => {
    expect(line(name)).toMatch(wanted);
  });

  it("stand in columns", () => {
    const ends = ["instructions", "exits, budget", "time, compiler", "page walks", "code cache, decoded"].map(
      (name) => {
        const one = line(name);
        return one.search(/( {2}\d+\.\d+ %)?$/);
      },
    );
    expect(new Set(ends).size).toBe(1);
  });

  it("are all there as JSON", () => {
    expect(JSON.parse(statisticsText(STATISTICS, true))).toEqual(STATISTICS);
  });

  it("say why there are none", () => {
    expect(statisticsText(undefined, false)).toBe("viv: no statistics: the machine was ended by force\n");
  });
});
