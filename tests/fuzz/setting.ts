/** One fuzz case but its string: a mode, and all registers and tables, from chance. Written into RAM and a reset CPU. */
import type { Cpu } from "../../src/cpu/index.ts";
import { GPR_NAMES, SEGMENT_NAMES } from "../../src/cpu/state.ts";
import {
  CODE,
  CODE_SIZE,
  DATA,
  DATA_SIZE,
  GDT,
  GDT_ENTRIES,
  HIGH_ALIAS,
  HIGH_ALIAS_57,
  IDT,
  LDT,
  PD32,
  PDPT,
  PML4,
  PML5,
  RAM_SIZE,
  SELECTOR,
  STACK0,
  STACK3,
  TSS,
} from "./layout.ts";
import type { Random } from "./random.ts";
import { address, type CodeBits, selector } from "./rows.ts";
import { Tables } from "./tables.ts";

export const MODES = ["real16", "v86", "protected16", "flat32", "odd32", "compatibility", "long64"] as const;
export type Mode = (typeof MODES)[number];

export interface Setting {
  readonly mode: Mode;
  readonly bits: CodeBits;
  readonly cpl: number;
  /** Offset of the string in RAM. */
  readonly at: number;
  readonly paging: "none" | "32-bit" | "PAE" | "4-level" | "5-level";
}

const CR0 = { pe: 1, mp: 2, em: 4, ts: 8, et: 0x10, ne: 0x20, wp: 0x1_0000, am: 0x4_0000, pg: 0x8000_0000 };
const CR4 = { pae: 0x20, la57: 0x1000, usual: 0x4_0600 };
/** VME PVI TSD DE PSE PGE PCE UMIP FSGSBASE SMEP SMAP. */
const CR4_OPTIONAL = [1, 2, 4, 8, 0x10, 0x80, 0x100, 0x800, 0x1_0000, 0x10_0000, 0x20_0000];
const VM = 0x2_0000;

/** Without paging, device memory is where code expects it. */
export function chooseSetting(random: Random, mode: Mode, unpaged = false): Setting {
  const long = mode === "long64" || mode === "compatibility";
  const isReal = mode === "real16";
  const bits: CodeBits =
    mode === "long64"
      ? 64
      : mode === "flat32" || mode === "odd32" || (mode === "compatibility" && !random.once(3))
        ? 32
        : 16;
  const cpl = isReal
    ? 0
    : mode === "v86"
      ? 3
      : long && mode === "long64"
        ? random.once(2)
          ? 3
          : 0
        : random.pick([0, 0, 3, 3, 1, 2]);
  const paging = isReal
    ? "none"
    : long
      ? random.pick(["4-level", "4-level", "5-level"] as const)
      : unpaged
        ? "none"
        : random.pick(["none", "32-bit", "PAE"] as const);
  // At the start of a page, somewhere, or so that the string runs over the end of a page.
  const at = CODE + random.pick([0, random.below(0x1000), 0xfff - random.below(40)]) + (random.below(2) << 12);
  return { mode, bits, cpl, at, paging };
}

/** Makes RAM's image; most of it is what it was before. */
export function writeTables(image: Uint8Array, random: Random, s: Setting): void {
  const tables = new Tables(image, random);
  const long = s.paging === "4-level" || s.paging === "5-level";
  tables.gdt(long, s.mode === "odd32" || s.mode === "protected16");
  tables.idt(s.mode === "real16" ? "real" : long ? "long" : "protected");
  tables.tss(long);
  tables.paging(long, s.cpl === 3 || random.once(2));
  // What follows the string: a way out, a way round, or whatever was there.
  image.fill(random.pick([0xf4, 0x90, 0xcc, 0x00]), CODE, CODE + CODE_SIZE);
  const from = DATA + random.below(DATA_SIZE - CODE_SIZE);
  if (random.once(4)) image.copyWithin(CODE, from, from + CODE_SIZE);
}

