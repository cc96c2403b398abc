import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ByteRing } from "./ring.ts";

const pair = (capacity: number): [writer: ByteRing, reader: ByteRing] => {
  const buffer = new SharedArrayBuffer(4 + ByteRing.size(capacity));
  return [new ByteRing(buffer, 4, capacity), new ByteRing(buffer, 4, capacity)];
};

describe("a ring", () => {
  it("is a queue of bytes that never holds more than it can", () => {
    const step = fc.oneof(
      fc.record({ put: fc.uint8Array({ maxLength: 40 }) }),
      fc.record({ take: fc.integer({ min: 0, max: 40 }) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const [writer, reader] = pair(32);
        const model: number[] = [];
        for (const s of steps) {
          if ("put" in s) {
            const count = writer.write(s.put);
            expect(count).toBe(Math.min(s.put.length, 32 - model.length));
            model.push(...s.put.subarray(0, count));
          } else {
            const bytes = reader.peek(s.take);
            expect([...bytes]).toEqual(model.slice(0, s.take));
            reader.consume(bytes.length);
            model.splice(0, bytes.length);
          }
          expect(writer.available).toBe(model.length);
          expect(reader.room).toBe(32 - model.length);
        }
      }),
    );
  });

  it("goes on when its counters wrap", () => {
    const buffer = new SharedArrayBuffer(ByteRing.size(8));
    new Int32Array(buffer).fill(-3, 0, 2);
    const ring = new ByteRing(buffer, 0, 8);
    expect(ring.write(Uint8Array.of(1, 2, 3, 4, 5))).toBe(5);
    expect(ring.available).toBe(5);
    expect([...ring.peek(8)]).toEqual([1, 2, 3, 4, 5]);
    ring.consume(5);
    expect(ring.room).toBe(8);
  });

  it("writes the rest of what did not fit", () => {
    const [ring] = pair(4);
    const data = Uint8Array.of(1, 2, 3, 4, 5, 6);
    const sent = ring.write(data);
    ring.consume(2);
    expect(ring.write(data, sent)).toBe(2);
    expect([...ring.peek(4)]).toEqual([3, 4, 5, 6]);
  });

  it("has a capacity that is a power of two", () => {
    expect(() => pair(24)).toThrow(RangeError);
  });
});
