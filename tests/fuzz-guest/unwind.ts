/**
 * Hostile files, tables and stacks for what unwinds: programs whose bytes are changed where it hurts, call frame information that chance has
 * written word by word, ORC of noise, stacks that lead into each other. Whatever they hold, nothing throws, each chain is as short as is
 * said, and its work is bounded.
 */
import { gva } from "../../src/base/index.ts";
import { Elf, type FileBytes } from "../../src/guest/elf/elf.ts";
import { ElfSymbols } from "../../src/guest/elf/symbols.ts";
import { CallFrames } from "../../src/guest/unwind/call-frames.ts";
import { OrcTable } from "../../src/guest/unwind/orc.ts";
import { ORC_FORMATS } from "../../src/guest/unwind/orc-format.ts";
import { MAX_FRAMES, Unwinder } from "../../src/guest/unwind/unwinder.ts";
import type { Random } from "../fuzz/random.ts";
import { elf } from "../kernel-images.ts";

/** Reads of a file and of stacks that one case may take. */
const MOST_READS = 400_000;
const CODE = 0x40_0000;
const FRAMES = 0x41_0000;
const KERNEL_CODE = -(2 ** 31) + 0x100_0000;
const KERNEL_STACK = -(2 ** 45);
const USER_STACK = 0x7fff_0000_0000;
const FUNCTIONS = 16;
const FUNCTION = 64;

export interface FuzzedUnwind {
  readonly frames: number;
  readonly reads: number;
}

/** One case that chance has made. Throws where what is said above does not hold. */
export function fuzzUnwind(random: Random): FuzzedUnwind {
  let reads = 0;
  const count = (): void => {
    if (++reads > MOST_READS) throw new Error(`more than ${MOST_READS} reads`);
  };
  const image = program(random);
  const file: FileBytes = {
    read: (offset, length) => {
      count();
      const there = offset >= 0 && length >= 0 && offset + length <= image.length;
      return there ? image.subarray(offset, offset + length) : undefined;
    },
  };
  const opened = Elf.open(file);
  const frames = opened && CallFrames.of(opened);
  if (opened) {
    const symbols = new ElfSymbols(opened.symbolSources());
    for (let i = 0; i < 20; i++) symbols.find(random.next());
    void [opened.buildId, opened.debugLink, opened.sections.length, opened.codeAddressOf(random.next())];
  }
  const orc = kernelTable(random);
  const user = { frames, bias: random.once(8) ? random.next() : 0, text: random.once(2) ? opened : undefined };
  const words = { word: word(random, count) };
  const context = {
    orc: (ip: number) => (random.once(20) ? undefined : orc.find(ip)),
    user: (ip: number) => (ip >= CODE && ip < CODE + 0x1_0000 ? user : undefined),
  };
  let total = 0;
  for (let i = 0; i < 4; i++) {
    const inKernel = random.once(2);
    const gpr = Float64Array.from({ length: 16 }, () => value(random));
    gpr[4] = inKernel ? KERNEL_STACK + random.below(2048) * 8 : USER_STACK + random.below(2048) * 8;
    const ip = inKernel ? KERNEL_CODE + random.below(FUNCTIONS * FUNCTION) : CODE + random.below(FUNCTIONS * FUNCTION);
    const chain = new Unwinder(context, words).unwind({ ip, gpr, user: !inKernel, called: random.once(4) });
    if (chain.ips.length > MAX_FRAMES || chain.places.length !== chain.ips.length)
      throw new Error("a chain is too long");
    if (chain.kernel > chain.ips.length || chain.ips.some((at) => !Number.isFinite(at)))
      throw new Error("a chain is unsound");
    total += chain.ips.length;
  }
  return { frames: total, reads };
}

