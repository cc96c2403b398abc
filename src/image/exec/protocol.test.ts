import { spawnSync } from "node:child_process";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { utf8 } from "../text.ts";
import { LineReader } from "./lines.ts";
import { inputFrame, MAX_ARGUMENT, MAX_REQUEST, parseEvent, runRequest } from "./protocol.ts";

const REQUEST = { id: 3, token: "t0", input: false, cwd: "/root", env: {}, argv: ["true"] };
const text = (data: Uint8Array): string => Buffer.from(data).toString("latin1");

describe("a request", () => {
  it("is one call with quoted words", () => {
    const request = runRequest({ ...REQUEST, input: true, env: { A: "it's" }, argv: ["echo", "a b", ""] });
    expect(text(request)).toBe("run 3 t0 stdin '/root' 'A=it'\\''s' setsid -- 'echo' 'a b' ''\n");
  });

  it("gives a shell the very bytes of each argument", () => {
    const argument = fc.uint8Array({ min: 1, max: 255, maxLength: 30 });
    fc.assert(
      fc.property(fc.array(argument, { minLength: 1, maxLength: 5 }), (argv) => {
        const call = runRequest({ ...REQUEST, argv });
        const script = Buffer.concat([Buffer.from("run() { shift 6; printf '%s\\0' \"$@\"; }\n"), call]);
        const { stdout } = spawnSync("sh", [], { input: script });
        expect(stdout).toEqual(Buffer.concat(argv.flatMap((a) => [Buffer.from(a), Buffer.alloc(1)])));
      }),
      { numRuns: 50 },
    );
  });

  it("is refused where Linux could not take it", () => {
    const code = (expected: string) => expect.objectContaining({ code: expected });
    expect(() => runRequest({ ...REQUEST, argv: [] })).toThrow(code("exec.no-command"));
    expect(() => runRequest({ ...REQUEST, argv: ["a\0b"] })).toThrow(code("exec.nul"));
    expect(() => runRequest({ ...REQUEST, env: { "A=B": "x" } })).toThrow(code("exec.environment"));
    expect(() => runRequest({ ...REQUEST, argv: ["x".repeat(MAX_ARGUMENT + 1)] })).toThrow(code("exec.too-long"));
    expect(() => runRequest({ ...REQUEST, argv: Array(3).fill("x".repeat(MAX_REQUEST / 2.5)) })).toThrow(
      code("exec.too-long"),
    );
    expect(runRequest({ ...REQUEST, argv: ["x".repeat(MAX_ARGUMENT)] }).length).toBeGreaterThan(MAX_ARGUMENT);
  });

  it("frames input by its length", () => {
    expect(text(inputFrame(utf8("a\nb")))).toBe("3\na\nb");
    expect(text(inputFrame(new Uint8Array(0)))).toBe("0\n");
  });
});

describe("an event", () => {
  it("is a known word and its numbers", () => {
    expect(parseEvent("vivarium ready 1")).toEqual({ event: "vivarium ready", fields: { version: 1 } });
    expect(parseEvent("exit 4 137")).toEqual({ event: "exit", fields: { id: 4, status: 137 } });
  });

  it("is nothing else", () => {
    for (const line of ["", "exit", "exit 1", "exit 1 2 3", "exit 1 -2", "exit 1  2", "wants 1", "exit 1 9999999999"]) {
      expect(parseEvent(line)).toBeUndefined();
    }
  });

  it("comes in lines; one without an end is dropped and costs no memory", () => {
    const reader = new LineReader(8);
    expect(reader.push(utf8("ab\ncd"))).toEqual(["ab"]);
    expect(reader.push(utf8("ef\n12345678\n123456789\nok\n"))).toEqual(["cdef", "12345678", "ok"]);
    for (let i = 0; i < 100; i++) expect(reader.push(utf8("x".repeat(100)))).toEqual([]);
    expect(reader.push(utf8("\nlast\n"))).toEqual(["last"]);
  });
});
