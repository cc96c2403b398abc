/** Checks against the IA-PC HPET specification 1.0a, programmed as its section 2 and Linux do. */
import { beforeEach, describe, expect, it } from "vitest";
import { type Ns, ns } from "../../base/index.ts";
import type { IrqLine } from "../../machine/ports.ts";
import { Timers } from "../../machine/timers.ts";
import { Hpet } from "./index.ts";

const CAPABILITIES = 0x00;
const CONFIG = 0x10;
const STATUS = 0x20;
const COUNTER = 0xf0;
const timer = (n: number) => 0x100 + n * 0x20;
const comparator = (n: number) => timer(n) + 8;
const NEVER = Number.POSITIVE_INFINITY;

let time: number;
let timers: Timers;
let hpet: Hpet;
let levels: Map<string, boolean>;
let rises: string[];

const line = (name: string): IrqLine => ({
  set: (high) => {
    if (high && levels.get(name) !== true) rises.push(`${name}@${time}`);
    levels.set(name, high);
  },
});
const read = (offset: number) => hpet.read(offset, 4);
const write = (offset: number, value: number) => hpet.write(offset, 4, value);
const goTo = (to: number) => {
  time = to;
  timers.run();
};

beforeEach(() => {
  time = 0;
  levels = new Map();
  rises = [];
  const clock = { now: (): Ns => ns(time), wallTime: () => 0 };
  timers = new Timers(clock);
  hpet = new Hpet({ clock, timers, irq0: line("irq0"), irq8: line("irq8"), pin: (n) => line(`pin${n}`) });
});

describe("HPET counter", () => {
  it("says what it is: 10 ns, 64 bits, three periodic timers, legacy replacement", () => {
    expect(read(CAPABILITIES + 4)).toBe(10_000_000);
    const capabilities = read(CAPABILITIES);
    expect(capabilities >>> 16).toBe(0x8086);
    expect(capabilities & 0xffff).toBe(0xa201);
    expect(hpet.read(2, 2)).toBe(0x8086);
    for (const n of [0, 1, 2]) expect(read(timer(n)) & 0xc030).toBe(0x0030);
  });

  it("runs at 100 MHz while enabled", () => {
    goTo(1000);
    expect(read(COUNTER)).toBe(0);
    write(CONFIG, 1);
    goTo(2000);
    expect(read(COUNTER)).toBe(100);
    write(CONFIG, 0);
    goTo(9000);
    expect(read(COUNTER)).toBe(100);
  });

  it("can be set while halted only", () => {
    write(COUNTER, 0xfffffff0);
    write(COUNTER + 4, 7);
    write(CONFIG, 1);
    write(COUNTER, 0);
    goTo(170);
    expect(read(COUNTER)).toBe(1);
    expect(read(COUNTER + 4)).toBe(8);
  });

  it("reads consistently in two halves", () => {
    write(COUNTER, 0xffffffff);
    write(CONFIG, 1);
    expect(read(COUNTER)).toBe(0xffffffff);
    goTo(10);
    expect(read(COUNTER + 4)).toBe(0);
    expect(read(COUNTER + 4)).toBe(1);
  });

  it("wraps after 64 bits", () => {
    write(COUNTER, 0xffffffff);
    write(COUNTER + 4, 0xffffffff);
    write(CONFIG, 1);
    goTo(10);
    expect([read(COUNTER), read(COUNTER + 4)]).toEqual([0, 0]);
  });
});

