/** The byte strings: noise, rows of the table, both mixed and mutated, and sequences that shake the machine's foundations. */
import { MSR, MSR_ROWS } from "../../src/cpu/msr.ts";
import { CODE, CODE_SIZE, DATA, GDT, IDT, PD32, PT, PT32 } from "./layout.ts";
import type { Random } from "./random.ts";
import { address, type CodeBits, encode, little, randomRow, selector } from "./rows.ts";

export const KINDS = ["noise", "rows", "mutated", "mixed", "system", "self-modifying", "devices"] as const;
export type Kind = (typeof KINDS)[number];

/** Bytes of the longest string: a few cross a page, most are short. */
const MAX_ITEMS = 24;

const MSRS = [...Object.values(MSR), ...MSR_ROWS.keys(), 0x802, 0x80f, 0x830, 0x838, 0xc000_0080, 0xc000_0082];
const PORTS = [
  0x20, 0x21, 0x40, 0x43, 0x60, 0x61, 0x64, 0x70, 0x71, 0x92, 0xa0, 0xa1, 0xb2, 0xf4, 0x3f8, 0x3f9, 0x3fb, 0x4d0, 0x600,
  0x604, 0x608, 0xcf8, 0xcf9, 0xcfc,
];
const DEVICES = [
  0xfec0_0000, 0xfec0_0010, 0xfed0_0010, 0xfed0_0100, 0xfed0_0108, 0xfee0_00b0, 0xfee0_0300, 0xfee0_0320, 0xfee0_0380,
];

type Snippet = (random: Random, bits: CodeBits, out: number[]) => void;

/** MOV of an immediate into a register, at the natural width (32 bits in 64-bit mode). */
const load = (register: number, value: number, bits: CodeBits, out: number[]): void => {
  if (bits === 16) out.push(0x66);
  out.push(0xb8 | register);
  little(value, 4, out);
};
/** ModRM and displacement of an absolute address. */
const absolute = (reg: number, at: number, bits: CodeBits, out: number[]): void => {
  if (bits === 64) out.push((reg << 3) | 4, 0x25);
  else out.push((reg << 3) | (bits === 16 ? 6 : 5));
  little(at, bits === 16 ? 2 : 4, out);
};

const value = (random: Random): number =>
  random.pick([0, 1, 0xffff_ffff, 0x8000_0000, 1 << random.below(32), address(random), random.next()]);

/** Port input and output. */
const portAccess: Snippet = (random, bits, out) => {
  load(2, random.once(4) ? random.next() & 0xffff : random.pick(PORTS) + random.below(4), bits, out);
  for (let i = random.below(3); i >= 0; i--) {
    load(0, random.once(2) ? random.below(256) : value(random), bits, out);
    if (random.once(3)) out.push(0x66);
    out.push(random.pick([0xec, 0xed, 0xee, 0xef, 0xee, 0xef]));
  }
};

/** Device memory, at 32-bit addresses. */
const deviceAccess: Snippet = (random, bits, out) => {
  const at = random.once(4) ? 0xfe00_0000 + random.below(0x100_0000) : random.pick(DEVICES) + 16 * random.below(4);
  load(3, at, bits, out);
  load(0, value(random), bits, out);
  if (bits !== 32) out.push(0x67);
  out.push(random.pick([0x89, 0x8b, 0x88, 0x01, 0x87]), 0x03);
};

