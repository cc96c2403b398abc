/** Checks against the Intel 8259A data sheet, through the ports as a PC's BIOS and Linux use them. */
import { beforeEach, describe, expect, it } from "vitest";
import { Bus } from "../../machine/bus.ts";
import { PIC_PORTS } from "../../machine/platform.ts";
import { Pic } from "./index.ts";

let pic: Pic;
let ports: Bus;
let output: boolean;

const out = (port: number, value: number) => ports.write(port, 1, value);
const inb = (port: number) => ports.read(port, 1);
const initialise = (icw4 = 0x01) => {
  for (const [base, vector, icw3] of [
    [0x20, 0x30, 0x04],
    [0xa0, 0x38, 0x02],
  ] as const) {
    out(base, 0x11);
    out(base + 1, vector);
    out(base + 1, icw3);
    out(base + 1, icw4);
  }
};
const raise = (...irqs: number[]) => {
  for (const irq of irqs) pic.line(irq).set(true);
};
const lower = (...irqs: number[]) => {
  for (const irq of irqs) pic.line(irq).set(false);
};

beforeEach(() => {
  output = false;
  pic = new Pic({
    set: (high) => {
      output = high;
    },
  });
  ports = new Bus();
  ports.attach(PIC_PORTS.master, PIC_PORTS.length, pic.master);
  ports.attach(PIC_PORTS.slave, PIC_PORTS.length, pic.slave);
  ports.attach(PIC_PORTS.elcr, PIC_PORTS.length, pic.elcr);
  initialise();
});

describe("8259A", () => {
  it("serves requests by priority and nests", () => {
    raise(4, 1);
    expect(output).toBe(true);
    expect(pic.pending()).toBe(0x31);
    expect(pic.acknowledge()).toBe(0x31);
    expect(output).toBe(false);
    raise(0);
    expect(pic.acknowledge()).toBe(0x30);
    out(0x20, 0x0b);
    expect(inb(0x20)).toBe(0x03);
    out(0x20, 0x0a);
    expect(inb(0x20)).toBe(0x10);
    out(0x20, 0x20);
    out(0x20, 0x20);
    expect(pic.acknowledge()).toBe(0x34);
    expect(pic.pending()).toBe(-1);
  });

  it("masks", () => {
    out(0x21, 0xff);
    raise(3);
    expect(output).toBe(false);
    expect(inb(0x21)).toBe(0xff);
    out(0x21, 0xf7);
    expect(output).toBe(true);
  });

  it("serves the slave through IRQ 2", () => {
    raise(12);
    expect(pic.pending()).toBe(0x3c);
    expect(pic.acknowledge()).toBe(0x3c);
    raise(3);
    expect(output).toBe(false);
    raise(9);
    expect(output).toBe(false);
    out(0xa0, 0x64);
    out(0x20, 0x62);
    expect(pic.acknowledge()).toBe(0x39);
  });

  it("lets a higher slave request through in special fully nested mode", () => {
    initialise(0x11);
    raise(12);
    pic.acknowledge();
    raise(9);
    expect(pic.acknowledge()).toBe(0x39);
  });

  it("needs a new edge after one was served", () => {
    raise(5);
    pic.acknowledge();
    out(0x20, 0x20);
    expect(pic.pending()).toBe(-1);
    raise(5);
    expect(pic.pending()).toBe(-1);
    lower(5);
    raise(5);
    expect(pic.pending()).toBe(0x35);
  });

  it("repeats a level while it lasts and gives IRQ 7 or 15 when it is gone", () => {
    out(0x4d0, 0x20);
    out(0x4d1, 0x04);
    raise(5);
    expect(pic.acknowledge()).toBe(0x35);
    out(0x20, 0x20);
    expect(pic.pending()).toBe(0x35);
    lower(5);
    expect(output).toBe(false);
    expect(pic.acknowledge()).toBe(0x37);
    out(0x20, 0x0b);
    expect(inb(0x20)).toBe(0);
    raise(10);
    out(0xa1, 0xff);
    expect(pic.acknowledge()).toBe(0x37);
  });

  it("gives the slave's IRQ 15 when the slave's request vanishes inside INTA", () => {
    raise(10);
    const seen = pic.state;
    seen.slave.irr = 0;
    expect(pic.acknowledge()).toBe(0x3f);
    out(0xa0, 0x0b);
    expect(inb(0xa0)).toBe(0);
    out(0x20, 0x0b);
    expect(inb(0x20)).toBe(0x04);
  });

  it("lets only the IRQs of the ELCR be level-triggered", () => {
    out(0x4d0, 0xff);
    out(0x4d1, 0xff);
    expect(ports.read(0x4d0, 2)).toBe(0xdef8);
  });

  it("forgets a latched edge when the IRQ becomes level-triggered and its line is low", () => {
    raise(5);
    lower(5);
    out(0x4d0, 0x20);
    expect(output).toBe(false);
    out(0x4d0, 0x00);
    raise(5);
    out(0x4d0, 0x20);
    expect(pic.pending()).toBe(0x35);
  });

  it("takes any unmasked level in special mask mode", () => {
    raise(1);
    pic.acknowledge();
    raise(6);
    expect(pic.pending()).toBe(-1);
    out(0x21, 0x02);
    out(0x20, 0x68);
    expect(pic.acknowledge()).toBe(0x36);
    out(0x20, 0x20);
    out(0x20, 0x0b);
    expect(inb(0x20)).toBe(0x02);
    out(0x20, 0x61);
    expect(inb(0x20)).toBe(0);
  });

  it("keeps nothing in service with automatic EOI", () => {
    initialise(0x03);
    raise(3);
    expect(pic.acknowledge()).toBe(0x33);
    out(0x20, 0x0b);
    expect(inb(0x20)).toBe(0);
    raise(4);
    expect(pic.acknowledge()).toBe(0x34);
  });

  it("rotates priorities", () => {
    raise(3, 4);
    pic.acknowledge();
    out(0x20, 0xa0);
    raise(1);
    lower(3);
    raise(3);
    expect(pic.acknowledge()).toBe(0x34);
    out(0x20, 0x20);
    expect(pic.acknowledge()).toBe(0x31);
    out(0x20, 0xe1);
    expect(pic.acknowledge()).toBe(0x33);
    out(0x20, 0xc0);
    raise(0);
    lower(1);
    raise(1);
    expect(pic.pending()).toBe(0x31);
  });

  it("answers a poll in place of INTA", () => {
    raise(6);
    out(0x20, 0x0c);
    expect(inb(0x20)).toBe(0x86);
    out(0x20, 0x0b);
    expect(inb(0x20)).toBe(0x40);
    out(0x20, 0x0c);
    expect(inb(0x20)).toBe(0x00);
  });

  it("forgets edges, masks and service on ICW1", () => {
    out(0x21, 0x40);
    raise(5, 6);
    pic.acknowledge();
    out(0x20, 0x11);
    expect(inb(0x20)).toBe(0);
    out(0x21, 0x50);
    out(0x21, 0x04);
    out(0x21, 0x01);
    expect(inb(0x21)).toBe(0);
    expect(output).toBe(false);
    lower(5);
    raise(5);
    expect(pic.acknowledge()).toBe(0x55);
  });

  it("restores a saved state and drives its output again", () => {
    raise(4);
    const saved = JSON.parse(JSON.stringify(pic.state));
    pic.reset();
    expect(output).toBe(false);
    pic.restore(saved);
    expect(output).toBe(true);
    expect(pic.acknowledge()).toBe(0x34);
  });
});
