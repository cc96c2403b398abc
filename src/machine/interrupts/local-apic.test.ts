/** Checks against SDM vol. 3A chapter 11, through the page and the MSRs as an operating system uses them. */
import { beforeEach, describe, expect, it } from "vitest";
import { type Ns, ns } from "../../base/index.ts";
import type { Clock } from "../ports.ts";
import { Timers } from "../timers.ts";
import { LocalApic } from "./local-apic.ts";
import { InterruptRouter } from "./router.ts";

class ManualClock implements Clock {
  time = 0;
  now(): Ns {
    return ns(this.time);
  }
  wallTime(): number {
    return 0;
  }
}

const ID = 0x20;
const EOI = 0xb0;
const LDR = 0xd0;
const DFR = 0xe0;
const SVR = 0xf0;
const ISR = 0x100;
const TMR = 0x180;
const IRR = 0x200;
const ESR = 0x280;
const ICR = 0x300;
const ICR_HIGH = 0x310;
const LVT_TIMER = 0x320;
const LVT_LINT0 = 0x350;
const LVT_ERROR = 0x370;
const INITIAL = 0x380;
const CURRENT = 0x390;
const DIVIDE = 0x3e0;
const TPR = 0x80;
const PPR = 0xa0;

let clock: ManualClock;
let timers: Timers;
let router: InterruptRouter;
let nudges: number[];
let ended: number[];
/** The vector the 8259 offers, -1 for none. */
let picVector: number;
let apics: LocalApic[];
let apic: LocalApic;

const read = (register: number, from = apic) => from.read(register, 4);
const write = (register: number, value: number, to = apic) => to.write(register, 4, value);
const enableX2 = (which = apic) =>
  expect(which.writeApicBase(0xfee00c00 | (which.apicBaseLow & 0x100), which.apicBaseHigh)).toBe(true);
const fixed = (vector: number, level = false, destination = 0) =>
  router.deliver({ vector, mode: 0, level, logical: false, destination });
const advance = (time: number) => {
  clock.time += time;
  timers.run();
};

beforeEach(() => {
  clock = new ManualClock();
  timers = new Timers(clock);
  router = new InterruptRouter();
  nudges = [0, 0, 0];
  ended = [];
  picVector = -1;
  const pic = {
    pending: () => picVector,
    acknowledge: () => {
      const vector = picVector;
      picVector = -1;
      router.extInt.set(false);
      return vector;
    },
  };
  router.attachIoApic({ eoi: (vector) => ended.push(vector) });
  apics = [0, 1, 2].map((id) => {
    const one: LocalApic = new LocalApic(
      id,
      { bootstrap: id === 0, physicalAddressBits: 40 },
      {
        clock,
        timers,
        pic,
        ipi: (sender, shorthand, message) => router.ipi(sender, shorthand, message),
        endOfInterrupt: (vector) => router.endOfInterrupt(vector),
        onPending: () => nudges[id]!++,
      },
    );
    router.attach(one);
    one.write(SVR, 4, 0x1ff);
    return one;
  });
  apic = apics[0]!;
});

describe("registers after power-up (11.4.7.1)", () => {
  it("has the values of the SDM", () => {
    apic.reset();
    expect(read(0x30)).toBe(0x00050014);
    expect(read(SVR)).toBe(0xff);
    expect(read(DFR)).toBe(0xffffffff);
    for (let lvt = LVT_TIMER; lvt <= LVT_ERROR; lvt += 0x10) expect(read(lvt)).toBe(0x10000);
    expect(read(ID, apics[2]!)).toBe(0x02000000);
    expect(apics[0]!.apicBaseLow).toBe(0xfee00900);
    expect(apics[1]!.apicBaseLow).toBe(0xfee00800);
  });

  it("keeps all LVT entries masked while software-disabled (11.4.7.2)", () => {
    write(LVT_TIMER, 0x40);
    write(SVR, 0xff);
    expect(read(LVT_TIMER)).toBe(0x10040);
    write(LVT_TIMER, 0x41);
    expect(read(LVT_TIMER)).toBe(0x10041);
    write(SVR, 0x1ff);
    expect(read(LVT_TIMER)).toBe(0x10041);
  });

  it("reports accesses to reserved registers in ESR once it is written (11.5.3)", () => {
    write(LVT_ERROR, 0xe1);
    write(0x3f0, 1);
    expect(read(ESR)).toBe(0);
    write(ESR, 0);
    expect(read(ESR)).toBe(0x80);
    write(ESR, 0);
    expect(read(ESR)).toBe(0);
    expect(apic.pending()).toBe(0xe1);
  });

  it("does not recurse when the error entry itself has an illegal vector", () => {
    write(LVT_ERROR, 0x05);
    write(0x3f0, 1);
    write(ESR, 0);
    expect(read(ESR) & 0x80).toBe(0x80);
    expect(apic.pending()).toBe(-1);
  });
});

