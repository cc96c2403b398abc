/** Checks against the Intel 82C54 data sheet, and the ways Linux calibrates the TSC with the timer. */
import { beforeEach, describe, expect, it } from "vitest";
import { type Ns, ns } from "../../base/index.ts";
import { Bus } from "../../machine/bus.ts";
import { PIT_PORTS } from "../../machine/platform.ts";
import { Timers } from "../../machine/timers.ts";
import { Pit } from "./index.ts";

const HZ = 1_193_182;
/** A time within the given tick. */
const inTick = (tick: number) => Math.ceil((tick * 1e9) / HZ) + 100;

let time: number;
let timers: Timers;
let pit: Pit;
let ports: Bus;
let level: boolean;
let rises: number[];

const out = (port: number, value: number) => ports.write(port, 1, value);
const inb = (port: number) => ports.read(port, 1);
const goTo = (tick: number) => {
  time = inTick(tick);
  timers.run();
};
const latched = (channel: number) => {
  out(0x43, channel << 6);
  const low = inb(0x40 + channel);
  return low | (inb(0x40 + channel) << 8);
};
const out2 = () => (inb(0x61) & 0x20) !== 0;
/** Channel 2, both bytes, with its gate open. Written at tick 0, so the count is loaded at tick 1. */
const program2 = (mode: number, count: number, bcd = 0) => {
  out(0x43, 0xb0 | (mode << 1) | bcd);
  out(0x42, count & 0xff);
  out(0x42, count >> 8);
};

beforeEach(() => {
  time = 100;
  level = false;
  rises = [];
  const clock = { now: (): Ns => ns(time), wallTime: () => 0 };
  timers = new Timers(clock);
  pit = new Pit({
    clock,
    timers,
    irq: {
      set: (high) => {
        if (high && !level) rises.push(time);
        level = high;
      },
    },
  });
  ports = new Bus();
  ports.attach(PIT_PORTS.base, PIT_PORTS.length, pit);
  ports.attach(PIT_PORTS.control, 1, pit.control);
  out(0x61, 0x01);
});

/** OUT over ticks 1 to `length`, as the data sheet draws it. */
const wave = (length: number) => {
  let drawn = "";
  for (let tick = 1; tick <= length; tick++) {
    goTo(tick);
    drawn += out2() ? "-" : "_";
  }
  return drawn;
};
const counts = (length: number) =>
  Array.from({ length }, (_, i) => {
    goTo(i + 1);
    return latched(2);
  });

