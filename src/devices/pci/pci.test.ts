/** Checks against the PCI Local Bus Specification 3.0, through the ports as an operating system uses them. */
import { beforeEach, describe, expect, it } from "vitest";
import { Bus, type IoDevice } from "../../machine/bus.ts";
import { PCI_CONFIG } from "../../machine/platform.ts";
import { hostBridge, PciBus, PciFunction } from "./index.ts";

let ports: Bus;
let memory: Bus;
let pci: PciBus;
let levels: boolean[];

const select = (device: number, index: number, register: number, bus = 0) =>
  ports.write(0xcf8, 4, (0x80000000 | (bus << 16) | (device << 11) | (index << 8) | (register & 0xfc)) >>> 0);
const read = (device: number, index: number, register: number, size: 1 | 2 | 4 = 4) => {
  select(device, index, register);
  return ports.read(0xcfc + (register & 3), size);
};
const write = (device: number, index: number, register: number, value: number, size: 1 | 2 | 4 = 4) => {
  select(device, index, register);
  ports.write(0xcfc + (register & 3), size, value);
};

const answering = (name: string, value: number): IoDevice => ({ name, read: () => value, write: () => {} });

const sample = () =>
  new PciFunction({
    name: "sample",
    vendorId: 0x1af4,
    deviceId: 0x1042,
    classCode: 0x018000,
    subsystemVendorId: 0x1af4,
    subsystemId: 0x0002,
    interruptPin: 1,
    capabilities: 0x40,
    registers: { capability: { offset: 0x40, width: 4, access: "r", reset: 0x09 } },
    bars: [
      { index: 0, space: "io", size: 64, device: answering("io", 0x11) },
      { index: 1, space: "memory32", size: 0x1000, device: answering("low", 0x22) },
      { index: 4, space: "memory64", size: 0x4000, prefetchable: true, device: answering("high", 0x33) },
    ],
  });

beforeEach(() => {
  ports = new Bus();
  memory = new Bus();
  levels = [false, false, false, false];
  pci = new PciBus({
    ports,
    memory,
    interrupts: levels.map((_, i) => ({
      set: (high) => {
        levels[i] = high;
      },
    })),
  });
  ports.attach(PCI_CONFIG.address, 1, pci.address);
  ports.attach(PCI_CONFIG.data, 4, pci.data);
  pci.attach(0, 0, hostBridge());
});

describe("configuration mechanism #1", () => {
  it("is found by its enable bit", () => {
    ports.write(0xcfb, 1, 0x01);
    ports.write(0xcf8, 4, 0x80000000);
    expect(ports.read(0xcf8, 4)).toBe(0x80000000);
  });

  it("keeps only the bits the register has", () => {
    ports.write(0xcf8, 4, 0xffffffff);
    expect(ports.read(0xcf8, 4)).toBe(0x80fffffc);
    ports.write(0xcf8, 2, 0);
    expect(ports.read(0xcf8, 4)).toBe(0x80fffffc);
  });

  it("leaves the port behind its first byte to the reset register", () => {
    ports.attach(0xcf9, 1, answering("reset", 0x06));
    expect(ports.read(0xcf9, 1)).toBe(0x06);
  });

  it("shows an Intel 440FX host bridge in 00:00.0", () => {
    expect(read(0, 0, 0x00)).toBe(0x12378086);
    expect(read(0, 0, 0x08)).toBe(0x06000002);
    expect(read(0, 0, 0x0a, 2)).toBe(0x0600);
    expect(read(0, 0, 0x0b, 1)).toBe(0x06);
    expect(read(0, 0, 0x0e, 1)).toBe(0x00);
  });

  it("reads ones from empty slots, other buses and while disabled", () => {
    expect(read(1, 0, 0)).toBe(0xffffffff);
    expect(read(0, 1, 0, 2)).toBe(0xffff);
    select(0, 0, 0, 1);
    expect(ports.read(0xcfc, 4)).toBe(0xffffffff);
    ports.write(0xcf8, 4, 0);
    expect(ports.read(0xcfc, 1)).toBe(0xff);
  });

  it("keeps read-only registers", () => {
    write(0, 0, 0x00, 0xdeadbeef);
    write(0, 0, 0x08, 0xffffffff);
    expect([read(0, 0, 0), read(0, 0, 8)]).toEqual([0x12378086, 0x06000002]);
  });

  it("says in function 0 that there are more", () => {
    expect(read(0, 0, 0x0c)).toBe(0);
    pci.attach(0, 3, sample());
    expect(read(0, 0, 0x0e, 1)).toBe(0x80);
    expect(read(0, 0, 0x0c)).toBe(0x00800000);
    expect(read(0, 3, 0x0e, 1)).toBe(0x00);
  });

  it("refuses to fill a slot twice", () => {
    expect(() => pci.attach(0, 0, hostBridge())).toThrow(RangeError);
    expect(() => pci.attach(32, 0, hostBridge())).toThrow(RangeError);
  });
});