function writeSegments(cpu: Cpu, random: Random, s: Setting): void {
  const { mode, cpl } = s;
  const realLike = mode === "real16" || mode === "v86";
  const odd = mode === "odd32" || mode === "protected16";
  const codeIndex =
    mode === "long64"
      ? cpl === 3
        ? SELECTOR.code64User
        : SELECTOR.code64
      : cpl === 3
        ? SELECTOR.code32User
        : SELECTOR.code32;
  for (const number of SEGMENT_NAMES.keys()) {
    const isCode = number === 1;
    const isStack = number === 2;
    if (number === 6)
      cpu.setSegment(6, { selector: SELECTOR.ldt << 3, attributes: 0x82, limit: 0x7f, base: BigInt(LDT) });
    else if (number === 7)
      cpu.setSegment(7, { selector: SELECTOR.tss << 3, attributes: 0x8b, limit: 0x1ff, base: BigInt(TSS) });
    else if (realLike) {
      const chosen = isCode
        ? CODE >> 4
        : isStack
          ? (STACK0 - 0x8000) >> 4
          : random.once(4)
            ? random.next() & 0xffff
            : 0x3000;
      const unreal = mode === "real16" && !isCode && random.once(6);
      const attributes = mode === "v86" ? 0xf3 : isCode ? 0x9b : 0x93;
      cpu.setSegment(number, {
        selector: chosen,
        attributes,
        limit: unreal ? 0xffff_ffff : 0xffff,
        base: BigInt(chosen * 16),
      });
    } else if (isCode) {
      const d = mode === "long64" ? 0xa000 : s.bits === 32 ? 0xc000 : 0x8000;
      const conforming = mode !== "long64" && random.once(12) ? 4 : 0;
      const base = odd && random.once(2) ? BigInt(CODE - random.below(0x1000)) : 0n;
      const limit = odd && random.once(2) ? CODE_SIZE + random.below(0x8000) : 0xffff_ffff;
      cpu.setSegment(1, {
        selector: (codeIndex << 3) | cpl,
        attributes: d | 0x9b | conforming | (cpl << 5),
        limit: s.bits === 16 && base !== 0n ? limit & 0xffff : limit,
        base,
      });
    } else {
      const dpl = isStack ? cpl : random.once(3) ? 3 : cpl;
      const plain = !odd || random.once(2);
      if (!isStack && random.once(12)) {
        cpu.setSegment(number, { selector: 0, attributes: 0x1_0000, limit: 0, base: 0n });
        continue;
      }
      const type = plain
        ? 0x93
        : isStack
          ? random.pick([0x93, 0x97])
          : random.pick([0x91, 0x93, 0x95, 0x97, 0x9b, 0x99]);
      const base =
        mode === "long64" ? (number > 3 ? BigInt(address(random)) : 0n) : plain ? 0n : BigInt(random.below(RAM_SIZE));
      const limit = plain ? 0xffff_ffff : (type & 0xc) === 4 ? random.below(0x1000) : random.below(RAM_SIZE);
      const index = dpl === 3 ? SELECTOR.dataUser : SELECTOR.data;
      cpu.setSegment(number, {
        selector: (index << 3) | dpl,
        attributes: (random.once(6) ? 0 : 0xc000) | type | (dpl << 5),
        limit,
        base,
      });
    }
  }
}

/** Values worth having in a register. */
function general(random: Random, s: Setting): bigint {
  const kind = random.below(12);
  if (s.mode === "real16" || s.mode === "v86")
    return BigInt(kind === 0 ? random.next() : random.next() & (kind < 4 ? 0xff : 0xffff));
  if (kind === 0) return random.big();
  if (kind === 1)
    return random.pick([0n, 1n, -1n, 1n << 31n, 1n << 63n, (1n << 63n) - 1n, 1n << 47n, 0x7fff_ffffn, 0xffff_ffffn]);
  if (kind === 2) return BigInt(random.below(256));
  if (kind === 3 && s.bits === 64)
    return (s.paging === "5-level" ? HIGH_ALIAS_57 : HIGH_ALIAS) + BigInt(address(random));
  return BigInt(address(random));
}

