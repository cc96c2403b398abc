/** Checks against the PC16550D data sheet and against what drivers do to recognise the chip. */
import { beforeEach, describe, expect, it } from "vitest";
import { ns } from "../../base/index.ts";
import { Timers } from "../../machine/timers.ts";
import { Uart16550 } from "./index.ts";

const [DATA, IER, IIR, FCR, LCR, MCR, LSR, MSR, SCR] = [0, 1, 2, 2, 3, 4, 5, 6, 7];

let time: number;
let irq: boolean;
let edges: number;
let sent: number[];
let rooms: number;
let timers: Timers;
let uart: Uart16550;

const inb = (port: number) => uart.read(port, 1);
const outb = (port: number, value: number) => uart.write(port, 1, value);
const pass = (nanoseconds: number) => {
  time += nanoseconds;
  timers.run();
};
const receive = (...values: number[]) => uart.receive(Uint8Array.from(values));

beforeEach(() => {
  time = 0;
  irq = false;
  edges = 0;
  sent = [];
  rooms = 0;
  const clock = { now: () => ns(time), wallTime: () => 0 };
  timers = new Timers(clock);
  uart = new Uart16550({
    name: "com1",
    clock,
    timers,
    irq: {
      set: (high) => {
        if (high && !irq) edges++;
        irq = high;
      },
    },
    backend: { write: (bytes) => sent.push(...bytes) },
    onRoom: () => rooms++,
  });
});

/** As a driver leaves it: FIFO on, interrupts through, 115200 8n1. */
const open = (ier: number, fcr = 0x01) => {
  outb(LCR, 0x83);
  outb(DATA, 1);
  outb(IER, 0);
  outb(LCR, 0x03);
  outb(FCR, fcr);
  outb(MCR, 0x0b);
  outb(IER, ier);
};

describe("a 16550A as drivers recognise it", () => {
  it("keeps the low half of IER only", () => {
    outb(IER, 0xff);
    expect(inb(IER)).toBe(0x0f);
    outb(IER, 0);
    expect(inb(IER)).toBe(0);
  });

  it("loops modem control back to modem status", () => {
    const before = inb(MCR);
    outb(MCR, 0x10 | 0x08 | 0x02);
    expect(inb(MSR) & 0xf0).toBe(0x90);
    outb(MCR, 0x10 | 0x01 | 0x04);
    expect(inb(MSR) & 0xf0).toBe(0x60);
    outb(MCR, before);
    expect(inb(MSR) & 0xf0).toBe(0xb0);
  });

  it("shows working FIFOs in IIR, and none of the successors' features", () => {
    outb(FCR, 0x01);
    expect(inb(IIR) >> 6).toBe(3);
    outb(FCR, 0x00);
    expect(inb(IIR) >> 6).toBe(0);
    // 16650 and later: an extended register at offset 2 that reads zero under these LCR values.
    outb(FCR, 0x01);
    outb(LCR, 0x80);
    expect(inb(IIR)).not.toBe(0);
    outb(LCR, 0xbf);
    expect(inb(IIR)).not.toBe(0);
    // 16750: FIFO64, IIR bit 5.
    outb(LCR, 0x80);
    outb(FCR, 0x21);
    expect(inb(IIR) & 0x20).toBe(0);
    // National's superchips: bank 2 shows EXCR1, which changes with MCR.LOOP.
    for (const mcr of [0x00, 0x10]) {
      outb(LCR, 0);
      outb(MCR, mcr);
      outb(LCR, 0xe0);
      expect(inb(IIR) & 0x10).toBe(0);
    }
  });

  it("has a scratch register and a divisor latch behind DLAB", () => {
    outb(SCR, 0xa5);
    outb(LCR, 0x83);
    outb(DATA, 0x34);
    outb(IER, 0x12);
    expect([inb(DATA), inb(IER), inb(SCR)]).toEqual([0x34, 0x12, 0xa5]);
    outb(LCR, 0x03);
    expect(inb(IER)).toBe(0);
    expect(sent).toEqual([]);
  });
});

