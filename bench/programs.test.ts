/** The real programs' commands, and the program in C that reads them (guest/programs.c). */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { ENVIRONMENT, PROGRAMS } from "./programs.ts";

const source = readFileSync(new URL("guest/programs.c", import.meta.url), "utf8");
const limit = (name: string): number => Number(new RegExp(`\\b${name} = (\\d+)`).exec(source)![1]);
/** The loader with its options, and the binary. */
const LOADER_WORDS = 5;
const LONGEST_PATH = 128;
const full = { times: (count: number): number => count };

describe("programs", () => {
  it("fit the list they are read from, at full work", () => {
    const records = PROGRAMS.map(({ group, name, arguments: words }) => [group, name, ...words(full)]);
    for (const record of records) expect(record.length + LOADER_WORDS, record[1]).toBeLessThan(limit("WORDS"));
    expect(PROGRAMS.length).toBeLessThanOrEqual(limit("MOST"));
    expect(Object.keys(ENVIRONMENT).length).toBeLessThan(limit("WORDS"));
    const bytes = records.flat().reduce((sum, word) => sum + word.length + 1, 0);
    expect(bytes + PROGRAMS.length * LOADER_WORDS * LONGEST_PATH).toBeLessThan(limit("LIST_SIZE"));
  });
});
