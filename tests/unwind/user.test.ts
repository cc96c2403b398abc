/** Stacks of user code, unwound by us and by gdb, at each of a thousand instructions: prologues, epilogues, PLT, signal frames. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Elf } from "../../src/guest/elf/elf.ts";
import { ElfSymbols } from "../../src/guest/elf/symbols.ts";
import { CallFrames } from "../../src/guest/unwind/call-frames.ts";
import { type Chain, type UnwindContext, Unwinder } from "../../src/guest/unwind/unwinder.ts";
import { type Stop, type Stopped, stopped } from "./program.ts";
import { bytesOf, fileOf, has } from "./tools.ts";

const equipped = has("gcc") && has("gdb");
let directory = "";
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "vivarium-unwind-"));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** What the process has mapped, from the text of its maps. */
function contextOf({ maps, vdso }: Stopped): UnwindContext {
  const files = new Map<string, { elf: Elf; frames: CallFrames | undefined }>();
  const mapped = maps.split("\n").flatMap((line) => {
    const match = /^(\w+)-(\w+) \S+ (\w+) \S+ \d+ +(\/.*|\[vdso\])$/.exec(line);
    if (!match || (match[4] !== "[vdso]" && !existsSync(match[4]!))) return [];
    const [start, end, offset] = [match[1], match[2], match[3]].map((hex) => Number.parseInt(hex!, 16)) as [
      number,
      number,
      number,
    ];
    return [{ start, end, offset, path: match[4]! }];
  });
  return {
    orc: () => undefined,
    user: (ip) => {
      const map = mapped.find(({ start, end }) => ip >= start && ip < end);
      if (!map) return undefined;
      let file = files.get(map.path);
      if (!file) {
        const elf = Elf.open(map.path === "[vdso]" ? bytesOf(Buffer.from(vdso, "hex")) : fileOf(map.path))!;
        file = { elf, frames: CallFrames.of(elf) };
        files.set(map.path, file);
      }
      return { frames: file.frames, bias: map.start - file.elf.codeAddressOf(map.offset), text: file.elf };
    },
  };
}

function chainOf(context: UnwindContext, { registers, pieces }: Stop): Chain {
  const values = registers.map((text) => Number(BigInt.asIntN(64, BigInt(text))));
  const copied = pieces.map(([start, bytes]) => ({ start: Number(start), bytes: Buffer.from(bytes, "hex") }));
  const words = {
    word: (at: number) => {
      const piece = copied.find(({ start, bytes }) => at >= start && at + 8 <= start + bytes.length);
      return piece ? Number(piece.bytes.readBigInt64LE(at - piece.start)) : Number.NaN;
    },
  };
  return new Unwinder(context, words).unwind({ ip: values[16]!, gpr: values, user: true });
}

const hex = (value: number): string => value.toString(16);

/** gdb stops at main where it knows one; ours go on to the thread's beginning, and are the same as far as gdb's go. */
function check(stopped: Stopped): void {
  const { stops } = stopped;
  const context = contextOf(stopped);
  expect(stops.length).toBeGreaterThan(500);
  for (const [i, stop] of stops.entries()) {
    const theirs = stop.pcs.map((pc) => hex(Number(pc)));
    const { ips, truncated } = chainOf(context, stop);
    const ours = ips.map(hex);
    expect(ours.slice(0, theirs.length), `stop ${i}`).toEqual(theirs);
    expect(truncated, `stop ${i}: ${ours.join(" ")}`).toBeUndefined();
  }
}

describe.skipIf(!equipped)("stacks of user code are those that gdb shows", () => {
  it.each([
    ["dynamic", []],
    ["static", ["-static"]],
    ["lazy", ["-Wl,-z,lazy"]],
    ["frame-pointers", ["-fno-omit-frame-pointer", "-fcf-protection=none"]],
    ["static-pie", ["-static-pie"]],
    ["unoptimized", ["-O0"]],
    ["without-table", ["-Wl,--no-eh-frame-hdr"]],
  ] as const)("%s", (name, flags) => check(stopped(directory, name, flags)));

  it("stripped", () => {
    // Stripped, gdb finds no function leaf to stop at: its stops are those of the same program with symbols.
    const whole = stopped(directory, "whole", []);
    execFileSync("strip", ["-s", join(directory, "whole")]);
    check(whole);
  });
});

describe.skipIf(!equipped)("functions of a file", () => {
  it("are those that nm lists, and hold their addresses", () => {
    const path = join(directory, "dynamic");
    const symbols = new ElfSymbols(Elf.open(fileOf(path))!.symbolSources());
    const listed = execFileSync("nm", ["-S", "--defined-only", path], { encoding: "utf8" })
      .split("\n")
      .flatMap((line) => {
        const match = /^(\w+) (\w+) [TtWw] (\S+)$/.exec(line);
        return match
          ? [{ start: Number.parseInt(match[1]!, 16), size: Number.parseInt(match[2]!, 16), name: match[3]! }]
          : [];
      });
    expect(listed.length).toBeGreaterThan(8);
    for (const { start, size, name } of listed) {
      expect(symbols.find(start)?.name).toBe(name);
      expect(symbols.find(start + size - 1)?.name).toBe(name);
    }
  });
  it("are found without section headers", () => {
    const bytes = readFileSync(execFileSync("gcc", ["-print-file-name=libc.so.6"], { encoding: "utf8" }).trim());
    const whole = new ElfSymbols(Elf.open({ read: (at, length) => bytes.subarray(at, at + length) })!.symbolSources());
    const headers = bytes.readBigUInt64LE(40);
    const cut = bytes.subarray(0, Number(headers));
    const elf = Elf.open({ read: (at, n) => (at + n <= cut.length ? cut.subarray(at, at + n) : undefined) })!;
    expect(elf.sections).toEqual([]);
    const symbols = new ElfSymbols(elf.symbolSources());
    expect(symbols.count).toBe(whole.count);
    const notes = execFileSync("readelf", [
      "-n",
      execFileSync("gcc", ["-print-file-name=libc.so.6"], { encoding: "utf8" }).trim(),
    ]);
    expect(notes.toString()).toContain(elf.buildId);
  });
});
