/** Checks against ACPI 6.5, 4.8: fixed hardware as an OS driver uses it. */
import { beforeEach, describe, expect, it } from "vitest";
import { type Ns, ns } from "../../base/index.ts";
import { Bus } from "../../machine/bus.ts";
import { ACPI_PM } from "../../machine/platform.ts";
import { Timers } from "../../machine/timers.ts";
import { AcpiPm } from "./index.ts";

const STATUS = ACPI_PM.base + ACPI_PM.event.offset;
const ENABLE = STATUS + 2;
const CONTROL = ACPI_PM.base + ACPI_PM.control.offset;
const TIMER = ACPI_PM.base + ACPI_PM.timer.offset;
const GPE_STATUS = ACPI_PM.base + ACPI_PM.gpe0.offset;
const GPE_ENABLE = GPE_STATUS + ACPI_PM.gpe0.length / 2;

let time: number;
let timers: Timers;
let ports: Bus;
let pm: AcpiPm;
let sci: boolean;
let events: string[];

beforeEach(() => {
  time = 0;
  sci = false;
  events = [];
  const clock = { now: (): Ns => ns(time), wallTime: () => 0 };
  timers = new Timers(clock);
  pm = new AcpiPm({
    clock,
    timers,
    sci: {
      set: (high) => {
        sci = high;
      },
    },
    onPowerOff: () => events.push("power off"),
    onReset: () => events.push("reset"),
  });
  ports = new Bus();
  ports.attach(ACPI_PM.base, ACPI_PM.length, pm);
  ports.attach(ACPI_PM.smiCommand, 2, pm.smi);
  ports.attach(ACPI_PM.reset.port, 1, pm.resetControl);
});

const enableAcpi = () => ports.write(ACPI_PM.smiCommand, 1, ACPI_PM.acpiEnable);

describe("ACPI PM", () => {
  it("lies where the blocks do not overlap", () => {
    const blocks = [ACPI_PM.event, ACPI_PM.control, ACPI_PM.timer, ACPI_PM.gpe0];
    for (const [i, block] of blocks.entries()) {
      expect(block.offset + block.length).toBeLessThanOrEqual(blocks[i + 1]?.offset ?? ACPI_PM.length);
    }
  });

  it("sets SCI_EN through the SMI command port only", () => {
    expect(ports.read(CONTROL, 2)).toBe(0);
    ports.write(CONTROL, 2, 1);
    expect(ports.read(CONTROL, 2)).toBe(0);
    enableAcpi();
    expect(ports.read(CONTROL, 2)).toBe(1);
    ports.write(CONTROL, 2, 0);
    expect(ports.read(CONTROL, 2)).toBe(1);
    ports.write(ACPI_PM.smiCommand, 1, ACPI_PM.acpiDisable);
    expect(ports.read(CONTROL, 2)).toBe(0);
  });

  it("holds SCI while an enabled event is pending and clears status by writing ones", () => {
    enableAcpi();
    pm.pressPowerButton();
    expect(sci).toBe(false);
    expect(ports.read(STATUS, 2)).toBe(0x100);
    ports.write(ENABLE, 2, 0xffff);
    expect(ports.read(ENABLE, 2)).toBe(0x721);
    expect(sci).toBe(true);
    ports.write(STATUS, 2, 0x020);
    expect(sci).toBe(true);
    ports.write(STATUS, 2, 0x100);
    expect(sci).toBe(false);
    expect(ports.read(STATUS, 2)).toBe(0);
  });

  it("does not interrupt before ACPI is enabled", () => {
    ports.write(ENABLE, 2, 0x100);
    pm.pressPowerButton();
    expect(sci).toBe(false);
    enableAcpi();
    expect(sci).toBe(true);
  });

  it("signals general-purpose events, with byte accesses too", () => {
    enableAcpi();
    pm.raiseEvent(9);
    expect(ports.read(GPE_STATUS + 1, 1)).toBe(0x02);
    ports.write(GPE_ENABLE + 1, 1, 0x02);
    expect(sci).toBe(true);
    expect(ports.read(GPE_ENABLE, 1)).toBe(0);
    ports.write(GPE_STATUS, 1, 0xff);
    expect(sci).toBe(true);
    ports.write(GPE_STATUS + 1, 1, 0x02);
    expect(sci).toBe(false);
  });

  it("powers off with S5's SLP_TYP and SLP_EN, as guests without tables do at port 0x604", () => {
    ports.write(CONTROL, 2, 0x0400 | 0x2000);
    expect(events).toEqual([]);
    ports.write(0x604, 2, 0x2000);
    expect(events).toEqual(["power off"]);
    expect(ports.read(CONTROL, 2) & 0x2000).toBe(0);
  });

  it("powers off with a write of SLP_EN after one of SLP_TYP, byte-wise", () => {
    ports.write(CONTROL + 1, 1, ACPI_PM.s5 << 2);
    expect(events).toEqual([]);
    ports.write(CONTROL + 1, 1, (ACPI_PM.s5 << 2) | 0x20);
    expect(events).toEqual(["power off"]);
  });

  it("resets when RST_CPU rises", () => {
    ports.write(0xcf9, 1, 0x02);
    expect(events).toEqual([]);
    expect(ports.read(0xcf9, 1)).toBe(0x02);
    ports.write(0xcf9, 1, 0x06);
    ports.write(0xcf9, 1, 0x06);
    expect(events).toEqual(["reset"]);
    pm.reset();
    ports.write(ACPI_PM.reset.port, 1, ACPI_PM.reset.value);
    expect(events).toEqual(["reset", "reset"]);
  });

  it("reads all ones nowhere inside the block and ignores writes to the timer", () => {
    ports.write(TIMER, 4, 0x1234);
    expect(ports.read(TIMER, 4)).toBe(0);
    expect(ports.read(ACPI_PM.base + 0x10, 4)).toBe(0);
  });
});

describe("power management timer (4.8.3.3)", () => {
  it("runs at 3.579545 MHz and wraps at its width", () => {
    time = 1e9;
    expect(ports.read(TIMER, 4)).toBe(3_579_545);
    time = Math.ceil((2 ** 32 * 1e9) / 3_579_545) - 1;
    expect(ports.read(TIMER, 4)).toBe(0xffffffff);
    time += 1;
    expect(ports.read(TIMER, 4)).toBe(0);
  });

  it("sets TMR_STS when its highest bit changes and interrupts only if enabled", () => {
    const carry = Math.ceil((2 ** 31 * 1e9) / 3_579_545);
    enableAcpi();
    expect(timers.next()).toBe(Number.POSITIVE_INFINITY);
    time = carry - 1;
    expect(ports.read(STATUS, 2)).toBe(0);
    ports.write(ENABLE, 2, 1);
    expect(timers.next()).toBe(carry);
    time = carry;
    timers.run();
    expect(sci).toBe(true);
    expect(timers.next()).toBe(Number.POSITIVE_INFINITY);
    ports.write(STATUS, 2, 1);
    expect(sci).toBe(false);
    expect(timers.next()).toBe(Math.ceil((2 ** 32 * 1e9) / 3_579_545));
    pm.restore(JSON.parse(JSON.stringify(pm.state)));
    time = timers.next();
    timers.run();
    expect(sci).toBe(true);
  });
});