describe("acceptance and priority (11.8)", () => {
  it("takes the highest vector, nests higher classes and resumes after EOI", () => {
    fixed(0x41);
    fixed(0x43);
    expect(apic.pending()).toBe(0x43);
    expect(apic.acknowledge()).toBe(0x43);
    expect(read(ISR + 0x20)).toBe(1 << 3);
    expect(read(IRR + 0x20)).toBe(1 << 1);
    expect(read(PPR)).toBe(0x40);
    expect(apic.pending()).toBe(-1);
    fixed(0x52);
    expect(apic.acknowledge()).toBe(0x52);
    write(EOI, 0);
    expect(apic.pending()).toBe(-1);
    write(EOI, 0);
    expect(apic.acknowledge()).toBe(0x41);
  });

  it("holds back classes at or below TPR, which CR8 is a view of", () => {
    apic.cr8 = 5;
    expect(read(TPR)).toBe(0x50);
    fixed(0x5f);
    expect(apic.pending()).toBe(-1);
    expect(nudges[0]).toBe(0);
    write(TPR, 0x4f);
    expect(apic.cr8).toBe(4);
    expect(apic.pending()).toBe(0x5f);
    expect(nudges[0]).toBe(1);
    expect(read(PPR)).toBe(0x4f);
  });

  it("gives the spurious vector without an in-service bit when the request became undeliverable (11.9)", () => {
    fixed(0x30);
    apic.cr8 = 15;
    expect(apic.acknowledge()).toBe(0xff);
    for (let word = 0; word < 8; word++) expect(read(ISR + word * 16)).toBe(0);
  });

  it("refuses vectors 0 to 15 and records them", () => {
    expect(fixed(0x0f)).toBe(false);
    write(ESR, 0);
    expect(read(ESR)).toBe(0x40);
  });

  it("broadcasts EOI of level-triggered interrupts only", () => {
    fixed(0x61, true);
    fixed(0x62, false);
    expect(read(TMR + 0x30)).toBe(1 << 1);
    expect(apic.acknowledge()).toBe(0x62);
    write(EOI, 0);
    expect(ended).toEqual([]);
    apic.acknowledge();
    write(EOI, 0);
    expect(ended).toEqual([0x61]);
    fixed(0x61, false);
    expect(read(TMR + 0x30)).toBe(0);
    apic.acknowledge();
    write(EOI, 0);
    expect(ended).toEqual([0x61]);
  });

  it("nudges once per change, not per access", () => {
    fixed(0x30);
    write(LVT_TIMER, 0x10020);
    fixed(0x30);
    expect(nudges[0]).toBe(1);
    fixed(0x31);
    expect(nudges[0]).toBe(2);
  });
});