/** Puts a reset CPU into the setting. */
export function writeState(cpu: Cpu, random: Random, s: Setting): void {
  const { r } = cpu;
  const long = s.paging === "4-level" || s.paging === "5-level";
  const maybe = (bit: number, n: number) => (random.once(n) ? bit : 0);
  for (const name of GPR_NAMES) r.setBig(name, general(random, s));
  if (random.once(2)) r.setNumber("rcx", random.below(64));
  writeSegments(cpu, random, s);
  const stack = BigInt((s.cpl === 3 ? STACK3 : STACK0) - random.below(64) * (random.once(8) ? 1 : 8));
  const ss = cpu.getSegment(2);
  r.setBig("rsp", random.once(24) ? general(random, s) : BigInt.asUintN(32, stack - (s.bits === 64 ? 0n : ss.base)));
  r.setBig(
    "rip",
    BigInt.asUintN(s.bits === 64 ? 64 : 32, BigInt(s.at) - (s.bits === 64 ? 0n : cpu.getSegment(1).base)),
  );
  if (s.bits === 64 && random.once(4))
    r.setBig("rip", (s.paging === "5-level" ? HIGH_ALIAS_57 : HIGH_ALIAS) + BigInt(s.at));
  r.setNumber("gdtr.base", GDT);
  r.set("gdtr.limit", random.once(16) ? random.below(0x1_0000) : GDT_ENTRIES * 8 - 1);
  r.setNumber("idtr.base", s.mode === "real16" ? 0 : IDT);
  r.set("idtr.limit", random.once(32) ? random.below(0x1000) : s.mode === "real16" ? 0x3ff : 0xfff);

  const pg = s.paging !== "none";
  r.setPair(
    "cr0",
    (CR0.et |
      (s.mode === "real16" ? 0 : CR0.pe) |
      (pg ? CR0.pg : 0) |
      maybe(CR0.mp, 2) |
      maybe(CR0.em, 24) |
      maybe(CR0.ts, 24) |
      maybe(CR0.ne, 2) |
      maybe(CR0.wp, 2) |
      maybe(CR0.am, 4)) >>>
      0,
    0,
  );
  let cr4 = random.once(16) ? 0 : CR4.usual;
  if (long || s.paging === "PAE") cr4 |= CR4.pae;
  if (s.paging === "5-level") cr4 |= CR4.la57;
  const offered = cpu.features;
  for (const bit of CR4_OPTIONAL) cr4 |= maybe(bit, 3);
  if (!offered.has("umip")) cr4 &= ~0x800;
  if (!offered.has("fsgsbase")) cr4 &= ~0x1_0000;
  if (!offered.has("smep")) cr4 &= ~0x10_0000;
  if (!offered.has("smap")) cr4 &= ~0x20_0000;
  if (!offered.has("xsave")) cr4 &= ~0x4_0000;
  r.setPair("cr4", cr4, 0);
  r.setPair("xcr0", offered.has("avx") && !random.once(4) ? 7 : random.once(2) ? 3 : 1, 0);
  r.setNumber("cr3", { none: 0, "32-bit": PD32, PAE: PDPT, "4-level": PML4, "5-level": PML5 }[s.paging]);
  r.setPair("efer", (long ? 0x500 : 0) | maybe(1, 2) | maybe(0x800, 2), 0);
  r.setPair("cr8", random.below(16), 0);
  r.set("cpl", s.cpl);
  // TF NT RF AC seldom; no VIF and VIP.
  const arithmetic = random.next() & 0x8d5;
  const eflags =
    2 |
    arithmetic |
    maybe(0x100, 16) |
    maybe(0x200, 2) |
    maybe(0x400, 4) |
    (random.below(4) << 12) |
    maybe(0x4000, 16) |
    maybe(0x1_0000, 16) |
    maybe(0x4_0000, 8) |
    maybe(0x20_0000, 4);
  cpu.setEflags(s.mode === "v86" ? (eflags | VM) & ~0x4000 : eflags);
  r.setBig("star", (BigInt(SELECTOR.code32User << 3) << 48n) | (BigInt(SELECTOR.code64 << 3) << 32n));
  for (const name of ["lstar", "cstar", "sysenterEip"]) r.setNumber(name, CODE + random.below(CODE_SIZE));
  r.setNumber("sysenterEsp", STACK0);
  r.setNumber("sysenterCs", random.once(4) ? selector(random) : SELECTOR.code64 << 3);
  r.setNumber("fmask", random.next());
  r.setNumber("kernelGsBase", address(random));
  writeFloat(cpu, random);
  cpu.updateMode();
}

/** Sign and exponent of interest in 80 bits: zero, denormal, one, huge, infinity or NaN. */
const EXPONENTS = [0, 1, 0x3fff, 0x4000, 0x403e, 0x7ffe, 0x7fff, 0x3fbf];
const MANTISSAS = [0n, 1n, 1n << 63n, (1n << 63n) | 1n, 3n << 62n, (1n << 64n) - 1n, 1n << 62n];
const LANES = [
  0, 1, 0x3f80_0000, 0x7f80_0000, 0x7fc0_0000, 0x7f80_0001, 0x8000_0000, 0xff80_0000, 0x3ff0_0000, 0x7ff0_0000,
  0x7ff8_0000, 0x000f_ffff,
];

function writeFloat(cpu: Cpu, random: Random): void {
  const { r } = cpu;
  const view = new DataView(cpu.ram.buffer);
  for (let i = 0; i < 8; i++) {
    const at = r.address(`fpr${i}`);
    view.setBigUint64(at, random.once(3) ? random.pick(MANTISSAS) : random.big() | (1n << 63n), true);
    view.setUint16(at + 8, random.once(2) ? random.pick(EXPONENTS) | (random.below(2) << 15) : random.next(), true);
  }
  for (let i = 0; i < 16; i++) {
    const at = r.address(`ymm${i}`);
    for (let lane = 0; lane < 16; lane += 4)
      view.setUint32(at + lane, random.once(2) ? random.pick(LANES) : random.next(), true);
  }
  r.set("mxcsr", random.once(2) ? 0x1f80 : random.next() & 0xffff);
  r.set("fcw", random.once(2) ? 0x37f : (random.next() & 0x1f7f) | 0x40);
  r.set("fsw", random.once(4) ? random.next() & 0x477f : 0);
  r.set("ftop", random.below(8));
  r.set("fempty", random.once(2) ? 0xff : random.once(2) ? 0 : random.below(256));
  r.setPair("xcr0", random.once(2) ? 3 : 1, 0);
}
