import { describe, expect, it } from "vitest";
import { EscapeKeys } from "./escape-keys.ts";

const press = (keys: EscapeKeys, typed: string) => {
  const { pass, commands } = keys.push(Uint8Array.from(typed, (c) => c.charCodeAt(0)));
  return [String.fromCharCode(...pass), ...commands];
};

describe("the escape keys", () => {
  it.each([
    ["ls\r", ["ls\r"]],
    ["\x01x", ["", "leave"]],
    ["\x01X", ["", "leave"]],
    ["a\x01hb", ["ab", "help"]],
    ["\x01\x01", ["\x01"]],
    ["\x01b", ["\x01b"]],
    ["\x01\x01x", ["\x01x"]],
  ])("make of %j what they should", (typed, wanted) => {
    expect(press(new EscapeKeys(), typed)).toEqual(wanted);
  });

  it("remember Ctrl-A from one read to the next", () => {
    const keys = new EscapeKeys();
    expect(press(keys, "\x01")).toEqual([""]);
    expect(press(keys, "x")).toEqual(["", "leave"]);
  });
});
