/** Checks against the 82093AA data sheet: redirection entries, edges and levels, the EOI register. */
import { beforeEach, describe, expect, it } from "vitest";
import { type InterruptPins, isaLines } from "../../machine/interrupts/isa-lines.ts";
import type { InterruptMessage } from "../../machine/interrupts/messages.ts";
import { IoApic } from "./index.ts";

let sent: InterruptMessage[];
let accepted: boolean;
let ioApic: IoApic;

const get = (index: number) => {
  ioApic.write(0, 4, index);
  return ioApic.read(0x10, 4);
};
const set = (index: number, value: number) => {
  ioApic.write(0, 4, index);
  ioApic.write(0x10, 4, value);
};
const program = (pin: number, low: number, high = 0) => {
  set(0x11 + pin * 2, high);
  set(0x10 + pin * 2, low);
};

beforeEach(() => {
  sent = [];
  accepted = true;
  ioApic = new IoApic({
    deliver: (message) => {
      sent.push(message);
      return accepted;
    },
  });
});

describe("I/O APIC registers", () => {
  it("has 24 pins, version 0x20, everything masked", () => {
    expect(get(1)).toBe(0x00170020);
    for (let pin = 0; pin < 24; pin++) expect(get(0x10 + pin * 2)).toBe(0x00010000);
    expect(get(0x40)).toBe(0);
  });

  it("keeps the ID's four bits and ignores read-only ones", () => {
    set(0, 0xffffffff);
    expect(get(0)).toBe(0x0f000000);
    program(5, 0xfffeffff, 0xffffffff);
    expect(get(0x1a)).toBe(0x0000afff);
    expect(get(0x1b)).toBe(0xff000000);
    set(0xff, 1);
    set(0x40, 1);
  });

  it("has no pin beyond 23", () => {
    expect(() => ioApic.line(24)).toThrow(RangeError);
  });
});

describe("I/O APIC delivery", () => {
  it("sends what the entry says", () => {
    program(3, 0x0931, 0x05000000);
    ioApic.line(3).set(true);
    expect(sent).toEqual([{ vector: 0x31, mode: 1, level: false, logical: true, destination: 5 }]);
  });

  it("sends an edge once and loses it while masked", () => {
    const line = ioApic.line(4);
    program(4, 0x10040);
    line.set(true);
    program(4, 0x40);
    expect(sent).toHaveLength(0);
    line.set(true);
    expect(sent).toHaveLength(0);
    line.set(false);
    line.set(true);
    expect(sent).toHaveLength(1);
  });

  it("sends a level again after EOI while it lasts", () => {
    program(10, 0x8050);
    ioApic.line(10).set(true);
    ioApic.line(10).set(true);
    expect(sent).toHaveLength(1);
    expect(get(0x24)).toBe(0xc050);
    ioApic.eoi(0x51);
    expect(sent).toHaveLength(1);
    ioApic.eoi(0x50);
    expect(sent).toHaveLength(2);
    ioApic.line(10).set(false);
    ioApic.write(0x40, 4, 0x50);
    expect(sent).toHaveLength(2);
    expect(get(0x24)).toBe(0x8050);
  });

  it("sends a level that came while masked when it is unmasked", () => {
    program(10, 0x18050);
    ioApic.line(10).set(true);
    expect(sent).toHaveLength(0);
    program(10, 0x8050);
    expect(sent).toHaveLength(1);
  });

  it("sets remote IRR only when a local APIC accepted", () => {
    accepted = false;
    program(10, 0x8050);
    ioApic.line(10).set(true);
    expect(get(0x24)).toBe(0x8050);
  });

  it("clears remote IRR when the pin is switched to edge, as systems without EOI register do", () => {
    program(10, 0x8050);
    ioApic.line(10).set(true);
    ioApic.line(10).set(false);
    set(0x24, 0x10050);
    set(0x24, 0x18050);
    expect(get(0x24)).toBe(0x18050);
  });
});

describe("ISA wires", () => {
  it("fan out to both controllers, IRQ 0 to pin 2 and IRQ 2 nowhere", () => {
    const seen: string[] = [];
    const pins = (name: string): InterruptPins => ({
      line: (pin) => ({ set: (high) => seen.push(`${name}${pin}${high ? "+" : "-"}`) }),
    });
    const lines = isaLines(pins("pic"), pins("io"));
    expect(lines).toHaveLength(16);
    lines[0]!.set(true);
    lines[2]!.set(true);
    lines[4]!.set(false);
    expect(seen).toEqual(["pic0+", "io2+", "pic4-", "io4-"]);
  });
});
