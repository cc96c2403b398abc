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
    expect(press(new EscapeKeys("run"), typed)).toEqual(wanted);
  });

  it("detach with D where the guest goes on", () => {
    expect(press(new EscapeKeys("attach"), "\x01x\x01d")).toEqual(["\x01x", "leave"]);
  });

  it("remember Ctrl-A from one read to the next", () => {
    const keys = new EscapeKeys("run");
    expect(press(keys, "\x01")).toEqual([""]);
    expect(press(keys, "x")).toEqual(["", "leave"]);
  });
});
