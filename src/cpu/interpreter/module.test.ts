/** The whole generated interpreter, both its modules, by two validators. */
import { describe, expect, it } from "vitest";
import wabt from "wabt";
import { generateInterpreter } from "../software.ts";

const FEATURES = {
  tail_call: true,
  threads: true,
  simd: true,
  sign_extension: true,
  sat_float_to_int: true,
  bulk_memory: true,
  multi_value: true,
};

describe.each(["interpreter", "avx"] as const)("the interpreter's module (%s)", (part) => {
  const bytes = generateInterpreter(part).slice();

  it("is valid to the engine", () => {
    expect(WebAssembly.validate(bytes)).toBe(true);
  });

  it("is valid to wabt, needing tail calls, threads and SIMD", async () => {
    const tool = await wabt();
    const check = (features: object) => {
      const module = tool.readWasm(bytes, { readDebugNames: true, ...features });
      try {
        // It takes features, which its types do not say.
        (module as { validate(features: object): void }).validate(features);
      } finally {
        module.destroy();
      }
    };
    expect(() => check(FEATURES)).not.toThrow();
    for (const missing of ["tail_call", "threads", "simd"]) {
      expect(() => check({ ...FEATURES, [missing]: false })).toThrow();
    }
  });

  it("is the same every time", () => {
    const again = generateInterpreter(part);
    expect(again.length).toBe(bytes.length);
    expect(again.every((byte, i) => byte === bytes[i])).toBe(true);
  });
});
