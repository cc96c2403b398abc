import fc from "fast-check";
import { expect, it } from "vitest";
import { utf8 } from "./text.ts";

it("encodes text as the WHATWG encoder does", () => {
  for (const text of ["", "a\0b", "ü€𝄞", "\ud800", "x\udc00y"]) {
    expect(utf8(text)).toEqual(new Uint8Array(new TextEncoder().encode(text)));
  }
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      expect(utf8(text)).toEqual(new Uint8Array(new TextEncoder().encode(text)));
    }),
  );
});
