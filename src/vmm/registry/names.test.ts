import { describe, expect, it } from "vitest";
import { checkName, isName, MADE_UP_NAMES, madeUpName } from "./names.ts";

describe("a guest's name", () => {
  it.each(["web", "a", "Web-2.internal_x", "0", "a".repeat(63)])("may be %s", (name) => {
    expect(checkName(name)).toBe(name);
  });

  it.each(["", ".", "..", ".web", "-d", "_", "a/b", "a b", "a\n", "ä", "a\0", "a".repeat(64), "../web"])(
    "may not be %j",
    (name) => {
      expect(() => checkName(name)).toThrow(/names no guest/);
    },
  );

  it("is made up of all pairs of words, each of them good", () => {
    const drawn = new Set<string>();
    for (let at = 0; at < MADE_UP_NAMES; at++) {
      let rest = at;
      const name = madeUpName((below) => {
        const value = rest % below;
        rest = Math.floor(rest / below);
        return value;
      });
      expect(isName(name)).toBe(true);
      expect(name).toMatch(/^[a-z]+-[a-z]+$/);
      drawn.add(name);
    }
    expect(drawn.size).toBe(MADE_UP_NAMES);
  });
});
