import { defineConfig } from "vitest/config";
import { ENGINE_VARIABLE, ENGINES } from "./tests/lockstep/engine-list.ts";

const limits = { testTimeout: 60_000, hookTimeout: 120_000 };
/** Guests that run on every engine. */
const GUESTS = ["tests/system/**/*.test.ts", "tests/lockstep/guests/**/*.test.ts"];

export default defineConfig({
  test: {
    projects: [
      { test: { ...limits, name: "all", include: ["src/**/*.test.ts", "tests/**/*.test.ts"] } },
      ...Object.keys(ENGINES)
        .filter((name) => name !== "interpreter")
        .map((name) => ({
          test: { ...limits, name, include: GUESTS, isolate: false, env: { [ENGINE_VARIABLE]: name } },
        })),
    ],
  },
});