describe("destinations (11.6.2)", () => {
  const takers = (destination: number, logical: boolean) =>
    apics.filter((one) => one.matches(destination, logical)).map((one) => one.initialId);

  it("matches physical IDs and the broadcast", () => {
    expect(takers(1, false)).toEqual([1]);
    expect(takers(0xffffffff, false)).toEqual([0, 1, 2]);
    expect(takers(9, false)).toEqual([]);
  });

  it("matches flat logical destinations as a bit mask", () => {
    for (const one of apics) write(LDR, 1 << (24 + one.initialId), one);
    expect(takers(0b101, true)).toEqual([0, 2]);
  });

  it("matches clusters by number and mask", () => {
    apics.forEach((one, i) => {
      write(DFR, 0x0fffffff, one);
      write(LDR, (i < 2 ? 0x10 | (1 << i) : 0x21) << 24, one);
    });
    expect(read(DFR)).toBe(0x0fffffff);
    expect(takers(0x13, true)).toEqual([0, 1]);
    expect(takers(0x21, true)).toEqual([2]);
    expect(takers(0x2f, true)).toEqual([2]);
  });

  it("derives the x2APIC logical ID from the ID (11.12.10.2)", () => {
    const far = new LocalApic(
      0x123,
      { bootstrap: false, physicalAddressBits: 40 },
      {
        clock,
        timers,
        pic: { pending: () => -1, acknowledge: () => 7 },
        ipi() {},
        endOfInterrupt() {},
        onPending() {},
      },
    );
    enableX2(far);
    expect(far.readMsr(0x802)).toBe(0x123);
    expect(far.readMsr(0x80d)).toBe(0x00120008);
    expect(far.matches(0x0012000c, true)).toBe(true);
    expect(far.matches(0x00120004, true)).toBe(false);
    expect(far.matches(0x00110008, true)).toBe(false);
  });

  it("sends lowest-priority messages to one processor, the least busy", () => {
    write(TPR, 0x30);
    write(TPR, 0x20, apics[1]!);
    write(TPR, 0x40, apics[2]!);
    router.deliver({ vector: 0x80, mode: 1, level: false, logical: false, destination: 0xffffffff });
    expect(apics.map((one) => one.pending())).toEqual([-1, 0x80, -1]);
  });

  it("does not deliver fixed interrupts to a software-disabled APIC", () => {
    write(SVR, 0xff);
    expect(fixed(0x40)).toBe(false);
    expect(router.deliver({ vector: 0, mode: 4, level: false, logical: false, destination: 0 })).toBe(true);
    expect(apic.takeNmi()).toBe(true);
    expect(apic.takeNmi()).toBe(false);
  });

  it("decodes MSI address and data (11.11)", () => {
    expect(router.msi(0xfee02000, 0x0055)).toBe(true);
    expect(apics[2]!.pending()).toBe(0x55);
    expect(router.msi(0xfee03000, 0x0055)).toBe(false);
    expect(router.msi(0xfed02000, 0x0055)).toBe(false);
    expect(router.msi(0xfeeff000, 0x8056)).toBe(true);
    expect(apics.map((one) => one.pending())).toEqual([0x56, 0x56, 0x56]);
  });
});

describe("interprocessor interrupts (11.6.1)", () => {
  it("sends to a destination and by shorthand", () => {
    write(ICR_HIGH, 0x02000000);
    write(ICR, 0x4044);
    expect(apics.map((one) => one.pending())).toEqual([-1, -1, 0x44]);
    write(ICR, 0x40000 | 0x51);
    expect(apic.pending()).toBe(0x51);
    write(ICR, 0xc0000 | 0x61);
    expect(apics.map((one) => one.pending())).toEqual([0x51, 0x61, 0x61]);
    write(ICR, 0x80000 | 0x71);
    expect(apics.map((one) => one.pending())).toEqual([0x71, 0x71, 0x71]);
    expect(read(ICR)).toBe(0x80071);
  });

  it("records an illegal vector and sends nothing", () => {
    write(ICR, 0x80000 | 0x0a);
    write(ESR, 0);
    expect(read(ESR)).toBe(0x20);
    expect(nudges).toEqual([0, 0, 0]);
  });

  it("starts an application processor by INIT and SIPI", () => {
    const other = apics[1]!;
    expect(other.waitsForStartUp).toBe(true);
    fixed(0x80, false, 1);
    write(ICR_HIGH, 0x01000000);
    write(ICR, 0xc500);
    expect(other.takeInit()).toBe(true);
    expect(other.takeInit()).toBe(false);
    expect(read(SVR, other)).toBe(0xff);
    expect(other.pending()).toBe(-1);
    write(ICR, 0x8500);
    expect(other.takeInit()).toBe(false);
    write(ICR, 0x4608);
    write(ICR, 0x4609);
    expect(other.takeStartUp()).toBe(0x08);
    expect(other.waitsForStartUp).toBe(false);
    expect(other.takeStartUp()).toBe(-1);
    write(ICR, 0x4609);
    expect(other.takeStartUp()).toBe(-1);
  });

  it("does not make the bootstrap processor wait after INIT", () => {
    router.deliver({ vector: 0, mode: 5, level: false, logical: false, destination: 0 });
    expect(apic.takeInit()).toBe(true);
    expect(apic.waitsForStartUp).toBe(false);
  });

  it("brings NMIs", () => {
    write(ICR_HIGH, 0x01000000);
    write(ICR, 0x4400);
    expect(nudges).toEqual([0, 1, 0]);
    expect(apics[1]!.takeNmi()).toBe(true);
  });
});

