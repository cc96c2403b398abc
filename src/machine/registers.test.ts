import { describe, expect, it } from "vitest";
import { decoder, layout, type RegisterTable, resetValues, writableBits } from "./registers.ts";

const TABLE = {
  data: { offset: 0, access: "rw", bank: 0 },
  divisor: { offset: 0, access: "rw", bank: 1, reset: 0x0c },
  status: { offset: 1, access: "r", reset: 0x60 },
  command: { offset: 1, access: "w" },
  address: { offset: 4, width: 4, access: "rw", writable: 0xfffff000, reset: 0x89abcdef },
} as const satisfies RegisterTable;

describe("a register table", () => {
  it("finds a register by offset, direction and bank", () => {
    const [read, write] = [decoder(TABLE, "r", 2), decoder(TABLE, "w", 2)];
    expect([read(0, 0), read(0, 1), read(1, 1), write(1), read(3), read(7), read(0, 2)]).toEqual([
      "data",
      "divisor",
      "status",
      "command",
      undefined,
      "address",
      undefined,
    ]);
  });

  it("gives reset values and writable bits", () => {
    expect(resetValues(TABLE)).toEqual({ data: 0, divisor: 0x0c, status: 0x60, command: 0, address: 0x89abcdef });
    expect([writableBits(TABLE.status), writableBits(TABLE.data), writableBits(TABLE.address)]).toEqual([
      0, 0xff, 0xfffff000,
    ]);
  });

  it("lays registers out as little-endian bytes", () => {
    const { reset, writable } = layout({ address: TABLE.address }, 9);
    expect(Array.from(reset)).toEqual([0, 0, 0, 0, 0xef, 0xcd, 0xab, 0x89, 0]);
    expect(Array.from(writable)).toEqual([0, 0, 0, 0, 0, 0xf0, 0xff, 0xff, 0]);
  });

  it("refuses registers that overlap", () => {
    const overlap = { a: { offset: 0, width: 4, access: "r" }, b: { offset: 3, access: "r" } } as const;
    expect(() => decoder(overlap, "r")).toThrow(RangeError);
  });
});
