import { describe, expect, it } from "vitest";
import { array, ascii, at, blob, type StructOf, struct, u8, u16, u32, u64, u64big } from "./struct.ts";

const Inner = struct("inner", 3, { low: u8, high: u16 });
const Outer = struct("outer", 48, {
  tag: ascii(4, " "),
  count: u32,
  length: u64,
  exact: u64big,
  inner: array(Inner, 2),
  raw: blob(4),
  last: at(0x2c, u32),
});

describe("a declared struct", () => {
  it("derives offsets, packed, with gaps only where a field is placed", () => {
    expect(Outer.offsets).toEqual({ tag: 0, count: 4, length: 8, exact: 16, inner: 24, raw: 30, last: 44 });
  });

  it("writes little-endian and pads with zeros", () => {
    const out = Outer.encode({
      tag: "AB",
      count: 0x01020304,
      length: 0x1f_0000_0002,
      exact: 0x8000_0000_0000_0001n,
      inner: [{ low: 5, high: 0x0607 }],
      raw: [9],
      last: 0xfffffffe,
    });
    const hex = Array.from(out, (b) => b.toString(16).padStart(2, "0")).join("");
    expect(hex).toBe(
      "41422020" +
        "04030201" +
        "020000001f000000" +
        "0100000000000080" +
        "050706" +
        "000000" +
        "09000000" +
        "00000000000000000000" +
        "feffffff",
    );
  });

  it("reads back what it wrote, at any offset of a larger buffer", () => {
    const values: StructOf<typeof Outer> = {
      tag: "ABCD",
      count: 7,
      length: Number.MAX_SAFE_INTEGER,
      exact: 2n ** 64n - 1n,
      inner: [
        { low: 1, high: 2 },
        { low: 3, high: 4 },
      ],
      raw: Uint8Array.of(1, 2, 3, 4),
      last: 5,
    };
    const buffer = new Uint8Array(64).fill(0xff);
    const view = new DataView(buffer.buffer, 3);
    Outer.write(view, 5, values);
    expect(Outer.read(view, 5)).toEqual(values);
    expect(Outer.decode(buffer.subarray(8))).toEqual(values);
    expect([buffer[7], buffer[8 + 48]]).toEqual([0xff, 0xff]);
  });

  it("reads and writes one field in place", () => {
    const view = new DataView(new ArrayBuffer(50));
    Outer.set(view, 2, "count", 0xdeadbeef);
    expect(Outer.get(view, 2, "count")).toBe(0xdeadbeef);
    expect(view.getUint8(6)).toBe(0xef);
  });

  it("refuses a declaration whose size is wrong or whose fields overlap", () => {
    expect(() => struct("short", 5, { a: u32 })).toThrow("short is declared as 5 bytes, its fields take 4");
    expect(() => struct("overlap", 6, { a: u32, b: at(2, u32) })).toThrow("overlap.b");
  });

  it("refuses a value that does not fit its field", () => {
    expect(() => Inner.encode({ low: 256 })).toThrow(RangeError);
    expect(() => Inner.encode({ high: -1 })).toThrow(RangeError);
    expect(() => Outer.encode({ tag: "ABCDE" })).toThrow(RangeError);
    expect(() => Outer.encode({ length: 2 ** 53 })).toThrow(RangeError);
    expect(() => Outer.encode({ exact: 2n ** 64n })).toThrow(RangeError);
    expect(() => Outer.decode(new Uint8Array(47))).toThrow(RangeError);
  });

  it("reads a guest's 64-bit value above 2^53 as one that stays above every limit", () => {
    const view = new DataView(Uint8Array.of(255, 255, 255, 255, 255, 255, 255, 255).buffer);
    expect(u64.read(view, 0)).toBeGreaterThan(Number.MAX_SAFE_INTEGER);
  });
});
