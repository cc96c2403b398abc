/** Control and debug registers (SDM vol. 3A, 2.5 and 17.2), CPUID, and what else a row asks for that changes no segment. */
import { cpuid } from "../cpuid.ts";
import { PHYSICAL_BITS } from "../runtime/paging.ts";
import { GP, GuestFault, UD } from "./access.ts";
import type { CpuContext } from "./context.ts";
import { noteDebug } from "./debug.ts";
import { AVX_STATE, CR0_PE, CR0_PG, CR4_OSXSAVE, isCanonical, isCanonicalBase, isProtected } from "./mode.ts";
import { loadPdptes } from "./pdpte.ts";

const CR0 = { mp: 2, em: 4, ts: 8, et: 0x10, ne: 0x20, wp: 0x1_0000, am: 0x4_0000, nw: 0x2000_0000, cd: 0x4000_0000 };
const CR0_ALL = CR0_PE | CR0.mp | CR0.em | CR0.ts | CR0.et | CR0.ne | CR0.wp | CR0.am | CR0.nw | CR0.cd | CR0_PG;
/** CR0 bits that change how linear addresses translate. */
const CR0_TRANSLATION = CR0_PE | CR0.wp | CR0_PG;

/** CR4 bits with the CPUID feature that brings them; "" always there. No model has VME and PVI (bits 0 and 1). */
const CR4_BITS: readonly [bit: number, feature: string][] = [
  [2, ""],
  [3, ""],
  [4, ""],
  [5, ""],
  [6, ""],
  [7, ""],
  [8, ""],
  [9, ""],
  [10, ""],
  [11, "umip"],
  [12, "la57"],
  [16, "fsgsbase"],
  [17, "pcid"],
  [18, "xsave"],
  [20, "smep"],
  [21, "smap"],
];
const CR4_PAE = 1 << 5;
const CR4_PCIDE = 1 << 17;
const CR4_LA57 = 1 << 12;
/** PSE PAE PGE LA57 PCIDE SMEP SMAP. */
const CR4_TRANSLATION = (1 << 4) | CR4_PAE | (1 << 7) | CR4_LA57 | CR4_PCIDE | (1 << 20) | (1 << 21);
/** PSE PAE PGE SMEP: a change of one loads the PDPTEs anew. */
const CR4_PDPTES = (1 << 4) | CR4_PAE | (1 << 7) | (1 << 20);
const CR4_PCE = 1 << 8;
/** IA32_APIC_BASE bit 11. */
const APIC_ENABLE = 0x800;
const EFER_LME = 0x100n;
const EFER_LMA = 0x400n;
const CS_LONG = 0x2000;

const fault = () => new GuestFault(GP, 0);

export function executeCpuid(c: CpuContext): void {
  const out = cpuid(c.r.get("rax"), c.r.get("rcx"), {
    features: c.features,
    brand: c.brand,
    apicId: c.id,
    physicalBits: PHYSICAL_BITS,
    linearBits: c.linearBits,
    apicEnabled: (c.ports.apic.apicBaseLow & APIC_ENABLE) !== 0,
    osxsave: (c.r.get("cr4") & CR4_OSXSAVE) !== 0,
    xcr0: c.r.get("xcr0"),
  });
  c.r.setPair("rax", out.eax, 0);
  c.r.setPair("rbx", out.ebx, 0);
  c.r.setPair("rcx", out.ecx, 0);
  c.r.setPair("rdx", out.edx, 0);
}

function writeCr0(c: CpuContext, value: bigint): void {
  if (value >> 32n !== 0n) throw fault();
  const next = ((Number(value) & CR0_ALL) | CR0.et) >>> 0;
  const old = c.r.get("cr0");
  if ((next & CR0_PG) !== 0 && (next & CR0_PE) === 0) throw fault();
  if ((next & CR0.nw) !== 0 && (next & CR0.cd) === 0) throw fault();
  let efer = c.r.getBig("efer");
  if ((next & ~old & CR0_PG) !== 0 && (efer & EFER_LME) !== 0n) {
    if ((c.r.get("cr4") & CR4_PAE) === 0 || (c.r.get("cs.attributes") & CS_LONG) !== 0) throw fault();
    efer |= EFER_LMA;
  }
  if ((old & ~next & CR0_PG) !== 0) {
    if (c.r.get("codeBits") === 64 || (c.r.get("cr4") & CR4_PCIDE) !== 0) throw fault();
    efer &= ~EFER_LMA;
  }
  if (((old ^ next) & (CR0_PG | CR0.cd | CR0.nw)) !== 0) {
    loadPdptes(c, next, c.r.get("cr4"), c.r.getBig("cr3"));
  }
  c.r.setPair("cr0", next, 0);
  c.r.setBig("efer", efer);
  if (((old ^ next) & CR0_TRANSLATION) !== 0) c.flushTlb(true);
  c.updateMode();
}