/** What may be in a register or on a stack: mostly what leads on. */
function value(random: Random): number {
  switch (random.below(10)) {
    case 0:
    case 1:
      return CODE + random.below(FUNCTIONS * FUNCTION);
    case 2:
    case 3:
      return USER_STACK + random.below(2048) * 8;
    case 4:
      return KERNEL_CODE + random.below(FUNCTIONS * FUNCTION);
    case 5:
    case 6:
      return KERNEL_STACK + random.below(2048) * 8 + (random.once(4) ? 1 : 0);
    case 7:
      return random.pick([0, 0x33, 0x2b, 0x10, 0x23, -1, 2 ** 62, -(2 ** 63)]);
    case 8:
      return Number(BigInt.asIntN(64, random.big()));
    default:
      return Number.NaN;
  }
}

/** Stacks of words that stay the same, of which some are not there. */
function word(random: Random, count: () => void): (at: number) => number {
  const known = new Map<number, number>();
  return (at) => {
    count();
    let found = known.get(at);
    if (found === undefined) {
      const [code, up] = at < 0 ? [KERNEL_CODE, at + random.below(32) * 8] : [CODE, at + random.below(32) * 8];
      const kind = random.below(10);
      found = kind < 6 ? code + random.below(FUNCTIONS * FUNCTION) : kind < 9 ? up : value(random);
      known.set(at, found);
    }
    return found;
  };
}

function kernelTable(random: Random): OrcTable {
  const at = KERNEL_CODE + 0x10_0000;
  const entries = new Uint8Array(6 * FUNCTIONS * 8);
  random.fill(entries);
  const view = new DataView(entries.buffer);
  for (let i = 0; i < FUNCTIONS * 8; i++) {
    // Small offsets lead somewhere.
    if (!random.once(6)) view.setInt16(6 * i, random.below(64) * 8 - 64, true);
    if (!random.once(6))
      view.setUint16(6 * i + 4, random.below(12) | (random.below(12) << 4) | (random.below(16) << 8), true);
  }
  const starts = new DataView(new ArrayBuffer(4 * FUNCTIONS * 8));
  for (let i = 0; i < FUNCTIONS * 8; i++) {
    const start = random.once(50) ? random.next() | 0 : KERNEL_CODE + i * (FUNCTION / 8) - (at + 4 * i);
    starts.setInt32(4 * i, start, true);
  }
  return new OrcTable(gva(at), new Uint8Array(starts.buffer), entries, random.pick(Object.values(ORC_FORMATS)));
}

/** A program with call frame information that chance has written, and some bytes of it changed. */
function program(random: Random): Uint8Array {
  const code = new Uint8Array(FUNCTIONS * FUNCTION).fill(0x90);
  for (let i = 5; i < code.length; i += 16)
    code.set(random.once(2) ? [0xe8, 0, 0, 0, 0] : [0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05], i - 5);
  const { frames, header } = callFrames(random);
  const dynamic = new Uint8Array(64);
  random.fill(dynamic);
  const image = elf({
    bits: 64,
    entry: CODE,
    segments: [
      { vaddr: CODE, bytes: code },
      { vaddr: FRAMES, bytes: frames },
      { type: 1, vaddr: FRAMES + 0x8000, bytes: header },
      { type: 0x6474_e550, vaddr: FRAMES + 0x8000, bytes: header },
      { type: 2, vaddr: FRAMES + 0xc000, bytes: dynamic },
    ],
  });
  for (let left = random.once(2) ? 0 : 1 + random.below(random.once(4) ? 200 : 8); left > 0; left--) {
    image[random.once(2) ? random.below(0x180) : random.below(image.length)] = random.pick([
      0,
      1,
      0x7f,
      0x80,
      0xff,
      random.next() & 0xff,
    ]);
  }
  return image;
}

