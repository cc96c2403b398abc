import { describe, expect, it } from "vitest";
import { gpa, gva } from "../base/index.ts";
import { AddressSpace, PhysicalMemory, Unreadable } from "./memory.ts";

describe("RAM", () => {
  it("is searched for patterns of every length, at every place", () => {
    const ram = new Uint8Array(512);
    const memory = new PhysicalMemory(ram);
    for (const length of [1, 2, 3, 4, 5, 7, 8, 11, 19, 20, 33]) {
      const pattern = Uint8Array.from({ length }, (_, i) => 1 + ((i * 37) % 200));
      for (let at = 0; at + length <= ram.length; at += 1 + (at % 5)) {
        ram.fill(0).set(pattern, at);
        expect([length, at, memory.find(pattern, gpa(0), gpa(512))]).toEqual([length, at, at]);
        expect(memory.find(pattern, gpa(at), gpa(at + length))).toBe(at);
        expect(memory.find(pattern, gpa(at + 1), gpa(512))).toBe(-1);
        expect(memory.find(pattern, gpa(0), gpa(at + length - 1))).toBe(-1);
      }
    }
  });

  it("is found at the first of several places, overlapping ones too", () => {
    const memory = new PhysicalMemory(new Uint8Array(256).fill(7));
    expect(memory.find(new Uint8Array(20).fill(7), gpa(3), gpa(256))).toBe(3);
  });

  it("cannot be read where it is not", () => {
    const memory = new PhysicalMemory(new Uint8Array(256));
    expect(() => memory.copy(gpa(250), 7)).toThrow(Unreadable);
    expect(() => memory.find(Uint8Array.of(1), gpa(0), gpa(257))).toThrow(Unreadable);
  });
});

describe("an address space", () => {
  const PAGE = 4096;
  const ram = new Uint8Array(16 * PAGE);
  const memory = new PhysicalMemory(ram);
  const view = new DataView(ram.buffer);
  const entry = (table: number, index: number, value: number): void =>
    view.setBigUint64(table * PAGE + index * 8, BigInt(value), true);
  // 0xffffffff80000000: a page at 5, then nothing; 2 MiB on, a large page at 0; a GiB on, nothing.
  entry(1, 511, 2 * PAGE + 1);
  entry(2, 510, 3 * PAGE + 1);
  entry(3, 0, 4 * PAGE + 1);
  entry(3, 1, 0x81);
  entry(4, 0, 5 * PAGE + 1);
  const space = new AddressSpace(memory, gpa(PAGE), 4);
  const base = -(2 ** 31);

  it("says how far what maps an address reaches, mapped or not", () => {
    const at = (offset: number) => space.mapping(gva(base + offset));
    expect(at(0)).toEqual({ physical: 5 * PAGE, length: PAGE });
    expect(at(PAGE)).toEqual({ physical: -1, length: PAGE });
    expect(at(2 ** 21)).toEqual({ physical: 0, length: 2 ** 21 });
    expect(at(2 ** 21 + 3 * PAGE)).toEqual({ physical: 3 * PAGE, length: 2 ** 21 - 3 * PAGE });
    expect(at(2 ** 22)).toEqual({ physical: -1, length: 2 ** 21 });
    expect(at(2 ** 30)).toEqual({ physical: -1, length: 2 ** 30 });
    expect(space.mapping(gva(-(2 ** 47)))).toEqual({ physical: -1, length: 2 ** 39 });
    expect(space.mapping(gva(2 ** 60)).physical).toBe(-1);
  });
});
