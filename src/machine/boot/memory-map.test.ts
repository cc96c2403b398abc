import { describe, expect, it } from "vitest";
import { bytes, GiB, MiB } from "../../base/index.ts";
import { type MemoryRegion, memoryMap } from "./memory-map.ts";

const map = (low: number, high: number, reserved: MemoryRegion[] = []) =>
  memoryMap({ size: bytes(low + high), lowSize: bytes(low) }, reserved).map((r) => [
    r.start,
    r.start + r.length,
    r.type,
  ]);

const LOW = [
  [0, 0x9fc00, 1],
  [0x9fc00, 0xa0000, 2],
];

describe("memoryMap", () => {
  it("lists RAM on both sides of the hole below 4 GiB, and what is reserved in the hole", () => {
    const window: MemoryRegion = { start: 0xe0000000, length: 256 * MiB, type: 2 };
    expect(map(3 * GiB, 512 * MiB, [window])).toEqual([
      ...LOW,
      [0xe0000, 0x100000, 2],
      [MiB, 3 * GiB, 1],
      [0xe0000000, 0xf0000000, 2],
      [4 * GiB, 4 * GiB + 512 * MiB, 1],
    ]);
  });

  it("cuts what the machine reserves out of RAM and out of the ROM area, so that nothing overlaps", () => {
    const tables: MemoryRegion = { start: 0xf0000, length: 0x2000, type: 3 };
    const inside: MemoryRegion = { start: 20 * MiB, length: MiB, type: 4 };
    const twice: MemoryRegion = { start: 20 * MiB + 4096, length: MiB, type: 2 };
    expect(map(64 * MiB, 0, [tables, inside, twice])).toEqual([
      ...LOW,
      [0xe0000, 0xf0000, 2],
      [0xf0000, 0xf2000, 3],
      [0xf2000, 0x100000, 2],
      [MiB, 20 * MiB, 1],
      [20 * MiB, 21 * MiB, 4],
      [21 * MiB, 21 * MiB + 4096, 2],
      [21 * MiB + 4096, 64 * MiB, 1],
    ]);
  });

  it("has no RAM above 1 MiB when there is none", () => {
    expect(map(MiB, 0)).toEqual([...LOW, [0xe0000, 0x100000, 2]]);
    expect(map(0x80000, 0)).toEqual([[0, 0x80000, 1], LOW[1], [0xe0000, 0x100000, 2]]);
  });
});
