/** Items as a process prints them, and what their times come to. */
import { describe, expect, it } from "vitest";
import { measureItems } from "./items.ts";
import { summarise } from "./summary.ts";

/** Prints a run of one item for each time, in milliseconds. */
const printing = (milliseconds: readonly number[], checksum = "2a"): readonly string[] => {
  const lines = milliseconds.flatMap((ms) => [
    "begin kernels integer/alu",
    `end kernels integer/alu ${ms}000000 7 ${checksum}`,
  ]);
  return [
    process.execPath,
    "-e",
    `console.log(${JSON.stringify([...lines, "done"].join("\n"))}); setInterval(() => {}, 1000)`,
  ];
};

const measure = (words: Readonly<Record<"native" | "qemu", readonly string[]>>) =>
  measureItems({
    title: "test",
    contenders: ["native", "qemu"],
    repetitions: 2,
    command: (contender) => ({ words: words[contender] }),
    countsItself: "native",
    cpu: () => 0,
    clock: true,
    progress: () => undefined,
  });

describe("items", () => {
  it("tell the first run of each process from the later ones", async () => {
    const { items, failures } = await measure({ native: printing([10, 20, 30]), qemu: printing([90, 40, 50]) });
    expect(failures).toEqual([]);
    expect(items).toHaveLength(1);
    const { native, qemu } = items[0]!.times;
    expect(native).toEqual({
      elapsed: [10e6, 20e6, 30e6, 10e6, 20e6, 30e6],
      first: [10e6, 10e6],
      later: [20e6, 30e6, 20e6, 30e6],
      cpu: [7, 7, 7, 7, 7, 7],
    });
    expect(qemu.first).toEqual([90e6, 90e6]);
    const [row] = summarise(items).rows;
    expect(row!.medians["qemu"]!.elapsed).toBe(50e6);
    expect(row!.warmup).toEqual({ native: 0.4, qemu: 2 });
  });

  it("have no warm-up where a process runs them once", async () => {
    const { items } = await measure({ native: printing([10]), qemu: printing([20]) });
    const { rows, means } = summarise(items);
    expect(rows[0]!.warmup).toEqual({ native: Number.NaN, qemu: Number.NaN });
    expect(rows[0]!.medians["qemu"]!.elapsed).toBe(20e6);
    expect(means[0]!.warmup).toEqual({ native: Number.NaN, qemu: Number.NaN });
  });

  it("fail where contenders come to different results", async () => {
    const { failures } = await measure({ native: printing([10]), qemu: printing([10], "2b") });
    expect(failures).toEqual(["alu gives 2b under qemu and 2a under native"]);
  });
});
