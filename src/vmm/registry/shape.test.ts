import { describe, expect, it } from "vitest";
import { choice, count, dictionary, flag, list, nothing, number, optional, record, type Shape, text } from "./shape.ts";

const refused = (shape: Shape<unknown>, value: unknown): void =>
  expect(() => shape.check(value, "it")).toThrow(expect.objectContaining({ code: "control.value" }));

describe("a shape", () => {
  it.each<[string, Shape<unknown>, unknown[], unknown[]]>([
    ["text", text(3), ["", "abc"], ["abcd", 1, null, undefined, ["a"]]],
    ["number", number(-1, 2), [-1, 0.5, 2], [-1.1, 3, Number.NaN, "1", Number.POSITIVE_INFINITY]],
    ["count", count(9), [0, 9], [-1, 10, 0.5, "0", Number.NaN, null]],
    ["flag", flag, [true, false], [0, "true", undefined]],
    ["choice", choice("a", "b"), ["a", "b"], ["c", "", 0, ["a"]]],
    ["list", list(count(), 2), [[], [1, 2]], [[1, 2, 3], ["1"], {}, { length: 1 }, "12"]],
    ["dictionary", dictionary(count(), 2), [{}, { a: 1, b: 2 }], [{ a: "1" }, [], null, "", { a: 1, b: 2, c: 3 }]],
    ["optional", optional(count()), [undefined, 1], [null, "1"]],
    ["nothing", nothing, [{}], [null, "x", undefined]],
  ])("of a %s takes these values, and no others", (_, shape, good, bad) => {
    for (const value of good) expect(shape.check(value, "it")).toEqual(value);
    for (const value of bad) refused(shape, value);
  });

  it("of a record has what was declared and no more, and says where something is wrong", () => {
    const shape = record({ a: count(), b: optional(list(record({ c: text() }), 2)) });
    expect(shape.check({ a: 1, extra: 2 }, "it")).toEqual({ a: 1 });
    expect(shape.check({ a: 1, b: [{ c: "x" }] }, "it")).toEqual({ a: 1, b: [{ c: "x" }] });
    expect(() => shape.check({ a: 1, b: [{ c: "x" }, { c: 1 }] }, "it")).toThrow("it.b[1].c is not a text");
    // What every object has is not what was given.
    refused(record({ toString: text() }), {});
    refused(record({ constructor: text() }), {});
  });
});
