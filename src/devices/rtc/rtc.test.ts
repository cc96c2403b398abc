/** Checks against the MC146818A data sheet, through ports 0x70 and 0x71. */
import { beforeEach, describe, expect, it } from "vitest";
import { GiB, MiB, ns } from "../../base/index.ts";
import { Timers } from "../../machine/timers.ts";
import { Rtc } from "./index.ts";

/** Thursday. */
const START = Date.UTC(2024, 1, 29, 23, 59, 58, 0);

let time: number;
let irq: boolean;
let raised: number;
let timers: Timers;
let rtc: Rtc;

const clock = { now: () => ns(time), wallTime: () => START + time / 1e6 };
const make = (size = 512 * MiB) =>
  new Rtc({
    clock,
    timers,
    ram: { size: size as never, lowSize: Math.min(size, 3 * GiB) as never },
    irq: {
      set: (high) => {
        if (high && !irq) raised++;
        irq = high;
      },
    },
  });

const read = (index: number) => {
  rtc.write(0, 1, index);
  return rtc.read(1, 1);
};
const write = (index: number, value: number) => {
  rtc.write(0, 1, index);
  rtc.write(1, 1, value);
};
/** Lets time pass as the run loop does: stops at every timer. */
const pass = (milliseconds: number) => {
  const end = time + milliseconds * 1e6;
  while (timers.next() <= end) {
    time = Math.max(time, timers.next());
    timers.run();
  }
  time = end;
};
const now = () => [0x32, 9, 8, 7, 6, 4, 2, 0].map(read);

beforeEach(() => {
  time = 0;
  irq = false;
  raised = 0;
  timers = new Timers(clock);
  rtc = make();
});

describe("the time", () => {
  it("is BCD and 24 hours at power-on", () => {
    expect(now()).toEqual([0x20, 0x24, 0x02, 0x29, 5, 0x23, 0x59, 0x58]);
    expect([read(0x0a) & 0x7f, read(0x0b), read(0x0d)]).toEqual([0x26, 0x02, 0x80]);
  });

  it("runs over leap days", () => {
    pass(2000);
    expect(now()).toEqual([0x20, 0x24, 0x03, 0x01, 6, 0, 0, 0]);
  });

  it("is binary and 12 hours on request", () => {
    write(0x0b, 0x06);
    expect(now()).toEqual([20, 24, 2, 29, 5, 23, 59, 58]);
    write(0x0b, 0x00);
    expect(read(4)).toBe(0x91);
    pass(2000);
    expect(read(4)).toBe(0x12);
    pass(12 * 3600 * 1000);
    expect(read(4)).toBe(0x92);
    write(0x0b, 0x04);
    expect(read(4)).toBe(0x8c);
  });

  it("can be set, and stands still meanwhile", () => {
    write(0x0b, 0x82);
    for (const [index, value] of [
      [0x32, 0x19],
      [9, 0x99],
      [8, 0x12],
      [7, 0x31],
      [4, 0x23],
      [2, 0x59],
      [0, 0x57],
    ] as const) {
      write(index, value);
    }
    pass(5000);
    expect(read(0)).toBe(0x57);
    write(0x0b, 0x02);
    pass(2900);
    expect(now()).toEqual([0x19, 0x99, 0x12, 0x31, 6, 0x23, 0x59, 0x59]);
    pass(200);
    expect(now()).toEqual([0x20, 0x00, 0x01, 0x01, 7, 0, 0, 0]);
  });

  it("says when it is about to change", () => {
    pass(997);
    expect(read(0x0a)).toBe(0x26);
    pass(2);
    expect(read(0x0a)).toBe(0xa6);
    pass(1);
    expect(read(0x0a)).toBe(0x26);
    write(0x0b, 0x82);
    pass(999);
    expect(read(0x0a)).toBe(0x26);
  });
});

