import { describe, expect, it } from "vitest";
import { Handover } from "./handover.ts";

const soon = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("a handover", () => {
  it("gives items in order, one when the one before was taken, and ends with the promise", async () => {
    const handover = new Handover<{ readonly i: number }>();
    let given = 0;
    const giving = (async () => {
      for (let i = 0; i < 5; i++) {
        await handover.give({ i });
        given++;
      }
    })();
    const taken: number[] = [];
    for await (const { i } of handover.until(giving)) {
      // Who takes slowly is waited for.
      await soon();
      expect(given).toBe(i);
      taken.push(i);
    }
    expect(taken).toEqual([0, 1, 2, 3, 4]);
  });

  it("gives what came before a failure, then fails", async () => {
    const handover = new Handover<{ readonly i: number }>();
    for (let i = 0; i < 3; i++) void handover.give({ i });
    const taken: number[] = [];
    const reading = (async () => {
      for await (const { i } of handover.until(Promise.reject(new Error("broken")))) taken.push(i);
    })();
    await expect(reading).rejects.toThrow("broken");
    expect(taken).toEqual([0, 1, 2]);
  });

  it("holds nobody up when nobody takes any more", async () => {
    const handover = new Handover<{ readonly i: number }>();
    const gifts = [0, 1, 2].map((i) => handover.give({ i }));
    for await (const { i } of handover.until(new Promise(() => undefined))) {
      expect(i).toBe(0);
      break;
    }
    await Promise.all(gifts);
    await handover.give({ i: 3 });
  });
});