describe("x2APIC (11.12)", () => {
  it("allows only the transitions of 11.12.5", () => {
    expect(apic.writeApicBase(0xfee00500, 0)).toBe(false);
    expect(apic.writeApicBase(0xfee00d00, 0)).toBe(true);
    expect(apic.writeApicBase(0xfee00900, 0)).toBe(false);
    expect(apic.writeApicBase(0xfee00500, 0)).toBe(false);
    expect(apic.writeApicBase(0xfee00100, 0)).toBe(true);
    expect(apic.writeApicBase(0xfee00d00, 0)).toBe(false);
    expect(apic.writeApicBase(0xfee00900, 0)).toBe(true);
    expect(apic.writeApicBase(0xfee00901, 0)).toBe(false);
    expect(apic.writeApicBase(0xfee00900, 0x100)).toBe(false);
    expect(apic.writeApicBase(0x42000900, 0xff)).toBe(true);
    expect(apic.address).toBe(0xff_4200_0000);
  });

  it("has no page while disabled or in x2APIC mode", () => {
    write(TPR, 0x20);
    enableX2();
    expect(apic.address).toBe(-1);
    expect(read(TPR)).toBe(0xffffffff);
    write(TPR, 0x50);
    expect(apic.readMsr(0x808)).toBe(0x20);
    apic.writeApicBase(0xfee00100, 0);
    expect(apic.read(TPR, 1)).toBe(0xff);
    expect(apic.readMsr(0x808)).toBe(-1);
    apic.writeApicBase(0xfee00900, 0);
    expect(read(TPR)).toBe(0);
    expect(read(SVR)).toBe(0xff);
  });

  it("checks MSR accesses as table 11-6 says", () => {
    expect(apic.readMsr(0x802)).toBe(-1);
    enableX2();
    expect(apic.readMsr(0x803)).toBe(0x00050014);
    for (const writeOnly of [0x80b, 0x83f]) expect(apic.readMsr(writeOnly)).toBe(-1);
    for (const absent of [0x800, 0x809, 0x80e, 0x82f, 0x831, 0x840, 0x8ff]) {
      expect(apic.readMsr(absent)).toBe(-1);
      expect(apic.writeMsr(absent, 0, 0)).toBe(false);
    }
    for (const readOnly of [0x802, 0x803, 0x80a, 0x80d, 0x810, 0x827, 0x839]) {
      expect(apic.writeMsr(readOnly, 0, 0)).toBe(false);
    }
    expect(apic.writeMsr(0x80b, 1, 0)).toBe(false);
    expect(apic.writeMsr(0x80b, 0, 0)).toBe(true);
    expect(apic.writeMsr(0x828, 1, 0)).toBe(false);
    expect(apic.writeMsr(0x808, 0x100, 0)).toBe(false);
    expect(apic.writeMsr(0x808, 0x10, 1)).toBe(false);
    expect(apic.writeMsr(0x83f, 0x45, 0)).toBe(true);
    expect(apic.pending()).toBe(0x45);
  });

  it("sends an IPI by one 64-bit ICR write; 0xff is an ordinary ID there", () => {
    enableX2();
    expect(apic.writeMsr(0x830, 0x4047, 1)).toBe(true);
    expect(apics[1]!.pending()).toBe(0x47);
    expect(apic.readMsr(0x830)).toBe(0x4047);
    expect(apic.readMsrHigh(0x830)).toBe(1);
    apic.writeMsr(0x830, 0x4050, 0xff);
    expect(apics[2]!.pending()).toBe(-1);
    apic.writeMsr(0x830, 0x4050, 0xffffffff);
    expect(apics[2]!.pending()).toBe(0x50);
    expect(apic.writeMsr(0x830, 0x2000, 0)).toBe(false);
  });
});

