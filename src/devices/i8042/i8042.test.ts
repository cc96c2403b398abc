/** Checks against the PS/2 Technical Reference and against the sequence drivers probe with. */
import { beforeEach, describe, expect, it } from "vitest";
import { Bus } from "../../machine/bus.ts";
import { I8042 as PORTS } from "../../machine/platform.ts";
import { I8042 } from "./index.ts";

let bus: Bus;
let controller: I8042;
let resets: number;
const irq = { keyboard: false, aux: false };
let edges: number;

beforeEach(() => {
  bus = new Bus();
  resets = 0;
  edges = 0;
  Object.assign(irq, { keyboard: false, aux: false });
  controller = new I8042({
    keyboardIrq: {
      set: (high) => {
        if (high && !irq.keyboard) edges++;
        irq.keyboard = high;
      },
    },
    auxIrq: {
      set: (high) => {
        irq.aux = high;
      },
    },
    onReset: () => resets++,
  });
  bus.attach(PORTS.data, 1, controller.data);
  bus.attach(PORTS.command, 1, controller.command);
  bus.attach(PORTS.fastReset, 1, controller.fastReset);
});

const status = () => bus.read(0x64, 1);
const data = (value: number) => bus.write(0x60, 1, value);
const command = (value: number, parameter?: number) => {
  bus.write(0x64, 1, value);
  if (parameter !== undefined) data(parameter);
};
/** All the data port has, as status and value. */
const drain = () => {
  const out: number[] = [];
  while (status() & 1) out.push(bus.read(0x60, 1));
  return out;
};

describe("the controller", () => {
  it("is quiet at first", () => {
    expect(status()).toBe(0x14);
    expect(drain()).toEqual([]);
    expect(irq).toEqual({ keyboard: false, aux: false });
  });

  it("passes its tests", () => {
    command(0xaa);
    expect(status() & 0x29).toBe(0x09);
    expect(drain()).toEqual([0x55]);
    command(0xab);
    expect(drain()).toEqual([0x00]);
    command(0xa9);
    expect(drain()).toEqual([0x00]);
  });

  it("keeps its command byte, which the port commands change", () => {
    command(0x20);
    expect(drain()).toEqual([0x65]);
    command(0x60, 0x47);
    for (const [change, expected] of [
      [0xa7, 0x67],
      [0xa8, 0x47],
      [0xad, 0x57],
      [0xae, 0x47],
    ] as const) {
      command(change);
      command(0x20);
      expect(drain()).toEqual([expected]);
    }
  });

  it("loops bytes back as if from the auxiliary port", () => {
    command(0x60, 0x47);
    command(0xd3, 0x5a);
    expect(status() & 0x21).toBe(0x21);
    expect(irq).toEqual({ keyboard: false, aux: true });
    expect(drain()).toEqual([0x5a]);
    expect(irq.aux).toBe(false);
    command(0xd2, 0xa5);
    expect(status() & 0x21).toBe(0x01);
    expect(drain()).toEqual([0xa5]);
  });

  it("says at once that there is no mouse", () => {
    command(0xd4, 0xf2);
    expect(status() & 0x61).toBe(0x61);
    expect(drain()).toEqual([0xfe]);
  });

  it("pulls the reset line", () => {
    command(0xfe);
    expect(resets).toBe(1);
    command(0xff);
    expect(resets).toBe(1);
    command(0xd1, 0xfe);
    expect(resets).toBe(2);
    bus.write(0x92, 1, 0x03);
    expect(resets).toBe(3);
  });

  it("keeps both A20 bits", () => {
    command(0xd0);
    expect(drain()[0]! & 0x03).toBe(0x03);
    command(0xd1, 0xdd);
    command(0xd0);
    expect(drain()[0]! & 0x03).toBe(0x01);
    bus.write(0x92, 1, 0);
    expect(bus.read(0x92, 1)).toBe(0);
    bus.write(0x92, 1, 2);
    expect(bus.read(0x92, 1)).toBe(2);
    expect(resets).toBe(0);
  });
});

