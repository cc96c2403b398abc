import { expect, it } from "vitest";
import { memoryPages } from "../../cpu/memory-map.ts";
import type { Profile } from "../../perf/profile.ts";
import { LINK_SIZE } from "../link.ts";
import { Observer } from "./observer.ts";

const RAM = 65_536;
const ABOUT = { hostname: "host", hostKernel: "6.1", cpu: "", cpus: 1, version: "" };

/** An observer of a guest that does not run, by a clock that only pauses move. */
function observerOf(pauses: (count: number) => void): Observer {
  const pages = memoryPages(RAM);
  let [now, count] = [0, 0];
  const pass = (milliseconds: number): void => {
    now += milliseconds * 1e6;
    pauses(++count);
  };
  return new Observer(
    {
      memory: new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true }),
      ramSize: RAM,
      link: new SharedArrayBuffer(LINK_SIZE),
      guest: { name: "web", hostPid: 1, vcpuThreads: [1], opaque: true },
    },
    {
      now: () => now,
      wallTime: () => 0,
      pause: async (milliseconds) => pass(milliseconds),
      sleep: pass,
      about: ABOUT,
    },
  );
}
const ORDER = { event: "cpu-clock", period: 1e6, callGraph: false, every: 0 } as const;

it("leaves nothing behind with each tick of a long recording", async () => {
  let asked = 0;
  /* oxlint-disable unicorn/no-thenable */
  /** And what comes of it by `then` and `finally`: what asks is counted. */
  class Asked<T> extends Promise<T> {
    // biome-ignore lint/suspicious/noThenProperty: a promise
    override then<A = T, B = never>(...words: Parameters<typeof Promise.prototype.then<A, B>>): Promise<A | B> {
      asked++;
      return super.then(...(words as unknown as [(value: T) => A]));
    }
  }
  const stop = new Asked<void>(() => undefined);
  let ticks = 0;
  const observer = observerOf((count) => (ticks = count));
  await observer.record({ ...ORDER, seconds: 1 }, stop, async () => undefined);
  expect(ticks).toBeGreaterThan(700);
  expect(asked).toBeLessThan(5);
});

it("ends a recording when it is told to", async () => {
  let tell = (): void => undefined;
  const stop = new Promise<void>((resolve) => (tell = resolve));
  const profiles: Profile[] = [];
  const observer = observerOf((count) => {
    if (count === 100) tell();
  });
  await observer.record(ORDER, stop, async (profile) => void profiles.push(profile));
  expect(profiles).toHaveLength(1);
  expect(profiles[0]!.info.duration / 1e8).toBeCloseTo(1, 0);
});
