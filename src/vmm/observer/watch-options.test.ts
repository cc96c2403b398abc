import { describe, expect, it } from "vitest";
import { LOOK } from "./requests.ts";
import { RECORD_EVENT_NAMES, RECORD_EVENTS, type RecordOptions, recordOrder, watchOrder } from "./watch-options.ts";

const signal = new AbortController().signal;

describe("options of watching", () => {
  it("become orders", () => {
    const order = { event: "cpu-clock", callGraph: true, every: 0 };
    expect(recordOrder({ seconds: 2 })).toEqual({ ...order, period: 1e9 / 999, seconds: 2 });
    expect(recordOrder({ signal, frequency: 100, callGraph: false })).toEqual({
      ...order,
      period: 1e7,
      callGraph: false,
    });
    expect(recordOrder({ signal, event: "instructions" })).toEqual({ ...order, event: "instructions", period: 1e6 });
    expect(recordOrder({ signal, event: "instructions", period: 20_000 }, 0.5)).toMatchObject({
      period: 20_000,
      every: 500,
    });
    expect(recordOrder({ signal, event: "off-cpu" }).period).toBeCloseTo(1e9 / 19);
    expect(watchOrder({ signal })).toEqual({});
  });

  it("are refused in one line that says what to give", () => {
    const wrong: readonly (readonly [RecordOptions, RegExp])[] = [
      [{}, /give seconds, or an AbortSignal/],
      [{ seconds: 0 }, /give 0\.001 to 86400/],
      [{ seconds: Number.NaN }, /seconds NaN is out of range/],
      [{ signal, frequency: 20_000 }, /frequency 20000 is out of range: give 1 to 10000/],
      [{ signal, period: 100_000 }, /cpu-clock is not sampled by period: give frequency/],
      [{ signal, event: "instructions", frequency: 99 }, /instructions is not sampled by frequency: give period/],
      [{ signal, event: "instructions", period: 10 }, /period 10 is out of range/],
    ];
    for (const [options, message] of wrong) {
      expect(() => recordOrder(options)).toThrow(expect.objectContaining({ code: "perf.options" }));
      expect(() => recordOrder(options)).toThrow(message);
    }
    expect(() => recordOrder({ signal }, 100_000)).toThrow(/every 100000 is out of range/);
  });

  it("that are allowed are allowed by the guest's process, too", () => {
    for (const event of RECORD_EVENT_NAMES) {
      for (const [name, { least, most }] of Object.entries(RECORD_EVENTS[event])) {
        for (const value of [least, most]) {
          const order = recordOrder({ event, seconds: 86_400, [name]: value }, 86_400 / 24);
          expect(LOOK.record.parameters.check(order, "it")).toEqual(order);
        }
      }
    }
  });
});
