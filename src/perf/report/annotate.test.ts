import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { INFO, randomness } from "../../../tests/perf/random-profile.ts";
import { ProfileBuilder } from "../builder.ts";
import { annotate, annotationTargets, targetLines } from "./annotate.ts";
import { annotationLines, annotationText } from "./annotate-text.ts";
import { FrameNames } from "./frame-names.ts";

const SOURCE = `
int collatz(unsigned long n, int *steps) {
  int odd = 0;
  while (n != 1) {
    if (n & 1) { n = 3 * n + 1; odd++; } else n >>= 1;
    for (int i = 0; i < (int)(n & 7); i++) steps[i] += odd;
  }
  return odd;
}`;

function has(tool: string): boolean {
  try {
    execFileSync(tool, ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

/** Bytes of the function's code, and what objdump makes of them: address, then text. */
function compiled(): { code: Uint8Array; theirs: { address: number; text: string }[] } {
  const directory = mkdtempSync(join(tmpdir(), "annotate-"));
  try {
    const at = (name: string): string => join(directory, name);
    writeFileSync(at("a.c"), SOURCE);
    execFileSync("gcc", ["-O1", "-c", "-fcf-protection=none", "-o", at("a.o"), at("a.c")]);
    execFileSync("objcopy", ["-O", "binary", "-j", ".text", at("a.o"), at("a.bin")]);
    const listing = execFileSync("objdump", ["-d", "-M", "intel", "--no-show-raw-insn", at("a.o")], {
      encoding: "utf8",
    });
    const theirs = [...listing.matchAll(/^ +([0-9a-f]+):\t(.*)$/gm)].map(([, address, text]) => ({
      address: Number.parseInt(address!, 16),
      text: text!.trim(),
    }));
    return { code: readFileSync(at("a.bin")), theirs };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

describe.skipIf(!has("gcc") || !has("objdump"))("annotating a function gcc made", () => {
  const { code, theirs } = compiled();
  const START = 0x4010;
  const builder = new ProfileBuilder();
  const guest = builder.guest({ name: "web", hostPid: 7, vcpuThreads: [8], opaque: false });
  const dso = builder.dso({ kind: "user", guest, name: "/bin/collatz" });
  const symbol = builder.symbol({ name: "collatz", dso, start: START, size: code.length });
  const task = builder.task({ guest, pid: 5, tid: 5, comm: "collatz" });
  const random = randomness(5);
  const weights = new Map<number, number>();
  for (let i = 0; i < 500; i++) {
    const { address } = theirs[Math.floor(random() ** 2 * theirs.length)]!;
    const frame = builder.frame({
      address: 0x5555_0000 + address,
      offset: START + address,
      dso,
      symbol,
      mode: "guest.user",
    });
    builder.sample({ time: i, stack: builder.stack(-1, frame), task, vcpu: 0, mode: "guest.user", weight: 1000 });
    weights.set(address, (weights.get(address) ?? 0) + 1000);
  }
  const names = new FrameNames(builder.build(INFO));
  const codeOf = (which: number, start: number, length: number): Uint8Array | undefined =>
    which === dso ? code.subarray(start - START, start - START + length) : undefined;
  const annotation = annotate(names, symbol, codeOf, {})!;

  it("finds the instructions objdump finds, each with its samples", () => {
    expect(annotation.instructions.map(({ address }) => address - START)).toEqual(theirs.map(({ address }) => address));
    expect(annotation.instructions.map(({ weight }) => weight)).toEqual(
      theirs.map(({ address }) => weights.get(address) ?? 0),
    );
    expect(annotation).toMatchObject({ name: "collatz", dso: "collatz", weight: 500_000, samples: 500, outside: 0 });
  });

  it("finds where jumps lead", () => {
    const jumps = theirs.flatMap(({ address, text }) => {
      const target = /^j\w+ +([0-9a-f]+)/.exec(text)?.[1];
      return target === undefined ? [] : [[address, Number.parseInt(target, 16)]];
    });
    expect(jumps.length).toBeGreaterThan(3);
    const ours = annotation.instructions.flatMap(({ address, target }) =>
      target === undefined ? [] : [[address - START, target - START]],
    );
    expect(ours).toEqual(jumps);
    const lines = annotationLines(annotation);
    for (const [from, to] of jumps) {
      const at = (address: number): string => lines[theirs.findIndex((one) => one.address === address)]!.text;
      expect(at(from!)).toContain(`<collatz+0x${to!.toString(16)}>`);
      expect(at(to!)).toMatch(/^[0-9a-f]+: [^a-z]*> /);
    }
  });

  it("says where the hot ones are", () => {
    const text = [...annotationText(annotation, "ns")];
    expect(text[0]).toBe("# collatz in collatz: 500 samples, 500000 ns");
    expect(text).toHaveLength(3 + theirs.length);
    const shares = text.slice(3).map((row) => Number.parseFloat(row) || 0);
    expect(shares.reduce((a, b) => a + b, 0)).toBeCloseTo(100, 0);
  });

  it("says so where code is missing, or less than the symbol is long", () => {
    expect(annotate(names, symbol, () => undefined, {})).toBeUndefined();
    const half = annotate(names, symbol, (which, start) => codeOf(which, start, 8), {})!;
    expect(half.outside).toBeGreaterThan(0);
    expect([...annotationText(half, "ns")][1]).toMatch(/^# [\d.]+% of them beyond the code/);
  });

  it("lists the functions of a name", () => {
    const other = builder.dso({ kind: "user", guest, name: "/bin/evil\x1b]0;" });
    const twin = builder.symbol({ name: "collatz", dso: other, start: -4096, size: 16 });
    const frame = builder.frame({ address: -4090, offset: -4090, dso: other, symbol: twin, mode: "guest.kernel" });
    builder.sample({ time: 0, stack: builder.stack(-1, frame), task, vcpu: 0, mode: "guest.kernel", weight: 5 });
    const both = new FrameNames(builder.build(INFO));
    const targets = annotationTargets(both, "collatz", {});
    expect(targets.map((target) => target.symbol)).toEqual([symbol, twin]);
    expect([...targetLines(both, targets)]).toEqual([
      "0x4010  collatz in collatz of web  500 samples",
      expect.stringMatching(/^0xfffffffffffff000 {2}collatz in evil\\(x1b|e)\]0; of web {2}1 samples$/),
    ]);
  });
});
