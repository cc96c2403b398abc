import { describe, expect, it } from "vitest";
import { memoryPages } from "../../cpu/memory-map.ts";
import { RAW_SAMPLE, RING_SIZE, SampleArea } from "./area.ts";

const PAGES = memoryPages(65_536);
const LENGTH = 4096;

describe("the ring of samples", () => {
  const made = () => {
    const area = new SampleArea(new WebAssembly.Memory({ initial: PAGES, maximum: PAGES, shared: true }));
    /** What the machine's thread does: `number` tells samples apart. */
    const write = (number: number): void => {
      const at = (area.get("written") >>> 0) % RING_SIZE;
      RAW_SAMPLE.write(area.view, at, { length: LENGTH, detail: number });
      area.set("written", area.get("written") + LENGTH);
    };
    const skip = (): void => {
      const at = (area.get("written") >>> 0) % RING_SIZE;
      area.view.setUint32(at, 0, true);
      area.set("written", area.get("written") + RING_SIZE - at);
    };
    const numbers = (walk: (see: (at: number) => void) => void): number[] => {
      const found: number[] = [];
      walk((at) => found.push(RAW_SAMPLE.get(area.view, at, "detail")));
      return found;
    };
    return { area, write, skip, numbers };
  };

  it("shows what is new, and leaves it there", () => {
    const { area, write, numbers } = made();
    let place = area.get("written");
    const peek = () => numbers((see) => (place = area.peek(place, see)));
    expect(peek()).toEqual([]);
    write(1);
    write(2);
    expect(peek()).toEqual([1, 2]);
    write(3);
    expect(peek()).toEqual([3]);
    expect(peek()).toEqual([]);
    expect(area.waiting).toBe(3 * LENGTH);
    expect(numbers((take) => area.drain(take))).toEqual([1, 2, 3]);
    expect(area.waiting).toBe(0);
  });

  it("ends, though more comes meanwhile", () => {
    const { area, write, numbers } = made();
    write(1);
    let last = 1;
    const take = (): number[] =>
      numbers((see) =>
        area.drain((at) => {
          see(at);
          if (last < 100) write(++last);
        }),
      );
    expect(take()).toEqual([1]);
    expect(take()).toEqual([2]);
  });

  it("goes on at its start, and where its counts come round", () => {
    const { area, write, skip, numbers } = made();
    for (const word of ["written", "read"] as const) area.set(word, 2 ** 32 - 2 * LENGTH);
    let place = area.get("written");
    const peek = () => numbers((see) => (place = area.peek(place, see)));
    write(1);
    skip();
    write(2);
    expect(area.waiting).toBe(3 * LENGTH);
    expect(peek()).toEqual([1, 2]);
    write(3);
    expect(peek()).toEqual([3]);
    expect(numbers((take) => area.drain(take))).toEqual([1, 2, 3]);
  });

  it("shows nothing again that was taken, and nothing of before it was begun anew", () => {
    const { area, write, numbers } = made();
    const place = area.get("written");
    write(1);
    expect(numbers((take) => area.drain(take))).toEqual([1]);
    write(2);
    expect(numbers((see) => area.peek(place, see))).toEqual([2]);
    area.set("read", area.get("written"));
    write(3);
    expect(numbers((see) => area.peek(place, see))).toEqual([3]);
  });
});