function callFrames(random: Random): { frames: Uint8Array; header: Uint8Array } {
  const bytes: number[] = [];
  const u32 = (number: number): void =>
    void bytes.push(number & 255, (number >> 8) & 255, (number >> 16) & 255, (number >> 24) & 255);
  const entry = (body: () => void): number => {
    const at = bytes.length;
    u32(0);
    body();
    while (bytes.length % 4 !== 0) bytes.push(0);
    const length = random.once(100) ? random.next() : bytes.length - at - 4;
    for (let i = 0; i < 4; i++) bytes[at + i] = (length >>> (8 * i)) & 255;
    return at;
  };
  const cie = entry(() => {
    u32(0);
    bytes.push(1, ...(random.once(4) ? [0x7a, 0x52, 0x53, 0] : [0x7a, 0x52, 0]), 1, 0x78, 16, 1, 0x1b);
    bytes.push(0x0c, 7, 8, 0x90, 1);
  });
  const table: [number, number][] = [];
  for (let i = 0; i < FUNCTIONS; i++) {
    const at = entry(() => {
      u32(bytes.length - cie);
      u32(CODE + i * FUNCTION - (FRAMES + bytes.length));
      u32(random.once(30) ? random.next() : FUNCTION);
      bytes.push(0);
      for (let left = random.below(random.once(10) ? 400 : 8); left > 0; left--) instruction(random, bytes);
    });
    table.push([CODE + i * FUNCTION, FRAMES + at]);
  }
  const frames = Uint8Array.from(bytes);
  const header = new DataView(new ArrayBuffer(12 + 8 * FUNCTIONS));
  const base = FRAMES + 0x8000;
  header.setUint32(0, 0x3b03_1b01, true);
  header.setInt32(4, FRAMES - (base + 4), true);
  header.setUint32(8, random.once(20) ? random.next() : FUNCTIONS, true);
  table.forEach(([start, at], i) => {
    header.setInt32(12 + 8 * i, start - base, true);
    header.setInt32(16 + 8 * i, at - base, true);
  });
  return { frames, header: new Uint8Array(header.buffer) };
}

/** Of call frame information: mostly one that makes sense. */
function instruction(random: Random, bytes: number[]): void {
  const register = random.below(random.once(8) ? 128 : 17);
  const expression = (): number[] => {
    const code: number[] = [];
    for (let left = random.below(random.once(8) ? 100 : 5); left > 0; left--) operation(random, code);
    return [code.length & 127, ...code.slice(0, 127)];
  };
  const small = random.below(64);
  switch (random.below(14)) {
    case 0:
      bytes.push(0x40 | random.below(16));
      break;
    case 1:
      bytes.push(0x80 | (register & 0x3f), small);
      break;
    case 2:
      bytes.push(0xc0 | (register & 0x3f));
      break;
    case 3:
      bytes.push(0x0c, register, small);
      break;
    case 4:
      bytes.push(0x0e, small);
      break;
    case 5:
      bytes.push(0x0f, ...expression());
      break;
    case 6:
      bytes.push(random.once(2) ? 0x10 : 0x16, register, ...expression());
      break;
    case 7:
      bytes.push(random.pick([0x0a, 0x0b]));
      break;
    case 8:
      bytes.push(random.pick([0x07, 0x08, 0x06, 0x0d]), register);
      break;
    case 9:
      bytes.push(random.pick([0x05, 0x09, 0x11, 0x14, 0x15, 0x12]), register, small);
      break;
    case 10:
      bytes.push(0x02, small);
      break;
    case 11:
      bytes.push(random.pick([0x03, 0x04, 0x01]), small, 0, 0, 0);
      break;
    case 12:
      bytes.push(0x2e, small);
      break;
    default:
      bytes.push(random.next() & 255);
  }
}

function operation(random: Random, code: number[]): void {
  switch (random.below(6)) {
    case 0:
      code.push(0x70 + random.below(17), random.below(128));
      break;
    case 1:
      code.push(0x30 + random.below(32));
      break;
    case 2:
      code.push(0x06);
      break;
    case 3:
      code.push(0x12 + random.below(30));
      break;
    case 4:
      // Back to where it came from.
      code.push(random.pick([0x2f, 0x28]), (256 - random.below(12)) & 255, 0xff);
      break;
    default:
      code.push(random.next() & 255);
  }
}
