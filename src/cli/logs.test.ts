import { describe, expect, it } from "vitest";
import { asText } from "./logs.ts";

describe("a console's output on a terminal", () => {
  it("is lines of text, and nothing that the terminal obeys", () => {
    expect(asText("a\tb\n\x1b[2Jc\rd\n\x9b1m")).toBe("a\tb\n\\e[2Jc\\rd\n\\x9b1m");
  });
});