describe("8254 modes", () => {
  it("mode 0: OUT rises N + 1 clocks after the count was written", () => {
    program2(0, 4);
    expect(out2()).toBe(false);
    expect(wave(7)).toBe("____---");
  });

  it("mode 0: the count goes on below zero", () => {
    program2(0, 3);
    expect(counts(5)).toEqual([3, 2, 1, 0, 0xffff]);
  });

  it("mode 0: the first of two bytes stops the count, the second starts the new one", () => {
    program2(0, 4);
    goTo(10);
    out(0x42, 2);
    expect(out2()).toBe(false);
    goTo(20);
    out(0x42, 0);
    goTo(22);
    expect(out2()).toBe(false);
    goTo(23);
    expect(out2()).toBe(true);
  });

  it("mode 0: a low gate suspends the count", () => {
    program2(0, 4);
    goTo(3);
    out(0x61, 0);
    goTo(50);
    expect(latched(2)).toBe(2);
    out(0x61, 1);
    goTo(51);
    expect(out2()).toBe(false);
    goTo(52);
    expect(out2()).toBe(true);
  });

  it("mode 1: a rising gate starts the one-shot and starts it over", () => {
    out(0x61, 0);
    program2(1, 3);
    expect(wave(3)).toBe("---");
    out(0x61, 1);
    goTo(4);
    expect(out2()).toBe(false);
    goTo(6);
    expect(out2()).toBe(false);
    goTo(7);
    expect(out2()).toBe(true);
    out(0x61, 0);
    out(0x61, 1);
    goTo(9);
    out(0x61, 0);
    out(0x61, 1);
    goTo(12);
    expect(out2()).toBe(false);
    goTo(13);
    expect(out2()).toBe(true);
  });

  it("mode 2: OUT is low for one clock of each period", () => {
    program2(2, 3);
    expect(wave(9)).toBe("--_--_--_");
  });

  it("mode 2: counts N to 1 and takes a new count at the end of the period", () => {
    program2(2, 3);
    goTo(2);
    out(0x42, 5);
    out(0x42, 0);
    expect(counts(9)).toEqual([3, 2, 1, 5, 4, 3, 2, 1, 5]);
  });

  it("mode 2: a low gate sets OUT high and a rising one starts over", () => {
    program2(2, 3);
    goTo(3);
    expect(out2()).toBe(false);
    out(0x61, 0);
    expect(out2()).toBe(true);
    out(0x61, 1);
    goTo(5);
    expect(out2()).toBe(true);
    goTo(6);
    expect(out2()).toBe(false);
  });

  it("mode 3: is a square wave, an odd count is high one clock longer", () => {
    program2(3, 4);
    expect(wave(8)).toBe("--__--__");
    time = 100;
    program2(3, 5);
    expect(wave(10)).toBe("---__---__");
  });

  it("mode 3: counts by two, as the data sheet draws it", () => {
    program2(3, 4);
    expect(counts(6)).toEqual([4, 2, 4, 2, 4, 2]);
    time = 100;
    program2(3, 5);
    expect(counts(6)).toEqual([4, 2, 0, 4, 2, 4]);
  });

  it("mode 3: a new count is taken after the current half", () => {
    program2(3, 4);
    goTo(1);
    out(0x42, 6);
    out(0x42, 0);
    expect(wave(10)).toBe("--___---__");
  });

  it("mode 4: strobes N + 1 clocks after the write, once", () => {
    program2(4, 3);
    expect(wave(8)).toBe("---_----");
  });

  it("mode 5: strobes after a trigger", () => {
    program2(5, 3);
    expect(wave(5)).toBe("-----");
    out(0x61, 0);
    out(0x61, 1);
    goTo(8);
    expect(out2()).toBe(true);
    goTo(9);
    expect(out2()).toBe(false);
    goTo(10);
    expect(out2()).toBe(true);
  });

  it("counts in BCD", () => {
    program2(0, 0x0100, 1);
    goTo(2);
    expect(latched(2)).toBe(0x0099);
    goTo(1 + 101);
    expect(latched(2)).toBe(0x9999);
    time = 100;
    program2(2, 0, 1);
    goTo(1 + 1);
    expect(latched(2)).toBe(0x9999);
  });

  it("takes 0 as 65536 and only the bytes that were chosen", () => {
    program2(0, 0);
    goTo(65_536);
    expect(out2()).toBe(false);
    goTo(65_537);
    expect(out2()).toBe(true);
    time = 100;
    out(0x43, 0xa0);
    out(0x42, 0x02);
    goTo(1);
    expect(inb(0x42)).toBe(0x02);
    expect(inb(0x42)).toBe(0x02);
    time = 100;
    out(0x43, 0x90);
    out(0x42, 0x20);
    goTo(1);
    expect(inb(0x42)).toBe(0x20);
  });
});

describe("8254 reading", () => {
  it("holds a latched count until it is read", () => {
    program2(0, 0x1234);
    goTo(1 + 4);
    out(0x43, 0x80);
    goTo(100);
    out(0x43, 0x80);
    expect(inb(0x42) | (inb(0x42) << 8)).toBe(0x1230);
    expect(inb(0x42)).toBe((0x1234 - 99) & 0xff);
  });

  it("reads back status, then count", () => {
    out(0x43, 0xb4);
    out(0x43, 0xe8);
    expect(inb(0x42)).toBe(0xf4);
    out(0x42, 0x10);
    out(0x42, 0x00);
    goTo(3);
    out(0x43, 0xc8);
    goTo(9);
    expect(inb(0x42)).toBe(0xb4);
    expect(inb(0x42)).toBe(0x0e);
    expect(inb(0x42)).toBe(0x00);
    out(0x43, 0xde);
    expect(inb(0x42)).toBe(0x08);
  });
});

