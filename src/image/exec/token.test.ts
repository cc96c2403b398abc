import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { concat } from "../../base/index.ts";
import { utf8 } from "../text.ts";
import { TokenScanner } from "./token.ts";

/** Feeds `text` in pieces of the given sizes; the stream up to the token, and whether the token was met. */
function scan(token: string, text: string, sizes: readonly number[]): [string, boolean] {
  const scanner = new TokenScanner(utf8(token));
  const out: Uint8Array[] = [];
  let rest = utf8(text);
  for (let i = 0; rest.length > 0; i++) {
    const size = Math.max(1, sizes[i % sizes.length] ?? 1);
    const { output, rest: after } = scanner.push(rest.subarray(0, size));
    out.push(...output.map((o) => o.slice()));
    if (after) return [Buffer.from(concat(out)).toString(), true];
    rest = rest.slice(size);
  }
  return [Buffer.from(concat(out)).toString(), false];
}

describe("the token", () => {
  it("is found wherever the pieces end, and all before it is passed on", () => {
    const letters = fc.string({ unit: fc.constantFrom("a", "b"), maxLength: 40 });
    const token = fc.string({ unit: fc.constantFrom("a", "b"), minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(letters, token, fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }), (text, token, sizes) => {
        const whole = text + token;
        expect(scan(token, whole, sizes)).toEqual([whole.slice(0, whole.indexOf(token)), true]);
      }),
      { numRuns: 2000 },
    );
  });

  it("holds back no more than what may be its beginning", () => {
    expect(scan("abab", "xxaba", [100])).toEqual(["xx", false]);
    expect(scan("abab", "xxabac", [1])).toEqual(["xxabac", false]);
    expect(scan("abab", "abaabab", [3])).toEqual(["aba", true]);
  });

  it("gives back what follows, and is found there again", () => {
    const scanner = new TokenScanner(utf8("abab"));
    const text = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString();
    const first = scanner.push(utf8("oldababnew"));
    expect([text(first.output[0]), text(first.rest)]).toEqual(["old", "new"]);
    const second = scanner.push(utf8("newabab"));
    expect([text(second.output[0]), text(second.rest), second.rest?.length]).toEqual(["new", "", 0]);
  });
});
