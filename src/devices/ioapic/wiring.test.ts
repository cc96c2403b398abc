/** The interrupt controllers and timers wired as a PC has them, from a timer's tick to the vector the vCPU takes. */
import { beforeEach, describe, expect, it } from "vitest";
import { type Ns, ns } from "../../base/index.ts";
import { type AccessSize, Bus } from "../../machine/bus.ts";
import { isaLines } from "../../machine/interrupts/isa-lines.ts";
import { LocalApic } from "../../machine/interrupts/local-apic.ts";
import { InterruptRouter } from "../../machine/interrupts/router.ts";
import { ACPI_PM, HPET_BLOCK, IO_APIC, LOCAL_APIC, PIC_PORTS, PIT_PORTS } from "../../machine/platform.ts";
import type { IrqLine } from "../../machine/ports.ts";
import { Timers } from "../../machine/timers.ts";
import { AcpiPm } from "../acpi-pm/index.ts";
import { Hpet } from "../hpet/index.ts";
import { Pic } from "../pic8259/index.ts";
import { Pit } from "../pit8254/index.ts";
import { IoApic } from "./index.ts";

const wire = () => {
  const clock = {
    time: 0,
    now(): Ns {
      return ns(this.time);
    },
    wallTime: () => 0,
  };
  const timers = new Timers(clock);
  const router = new InterruptRouter();
  const pic = new Pic(router.extInt);
  const apics = [0, 1].map((id) => {
    const apic: LocalApic = new LocalApic(
      id,
      { bootstrap: id === 0, physicalAddressBits: 40 },
      {
        clock,
        timers,
        pic,
        ipi: (sender, shorthand, message) => router.ipi(sender, shorthand, message),
        endOfInterrupt: (vector) => router.endOfInterrupt(vector),
        onPending: () => {},
      },
    );
    router.attach(apic);
    return apic;
  });
  const ioApic = new IoApic(router);
  router.attachIoApic(ioApic);
  const isa: IrqLine[] = isaLines(pic, ioApic);
  const hpet = new Hpet({ clock, timers, irq0: isa[0]!, irq8: isa[8]!, pin: (n) => ioApic.line(n) });
  const pit = new Pit({ clock, timers, irq: hpet.irq0 });
  const pm = new AcpiPm({ clock, timers, sci: isa[ACPI_PM.sciIrq]!, onPowerOff() {}, onReset() {} });
  const ports = new Bus();
  ports.attach(PIC_PORTS.master, PIC_PORTS.length, pic.master);
  ports.attach(PIC_PORTS.slave, PIC_PORTS.length, pic.slave);
  ports.attach(PIC_PORTS.elcr, PIC_PORTS.length, pic.elcr);
  ports.attach(PIT_PORTS.base, PIT_PORTS.length, pit);
  ports.attach(PIT_PORTS.control, 1, pit.control);
  ports.attach(ACPI_PM.base, ACPI_PM.length, pm);
  ports.attach(ACPI_PM.smiCommand, 2, pm.smi);
  ports.attach(ACPI_PM.reset.port, 1, pm.resetControl);
  const memory = new Bus();
  memory.attach(IO_APIC.address, IO_APIC.length, ioApic);
  memory.attach(HPET_BLOCK.address, HPET_BLOCK.length, hpet);
  memory.attach(LOCAL_APIC.address, LOCAL_APIC.length, apics[0]!);
  return { clock, timers, router, apic: apics[0]!, other: apics[1]!, ports, memory, isa, pm };
};

let pc: ReturnType<typeof wire>;
const out = (port: number, value: number) => pc.ports.write(port, 1, value);
const writeIoApic = (index: number, value: number) => {
  pc.memory.write(IO_APIC.address, 4, index);
  pc.memory.write(IO_APIC.address + 0x10, 4, value);
};
const writeApic = (offset: number, value: number) => pc.memory.write(LOCAL_APIC.address + offset, 4, value);
const advance = (time: number) => {
  pc.clock.time += time;
  pc.timers.run();
};
const startPit = () => {
  out(0x43, 0x34);
  out(0x40, 11_932 & 0xff);
  out(0x40, 11_932 >> 8);
};

beforeEach(() => {
  pc = wire();
});