describe("base address registers", () => {
  let device: PciFunction;
  beforeEach(() => {
    device = sample();
    pci.attach(2, 0, device);
  });

  it("tell their kind and size", () => {
    expect([0x10, 0x14, 0x18, 0x20, 0x24].map((r) => read(2, 0, r))).toEqual([1, 0, 0, 0xc, 0]);
    for (const register of [0x10, 0x14, 0x18, 0x20, 0x24]) write(2, 0, register, 0xffffffff);
    expect([0x10, 0x14, 0x18, 0x20, 0x24].map((r) => read(2, 0, r))).toEqual([
      0x0000ffc1, 0xfffff000, 0, 0xffffc00c, 0xffffffff,
    ]);
  });

  it("map when decoding is enabled and follow the register", () => {
    write(2, 0, 0x10, 0xc000);
    write(2, 0, 0x14, 0xc0001000);
    write(2, 0, 0x20, 0xd0000000);
    expect(ports.read(0xc000, 1)).toBe(0xff);
    write(2, 0, 0x04, 0x0001, 2);
    expect(ports.read(0xc03f, 1)).toBe(0x11);
    expect(ports.read(0xc040, 1)).toBe(0xff);
    expect(memory.read(0xc0001000, 4)).toBe(0xffffffff);
    write(2, 0, 0x04, 0x0003, 2);
    expect([memory.read(0xc0001ffc, 4), memory.read(0xd0003ffc, 4)]).toEqual([0x22, 0x33]);
    write(2, 0, 0x14, 0xc0002000);
    expect([memory.read(0xc0001000, 4), memory.read(0xc0002000, 4)]).toEqual([0xffffffff, 0x22]);
    write(2, 0, 0x04, 0, 2);
    expect([ports.read(0xc000, 1), memory.read(0xc0002000, 4)]).toEqual([0xff, 0xffffffff]);
  });

  it("never leave the windows", () => {
    write(2, 0, 0x04, 0x0003, 2);
    for (const address of [0, 0x1000, 0xbffff000, 0xfec00000, 0xfee00000, 0xfffff000]) {
      write(2, 0, 0x14, address);
      expect(memory.read(address, 4)).toBe(0xffffffff);
    }
    write(2, 0, 0x10, 0x60);
    expect(ports.read(0x60, 1)).toBe(0xff);
    write(2, 0, 0x24, 0xffffffff);
    write(2, 0, 0x20, 0xffffffff);
  });

  it("placed over another device give way, and come when it goes", () => {
    const other = answering("other", 0x44);
    memory.attach(0xc0001800, 0x10, other);
    write(2, 0, 0x14, 0xc0001000);
    write(2, 0, 0x04, 0x0002, 2);
    expect([memory.read(0xc0001000, 4), memory.read(0xc0001800, 4)]).toEqual([0xffffffff, 0x44]);
    memory.detach(other);
    write(2, 0, 0x04, 0x0002, 2);
    expect(memory.read(0xc0001800, 4)).toBe(0x22);
  });

  it("are unmapped by reset and mapped again by restore", () => {
    write(2, 0, 0x14, 0xc0001000);
    write(2, 0, 0x04, 0x0002, 2);
    const saved = structuredClone(device.state);
    pci.reset();
    expect(memory.read(0xc0001000, 4)).toBe(0xffffffff);
    device.restore(saved);
    expect(memory.read(0xc0001000, 4)).toBe(0x22);
  });

  it("that cannot exist are refused", () => {
    const make =
      (size: number, space: "io" | "memory32", index = 0) =>
      () =>
        new PciFunction({
          name: "x",
          vendorId: 1,
          deviceId: 1,
          classCode: 0,
          bars: [{ index, space, size, device: answering("x", 0) }],
        });
    expect(make(48, "io")).toThrow(RangeError);
    expect(make(8, "memory32")).toThrow(RangeError);
    expect(make(16, "memory32", 6)).toThrow(RangeError);
    expect(make(16, "memory32", 5)).not.toThrow();
  });
});

describe("a function", () => {
  it("shows its capability list", () => {
    pci.attach(2, 0, sample());
    expect(read(2, 0, 0x06, 2)).toBe(0x0010);
    expect(read(2, 0, 0x34, 1)).toBe(0x40);
    expect(read(2, 0, 0x40, 1)).toBe(0x09);
    expect(read(2, 0, 0x2c)).toBe(0x00021af4);
  });

  it("shares interrupt inputs, turned by device number", () => {
    const [a, b] = [sample(), new PciFunction({ name: "b", vendorId: 1, deviceId: 2, classCode: 0, interruptPin: 1 })];
    pci.attach(2, 0, a);
    pci.attach(6, 0, b);
    a.setInterrupt(true);
    b.setInterrupt(true);
    expect(levels).toEqual([false, false, true, false]);
    expect(read(2, 0, 0x06, 2) & 0x08).toBe(0x08);
    a.setInterrupt(false);
    expect(levels[2]).toBe(true);
    write(6, 0, 0x04, 0x0400, 2);
    expect(levels[2]).toBe(false);
    write(6, 0, 0x04, 0x0000, 2);
    expect(levels[2]).toBe(true);
    b.setInterrupt(false);
    expect(levels[2]).toBe(false);
  });

  it("survives any access", () => {
    pci.attach(2, 0, sample());
    let seed = 7;
    for (let i = 0; i < 20000; i++) {
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
      const size = ([1, 2, 4] as const)[(seed >>> 8) % 3]!;
      ports.write(0xcf8, 4, (0x80000000 | ((seed >>> 4) & 0x17fc)) >>> 0);
      if (seed & 0x10000) ports.write(0xcfc + ((seed >>> 20) & 3), size, seed);
      else ports.read(0xcfc + ((seed >>> 20) & 3), size);
    }
    expect(read(2, 0, 0)).toBe(0x10421af4);
  });
});