describe("sending", () => {
  it("delivers each byte at once and is always ready", () => {
    for (const byte of [0x68, 0x69]) {
      expect(inb(LSR)).toBe(0x60);
      outb(DATA, byte);
    }
    expect(sent).toEqual([0x68, 0x69]);
  });

  it("raises the empty interrupt once, until IIR tells it", () => {
    open(0x02);
    expect(irq).toBe(true);
    expect(inb(IIR)).toBe(0xc2);
    expect(irq).toBe(false);
    expect(inb(IIR)).toBe(0xc1);
    outb(DATA, 0x41);
    expect(irq).toBe(true);
    expect(inb(IIR)).toBe(0xc2);
    expect(irq).toBe(false);
  });

  it("raises it again when it is enabled anew, as drivers test", () => {
    open(0x02);
    inb(IIR);
    outb(IER, 0);
    outb(IER, 2);
    expect(irq).toBe(true);
    outb(IER, 0);
    expect(irq).toBe(false);
  });

  it("needs OUT2 to reach the interrupt controller", () => {
    outb(IER, 0x02);
    expect(irq).toBe(false);
    expect(inb(IIR) & 0x0f).toBe(2);
    outb(DATA, 1);
    outb(MCR, 0x08);
    expect(irq).toBe(true);
  });
});

describe("receiving", () => {
  it("raises the interrupt at the trigger level and drops it below", () => {
    open(0x01, 0x81);
    receive(1, 2, 3, 4, 5, 6, 7);
    expect(irq).toBe(false);
    receive(8);
    expect(irq).toBe(true);
    expect(inb(IIR)).toBe(0xc4);
    expect(inb(DATA)).toBe(1);
    expect(irq).toBe(false);
  });

  it("raises the timeout interrupt after four character times of silence", () => {
    open(0x01, 0x81);
    receive(0x61);
    const characterNs = (10 * 1e9) / 115200;
    pass(3.9 * characterNs);
    expect(irq).toBe(false);
    pass(0.2 * characterNs);
    expect(irq).toBe(true);
    expect(inb(IIR)).toBe(0xcc);
    expect(inb(LSR)).toBe(0x61);
    expect(inb(DATA)).toBe(0x61);
    expect(irq).toBe(false);
    expect(inb(LSR)).toBe(0x60);
  });

  it("starts the timeout anew with each character", () => {
    open(0x01, 0x81);
    receive(1);
    pass(300_000);
    receive(2);
    pass(300_000);
    expect(irq).toBe(false);
    pass(100_000);
    expect(irq).toBe(true);
  });

  it("holds one byte without FIFOs and sixteen with, and loses none", () => {
    const input = Uint8Array.from({ length: 100 }, (_, i) => i);
    outb(MCR, 0x0b);
    expect(uart.receive(input)).toBe(1);
    expect(inb(DATA)).toBe(0);
    open(0x01, 0xc1);
    const got: number[] = [];
    let at = 1;
    at += uart.receive(input.subarray(at));
    expect(at).toBe(17);
    while (got.length < 99) {
      const before = rooms;
      while (inb(LSR) & 1) got.push(inb(DATA));
      if (at < input.length) expect(rooms).toBe(before + 1);
      at += uart.receive(input.subarray(at));
    }
    expect(got).toEqual(Array.from(input.subarray(1)));
    expect(inb(LSR) & 0x02).toBe(0);
  });

  it("refills from inside onRoom", () => {
    const queue = Array.from({ length: 40 }, (_, i) => i);
    const clock = { now: () => ns(0), wallTime: () => 0 };
    const feed = () => void queue.splice(0, uart.receive(Uint8Array.from(queue)));
    uart = new Uart16550({
      name: "com1",
      clock,
      timers: new Timers(clock),
      irq: { set: () => {} },
      backend: { write: () => {} },
      onRoom: feed,
    });
    outb(FCR, 1);
    feed();
    const got: number[] = [];
    while (inb(LSR) & 1) got.push(inb(DATA));
    expect(got).toEqual(Array.from({ length: 40 }, (_, i) => i));
  });

  it("waits while the guest that uses RTS holds it low, and goes on when it rises", () => {
    expect(receive(1)).toBe(1);
    inb(DATA);
    open(0x01);
    outb(MCR, 0x09);
    expect(receive(2, 3)).toBe(0);
    expect(inb(LSR) & 1).toBe(0);
    outb(MCR, 0x0b);
    expect(rooms).toBe(1);
    expect(receive(2, 3)).toBe(2);
  });

  it("drops what the FIFO holds when it is cleared or switched", () => {
    open(0x01);
    receive(1, 2);
    outb(FCR, 0x03);
    expect(inb(LSR) & 1).toBe(0);
    expect(irq).toBe(false);
    receive(3, 4);
    outb(FCR, 0x00);
    expect(inb(LSR) & 1).toBe(0);
  });

  it("reports a break with its character, by line status first", () => {
    open(0x05);
    receive(0x31);
    expect(uart.receiveBreak()).toBe(true);
    expect(inb(LSR)).toBe(0x61 | 0x80);
    expect(inb(IIR)).toBe(0xc4);
    expect(inb(DATA)).toBe(0x31);
    expect(inb(IIR)).toBe(0xc6);
    expect(inb(LSR)).toBe(0x61 | 0x10 | 0x80);
    expect(inb(IIR)).toBe(0xc4);
    expect(inb(DATA)).toBe(0);
    expect(inb(LSR)).toBe(0x60);
  });
});

