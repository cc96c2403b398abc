import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ConsoleHistory, HISTORY } from "./console-history.ts";

describe("a console's history", () => {
  it("is the end of all that was appended, whatever the pieces", () => {
    const sizes = fc.array(
      fc.oneof(fc.integer({ min: 0, max: 9000 }), fc.constant(HISTORY - 1), fc.constant(HISTORY + 5)),
    );
    fc.assert(
      fc.property(sizes, fc.nat(20_000), (sizes, most) => {
        const history = new ConsoleHistory();
        let all = Buffer.alloc(0);
        for (const [i, size] of sizes.entries()) {
          const piece = Buffer.alloc(size, i + 1);
          history.append(piece);
          all = Buffer.concat([all, piece]);
        }
        expect([history.end, history.start]).toEqual([all.length, Math.max(0, all.length - HISTORY)]);
        const middle = Math.max(history.start, history.end - 10_000);
        for (const from of [history.start, middle]) {
          expect(all.subarray(from, from + most).equals(history.read(from, most))).toBe(true);
        }
      }),
      { numRuns: 60 },
    );
  });
});