describe("events", () => {
  it("are flagged without their interrupts, and cleared by reading", () => {
    read(0x0c);
    pass(1000);
    expect(read(0x0c) & 0xf0).toBe(0x50);
    expect(read(0x0c)).toBe(0x00);
    expect(timers.next()).toBe(Number.POSITIVE_INFINITY);
  });

  it("interrupt once a second until served", () => {
    write(0x0b, 0x12);
    read(0x0c);
    pass(999);
    expect(irq).toBe(false);
    pass(2);
    expect(irq).toBe(true);
    pass(5000);
    expect(raised).toBe(1);
    expect(read(0x0c) & 0x90).toBe(0x90);
    expect(irq).toBe(false);
    pass(1000);
    expect(raised).toBe(2);
  });

  it("interrupt periodically at the selected rate", () => {
    write(0x0a, 0x2f);
    write(0x0b, 0x42);
    read(0x0c);
    for (let i = 0; i < 1000; i++) {
      pass(10);
      if (irq) expect(read(0x0c) & 0xc0).toBe(0xc0);
    }
    // Rate 15 is 2 Hz.
    expect(raised).toBe(20);
    write(0x0a, 0x20);
    read(0x0c);
    raised = 0;
    pass(1000);
    expect(raised).toBe(0);
  });

  it("interrupt at the alarm, with don't-care bytes", () => {
    for (const [index, value] of [
      [1, 0x30],
      [3, 0x00],
      [5, 0xff],
    ] as const)
      write(index, value);
    write(0x0b, 0x22);
    read(0x0c);
    pass(31_900);
    expect(irq).toBe(false);
    pass(200);
    expect(irq).toBe(true);
    expect(read(0x0c) & 0xa0).toBe(0xa0);
    pass(3_599_000);
    expect(irq).toBe(false);
    pass(1_000);
    expect(irq).toBe(true);
  });

  it("never come from an alarm that is no time", () => {
    for (const [index, value] of [
      [1, 0x77],
      [3, 0xff],
      [5, 0xff],
    ] as const)
      write(index, value);
    write(0x0b, 0x22);
    expect(timers.next()).toBe(Number.POSITIVE_INFINITY);
    pass(3 * 86_400_000);
    expect(read(0x0c) & 0x20).toBe(0);
  });

  it("end with reset, the time does not", () => {
    write(0x0b, 0x72);
    pass(1000);
    expect(irq).toBe(true);
    rtc.reset();
    expect(irq).toBe(false);
    expect([read(0x0b), read(0x00)]).toEqual([0x02, 0x59]);
  });
});

describe("CMOS memory", () => {
  const word = (index: number) => read(index) | (read(index + 1) << 8);

  it("tells the memory's size", () => {
    expect([word(0x15), word(0x17), word(0x30), word(0x34)]).toEqual([640, 0xffff, 0xffff, (496 * MiB) / 65536]);
    rtc = make(5 * GiB);
    expect([word(0x34), word(0x5b) | (read(0x5d) << 16)]).toEqual([(3056 * MiB) / 65536, (2 * GiB) / 65536]);
    rtc = make(8 * MiB);
    expect([word(0x17), word(0x34)]).toEqual([7 * 1024, 0]);
  });

  it("keeps what is written, and the NMI mask with the index", () => {
    write(0x8f, 0x05);
    expect(rtc.nmiMasked).toBe(true);
    expect(read(0x0f)).toBe(0x05);
    expect(rtc.nmiMasked).toBe(false);
    write(0x0d, 0);
    expect(read(0x0d)).toBe(0x80);
    expect(rtc.read(0, 1)).toBe(0xff);
  });
});

describe("state", () => {
  it("is plain, and continues elsewhere", () => {
    write(0x0b, 0x12);
    read(0x0c);
    const saved = structuredClone(rtc.state);
    write(0x0b, 0x02);
    rtc.restore(saved);
    pass(1001);
    expect(irq).toBe(true);
  });

  it("survives any access", () => {
    let seed = 3;
    for (let i = 0; i < 20000; i++) {
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
      const size = ([1, 2, 4] as const)[(seed >>> 8) % 3]!;
      if (seed & 0x10000) rtc.write((seed >>> 20) & 1, size, seed >>> 8);
      else rtc.read((seed >>> 20) & 1, size);
      time += 1e5;
      timers.run();
    }
    expect(Number.isFinite(rtc.state.offset)).toBe(true);
  });
});