/** Bits 12 and up below the physical width, PWT and PCD; with PCIDs all low bits, and bit 63 asks not to flush. */
function writeCr3(c: CpuContext, value: bigint): void {
  const keep = (c.r.get("cr4") & CR4_PCIDE) !== 0 && value >> 63n !== 0n;
  if (keep) value &= ~(1n << 63n);
  if ((c.r.getBig("efer") & EFER_LMA) !== 0n && value >> BigInt(PHYSICAL_BITS) !== 0n) throw fault();
  loadPdptes(c, c.r.get("cr0"), c.r.get("cr4"), value);
  c.r.setBig("cr3", value);
  c.addressSpaceLoaded(keep);
}

function writeCr4(c: CpuContext, value: bigint): void {
  let allowed = 0;
  for (const [bit, feature] of CR4_BITS) if (feature === "" || c.features.has(feature)) allowed |= 1 << bit;
  if (value >> 32n !== 0n || (Number(value) & ~allowed) !== 0) throw fault();
  const next = Number(value);
  const old = c.r.get("cr4");
  const changed = old ^ next;
  const longMode = (c.r.getBig("efer") & EFER_LMA) !== 0n;
  if (longMode && ((next & CR4_PAE) === 0 || (changed & CR4_LA57) !== 0)) throw fault();
  if ((next & ~old & CR4_PCIDE) !== 0 && (!longMode || (c.r.get("cr3") & 0xfff) !== 0)) throw fault();
  if ((changed & CR4_PDPTES) !== 0) loadPdptes(c, c.r.get("cr0"), next, c.r.getBig("cr3"));
  c.r.setPair("cr4", next, 0);
  if ((changed & CR4_TRANSLATION) !== 0) c.flushTlb(true);
  c.updateMode();
}

export function readControl(c: CpuContext): void {
  const number = c.r.get("scratch0");
  if (number === 8) c.r.setPair("scratch0", c.ports.apic.cr8, 0);
  else if (number === 0 || number === 2 || number === 3 || number === 4) {
    c.r.setBig("scratch0", c.r.getBig(`cr${number}`));
  } else throw new GuestFault(UD);
}

export function writeControl(c: CpuContext): void {
  const value = c.r.getBig("scratch1");
  switch (c.r.get("scratch0")) {
    case 0:
      writeCr0(c, value);
      break;
    case 2:
      c.r.setBig("cr2", value);
      break;
    case 3:
      writeCr3(c, value);
      break;
    case 4:
      writeCr4(c, value);
      break;
    case 8:
      if (value > 15n) throw fault();
      c.ports.apic.cr8 = Number(value);
      break;
    default:
      throw new GuestFault(UD);
  }
}

/** LMSW: the low four bits of CR0; PE cannot be cleared. */
export function lmsw(c: CpuContext): void {
  const value = c.r.get("scratch0") & 0xf;
  const old = c.r.get("cr0");
  writeCr0(c, BigInt(((old & ~0xe) | value | (old & CR0_PE)) >>> 0));
}

const DR7_FIXED = 0x400;
const DR6_FIXED = 0xffff_0ff0;
const DR6_BD = 0x2000;
const DR7_GD = 0x2000;
const DR7_ENABLE = 0xff;
const CR4_DE = 8;

/** DR4 and DR5 are DR6 and DR7 unless CR4.DE is set. DR7.GD guards them all with #DB. */
function debugRegister(c: CpuContext): number {
  let number = c.r.get("scratch0");
  if (number > 7) throw new GuestFault(UD);
  if (number === 4 || number === 5) {
    if ((c.r.get("cr4") & CR4_DE) !== 0) throw new GuestFault(UD);
    number += 2;
  }
  if ((c.r.get("dr7") & DR7_GD) !== 0) {
    noteDebug(c, DR6_BD);
    throw new GuestFault(1);
  }
  return number;
}

export function readDebug(c: CpuContext): void {
  c.r.setBig("scratch0", c.r.getBig(`dr${debugRegister(c)}`));
}

const XCR0_X87 = 1;
const XCR0_SSE = 2;

/** XCR0, the one extended control register: x87 always, SSE, and AVX not without it (SDM vol. 3A, 2.6). Operands: value, number. */
export function xsetbv(c: CpuContext): void {
  const value = c.r.getBig("scratch0");
  const possible = XCR0_X87 | XCR0_SSE | (c.features.has("avx") ? AVX_STATE : 0);
  const low = Number(value & 0xffff_ffffn);
  if (c.r.get("cpl") !== 0 || c.r.getBig("scratch1") !== 0n || value !== BigInt(low & possible)) throw fault();
  if ((low & XCR0_X87) === 0 || (low & AVX_STATE) === (AVX_STATE & ~XCR0_SSE)) throw fault();
  c.r.setBig("xcr0", value);
  c.updateMode();
}

