import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { CPU_MODELS, FEATURES } from "../cpu/models.ts";
import { ROWS } from "../isa/rows.ts";
import { PAGES } from "./pages.ts";

describe("the generated documentation", () => {
  it.each(Object.keys(PAGES))("%s is up to date (else: npm run docs)", (name) => {
    const committed = readFileSync(new URL(`../../docs/${name}`, import.meta.url), "utf8");
    expect(committed === PAGES[name], `docs/${name} differs from the tables: run npm run docs`).toBe(true);
  });

  it("names features that CPUID shows, in rows and in models", () => {
    const known = new Set<string>(Object.keys(FEATURES));
    const named = [...ROWS.flatMap((row) => row.features), ...Object.values(CPU_MODELS).join(" ").split(" ")];
    expect([...new Set(named)].filter((feature) => !known.has(feature))).toEqual([]);
  });
});
