/** The page's data: what goes in comes out, in a form that others read too (Node's zlib and Buffer). */
import { describe, expect, it } from "vitest";
import { busyProfile, HOSTILE_NAMES, hostileProfile, random, randomProfile } from "../../../tests/flame/profiles.ts";
import { frameLabel } from "../names.ts";
import { base64 } from "./base64.ts";
import { flameData } from "./data.ts";
import { pack, unpack } from "./packing.ts";

describe("base64", () => {
  it.each([0, 1, 2, 3, 4, 5, 24_575, 24_576, 24_577, 100_000])("writes %i bytes as Node does", (length) => {
    const next = random(length);
    const bytes = Uint8Array.from({ length }, () => next() * 256);
    expect([...base64(bytes)].join("")).toBe(Buffer.from(bytes).toString("base64"));
  });
});

describe("flameData", () => {
  const profile = randomProfile(1, 500);
  const data = flameData(profile, randomProfile(2, 300));

  it("keeps every sample's time, weight, task and stack", () => {
    const [samples] = data.profiles;
    const told = new Set<string>();
    for (const [lane, { guest, vcpu }] of data.lanes.entries()) {
      for (let at = samples!.laneStart[lane]!; at < samples!.laneStart[lane + 1]!; at++) {
        const { comm, pid, guest: own } = data.tasks[samples!.task[at]!]!;
        expect(own).toBe(guest);
        const stack: string[] = [];
        for (let from = samples!.stack[at]!; from >= 0; from = data.stacks.caller[from]!) {
          stack.push(data.functions.name[data.stacks.fn[from]!]!);
        }
        told.add(
          [samples!.time[at], samples!.weight[at], data.guests[guest]!.name, vcpu, comm, pid, ...stack].join(" "),
        );
      }
    }
    const { samples: from } = profile;
    for (let at = 0; at < from.time.length; at++) {
      const { comm, pid, guest } = profile.tasks[from.task[at]!]!;
      const stack: string[] = [];
      for (let node = from.stack[at]!; node >= 0; node = profile.stacks.caller[node]!) {
        stack.push(frameLabel(profile, profile.stacks.frame[node]!));
      }
      const told1 = [
        from.time[at],
        from.weight[at],
        profile.guests[guest]!.name,
        from.vcpu[at],
        comm,
        pid,
        ...stack,
      ].join(" ");
      expect(told.delete(told1), told1).toBe(true);
    }
    expect(told.size).toBe(0);
  });

  it("has lanes by guest and vCPU, and times ascending in each, whatever the recorder's order", () => {
    const back = { ...profile, samples: { ...profile.samples, time: profile.samples.time.toReversed() } };
    const { lanes, profiles } = flameData(back);
    const order = lanes.map(({ guest, vcpu }) => guest * 1000 + vcpu);
    expect(order).toEqual(order.toSorted((a, b) => a - b));
    const { laneStart, time } = profiles[0]!;
    for (let lane = 0; lane < lanes.length; lane++) {
      const own = [...time.subarray(laneStart[lane], laneStart[lane + 1])];
      expect(own).toEqual(own.toSorted((a, b) => a - b));
    }
  });

  it("makes one function of the code of a file without symbols, and of the same function in two guests", () => {
    const { functions } = flameData(busyProfile({ samples: 50, seed: 1 }));
    expect(functions.name.filter((name) => name === "[/bin/busybox]")).toHaveLength(1);
    expect(functions.name.filter((name) => name === "do_syscall_64")).toHaveLength(1);
  });
});

describe("pack", () => {
  it.each([
    ["two profiles", flameData(randomProfile(1, 500), randomProfile(2, 300))],
    ["a busy one", flameData(busyProfile({ samples: 3000, seed: 3, leaves: 300 }))],
    ["hostile names", flameData(hostileProfile())],
    ["none at all", flameData(randomProfile(1, 0))],
  ])("comes back the same: %s", (_, data) => {
    const back = unpack(pack(data) as Uint8Array<ArrayBuffer>);
    const floored = data.profiles.map((samples) => ({ ...samples, time: samples.time.map(Math.floor) }));
    expect(back).toEqual({ ...data, guests: plain(data.guests), profiles: floored });
  });

  it("keeps times of years within a part in four thousand million", () => {
    const profile = randomProfile(4, 100);
    const time = profile.samples.time.map((_, at) => at * 1e15);
    const data = flameData({ ...profile, samples: { ...profile.samples, time } });
    const back = unpack(pack(data) as Uint8Array<ArrayBuffer>);
    for (const [at, was] of data.profiles[0]!.time.entries()) {
      expect(Math.abs(back.profiles[0]!.time[at]! - was)).toBeLessThanOrEqual(1e17 / 2 ** 32 + 1);
    }
  });

  it("cuts names that are endless", () => {
    const { functions } = flameData(hostileProfile());
    expect(Math.max(...HOSTILE_NAMES.map(({ length }) => length))).toBe(200_000);
    expect(Math.max(...functions.name.map(({ length }) => length))).toBe(4097);
  });

  it("says so where bytes are missing, or of another version", () => {
    const bytes = pack(flameData(randomProfile(1, 100))) as Uint8Array<ArrayBuffer>;
    for (const length of [0, 3, 10, 500, bytes.length - 8]) {
      expect(() => unpack(bytes.slice(0, length)), `${length}`).toThrow(/is cut short: write the page again/);
    }
    const other = bytes.slice();
    other.set(Buffer.from('{"version":2'), 4);
    expect(() => unpack(other)).toThrow(/has version 2, not 1/);
  });
});

/** Without what is undefined: JSON has no such thing. */
const plain = (rows: readonly object[]): unknown => JSON.parse(JSON.stringify(rows));
