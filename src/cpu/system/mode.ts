/** Operating modes and the bits of control registers and EFLAGS that choose among them (SDM vol. 3A, 2.2, 2.3, 2.5). */
import { GP, GuestFault, type SystemContext } from "./access.ts";

export const CR0_PE = 1;
export const CR0_TS = 8;
export const CR0_PG = 0x8000_0000;
const CR4_LA57 = 0x1000;
const EFER_LMA = 0x400;

export const CR4_OSXSAVE = 1 << 18;
/** State components in XCR0 that AVX needs: SSE and AVX. */
export const AVX_STATE = 6;

export const TF = 0x100;
export const IF = 0x200;
export const IOPL = 0x3000;
export const NT = 0x4000;
export const RF = 0x1_0000;
export const VM = 0x2_0000;
export const AC = 0x4_0000;
export const VIF = 0x8_0000;
export const VIP = 0x10_0000;
export const ID = 0x20_0000;
/** Flags that exist, but bit 1 (SDM vol. 1, figure 3-8). */
export const EFLAGS_ALL = 0x3f_7fd5;
/** CF PF AF ZF SF TF DF OF NT: what any return from an interrupt takes over (SDM vol. 2, IRET). */
export const RETURN_FLAGS = 0x4dd5;

export const LOW32 = 0xffff_ffffn;

export const isProtected = (c: SystemContext): boolean => (c.r.get("cr0") & CR0_PE) !== 0;
export const isVirtual8086 = (c: SystemContext): boolean => isProtected(c) && (c.r.get("eflags") & VM) !== 0;
/** Real-address and virtual-8086 mode: a selector is the base divided by 16. */
export const isRealLike = (c: SystemContext): boolean => !isProtected(c) || (c.r.get("eflags") & VM) !== 0;
export const isLongMode = (c: SystemContext): boolean => (c.r.get("efer") & EFER_LMA) !== 0;
export const isMode64 = (c: SystemContext): boolean => c.r.get("codeBits") === 64;
export const iopl = (c: SystemContext): number => (c.r.get("eflags") & IOPL) >> 12;
export const cplOf = (c: SystemContext): number => c.r.get("cpl");

/** Canonical addresses: the bits above the ones translated repeat the highest of them (SDM vol. 1, 3.3.7.1). */
export function isCanonical(c: SystemContext, address: bigint): boolean {
  const width = c.r.get("cr4") & CR4_LA57 ? 57 : 48;
  return BigInt.asUintN(64, BigInt.asIntN(width, address)) === BigInt.asUintN(64, address);
}

/**
 * The same for base registers (those of descriptor tables, TSS and LDT, MSRs) and INVPCID: it goes by the width the processor
 * knows, whether 5-level paging is on or not.
 */
export function isCanonicalBase(c: SystemContext, address: bigint): boolean {
  return BigInt.asUintN(64, BigInt.asIntN(c.linearBits, address)) === BigInt.asUintN(64, address);
}

/** Error code for a selector (SDM vol. 3A, 6.13); `ext`: 1 where an event from outside the program led to the fault. */
export const selectorFault = (vector: number, selector: number, ext = 0): GuestFault =>
  new GuestFault(vector, (selector & 0xfffc) | ext);

/** Throws #GP with no selector. */
export const generalProtection = (ext = 0): GuestFault => new GuestFault(GP, ext);
