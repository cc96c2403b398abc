import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { encodeFrame, FrameReader, KIND, type Kind, MAX_PAYLOAD } from "./frame.ts";

/** What comes out of a reader that is given `bytes` in pieces of these sizes. */
function read(bytes: Uint8Array, sizes: readonly number[]) {
  const reader = new FrameReader();
  const out = [];
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length]!;
    for (const { payload, ...rest } of reader.push(bytes.subarray(at, at + size)))
      out.push({ ...rest, payload: Buffer.from(payload) });
    at += size;
  }
  return out;
}

const frame = fc.record({
  channel: fc.nat(0xffffffff),
  kind: fc.constantFrom(...Object.values(KIND)),
  stream: fc.nat(255),
  payload: fc.uint8Array({ maxLength: 9000 }).map((bytes) => Buffer.from(bytes)),
});
const cuts = fc.array(fc.integer({ min: 1, max: 5000 }), { minLength: 1, maxLength: 20 });

describe("frames", () => {
  it("come out as they went in, however the bytes are cut", () => {
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 6 }), cuts, (frames, sizes) => {
        const bytes = Buffer.concat(frames.map((f) => encodeFrame(f.channel, f.kind as Kind, f.stream, f.payload)));
        expect(read(bytes, sizes)).toEqual(frames);
      }),
      { numRuns: 300 },
    );
  });

  it("are on the wire as the header comment says", () => {
    expect([...encodeFrame(0x01020304, KIND.data, 7, Uint8Array.of(9))]).toEqual([7, 0, 0, 0, 4, 3, 2, 1, 3, 7, 9]);
  });

  it.each([0, 5, MAX_PAYLOAD + 7, 0xffffffff])("of length %d are refused at once", (length) => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(length);
    expect(() => read(bytes, [4])).toThrow(expect.objectContaining({ code: "control.protocol" }));
    expect(() => read(bytes, [1])).toThrow(expect.objectContaining({ code: "control.protocol" }));
  });

  it("never come out of noise as anything but frames or one error", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), cuts, (noise, sizes) => {
        try {
          for (const { kind } of read(noise, sizes)) expect(Object.values(KIND)).toContain(kind);
        } catch (error) {
          expect(error).toMatchObject({ code: "control.protocol" });
        }
      }),
      { numRuns: 2000 },
    );
  });
});
