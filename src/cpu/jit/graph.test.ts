import { describe, expect, it } from "vitest";
import { structure } from "./graph.ts";

const shapeOf = (successors: number[][], entries = [0]) => structure({ successors, entries }, 8)!;

describe("structure", () => {
  it("nests what two ways lead to behind both", () => {
    const { edge, isMerge, children, switches } = shapeOf([[1, 2], [3], [3], []]);
    expect([edge(0, 1), edge(0, 2), edge(1, 3), edge(2, 3)]).toEqual(["inline", "inline", "forward", "forward"]);
    expect([...isMerge].slice(0, 4)).toEqual([0, 0, 0, 1]);
    expect(new Set(children[0])).toEqual(new Set([1, 2, 3]));
    expect(switches).toBe(false);
  });

  it("makes a loop of an edge back", () => {
    const { edge, isHeader } = shapeOf([[1], [2], [1, 3], []]);
    expect([edge(0, 1), edge(1, 2), edge(2, 1), edge(2, 3)]).toEqual(["inline", "inline", "back", "inline"]);
    expect([...isHeader].slice(0, 4)).toEqual([0, 1, 0, 0]);
  });

  it("makes an entry of the second way into a loop", () => {
    // 1 and 2 lead to each other, and 0 to both.
    const { edge, entries, switches } = shapeOf([[1, 2], [2], [1, 3], []]);
    expect(switches).toBe(true);
    expect(entries.length).toBe(2);
    expect(["back", "entry"]).toContain(edge(2, 1));
  });

  it("gives up where there would be too many entries", () => {
    const among = Array.from({ length: 6 }, (_, b) =>
      Array.from({ length: 6 }, (_, to) => to).filter((to) => to !== b),
    );
    expect(structure({ successors: among, entries: [0] }, 2)).toBeUndefined();
  });

  it("leaves out what cannot be reached, and has no edges there", () => {
    const { edge, order } = shapeOf([[1], [], [1]]);
    expect(order[2]).toBe(-1);
    expect(edge(0, 1)).toBe("inline");
    expect(() => edge(0, 2)).toThrow("no edge leads to block 2");
  });
});
