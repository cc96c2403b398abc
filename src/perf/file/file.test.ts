import { performance } from "node:perf_hooks";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { VivError } from "../../base/index.ts";
import { ProfileBuilder } from "../builder.ts";
import type { Profile, ProfileInfo } from "../profile.ts";
import { readProfile, writeProfile } from "./file.ts";

const INFO: ProfileInfo = {
  event: "cpu-clock",
  unit: "ns",
  period: 1_001_001,
  startedAt: 1_750_000_000_123,
  duration: 2e9,
  hostname: "host",
  hostKernel: "6.1",
  cpu: "cpu \u{1f600}",
  cpus: 2,
  command: ["viv", "perf", "record", "it's"],
  version: "0",
  lost: 3,
};

function profileOf(samples: number): Profile {
  const builder = new ProfileBuilder();
  const guest = builder.guest({
    name: "web\n\u001b[31m",
    hostPid: 7,
    vcpuThreads: [8, 9],
    hostname: "",
    opaque: false,
  });
  const kernel = builder.dso({ kind: "kernel", guest, name: "[kernel.kallsyms]", buildId: "0123456789".repeat(4) });
  const label = builder.dso({ kind: "label", guest: -1, name: "virtio-blk" });
  const task = builder.task({ guest, pid: 1, tid: 2, comm: "init" });
  builder.mapping({ guest, pid: 1, start: 2 ** 46, length: 4096, pageOffset: 0, dso: kernel, protection: 5 });
  builder.kernelMap({ dso: kernel, start: -0x7f00_0000, length: 4096 });
  let outer = -1;
  for (let i = 0; i < 100; i++) {
    const symbol = builder.symbol({ name: `function_${i}`, dso: kernel, start: -0x7f00_0000 + i, size: 1 });
    const address = -0x7f00_0000 + i;
    outer = builder.stack(
      outer,
      builder.frame({ address, offset: address, dso: kernel, symbol, mode: "guest.kernel" }),
    );
  }
  const host = builder.frame({ address: 0, offset: 0, dso: label, symbol: -1, mode: "host" });
  const stacks = [-1, outer, builder.stack(outer, host)];
  for (let i = 0; i < samples; i++) {
    builder.sample({ time: i * 1e6, stack: stacks[i % 3]!, task, vcpu: i & 1, mode: "host", weight: 1 + i / 3 });
  }
  return builder.build(INFO);
}

function bytesOf(profile: Profile): Uint8Array {
  const parts = [...writeProfile(profile)];
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

const said = (bytes: Uint8Array): string => {
  try {
    readProfile(bytes, "perf.data/profile");
  } catch (error) {
    expect(error).toBeInstanceOf(VivError);
    expect((error as VivError).message).not.toContain("\n");
    return (error as VivError).message;
  }
  return "";
};

describe("a profile's file", () => {
  it("gives back what was written", () => {
    for (const samples of [0, 1, 2, 1001]) {
      const profile = profileOf(samples);
      expect(readProfile(bytesOf(profile), "p")).toEqual(profile);
    }
  });

  it("is read from any place in memory", () => {
    const profile = profileOf(5);
    const bytes = bytesOf(profile);
    const moved = new Uint8Array(bytes.length + 3).subarray(3);
    moved.set(bytes);
    expect(readProfile(moved, "p")).toEqual(profile);
  });

  it("says that it is not one", () => {
    expect(said(new Uint8Array())).toBe("perf.data/profile cannot be read: it is no profile of viv perf record");
    expect(said(new TextEncoder().encode("PERFILE2".padEnd(200)))).toMatch(/it is no profile/);
    const newer = bytesOf(profileOf(1));
    newer[8] = 2;
    expect(said(newer)).toMatch(/it has version 2, this viv knows version 1/);
  });

  it("says that it is damaged, whatever the damage", () => {
    const bytes = bytesOf(profileOf(20));
    for (let length = 0; length < bytes.length; length += 7) expect(said(bytes.slice(0, length))).not.toBe("");
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const broken = bytes.slice();
        broken[at]! ^= change;
        expect(said(broken)).toMatch(/damaged|version|no profile/);
      }),
      { seed: 1, numRuns: 500 },
    );
  });

  it("does not believe indices and rows that lead nowhere", () => {
    const good = profileOf(3);
    const bad: Record<string, Profile> = {
      "stacks.caller": { ...good, stacks: { ...good.stacks, caller: good.stacks.caller.map((_, i) => i) } },
      "stacks.frame": { ...good, stacks: { ...good.stacks, frame: good.stacks.frame.map(() => 101) } },
      "samples.task": { ...good, samples: { ...good.samples, task: good.samples.task.map(() => -1) } },
      "frames.mode": { ...good, frames: { ...good.frames, mode: good.frames.mode.map(() => 4) } },
      "samples.time": { ...good, samples: { ...good.samples, time: good.samples.time.map(() => Number.NaN) } },
      "symbols[0].dso": { ...good, symbols: [{ name: "a", dso: 2, start: 0, size: 0 }] },
      "dsos[0].buildId": { ...good, dsos: [{ ...good.dsos[0]!, buildId: "../../etc/passwd" }, good.dsos[1]!] },
      "guests[0].vcpuThreads": { ...good, guests: [{ ...good.guests[0]!, vcpuThreads: [-1] }] },
      "info.event": { ...good, info: { ...INFO, event: "cycles" as "cpu-clock" } },
    };
    for (const [field, profile] of Object.entries(bad)) {
      expect(said(bytesOf(profile))).toContain(`it is damaged (${field})`);
    }
  });

  it("of a million samples is read in less than a second", () => {
    const bytes = bytesOf(profileOf(1_000_000));
    const started = performance.now();
    expect(readProfile(bytes, "p").samples.time).toHaveLength(1_000_000);
    expect(performance.now() - started).toBeLessThan(1000);
  });
});