export function writeDebug(c: CpuContext): void {
  const value = c.r.getBig("scratch1");
  const number = debugRegister(c);
  const before = c.r.get("dr7");
  if (number >= 6) {
    if (value >> 32n !== 0n) throw fault();
    const fixed =
      number === 6 ? ((Number(value) & 0xe00f) | DR6_FIXED) >>> 0 : ((Number(value) & ~0xd800) | DR7_FIXED) >>> 0;
    c.r.setPair(`dr${number}`, fixed, 0);
  } else c.r.setBig(`dr${number}`, value);
  // Pages of breakpoints stay out of the TLB.
  if (((before | c.r.get("dr7")) & DR7_ENABLE) !== 0) c.flushTlb(true);
  c.updateMode();
}

/** The I/O permission bitmap of a 32- or 64-bit TSS (SDM vol. 1, 19.5.2). Operands: port, bytes. */
export function ioPermission(c: CpuContext): void {
  const port = c.r.get("scratch0");
  const bytes = c.r.get("scratch1");
  const tr = c.getSegment(7);
  // Type 9 and 11: available and busy 32- or 64-bit TSS.
  if ((tr.attributes & 0xd) !== 9 || tr.limit < 0x67) throw fault();
  const map = Number(c.memory.read(tr.base + 0x66n, 2, "system"));
  const at = map + (port >> 3);
  if (at + 1 > tr.limit) throw fault();
  const bits = Number(c.memory.read(tr.base + BigInt(at), 2, "system"));
  if (((bits >> (port & 7)) & ((1 << bytes) - 1)) !== 0) throw fault();
}

/** No performance counters: every index is out of range. */
export function rdpmc(c: CpuContext): void {
  if ((c.r.get("cr4") & CR4_PCE) === 0 && c.r.get("cpl") !== 0 && isProtected(c)) throw fault();
  throw fault();
}

/** LGDT and LIDT in 64-bit mode. */
export function checkBase(c: CpuContext): void {
  if (!isCanonicalBase(c, c.r.getBig("scratch0"))) throw fault();
}

/** INVPCID: type, then the descriptor's PCID and address. */
export function invpcid(c: CpuContext): void {
  const type = c.r.getBig("scratch0");
  const pcid = c.r.getBig("scratch1");
  const address = c.r.getBig("scratch2");
  if (type > 3n || pcid >> 12n !== 0n) throw fault();
  if (type === 0n && !isCanonicalBase(c, address)) throw fault();
  if (type < 2n && pcid !== 0n && (c.r.get("cr4") & CR4_PCIDE) === 0) throw fault();
  if (type === 0n) c.flushPage(Number(pcid), address);
  else if (type === 1n) c.flushPcid(Number(pcid));
  else c.flushTlb(type === 2n);
}

/** KVM's hypercalls: none is offered, so every number answers -KVM_ENOSYS, as KVM does for one it lacks. */
export function hypercall(c: CpuContext): void {
  const ENOSYS = 1000;
  if (c.r.get("codeBits") === 64) c.r.setBig("rax", BigInt(-ENOSYS));
  else c.r.setPair("rax", -ENOSYS, 0);
}

const CODE32 = 0xc09b;
const CODE64 = 0xa09b;
const DATA = 0xc093;
const VM = 0x2_0000;
const IF = 0x200;

function flat(c: CpuContext, selector: number, code: number, dpl: number): void {
  const limit = 0xffff_ffff;
  c.setSegment(1, { selector: (selector & 0xfffc) | dpl, attributes: code | (dpl << 5), limit, base: 0n });
  c.setSegment(2, { selector: ((selector + 8) & 0xfffc) | dpl, attributes: DATA | (dpl << 5), limit, base: 0n });
  c.setCpl(dpl);
}

/** SYSENTER (SDM vol. 2). */
export function sysenter(c: CpuContext): void {
  const selector = c.r.get("sysenterCs");
  if ((selector & 0xfffc) === 0) throw fault();
  const long = (c.r.getBig("efer") & EFER_LMA) !== 0n;
  const mask = long ? (1n << 64n) - 1n : 0xffff_ffffn;
  c.setEflags(c.getEflags() & ~(VM | IF));
  flat(c, selector, long ? CODE64 : CODE32, 0);
  c.r.setBig("rsp", c.r.getBig("sysenterEsp") & mask);
  c.r.setBig("rip", c.r.getBig("sysenterEip") & mask);
  c.updateMode();
}

/** SYSEXIT: operand 1 for the 64-bit form. */
export function sysexit(c: CpuContext): void {
  const selector = c.r.get("sysenterCs");
  if ((selector & 0xfffc) === 0) throw fault();
  const wide = c.r.get("scratch0") !== 0;
  const rsp = c.r.getBig("rcx");
  const rip = c.r.getBig("rdx");
  if (wide && !(isCanonical(c, rsp) && isCanonical(c, rip))) throw fault();
  const mask = wide ? (1n << 64n) - 1n : 0xffff_ffffn;
  flat(c, selector + (wide ? 32 : 16), wide ? CODE64 : CODE32, 3);
  c.r.setBig("rsp", rsp & mask);
  c.r.setBig("rip", rip & mask);
  c.updateMode();
}
