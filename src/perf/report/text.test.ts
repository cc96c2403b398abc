import { describe, expect, it } from "vitest";
import { INFO, randomProfile } from "../../../tests/perf/random-profile.ts";
import { ProfileBuilder } from "../builder.ts";
import type { Mode, Profile } from "../profile.ts";
import { DIFF_SORT, diffLines, diffProfiles } from "./diff.ts";
import { FrameNames } from "./frame-names.ts";
import { defaultOptions, report } from "./rows.ts";
import { scriptLines } from "./script.ts";
import { reportLines } from "./text.ts";

interface Made {
  readonly hostPid?: number;
  readonly slide?: number;
  /** Weight by chain, from the thread's start down: names, k: in front where it is in the kernel. */
  readonly chains: Readonly<Record<string, number>>;
}

function profileOf({ hostPid = 7777, slide = 0, chains }: Made): Profile {
  const builder = new ProfileBuilder();
  const guest = builder.guest({ name: "web", hostPid, vcpuThreads: [1], opaque: false });
  const kernel = builder.dso({ kind: "kernel", guest, name: "[kernel.kallsyms]" });
  const program = builder.dso({ kind: "user", guest, name: "/usr/bin/spin" });
  const task = builder.task({ guest, pid: 97, tid: 98, comm: "spin" });
  const known = new Map<string, number>();
  const frameOf = (word: string): { frame: number; mode: Mode } => {
    const inKernel = word.startsWith("k:");
    const at = known.get(word) ?? known.size;
    known.set(word, at);
    const name = word.slice(inKernel ? 2 : 0);
    const dso = inKernel ? kernel : program;
    const start = (inKernel ? -0x7f00_0000 + slide : 0x1000) + at * 64;
    const symbol = name === "?" ? -1 : builder.symbol({ name, dso, start, size: 64 });
    const mode = inKernel ? "guest.kernel" : "guest.user";
    const address = inKernel ? start : start + 0x5555_0000;
    return { frame: builder.frame({ address: address + 4, offset: start + 4, dso, symbol, mode }), mode };
  };
  let time = 1e9;
  for (const [chain, weight] of Object.entries(chains)) {
    let stack = -1;
    let mode: Mode = "guest.user";
    for (const word of chain.split(" ")) {
      const made = frameOf(word);
      stack = builder.stack(stack, made.frame);
      mode = made.mode;
    }
    builder.sample({ time, stack, task, vcpu: 1, mode, weight });
    time += 1_500_000;
  }
  return builder.build(INFO);
}

const CHAINS = { "main work leaf": 400, "main work": 200, "main k:entry k:read": 399, "main ?": 1 };

describe("the plain report", () => {
  it("is laid out as perf's", () => {
    const profile = profileOf({ chains: CHAINS });
    const options = { ...defaultOptions(profile), children: false, order: "callee" } as const;
    expect([...reportLines(report(profile, options), { percentLimit: 0.5, graphLimit: 0.5 })]).toEqual([
      "#",
      "# Total Lost Samples: 0",
      "#",
      "# Samples: 4 of event 'cpu-clock'",
      "# Event count (approx.): 1000",
      "#",
      "# Overhead  Command  Shared Object                 Symbol",
      "# ........  .......  ............................  ........",
      "#",
      "    40.00%  spin     spin                          [u] leaf",
      "            |",
      "            ---leaf",
      "               work",
      "               main",
      "",
      "    39.90%  spin     [guest.kernel.kallsyms.7777]  [g] read",
      "            |",
      "            ---read",
      "               entry",
      "               main",
      "",
      "    20.00%  spin     spin                          [u] work",
      "            |",
      "            ---work",
      "               main",
      "",
    ]);
  });

  it("has a column for what was called, and graphs with branches", () => {
    const profile = profileOf({ chains: CHAINS });
    const lines = [
      ...reportLines(report(profile, defaultOptions(profile)), { percentLimit: 90, graphLimit: 0.5, samples: true }),
    ];
    expect(lines.slice(6)).toEqual([
      "# Children      Self       Samples  Command  Shared Object  Symbol",
      "# ........  ........  ............  .......  .............  ........",
      "#",
      "   100.00%     0.00%             0  spin     spin           [u] main",
      "            |",
      "            ---main",
      "               |",
      "               |--60.00%--work",
      "               |          |",
      "               |           --40.00%--leaf",
      "               |",
      "                --39.90%--entry",
      "                          read",
      "",
    ]);
  });
});

describe("the script", () => {
  it("has a block for each sample", () => {
    const profile = profileOf({ chains: CHAINS });
    expect([...scriptLines(new FrameNames(profile), { time: { from: 1.0025e9, to: 2e9 } })]).toEqual([
      "VM: web VCPU:001 spin 97/98     1.003000:        399 cpu-clock: guest.kernel",
      "\tffffffff81000104 read+0x4 ([guest.kernel.kallsyms.7777])",
      "\tffffffff810000c4 entry+0x4 ([guest.kernel.kallsyms.7777])",
      "\t        55551004 main+0x4 (/usr/bin/spin)",
      "",
      "VM: web VCPU:001 spin 97/98     1.004500:          1 cpu-clock: guest.user",
      "\t        55551144 [unknown] (/usr/bin/spin)",
      "\t        55551004 main+0x4 (/usr/bin/spin)",
      "",
    ]);
  });

  it("goes by time over all vCPUs, and ends on a stack that leads nowhere", () => {
    const profile = randomProfile(4, { samples: 200 });
    profile.samples.time.reverse();
    profile.stacks.caller[5] = 5;
    const times = [...scriptLines(new FrameNames(profile), {})].flatMap(
      (line) => /^VM: .* ([\d.]+): /.exec(line)?.[1] ?? [],
    );
    expect(times).toHaveLength(200);
    expect(times).toEqual([...times].sort());
  });
});

describe("a comparison", () => {
  const before = profileOf({ chains: { "main work": 60, "main k:read": 30, "main gone": 10 } });
  // The same program and kernel, elsewhere in memory and at twice the weight.
  const after = profileOf({
    hostPid: 8888,
    slide: 0x20_0000,
    chains: { "main k:read": 100, "main fresh": 20, "main work": 80 },
  });

  it("matches functions by name, the largest change first", () => {
    const rows = diffProfiles(before, after, { sort: DIFF_SORT, filter: {} });
    expect([...diffLines(rows, "cpu-clock", DIFF_SORT, 0)]).toEqual([
      "# Event 'cpu-clock'",
      "#",
      "# Baseline  Delta Abs  Shared Object            Symbol",
      "# ........  .........  .......................  .........",
      "#",
      "    60.00%    -20.00%  spin                     [u] work",
      "    30.00%    +20.00%  [guest.kernel.kallsyms]  [g] read",
      "    10.00%    -10.00%  spin                     [u] gone",
      "              +10.00%  spin                     [u] fresh",
    ]);
  });

  it("finds no difference to itself", () => {
    const same = diffProfiles(before, before, { sort: ["comm", "sym"], filter: {} });
    expect(same.every(({ delta, baseline, now }) => delta === 0 && baseline === now)).toBe(true);
    expect(same.reduce((sum, row) => sum + row.baseline!, 0)).toBeCloseTo(100, 9);
  });
});