describe("timer (11.5.4)", () => {
  it("counts down once", () => {
    write(LVT_TIMER, 0x40);
    write(DIVIDE, 0xb);
    write(INITIAL, 1000);
    advance(400);
    expect(read(CURRENT)).toBe(600);
    advance(599);
    expect(apic.pending()).toBe(-1);
    advance(1);
    expect(apic.pending()).toBe(0x40);
    expect(read(CURRENT)).toBe(0);
    advance(5000);
    expect(timers.next()).toBe(Number.POSITIVE_INFINITY);
  });

  it("divides by 1 to 128 as bits 3, 1 and 0 say", () => {
    const settings = [0x0, 0x1, 0x2, 0x3, 0x8, 0x9, 0xa, 0xb];
    const counts = settings.map((divide) => {
      write(DIVIDE, divide);
      write(INITIAL, 1_000_000);
      advance(12_800);
      return 12_800 / (1_000_000 - read(CURRENT));
    });
    expect(counts).toEqual([2, 4, 8, 16, 32, 64, 128, 1]);
  });

  it("repeats without drift and coalesces what a slow guest missed", () => {
    write(LVT_TIMER, 0x20040);
    write(DIVIDE, 0xb);
    write(INITIAL, 1_000_000);
    advance(1_000_300);
    expect(apic.acknowledge()).toBe(0x40);
    write(EOI, 0);
    expect(timers.next()).toBe(2_000_000);
    advance(5_500_000);
    expect(apic.acknowledge()).toBe(0x40);
    write(EOI, 0);
    expect(apic.pending()).toBe(-1);
    expect(timers.next()).toBe(7_000_000);
    expect(read(CURRENT)).toBe(499_700);
  });

  it("does not let a tiny period occupy the host", () => {
    write(LVT_TIMER, 0x20040);
    write(DIVIDE, 0xb);
    write(INITIAL, 1);
    expect(timers.next()).toBeGreaterThanOrEqual(50_000);
    advance(1_000_000);
    expect(timers.next()).toBeGreaterThanOrEqual(clock.time + 50_000 - 1);
  });

  it("goes on counting over a switch from one-shot to periodic and stays at zero when expired", () => {
    write(DIVIDE, 0xb);
    write(LVT_TIMER, 0x40);
    write(INITIAL, 1_000_000);
    advance(600_000);
    write(LVT_TIMER, 0x20040);
    expect(read(CURRENT)).toBe(400_000);
    advance(500_000);
    expect(read(CURRENT)).toBe(900_000);
    write(LVT_TIMER, 0x40);
    advance(900_000);
    expect(read(CURRENT)).toBe(0);
    write(LVT_TIMER, 0x20040);
    advance(10);
    expect(read(CURRENT)).toBe(0);
  });

  it("counts while masked without interrupting", () => {
    write(DIVIDE, 0xb);
    write(LVT_TIMER, 0x10040);
    write(INITIAL, 1000);
    expect(timers.next()).toBe(Number.POSITIVE_INFINITY);
    advance(2000);
    write(LVT_TIMER, 0x40);
    timers.run();
    expect(apic.pending()).toBe(-1);
  });

  it("fires at the TSC deadline and disarms", () => {
    apic.setTscDeadline(ns(500));
    expect(apic.tscDeadline).toBe(0);
    write(LVT_TIMER, 0x40040);
    write(INITIAL, 100);
    expect(read(CURRENT)).toBe(0);
    apic.setTscDeadline(ns(500));
    expect(apic.tscDeadline).toBe(500);
    advance(499);
    expect(apic.pending()).toBe(-1);
    advance(1);
    expect(apic.acknowledge()).toBe(0x40);
    expect(apic.tscDeadline).toBe(0);
    write(EOI, 0);
    apic.setTscDeadline(ns(1));
    expect(apic.pending()).toBe(0x40);
    apic.acknowledge();
    write(EOI, 0);
    apic.setTscDeadline(ns(9000));
    write(LVT_TIMER, 0x40);
    advance(10_000);
    expect(apic.pending()).toBe(-1);
  });

  it("is disarmed by entering and leaving TSC-deadline mode", () => {
    write(DIVIDE, 0xb);
    write(LVT_TIMER, 0x40);
    write(INITIAL, 1000);
    write(LVT_TIMER, 0x40040);
    write(LVT_TIMER, 0x40);
    expect(read(INITIAL)).toBe(0);
    advance(2000);
    expect(apic.pending()).toBe(-1);
    write(LVT_TIMER, 0x40040);
    apic.setTscDeadline(ns(9000));
    write(LVT_TIMER, 0x40);
    write(LVT_TIMER, 0x40040);
    expect(apic.tscDeadline).toBe(0);
    advance(10_000);
    expect(apic.pending()).toBe(-1);
  });

  it("survives the reserved mode 3", () => {
    write(LVT_TIMER, 0x60040);
    write(INITIAL, 1);
    advance(1_000_000);
    expect(timers.next()).toBe(Number.POSITIVE_INFINITY);
  });

  it("goes on after a snapshot is restored", () => {
    write(DIVIDE, 0xb);
    write(LVT_TIMER, 0x20040);
    write(INITIAL, 1_000_000);
    advance(300_000);
    const saved = JSON.parse(JSON.stringify(apic.state));
    apic.reset();
    expect(timers.next()).toBe(Number.POSITIVE_INFINITY);
    apic.restore(saved);
    expect(timers.next()).toBe(1_000_000);
    advance(700_000);
    expect(apic.pending()).toBe(0x40);
  });
});

