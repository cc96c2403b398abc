import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { forTerminal } from "./escape.ts";
import { decodeBytes, decodeText, encodeText } from "./text.ts";

describe("a guest's text", () => {
  it("is UTF-8 wherever the platform's decoder finds it to be", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 40 }), (text) => {
        const bytes = Buffer.from(text);
        expect(decodeText(bytes.toString("latin1"))).toBe(text);
        expect(encodeText(text)).toBe(bytes.toString("latin1"));
      }),
      { seed: 1, numRuns: 2000 },
    );
  });

  it("keeps what is none, byte by byte", () => {
    const strict = new TextDecoder("utf-8", { fatal: true });
    const isValid = (bytes: Uint8Array): boolean => {
      try {
        strict.decode(bytes);
        return true;
      } catch {
        return false;
      }
    };
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 12 }), (bytes) => {
        const text = decodeBytes(bytes);
        expect(Buffer.from(encodeText(text), "latin1")).toEqual(Buffer.from(bytes));
        expect(/[\udc80-\udcff]/.test(text.replace(/[\ud800-\udbff][\udc00-\udfff]/g, ""))).toBe(!isValid(bytes));
        expect(JSON.parse(JSON.stringify(text))).toBe(text);
      }),
      { seed: 2, numRuns: 5000 },
    );
  });

  it.each([
    ["overlong", [0xc0, 0xaf]],
    ["a surrogate", [0xed, 0xa0, 0x80]],
    ["beyond Unicode", [0xf4, 0x90, 0x80, 0x80]],
    ["cut short", [0xe2, 0x82]],
  ])("that is %s stays bytes", (_what, bytes) => {
    expect(forTerminal(decodeBytes(Uint8Array.from(bytes)))).toBe(
      bytes.map((byte) => `\\x${byte.toString(16)}`).join(""),
    );
  });
});

describe("text for a terminal", () => {
  it.each([
    ["colours", "\x1b[31mred", "\\e[31mred"],
    ["a title with its end", "\x1b]0;title\x07", "\\e]0;title\\x07"],
    ["the eight-bit CSI", "\u009b31m", "\\x9b31m"],
    ["lines", "one\r\ntwo\x0b", "one\\r\\ntwo\\x0b"],
    ["backspaces", "evil\b\b\b\bgood\x7f", "evil\\x08\\x08\\x08\\x08good\\x7f"],
    ["the other direction", "\u202egpj.exe\u2069", "\\u{202e}gpj.exe\\u{2069}"],
    ["nothing to see", "a\u200bb\ufeffc\u00add", "a\\u{200b}b\\u{feff}c\\u{ad}d"],
    ["line separators", "a\u2028b", "a\\u{2028}b"],
    ["tags", "a\u{e0041}", "a\\u{e0041}"],
    ["private and unassigned characters", "\ue000\u{10ffff}", "\\u{e000}\\u{10ffff}"],
    ["towers of marks", `a${"\u0301".repeat(6)}`, `a${"\u0301".repeat(4)}\\u{301}\\u{301}`],
  ])("has %s as escapes", (_what, text, shown) => {
    expect(forTerminal(text)).toBe(shown);
  });

  it("is the same where nothing can do harm", () => {
    const text = "/home/jürgen/文档/naïve file (1) — ☃ \\ 'x' \"y\" 🙂";
    expect(forTerminal(text)).toBe(text);
  });

  it("holds no control whatever the bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        const shown = forTerminal(decodeBytes(bytes));
        expect(/[\p{Cc}\p{Cf}\p{Cs}]/u.test(shown)).toBe(false);
      }),
      { seed: 3, numRuns: 5000 },
    );
  });
});