describe("HPET comparators", () => {
  const ROUTE_20 = 20 << 9;

  it("match once when the counter becomes equal", () => {
    write(timer(1), 0x104 | ROUTE_20);
    write(comparator(1), 500);
    expect(timers.next()).toBe(NEVER);
    write(CONFIG, 1);
    expect(timers.next()).toBe(5000);
    goTo(5000);
    expect(rises).toEqual(["pin20@5000"]);
    expect(levels.get("pin20")).toBe(false);
    expect(timers.next()).toBe(5000 + 2 ** 32 * 10);
  });

  it("match after the wrap if the value has passed, in 32-bit mode", () => {
    write(CONFIG, 1);
    goTo(10_000);
    write(timer(0), 0x104 | ROUTE_20);
    write(comparator(0), 999);
    expect(timers.next()).toBe((2 ** 32 + 999) * 10);
  });

  it("match in 64 bits, written in two halves", () => {
    write(CONFIG, 1);
    write(timer(0), 0x004 | ROUTE_20);
    write(comparator(0), 5);
    write(comparator(0) + 4, 2);
    expect(timers.next()).toBe((2 * 2 ** 32 + 5) * 10);
    write(comparator(0) + 4, 0xffffffff);
    expect(timers.next()).toBe(NEVER);
  });

  it("repeat as Linux programs them: value under VAL_SET, then the period", () => {
    write(CONFIG, 1);
    goTo(1000);
    write(timer(0), 0x14c | ROUTE_20);
    write(comparator(0), 100 + 100_000);
    write(comparator(0), 100_000);
    expect(read(timer(0)) & 0x40).toBe(0);
    expect(timers.next()).toBe(1_001_000);
    goTo(1_001_000);
    expect(read(comparator(0))).toBe(200_100);
    goTo(2_001_990);
    goTo(3_001_000);
    expect(rises).toEqual(["pin20@1001000", "pin20@2001990", "pin20@3001000"]);
  });

  it("take value and period in 64 bits with one VAL_SET", () => {
    write(CONFIG, 1);
    write(timer(0), 0x04c | ROUTE_20);
    write(comparator(0), 10);
    write(comparator(0) + 4, 1);
    write(comparator(0), 1000_000);
    write(comparator(0) + 4, 0);
    expect(timers.next()).toBe((2 ** 32 + 10) * 10);
    goTo((2 ** 32 + 10) * 10);
    expect(timers.next()).toBe((2 ** 32 + 1_000_010) * 10);
  });

  it("coalesce missed periods and keep the phase", () => {
    write(CONFIG, 1);
    write(timer(0), 0x14c | ROUTE_20);
    write(comparator(0), 100_000);
    write(comparator(0), 100_000);
    goTo(7_300_000);
    expect(rises).toHaveLength(1);
    expect(timers.next()).toBe(8_000_000);
  });

  it("do not let a tiny period occupy the host, nor a zero one hang it", () => {
    write(CONFIG, 1);
    write(timer(0), 0x14c | ROUTE_20);
    write(comparator(0), 1);
    write(comparator(0), 1);
    goTo(10);
    expect(timers.next()).toBeGreaterThanOrEqual(50_000);
    write(comparator(0), 0);
    goTo(1_000_000);
    expect(timers.next()).toBeGreaterThan(2 ** 32);
  });

  it("hold a level until the status bit is cleared", () => {
    write(CONFIG, 1);
    write(timer(2), 0x106 | ROUTE_20);
    write(comparator(2), 100);
    goTo(1000);
    expect(read(STATUS)).toBe(4);
    expect(levels.get("pin20")).toBe(true);
    write(STATUS, 3);
    expect(levels.get("pin20")).toBe(true);
    write(STATUS, 4);
    expect(levels.get("pin20")).toBe(false);
    expect(read(STATUS)).toBe(0);
  });

  it("share a level-triggered pin", () => {
    write(CONFIG, 1);
    for (const n of [0, 1]) {
      write(timer(n), 0x106 | ROUTE_20);
      write(comparator(n), 100);
    }
    goTo(1000);
    write(STATUS, 1);
    expect(levels.get("pin20")).toBe(true);
    write(STATUS, 2);
    expect(levels.get("pin20")).toBe(false);
  });

  it("set status without interrupting when interrupts are off", () => {
    write(CONFIG, 1);
    write(timer(0), 0x102 | ROUTE_20);
    write(comparator(0), 100);
    expect(timers.next()).toBe(NEVER);
    goTo(1000);
    expect(read(STATUS)).toBe(1);
    expect(rises).toEqual([]);
  });

  it("take only routes they offer", () => {
    write(timer(0), ROUTE_20);
    write(timer(0), 3 << 9);
    expect((read(timer(0)) >> 9) & 31).toBe(20);
    expect(read(timer(0) + 4)).toBe(0x00f00000);
  });

  it("do not lose an interrupt that was due when the guest writes", () => {
    write(CONFIG, 1);
    write(timer(0), 0x104 | ROUTE_20);
    write(comparator(0), 100);
    time = 1500;
    write(comparator(0), 400);
    expect(rises).toEqual(["pin20@1500"]);
  });

  it("go on after a snapshot is restored, even of a match that was due", () => {
    write(CONFIG, 1);
    write(timer(0), 0x104 | ROUTE_20);
    write(comparator(0), 100);
    time = 1500;
    const saved = JSON.parse(JSON.stringify(hpet.state));
    hpet.reset();
    expect(timers.next()).toBe(NEVER);
    hpet.restore(saved);
    timers.run();
    expect(rises).toEqual(["pin20@1500"]);
  });
});

describe("HPET legacy replacement (2.3.5)", () => {
  it("takes IRQ 0 and 8 from the 8254 and the RTC and gives them back", () => {
    hpet.irq0.set(true);
    expect(levels.get("irq0")).toBe(true);
    write(CONFIG, 3);
    expect(levels.get("irq0")).toBe(false);
    hpet.irq0.set(false);
    hpet.irq0.set(true);
    hpet.irq8.set(true);
    expect(rises).toEqual(["irq0@0"]);
    write(timer(0), 0x104);
    write(comparator(0), 100);
    write(timer(1), 0x104 | (20 << 9));
    write(comparator(1), 200);
    goTo(1000);
    goTo(2000);
    expect(rises).toEqual(["irq0@0", "irq0@1000", "irq8@2000"]);
    write(CONFIG, 1);
    expect(levels.get("irq0")).toBe(true);
    expect(levels.get("irq8")).toBe(true);
  });
});
