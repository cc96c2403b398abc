import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";
import { ENGINE_VARIABLE, ENGINES } from "./tests/lockstep/engine-list.ts";

const limits = { testTimeout: 60_000, hookTimeout: 120_000 };
/** Guests that run on every engine. */
const GUESTS = ["tests/system/**/*.test.ts", "tests/lockstep/guests/**/*.test.ts"];

/** What a processor did, and compiled code has to do. */
const INSTRUCTIONS = ["tests/silicon/silicon.test.ts"];

export default defineConfig({
  test: {
    // A guest's thread leaves half of a second core idle, and there is nobody else here to be left one.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    projects: [
      { test: { ...limits, name: "units", include: ["src/**/*.test.ts", "bench/**/*.test.ts"], isolate: false } },
      { test: { ...limits, name: "all", include: ["tests/**/*.test.ts"] } },
      ...["forced", "templates"].map((name) => ({
        test: { ...limits, name, include: INSTRUCTIONS, env: { [ENGINE_VARIABLE]: name, SILICON_EVERY: "12" } },
      })),
      ...Object.keys(ENGINES)
        .filter((name) => ENGINES[name]!.slice !== undefined)
        .map((name) => ({
          test: { ...limits, name, include: GUESTS, isolate: false, env: { [ENGINE_VARIABLE]: name } },
        })),
    ],
  },
});
