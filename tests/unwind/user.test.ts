/** Stacks of user code, unwound by us and by gdb, at each of a thousand instructions: prologues, epilogues, PLT, signal frames. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Elf, type FileBytes } from "../../src/guest/elf/elf.ts";
import { ElfSymbols } from "../../src/guest/elf/symbols.ts";
import { CallFrames } from "../../src/guest/unwind/call-frames.ts";
import { type UnwindContext, Unwinder } from "../../src/guest/unwind/unwinder.ts";
import { RED_ZONE, type Stop, type Stopped, stopped } from "./program.ts";

const has = (command: string): boolean => {
  try {
    execFileSync(command, ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
};
const equipped = has("gcc") && has("gdb");
let directory = "";
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "vivarium-unwind-"));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const fileOf = (path: string): FileBytes => {
  const bytes = readFileSync(path);
  return {
    read: (offset, length) => (offset + length <= bytes.length ? bytes.subarray(offset, offset + length) : undefined),
  };
};

/** What the process has mapped, from the text of its maps. */
function contextOf(maps: string): UnwindContext {
  const files = new Map<string, { elf: Elf; frames: CallFrames | undefined }>();
  const mapped = maps.split("\n").flatMap((line) => {
    const match = /^(\w+)-(\w+) \S+ (\w+) \S+ \d+ +(\/.*)$/.exec(line);
    if (!match || !existsSync(match[4]!)) return [];
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
        const elf = Elf.open(fileOf(map.path))!;
        file = { elf, frames: CallFrames.of(elf) };
        files.set(map.path, file);
      }
      return { frames: file.frames, bias: map.start - file.elf.codeAddressOf(map.offset), text: file.elf };
    },
  };
}

function chainOf(context: UnwindContext, { registers, stack }: Stop): number[] {
  const bytes = Buffer.from(stack, "hex");
  const values = registers.map((text) => Number(BigInt.asIntN(64, BigInt(text))));
  const start = values[4]! - RED_ZONE;
  const words = {
    word: (at: number) => {
      const offset = at - start;
      return offset >= 0 && offset + 8 <= bytes.length
        ? bytes.readInt32LE(offset + 4) * 2 ** 32 + bytes.readUInt32LE(offset)
        : Number.NaN;
    },
  };
  const unwinder = new Unwinder(context, words);
  return unwinder.unwind({ ip: values[16]!, gpr: values, user: true }).ips;
}

const hex = (value: number): string => value.toString(16);

/** gdb stops at main where it knows one; what it shows is the same from the inside as far as it goes. */
function check({ maps, stops }: Stopped, least: number): void {
  const context = contextOf(maps);
  expect(stops.length).toBeGreaterThan(500);
  for (const [i, stop] of stops.entries()) {
    const theirs = stop.pcs.map((pc) => hex(Number(pc)));
    const ours = chainOf(context, stop).map(hex);
    expect(ours.slice(0, theirs.length), `stop ${i}`).toEqual(theirs);
    expect(ours.length, `stop ${i}: ${ours.join(" ")}`).toBeGreaterThanOrEqual(least);
  }
}

describe.skipIf(!equipped)("stacks of user code are those that gdb shows", () => {
  // main, the C library's two functions that start it, _start.
  it.each([
    ["dynamic", [], 4],
    ["static", ["-static"], 4],
    ["stripped", ["-s"], 4],
    ["lazy", ["-Wl,-z,lazy"], 4],
    ["frame-pointers", ["-fno-omit-frame-pointer", "-fcf-protection=none"], 4],
  ] as const)("%s", (name, flags, least) => {
    if (name === "stripped") {
      // Stripped, gdb finds no function leaf to stop at: its stops are those of the same program with symbols.
      const { maps, stops } = stopped(directory, "whole", []);
      const path = join(directory, "whole");
      execFileSync("strip", ["-s", path]);
      check({ maps, stops }, least);
      return;
    }
    check(stopped(directory, name, flags), least);
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
