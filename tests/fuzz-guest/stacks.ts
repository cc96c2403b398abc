/** Hostile programs and stacks: ELF files and unwind tables with bytes turned over, and stacks of anything, for what follows calls. */
import { readFileSync } from "node:fs";
import { gva } from "../../src/base/index.ts";
import { Elf, type FileBytes } from "../../src/guest/elf/elf.ts";
import { ElfSymbols } from "../../src/guest/elf/symbols.ts";
import { CallFrames } from "../../src/guest/unwind/call-frames.ts";
import { OrcTable } from "../../src/guest/unwind/orc.ts";
import { ORC_FORMATS } from "../../src/guest/unwind/orc-format.ts";
import { MAX_FRAMES, Unwinder } from "../../src/guest/unwind/unwinder.ts";
import type { Random } from "../fuzz/random.ts";
import { type FuzzKind, type FuzzOptions, type FuzzResult, runCases } from "./cases.ts";
import { fuzzUnwind } from "./unwind.ts";

const STACK = 4096;
const STACK_AT = 0x7fff_0000;
const KERNEL_STACK_AT = -0x4000_0000;
const KERNEL_TEXT = -0x7f00_0000;
const LOOKS = 40;
/** Frames of four chains that end at once. */
const FEW = 4;

/** A real program, as the ground that changes are made on: this process's own. */
let program: Uint8Array | undefined;
const original = (): Uint8Array => (program ??= readFileSync("/bin/true"));

const fileOf = (bytes: Uint8Array, holes: readonly number[]): FileBytes => ({
  read: (offset, length) =>
    offset >= 0 && offset + length <= bytes.length && !holes.some((hole) => hole >= offset && hole < offset + length)
      ? bytes.subarray(offset, offset + length)
      : undefined,
});

/** Bytes turned over, most of them in tables. */
function damaged(random: Random): Uint8Array {
  const bytes = original().slice();
  for (let i = random.below(60); i > 0; i--) {
    const at = random.below(5) < 2 ? random.below(1024) : random.below(bytes.length);
    bytes[at] = random.once(3) ? 0xff : random.below(256);
  }
  return bytes;
}

function stackOf(random: Random, at: number, likely: () => number) {
  const words = Float64Array.from({ length: STACK / 8 }, () => {
    const what = random.below(6);
    if (what < 3) return likely();
    if (what === 3) return at + 8 * random.below(STACK / 8);
    return what === 4 ? random.below(2 ** 31) - 2 ** 30 : 0;
  });
  return { word: (address: number) => words[(address - at) / 8] ?? Number.NaN };
}

function check(count: number): void {
  if (count > MAX_FRAMES) throw new Error(`a chain of ${count} frames`);
}

const userStacks: FuzzKind = {
  name: "programs and user stacks",
  run: (random) => {
    const bytes = damaged(random);
    const holes = random.once(3) ? [random.below(bytes.length)] : [];
    const elf = Elf.open(fileOf(bytes, holes));
    if (!elf) return false;
    const symbols = new ElfSymbols(elf.symbolSources());
    void elf.buildId;
    const frames = CallFrames.of(elf);
    const text = () => 0x1000 + random.below(bytes.length);
    const words = stackOf(random, STACK_AT, text);
    const unwinder = new Unwinder({ orc: () => undefined, user: () => ({ frames, bias: 0 }) }, words);
    let longest = 0;
    for (let i = 0; i < LOOKS; i++) {
      symbols.find(text());
      const gpr = Array.from({ length: 16 }, () => STACK_AT + 8 * random.below(STACK / 8));
      const { ips } = unwinder.unwind({ ip: text(), gpr, user: true });
      check(ips.length);
      longest = Math.max(longest, ips.length);
    }
    return longest > 1;
  },
};

const kernelStacks: FuzzKind = {
  name: "ORC and kernel stacks",
  run: (random) => {
    const format = random.pick(Object.values(ORC_FORMATS));
    const count = 1 + random.below(200);
    const starts = new Uint8Array(count * 4);
    const view = new DataView(starts.buffer);
    let at = KERNEL_TEXT;
    for (let i = 0; i < count; i++) {
      view.setInt32(4 * i, at - (KERNEL_TEXT - 2 ** 20 + 4 * i), true);
      at += !random.once(10) ? random.below(64) : -random.below(64);
    }
    const entries = Uint8Array.from({ length: count * 6 }, (_, i) =>
      i % 6 < 4 ? random.pick([0, 8, 16, 0xf0, 0xff, random.below(256)]) : random.below(256),
    );
    const table = new OrcTable(gva(KERNEL_TEXT - 2 ** 20), starts, entries, format);
    const text = () => KERNEL_TEXT + random.below(8192);
    const words = stackOf(random, KERNEL_STACK_AT, text);
    const unwinder = new Unwinder({ orc: (ip) => table.find(ip), user: () => undefined }, words);
    let longest = 0;
    for (let i = 0; i < LOOKS; i++) {
      const gpr = Array.from({ length: 16 }, () => KERNEL_STACK_AT + 8 * random.below(STACK / 8));
      const { ips } = unwinder.unwind({ ip: text(), gpr, user: false });
      check(ips.length);
      longest = Math.max(longest, ips.length);
    }
    return longest > 1;
  },
};

/** Tables of nothing but chance: they are refused, or end somewhere. */
const tables: FuzzKind = {
  name: "tables by chance",
  run: (random) => {
    const bytes = Uint8Array.from({ length: 64 + random.below(4096) }, () =>
      random.once(2) ? random.below(8) : random.below(256),
    );
    bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
    bytes.set([62, 0], 18);
    bytes.set([56, 0], 54);
    const elf = Elf.open(fileOf(bytes, []));
    if (!elf) return false;
    new ElfSymbols(elf.symbolSources()).find(random.below(4096));
    const frames = CallFrames.of(elf);
    for (let i = 0; i < LOOKS; i++) frames?.at(random.below(8192));
    return true;
  },
};

/** Where bytes turned over seldom come to: tables that are sound, and say anything. */
const made: FuzzKind = { name: "frames by chance", run: (random) => fuzzUnwind(random).frames > FEW };

export const fuzzGuestStacks = (options: FuzzOptions): FuzzResult =>
  runCases(options, [userStacks, userStacks, kernelStacks, tables, made, made]);