const SNIPPETS: readonly Snippet[] = [
  portAccess,
  deviceAccess,
  // RDMSR, change a bit, WRMSR; or any value.
  (random, bits, out) => {
    load(1, random.once(8) ? random.next() : random.pick(MSRS), bits, out);
    if (random.once(2)) {
      out.push(0x0f, 0x32);
      if (bits === 16) out.push(0x66);
      out.push(0x35);
      little(1 << random.below(32), 4, out);
    } else {
      load(0, value(random), bits, out);
      load(2, random.once(2) ? 0 : value(random), bits, out);
    }
    out.push(0x0f, 0x30);
  },
  // One bit of a control register flips: PG, PE, LA57 and all.
  (random, bits, out) => {
    const register = random.pick([0, 0, 3, 4, 4, 8]);
    const rex = register === 8 ? [0x44] : [];
    if (register === 8 && bits !== 64) return;
    out.push(...rex, 0x0f, 0x20, 0xc0 | ((register & 7) << 3));
    if (bits === 16) out.push(0x66);
    out.push(0x35);
    little(1 << random.below(32), 4, out);
    out.push(...rex, 0x0f, 0x22, 0xc0 | ((register & 7) << 3));
  },
  (random, bits, out) => {
    load(0, value(random), bits, out);
    out.push(0x0f, random.pick([0x22, 0x23]), 0xc0 | (random.below(8) << 3));
  },
  // Descriptor tables and task register.
  (random, bits, out) => {
    if (random.once(2)) {
      out.push(0x0f, 0x01);
      absolute(random.pick([2, 3]), random.pick([DATA, GDT, IDT]) + random.below(16), bits, out);
    } else {
      load(0, selector(random), bits, out);
      out.push(0x0f, 0x00, random.pick([0xd0, 0xd8, 0xe0, 0xe8]));
    }
  },
  // Segment registers.
  (random, bits, out) => {
    load(0, selector(random), bits, out);
    out.push(0x8e, 0xc0 | (random.pick([0, 2, 3, 4, 5]) << 3));
  },
  // A frame on the stack, and a far return through it.
  (random, bits, out) => {
    const push = (n: number) => {
      load(0, n, bits, out);
      if (random.once(8)) out.push(0x66);
      out.push(0x50);
    };
    const kind = random.below(3);
    if (random.once(2)) {
      push(selector(random));
      push(address(random));
    }
    if (kind !== 0) push(random.once(2) ? 0x202 : random.next() & 0x3f_7fd7);
    push(selector(random));
    push(CODE + random.below(CODE_SIZE));
    if (bits === 64 && !random.once(4)) out.push(0x48);
    out.push(kind === 0 ? 0xcb : 0xcf);
  },
  (random, _bits, out) => out.push(0xcd, random.once(2) ? random.below(32) : random.below(256)),
  // TF, IF, NT, AC and IOPL by POPF.
  (random, bits, out) => {
    load(0, random.next() & 0x27_7fd7, bits, out);
    if (bits === 16) out.push(0x66);
    out.push(0x50);
    if (bits === 16) out.push(0x66);
    out.push(0x9d);
  },
  // Repeated string instructions over a few pages, up or down.
  (random, bits, out) => {
    load(1, random.once(8) ? random.next() : random.below(0x900), bits, out);
    load(6, address(random), bits, out);
    load(7, address(random), bits, out);
    out.push(random.pick([0xfc, 0xfc, 0xfd]));
    if (random.once(4)) out.push(0x66);
    if (random.once(4)) out.push(0x67);
    out.push(random.pick([0xf3, 0xf3, 0xf2]));
    if (bits === 64 && random.once(2)) out.push(0x48);
    out.push(random.pick([0xa4, 0xa5, 0xa6, 0xa7, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf, 0x6c, 0x6d, 0x6e, 0x6f]));
  },
  // Page tables change under the running code; INVLPG sometimes.
  (random, bits, out) => {
    load(0, value(random), bits, out);
    const page = random.below(64);
    out.push(random.pick([0x31, 0x89]));
    absolute(0, random.pick([PT, PT32, PD32]) + 4 * page, bits, out);
    out.push(0x0f, 0x01);
    absolute(7, page << 12, bits, out);
  },
  // HLT, STI, CLI, SYSCALL, SYSENTER, VMCALL, CPUID, UD2, INVD, WBINVD, SWAPGS.
  (random, _bits, out) =>
    out.push(
      ...random.pick([
        [0xf4],
        [0xfb],
        [0xfa],
        [0x0f, 5],
        [0x0f, 7],
        [0x0f, 0x34],
        [0x0f, 0x35],
        [0x0f, 1, 0xc1],
        [0x0f, 0xa2],
        [0x0f, 0x0b],
        [0x0f, 1, 0xf8],
      ]),
    ),
];

/** Stores into the string itself: this page's code or the next one's. */
const selfModify: Snippet = (random, bits, out) => {
  const at = CODE + random.below(CODE_SIZE);
  if (random.once(3)) {
    load(7, at, bits, out);
    load(1, random.below(40), bits, out);
    out.push(0xf3, random.pick([0xaa, 0xab, 0xa4, 0xa5]));
  } else if (bits === 64 && random.once(2)) {
    // MOV byte [rip + near], imm8
    out.push(0xc6, 0x05);
    little(random.below(96) - 48, 4, out);
    out.push(random.next() & 0xff);
  } else {
    out.push(random.pick([0x88, 0x89, 0x00, 0x30, 0x87]));
    absolute(random.below(8), at, bits, out);
  }
};

function rows(random: Random, bits: CodeBits, count: number, out: number[]): void {
  for (let i = 0; i < count; i++) encode(random, randomRow(random, bits), bits, out);
}

function mutate(random: Random, bytes: number[]): void {
  for (let i = random.below(6); i >= 0; i--) {
    const at = random.below(bytes.length);
    const kind = random.below(4);
    if (kind === 0) bytes[at]! ^= 1 << random.below(8);
    else if (kind === 1) bytes[at] = random.next() & 0xff;
    else if (kind === 2) bytes.splice(at, 1 + random.below(3));
    else bytes.splice(at, 0, ...bytes.slice(at, at + random.below(8)));
    if (bytes.length === 0) bytes.push(0x90);
  }
}

/** `bits`: what code the string is meant for; now and then it will run as another. */
export function randomString(random: Random, kind: Kind, bits: CodeBits): Uint8Array {
  const out: number[] = [];
  const count = 1 + random.below(MAX_ITEMS);
  if (kind === "noise") {
    const noise = new Uint8Array(1 + random.below(128));
    random.fill(noise);
    return noise;
  }
  if (kind === "rows" || kind === "mutated") rows(random, bits, count, out);
  else {
    for (let i = 0; i < count; i++) {
      if (kind === "devices" && !random.once(4)) random.pick([portAccess, deviceAccess])(random, bits, out);
      else if (kind === "self-modifying" && random.once(2)) selfModify(random, bits, out);
      else if (kind === "system" ? !random.once(4) : random.once(4)) random.pick(SNIPPETS)(random, bits, out);
      else rows(random, bits, 1, out);
    }
  }
  if (kind === "mutated" || random.once(8)) mutate(random, out);
  return Uint8Array.from(out);
}
