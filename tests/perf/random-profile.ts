/** Random profiles, for tests of reports and formats. */
import { ProfileBuilder } from "../../src/perf/builder.ts";
import type { Mode, Profile, ProfileInfo } from "../../src/perf/profile.ts";

export const INFO: ProfileInfo = {
  event: "cpu-clock",
  unit: "ns",
  period: 1_001_001,
  startedAt: 0,
  duration: 1e9,
  hostname: "host",
  hostKernel: "6.1.0",
  cpu: "",
  cpus: 2,
  command: ["viv", "perf", "record"],
  version: "0",
  lost: 0,
};

/** Numbers in [0, 1) that are the same in each run (Mulberry32). */
export function randomness(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b_79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export interface RandomShape {
  readonly samples: number;
  readonly guests?: number;
  readonly tasks?: number;
  /** Functions of each DSO. */
  readonly functions?: number;
  readonly depth?: number;
  readonly stacks?: number;
  /** Samples weigh from 1 to this. */
  readonly weights?: number;
  /** Some of the programs' code has no symbol. Without, no sample lacks a stack either. */
  readonly gaps?: boolean;
}

/** Two guests with a kernel, a module and a program each, some functions of the same names, recursion, frames without symbols. */
export function randomProfile(seed: number, shape: RandomShape): Profile {
  const random = randomness(seed);
  const below = (n: number): number => Math.floor(random() * n);
  const { samples, guests = 2, tasks = 5, functions = 6, depth = 8, stacks = 60, weights = 1e6, gaps = true } = shape;
  const builder = new ProfileBuilder();
  const frames: { frame: number; mode: Mode }[][] = [];
  const taskRows: { guest: number; task: number }[] = [];
  for (let guest = 0; guest < guests; guest++) {
    builder.guest({
      name: `guest-${guest}`,
      hostPid: 7000 + guest,
      vcpuThreads: [7010 + 2 * guest, 7011 + 2 * guest],
      opaque: false,
    });
    const here: { frame: number; mode: Mode }[] = [];
    for (const [kind, name] of [
      ["kernel", "[kernel.kallsyms]"],
      ["module", "md4"],
      ["user", "/bin/spin"],
    ] as const) {
      const dso = builder.dso({ kind, guest, name });
      const base = kind === "user" ? 0x1000 : -0x7000_0000 + guest * 0x10_0000 + (kind === "module" ? 0x1000_0000 : 0);
      if (kind !== "user") builder.kernelMap({ dso, start: base, length: functions * 256 + 4096 });
      // Programs are mapped anywhere, in each process of a guest alike.
      const slide = kind === "user" ? 0x5500_0000_0000 : 0;
      const mode: Mode = kind === "user" ? "guest.user" : "guest.kernel";
      for (let f = 0; f < functions; f++) {
        const start = base + f * 256;
        const symbol = builder.symbol({ name: `${kind}_${f}`, dso, start, size: 256 });
        for (const at of [0, 16]) {
          here.push({
            frame: builder.frame({ address: slide + start + at, offset: start + at, dso, symbol, mode }),
            mode,
          });
        }
      }
      // A kernel's symbols go on to the next one; a program may have gaps.
      if (kind !== "user" || !gaps) continue;
      const bare = base + functions * 256;
      here.push({ frame: builder.frame({ address: slide + bare, offset: bare, dso, symbol: -1, mode }), mode });
    }
    frames.push(here);
    for (let t = 0; t < tasks; t++) {
      taskRows.push({ guest, task: builder.task({ guest, pid: 100 + (t & ~1), tid: 100 + t, comm: `task-${t % 3}` }) });
    }
  }
  const pool = taskRows.map(({ guest, task }) => ({
    task,
    stacks: Array.from({ length: stacks }, () => {
      let stack = -1;
      let mode: Mode = "guest.user";
      for (let level = below(depth) + 1; level > 0; level--) {
        const pick = frames[guest]![below(frames[guest]!.length)]!;
        stack = builder.stack(stack, pick.frame);
        mode = pick.mode;
      }
      return { stack, mode };
    }),
  }));
  for (let i = 0; i < samples; i++) {
    const from = pool[below(pool.length)]!;
    const { stack, mode } =
      random() < 0.02 && gaps ? { stack: -1, mode: "host" as const } : from.stacks[below(stacks)]!;
    builder.sample({ time: i * 1000, stack, task: from.task, vcpu: below(2), mode, weight: 1 + below(weights) });
  }
  return builder.build(INFO);
}