describe("a PC's interrupts", () => {
  it("bring the 8254's tick through the 8259 and LINT0", () => {
    pc.apic.enterVirtualWire();
    for (const value of [0x20, 0x04, 0x01]) {
      if (value === 0x20) out(0x20, 0x11);
      out(0x21, value);
    }
    out(0x21, 0xfe);
    startPit();
    expect(pc.apic.pending()).toBe(-1);
    advance(10_001_000);
    expect(pc.apic.acknowledge()).toBe(0x20);
    expect(pc.apic.pending()).toBe(-1);
    advance(10_001_000);
    expect(pc.apic.pending()).toBe(-1);
    out(0x20, 0x20);
    expect(pc.apic.acknowledge()).toBe(0x20);
  });

  it("bring it through I/O APIC pin 2, to the processor it names", () => {
    writeApic(0xf0, 0x1ff);
    pc.other.write(0xf0, 4, 0x1ff);
    writeIoApic(0x15, 0x01000000);
    writeIoApic(0x14, 0x30);
    startPit();
    advance(10_001_000);
    expect(pc.apic.pending()).toBe(-1);
    expect(pc.other.acknowledge()).toBe(0x30);
  });

  it("hold the level-triggered SCI until the event is cleared and EOI was given", () => {
    writeApic(0xf0, 0x1ff);
    writeIoApic(0x10 + 2 * ACPI_PM.sciIrq, 0x8000 | 0x71);
    out(ACPI_PM.smiCommand, ACPI_PM.acpiEnable);
    pc.ports.write(ACPI_PM.base + 2, 2, 0x100);
    pc.pm.pressPowerButton();
    expect(pc.apic.acknowledge()).toBe(0x71);
    writeApic(0xb0, 0);
    expect(pc.apic.acknowledge()).toBe(0x71);
    pc.ports.write(ACPI_PM.base, 2, 0x100);
    writeApic(0xb0, 0);
    expect(pc.apic.pending()).toBe(-1);
  });

  it("bring the HPET's tick in the 8254's place under legacy replacement", () => {
    writeApic(0xf0, 0x1ff);
    writeIoApic(0x14, 0x30);
    startPit();
    pc.memory.write(HPET_BLOCK.address + 0x10, 4, 3);
    writeApic(0xb0, 0);
    pc.memory.write(HPET_BLOCK.address + 0x100, 4, 0x104);
    pc.memory.write(HPET_BLOCK.address + 0x108, 4, 5_000_000);
    advance(49_999_999);
    expect(pc.apic.pending()).toBe(-1);
    advance(1);
    expect(pc.apic.acknowledge()).toBe(0x30);
  });

  it("withstand a guest that writes anything anywhere", () => {
    let seed = 1;
    const random = (limit: number) => {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      return Math.floor((seed / 2 ** 32) * limit);
    };
    const portRanges = [
      [0x20, 2],
      [0xa0, 2],
      [0x4d0, 2],
      [0x40, 4],
      [0x61, 1],
      [ACPI_PM.base, ACPI_PM.length],
      [ACPI_PM.smiCommand, 2],
      [0xcf9, 1],
    ] as const;
    const sizes: AccessSize[] = [1, 2, 4];
    for (let i = 0; i < 100_000; i++) {
      const size = sizes[random(3)]!;
      const value = random(4) === 0 ? random(16) : random(2 ** 32);
      const kind = random(8);
      let bus = pc.memory;
      let address: number = LOCAL_APIC.address + (random(0x400) & ~(size === 4 ? 3 : 0));
      if (kind < 3) {
        const [base, length] = portRanges[random(portRanges.length)]!;
        bus = pc.ports;
        address = base + random(length);
      } else if (kind === 3) address = IO_APIC.address + random(5) * 0x10;
      else if (kind === 4) address = HPET_BLOCK.address + random(0x180);
      else if (kind === 5) pc.isa[random(16)]!.set(random(2) === 1);
      if (random(2) === 0) bus.write(address, size, value);
      const read = bus.read(address, size);
      expect(Number.isInteger(read) && read >= 0 && read < 2 ** (8 * size)).toBe(true);
      if (random(50) === 0) pc.apic.writeApicBase(0xfee00100 | (random(4) << 10), 0);
      if (random(20) === 0) pc.apic.writeMsr(0x800 + random(0x40), value, 0);
      if (random(10) === 0) {
        advance(random(2_000_000));
        expect(pc.timers.next()).toBeGreaterThan(pc.clock.time);
      }
      const vector = pc.apic.pending();
      expect(vector).toBeLessThan(256);
      if (vector >= 0 && random(2) === 0) pc.apic.acknowledge();
    }
  });
});