describe("loopback", () => {
  it("returns what is sent and keeps the line apart", () => {
    outb(FCR, 1);
    outb(MCR, 0x10);
    outb(DATA, 0x5a);
    expect(sent).toEqual([]);
    expect(receive(1)).toBe(0);
    expect(inb(LSR)).toBe(0x61);
    expect(inb(DATA)).toBe(0x5a);
    outb(MCR, 0);
    expect(rooms).toBe(1);
  });

  it("overruns when nobody reads", () => {
    outb(FCR, 1);
    outb(MCR, 0x10);
    for (let i = 0; i < 17; i++) outb(DATA, i);
    expect(inb(LSR)).toBe(0x63);
    expect(inb(LSR)).toBe(0x61);
    expect(inb(DATA)).toBe(0);
  });
});

describe("modem status", () => {
  it("keeps deltas until they are read and interrupts while they stand", () => {
    open(0x08);
    inb(MSR);
    uart.setModemLines({ cts: false, dcd: false });
    expect(irq).toBe(true);
    expect(inb(IIR)).toBe(0xc0);
    expect(inb(MSR)).toBe(0x20 | 0x01 | 0x08);
    expect(irq).toBe(false);
    uart.setModemLines({ ri: true });
    expect(inb(MSR)).toBe(0x60);
    uart.setModemLines({ ri: false });
    expect(inb(MSR)).toBe(0x24);
  });
});

describe("state", () => {
  it("is plain, and continues elsewhere", () => {
    open(0x01, 0x81);
    receive(1, 2, 3);
    const saved = structuredClone(uart.state);
    outb(FCR, 0);
    inb(DATA);
    const before = edges;
    uart.restore(saved);
    expect(edges).toBe(before);
    pass(400_000);
    expect(irq).toBe(true);
    expect([inb(DATA), inb(DATA), inb(DATA)]).toEqual([1, 2, 3]);
  });

  it("survives any access", () => {
    let seed = 1;
    for (let i = 0; i < 20000; i++) {
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
      const size = ([1, 2, 4] as const)[(seed >>> 8) % 3]!;
      if (seed & 0x10000) uart.write((seed >>> 20) & 7, size, seed);
      else expect(uart.read((seed >>> 20) & 7, size)).toBeLessThan(2 ** (8 * size));
      if ((seed & 0xe0000) === 0) receive(1, 2, 3);
      expect(uart.state.receive.length).toBeLessThanOrEqual(16);
      pass(1000);
    }
  });
});
