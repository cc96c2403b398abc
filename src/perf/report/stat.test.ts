import { describe, expect, it } from "vitest";
import { ExitStatistics, statLines } from "./stat.ts";

const statistics = new ExitStatistics();
for (const time of [1000, 3000, 2000]) statistics.add("HLT", time);
for (let i = 0; i < 97; i++) statistics.add("EPT_VIOLATION", 10);
const report = {
  guest: "web\x1b[31m",
  duration: 2e9,
  exits: statistics.reasons(),
  counters: [{ name: "instructions", value: 3_000_000_000 }],
};
const lines = (options: Parameters<typeof statLines>[1]): string[] => [...statLines(report, options)];

describe("exit statistics", () => {
  it("are laid out as perf kvm stat does", () => {
    const text = lines({ sort: "samples", histogram: false });
    expect(text[0]).toMatch(/^Analyze events for web\\(e|x1b)\[31m, all VCPUs:$/);
    // tools/perf/builtin-kvm.c: the deviation is of the mean: 1000 / sqrt(3), of 2000.
    expect(text.slice(2, 7).map((line) => line.trim().replaceAll(/ +/g, " "))).toEqual([
      "VM-EXIT Samples Samples% Time% Min Time Max Time Avg time",
      "",
      "EPT_VIOLATION 97 97.00% 13.92% 0.01us 0.01us 0.01us ( +- 0.00% )",
      "HLT 3 3.00% 86.08% 1.00us 3.00us 2.00us ( +- 28.87% )",
      "",
    ]);
    expect(new Set([text[2], text[4], text[5]].map((line) => line!.length)).size).toBe(1);
    expect(text).toContain("Total Samples:100, Total events handled time:6.97us.");
    expect(text.at(-3)).toBe("       3,000,000,000  instructions          # 1.500 G/sec");
    expect(text.at(-1)).toBe("         2.000000000 seconds time elapsed");
  });

  it("can be sorted by time, with a histogram", () => {
    const text = lines({ sort: "time", histogram: true });
    expect(text.findIndex((line) => line.includes("HLT"))).toBeLessThan(text.findIndex((line) => line.includes("EPT")));
    const from = text.indexOf("HLT:");
    expect(text.slice(from, from + 4)).toEqual([
      "HLT:",
      `  512 ns - 1.02 us                1 |${"#".repeat(40)}|`,
      `  1.02 us - 2.05 us               1 |${"#".repeat(40)}|`,
      `  2.05 us - 4.1 us                1 |${"#".repeat(40)}|`,
    ]);
    expect(text).toContain(`  8 ns - 16 ns                   97 |${"#".repeat(40)}|`);
  });
});
