import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ByteWriter } from "./bytes.ts";

/** LEB128 read back by the definition of section 5.2.2, and how many bytes it took. */
function read(bytes: Uint8Array, signed: boolean): [value: bigint, length: number] {
  let value = 0n;
  for (let i = 0; ; i++) {
    const byte = bytes[i]!;
    value |= BigInt(byte & 0x7f) << BigInt(7 * i);
    if (byte & 0x80) continue;
    if (signed && byte & 0x40) value -= 1n << BigInt(7 * (i + 1));
    return [value, i + 1];
  }
}

/** The fewest bytes that hold a number. */
function shortest(value: bigint, signed: boolean): number {
  let length = 1;
  const fits = (n: number) =>
    signed ? value >= -(1n << BigInt(7 * n - 1)) && value < 1n << BigInt(7 * n - 1) : value < 1n << BigInt(7 * n);
  while (!fits(length)) length++;
  return length;
}

function written(write: (out: ByteWriter) => void): Uint8Array {
  const out = new ByteWriter(1);
  write(out);
  return out.view();
}

describe("LEB128", () => {
  it("of unsigned 32-bit integers is the shortest that reads back", () => {
    fc.assert(
      fc.property(fc.oneof(fc.nat(300), fc.integer({ min: 0, max: 0xffff_ffff })), (n) => {
        const bytes = written((out) => out.u32(n));
        expect(read(bytes, false)).toEqual([BigInt(n), bytes.length]);
        expect(bytes.length).toBe(shortest(BigInt(n), false));
      }),
    );
  });

  it("of signed 32-bit integers is the shortest that reads back", () => {
    fc.assert(
      fc.property(fc.oneof(fc.integer({ min: -300, max: 300 }), fc.integer()), (n) => {
        const bytes = written((out) => out.s32(n));
        expect(read(bytes, true)).toEqual([BigInt(n), bytes.length]);
        expect(bytes.length).toBe(shortest(BigInt(n), true));
      }),
    );
  });

  it("of signed 64-bit integers is the shortest that reads back", () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.bigInt({ min: -300n, max: 300n }), fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n })),
        (n) => {
          const bytes = written((out) => out.s64(n));
          expect(read(bytes, true)).toEqual([n, bytes.length]);
          expect(bytes.length).toBe(shortest(n, true));
        },
      ),
    );
  });
});

describe("a byte writer", () => {
  it("grows, and keeps what it has", () => {
    const bytes = written((out) => {
      for (let i = 0; i < 1000; i++) out.u8(i & 0xff);
      out.raw(new Uint8Array(5000).fill(7));
      out.name("ab");
    });
    expect(bytes.length).toBe(6003);
    expect([bytes[0], bytes[255], bytes[999], bytes[1000], bytes[5999]]).toEqual([0, 255, 231, 7, 7]);
    expect([...bytes.subarray(6000)]).toEqual([2, 0x61, 0x62]);
  });

  it("puts the length in front of a body", () => {
    const body = new ByteWriter();
    body.raw(new Uint8Array(200));
    const bytes = written((out) => out.sized(body));
    expect([...bytes.subarray(0, 3), bytes.length]).toEqual([0xc8, 0x01, 0, 202]);
  });
});