describe("LINT pins and the 8259", () => {
  const raise = (vector: number) => {
    picVector = vector;
    router.extInt.set(true);
  };

  it("passes 8259 interrupts in virtual wire mode, ahead of its own", () => {
    apic.reset();
    raise(0x30);
    expect(apic.pending()).toBe(-1);
    apic.enterVirtualWire();
    expect(apic.pending()).toBe(0x30);
    expect(nudges[0]).toBe(1);
    fixed(0x90);
    expect(apic.acknowledge()).toBe(0x30);
    expect(read(ISR + 0x10)).toBe(0);
    expect(apic.acknowledge()).toBe(0x90);
    expect(apics[1]!.pending()).toBe(-1);
  });

  it("passes them while disabled, as INTR (11.4.3), and NMI too", () => {
    apic.writeApicBase(0xfee00100, 0);
    raise(0x21);
    expect(apic.pending()).toBe(0x21);
    expect(nudges[0]).toBe(1);
    expect(apic.acknowledge()).toBe(0x21);
    router.nmi.set(true);
    expect(apic.takeNmi()).toBe(true);
  });

  it("takes LINT1 as NMI on its rising edge", () => {
    apic.enterVirtualWire();
    router.nmi.set(true);
    router.nmi.set(true);
    expect(apic.takeNmi()).toBe(true);
    router.nmi.set(false);
    expect(apic.takeNmi()).toBe(false);
  });

  it("takes a fixed level on LINT0 again after EOI while the pin is high", () => {
    write(LVT_LINT0, 0x8033);
    router.extInt.set(true);
    expect(read(LVT_LINT0)).toBe(0xc033);
    expect(apic.acknowledge()).toBe(0x33);
    expect(apic.pending()).toBe(-1);
    write(EOI, 0);
    expect(apic.acknowledge()).toBe(0x33);
    router.extInt.set(false);
    write(EOI, 0);
    expect(apic.pending()).toBe(-1);
    expect(read(LVT_LINT0)).toBe(0x8033);
  });

  it("fetches the vector for an ExtINT message from the I/O APIC", () => {
    picVector = 0x28;
    router.deliver({ vector: 0, mode: 7, level: false, logical: false, destination: 0 });
    expect(apic.acknowledge()).toBe(0x28);
    expect(apic.pending()).toBe(-1);
  });
});
