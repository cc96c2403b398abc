import { describe, expect, it } from "vitest";
import { ProfileBuilder } from "./builder.ts";
import { mergeProfiles } from "./merge.ts";
import type { Profile, ProfileInfo } from "./profile.ts";

const info = (startedAt: number): ProfileInfo => ({
  event: "cpu-clock",
  unit: "ns",
  period: 1_000_000,
  startedAt,
  duration: 1e9,
  hostname: "host",
  hostKernel: "6.1",
  cpu: "cpu",
  cpus: 2,
  command: ["viv"],
  version: "0",
  lost: 0,
});

function profileOf(name: string, startedAt: number, functions: readonly string[]): Profile {
  const builder = new ProfileBuilder();
  const guest = builder.guest({ name, hostPid: 1, vcpuThreads: [2], opaque: false });
  const dso = builder.dso({ kind: "kernel", guest, name: "[kernel.kallsyms]" });
  const task = builder.task({ guest, pid: 1, tid: 1, comm: name });
  builder.mapping({ guest, pid: 1, start: 0, length: 1, pageOffset: 0, dso, protection: 4 });
  builder.kernelMap({ dso, start: -4096, length: 100 });
  let stack = -1;
  functions.forEach((symbolName, i) => {
    const symbol = builder.symbol({ name: symbolName, dso, start: i, size: 1 });
    stack = builder.stack(stack, builder.frame({ address: i, offset: i, dso, symbol, mode: "guest.kernel" }));
    builder.sample({ time: i, stack, task, vcpu: 0, mode: "guest.kernel", weight: i + 1 });
  });
  builder.sample({ time: 9, stack: -1, task, vcpu: 0, mode: "host", weight: 1 });
  return builder.build(info(startedAt));
}

/** Every sample in words, with nothing that is an index. */
function words(profile: Profile): string[] {
  const { samples, stacks, frames } = profile;
  return Array.from(samples.time, (time, i) => {
    const names: string[] = [];
    for (let stack = samples.stack[i]!; stack >= 0; stack = stacks.caller[stack]!) {
      const frame = stacks.frame[stack]!;
      const symbol = profile.symbols[frames.symbol[frame]!]!;
      const dso = profile.dsos[symbol.dso]!;
      expect(dso).toBe(profile.dsos[frames.dso[frame]!]);
      names.push(`${symbol.name}@${profile.guests[dso.guest]!.name}`);
    }
    const task = profile.tasks[samples.task[i]!]!;
    return `${time} ${profile.guests[task.guest]!.name}/${task.comm} ${names.join("<")} ${samples.weight[i]}`;
  });
}

describe("merged profiles", () => {
  it("say what each of them said, in the time of the first", () => {
    const a = profileOf("a", 1000, ["start", "work"]);
    const b = profileOf("b", 1002, ["boot", "walk", "run"]);
    const merged = mergeProfiles([a, b], info(1000));
    const moved = words(b).map((text) => text.replace(/^\d+/, (time) => String(Number(time) + 2e6)));
    expect(words(merged)).toEqual([...words(a), ...moved]);
    expect(merged.mappings.map(({ guest, dso }) => [guest, dso])).toEqual([
      [0, 0],
      [1, 1],
    ]);
    expect(merged.kernelMaps.map(({ dso }) => merged.dsos[dso]!.guest)).toEqual([0, 1]);
  });
});