describe("8254 channel 0", () => {
  const program0 = (mode: number, count: number) => {
    out(0x43, 0x30 | (mode << 1));
    out(0x40, count & 0xff);
    out(0x40, count >> 8);
  };

  it("interrupts at a steady rate without drift", () => {
    program0(2, 11_932);
    rises = [];
    for (let i = 0; i < 1000; i++) {
      time = timers.next() + (i % 7) * 10_000;
      timers.run();
    }
    expect(rises).toHaveLength(1000);
    expect(Math.abs(timers.next() - (1001 * 11_932 * 1e9) / HZ)).toBeLessThan(2000);
  });

  it("coalesces what a slow guest missed", () => {
    program0(2, 1193);
    rises = [];
    time = 1_000_000_000;
    timers.run();
    expect(rises).toHaveLength(1);
    expect(timers.next() - time).toBeLessThanOrEqual(1_000_000);
  });

  it("does not let a tiny count occupy the host", () => {
    program0(2, 1);
    expect(timers.next() - time).toBeGreaterThan(45_000);
  });

  it("interrupts once in modes 0 and 4", () => {
    for (const mode of [0, 4]) {
      program0(mode, 1000);
      rises = [];
      time += 10_000_000;
      timers.run();
      expect(rises).toHaveLength(1);
      expect(timers.next()).toBe(Number.POSITIVE_INFINITY);
    }
  });

  it("rises where a count that follows mid-period in mode 3 says", () => {
    program0(3, 2000);
    out(0x40, 4000 & 0xff);
    out(0x40, 4000 >> 8);
    // The high half of the old count, then the low half of the new one.
    expect(timers.next()).toBe(Math.ceil(((1 + 1000 + 2000) * 1e9) / HZ));
    rises = [];
    time = timers.next();
    timers.run();
    expect(rises).toHaveLength(1);
    expect(timers.next()).toBe(Math.ceil(((1 + 1000 + 2000 + 4000) * 1e9) / HZ));
  });

  it("does not lose an interrupt that was due when the guest reprograms the channel", () => {
    program0(4, 1000);
    rises = [];
    time += 10_000_000;
    program0(4, 1000);
    expect(rises).toHaveLength(1);
  });

  it("goes on after a snapshot is restored", () => {
    program0(2, 11_932);
    const saved = JSON.parse(JSON.stringify(pit.state));
    const due = timers.next();
    pit.reset();
    expect(timers.next()).toBe(Number.POSITIVE_INFINITY);
    pit.restore(saved);
    expect(timers.next()).toBe(due);
  });
});

describe("port 0x61", () => {
  it("keeps its low four bits and toggles refresh", () => {
    out(0x61, 0xff);
    expect(inb(0x61) & 0xcf).toBe(0x0f);
    out(0x61, 0);
    const first = inb(0x61) & 0x10;
    time += 15_085;
    expect(inb(0x61) & 0x10).toBe(first ^ 0x10);
  });
});

describe("calibrating the TSC as Linux does", () => {
  const START = 0xff;
  /** One port access of a guest takes about this long. */
  const ACCESS_NS = 1000;
  const slowIn = (port: number) => {
    time += ACCESS_NS;
    timers.run();
    return inb(port);
  };

  it("quick: reads the falling high byte without latching", () => {
    out(0x61, (inb(0x61) & ~0x02) | 0x01);
    out(0x43, 0xb0);
    out(0x42, START);
    out(0x42, START);
    const msb = () => {
      slowIn(0x42);
      return slowIn(0x42);
    };
    msb();
    const edges: number[] = [];
    for (let expected = START; expected > START - 50; expected--) {
      let seen = 0;
      while (msb() === expected) seen++;
      if (expected < START) expect(seen).toBeGreaterThan(5);
      edges.push(time);
    }
    const perByte = (edges.at(-1)! - edges[0]!) / (edges.length - 1);
    expect(Math.abs(perByte - (256 * 1e9) / HZ)).toBeLessThan((2 * 2 * ACCESS_NS) / 49);
  });

  it("long: waits for OUT 2 to rise after 10 ms", () => {
    const latch = Math.floor(HZ / 100);
    out(0x61, (inb(0x61) & ~0x02) | 0x01);
    out(0x43, 0xb0);
    out(0x42, latch & 0xff);
    out(0x42, latch >> 8);
    const start = time;
    while ((slowIn(0x61) & 0x20) === 0);
    expect(Math.abs(time - start - 10_000_000)).toBeLessThan(2 * ACCESS_NS + 1000);
  });
});