describe("the keyboard", () => {
  const ask = (...bytes: number[]) => {
    const out: number[] = [];
    for (const byte of bytes) {
      data(byte);
      out.push(...drain());
    }
    return out;
  };

  it("answers what drivers ask", () => {
    expect(ask(0xff)).toEqual([0xfa, 0xaa]);
    expect(ask(0xf2)).toEqual([0xfa, 0xab, 0x41]);
    command(0x60, 0x05);
    expect(ask(0xf2)).toEqual([0xfa, 0xab, 0x83]);
    expect(ask(0xed, 0x07)).toEqual([0xfa, 0xfa]);
    expect(controller.state.keyboard.leds).toBe(7);
    expect(ask(0xf3, 0x00)).toEqual([0xfa, 0xfa]);
    expect(ask(0xf0, 0x02, 0xf0, 0x00)).toEqual([0xfa, 0xfa, 0xfa, 0xfa, 0x02]);
    expect(ask(0xf0, 0x03)).toEqual([0xfa, 0xfe]);
    expect(ask(0xee, 0xf4, 0xf5, 0xf6)).toEqual([0xee, 0xfa, 0xfa, 0xfa]);
    expect(ask(0x00)).toEqual([0xfe]);
  });

  it("sends set 1 through translation, one interrupt a byte", () => {
    controller.key(0x1c, true);
    controller.key(0x1c, false);
    controller.key(0xe075, true);
    controller.key(0xe075, false);
    controller.key(0x83, true);
    expect(drain()).toEqual([0x1e, 0x9e, 0xe0, 0x48, 0xe0, 0xc8, 0x41]);
    expect(edges).toBe(7);
  });

  it("sends set 2 without it", () => {
    command(0x60, 0x05);
    controller.key(0x1c, true);
    controller.key(0xe075, false);
    expect(drain()).toEqual([0x1c, 0xe0, 0xf0, 0x75]);
    expect(ask(0xf0, 0x01)).toEqual([0xfa, 0xfa]);
    controller.key(0x1c, false);
    expect(drain()).toEqual([0x9e]);
  });

  it("interrupts only when it may, and holds keys while disabled", () => {
    command(0x60, 0x44);
    controller.key(0x1c, true);
    expect([irq.keyboard, status() & 1]).toEqual([false, 1]);
    command(0x60, 0x45);
    expect(irq.keyboard).toBe(true);
    drain();
    command(0xad);
    controller.key(0x1c, false);
    expect(status() & 1).toBe(0);
    command(0xae);
    expect(drain()).toEqual([0x9e]);
    ask(0xf5);
    controller.key(0x1c, true);
    expect(drain()).toEqual([]);
  });

  it("refuses keys when nobody reads", () => {
    let taken = 0;
    while (taken < 100 && controller.key(0x1c, true)) taken++;
    // Sixteen in the keyboard, one in the data port.
    expect(taken).toBe(17);
    expect(drain()).toHaveLength(17);
    expect(controller.key(0x1c, true)).toBe(true);
  });
});

describe("state", () => {
  it("is plain, and continues elsewhere", () => {
    controller.key(0x1c, true);
    controller.key(0x1c, false);
    const saved = structuredClone(controller.state);
    controller.reset();
    expect(irq.keyboard).toBe(false);
    controller.restore(saved);
    expect(irq.keyboard).toBe(true);
    expect(drain()).toEqual([0x1e, 0x9e]);
  });

  it("survives any access, and stays small", () => {
    let seed = 5;
    for (let i = 0; i < 50000; i++) {
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
      const port = [0x60, 0x64, 0x92][(seed >>> 8) % 3]!;
      if ((seed & 0x30000) !== 0) bus.write(port, 1, (seed >>> 20) & 0xff);
      else bus.read(port, 1);
      controller.key((seed >>> 12) & 0xff, (seed & 0x100) !== 0);
      const { waiting, keyboard } = controller.state;
      if (waiting.length > 16 || keyboard.queue.length > 32) throw new Error("a queue grows");
    }
    controller.reset();
    command(0xaa);
    expect(drain()).toEqual([0x55]);
  });
});
