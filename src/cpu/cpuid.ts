/** What CPUID answers (SDM vol. 2, CPUID). */
import { COMPONENT, SAVE_AREA } from "../isa/float/save.ts";
import { FEATURES } from "./models.ts";

/**
 * IA32_ARCH_CAPABILITIES: faults of real processors that this one does not have (Linux reads them to leave its mitigations out).
 * RDCL_NO IBRS_ALL SKIP_L1DFL_VMENTRY SSB_NO MDS_NO IF_PSCHANGE_MC_NO TAA_NO SBDR_SSDP_NO FBSDP_NO PSDP_NO
 * BHI_NO PBRSB_NO GDS_NO RFDS_NO ITS_NO. Linux 6.1 does not take BHI_NO alone: without BHI_CTRL it runs a loop of a hundred
 * instructions in each system call.
 */
export const ARCH_CAPABILITIES = [0, 1, 3, 4, 5, 6, 8, 13, 14, 15, 20, 24, 26, 27, 62].reduce(
  (sum, bit) => sum | (1n << BigInt(bit)),
  0n,
);

/** The time-stamp counter and the local APIC timer count nanoseconds. */
export const TSC_HZ = 1_000_000_000;

export interface CpuidResult {
  eax: number;
  ebx: number;
  ecx: number;
  edx: number;
}

/** What CPUID depends on besides the model. */
export interface CpuidInput {
  readonly features: ReadonlySet<string>;
  readonly brand: string;
  readonly apicId: number;
  readonly physicalBits: number;
  readonly linearBits: number;
  /** The enable bit of IA32_APIC_BASE. */
  readonly apicEnabled: boolean;
  /** CR4.OSXSAVE, and XCR0. */
  readonly osxsave: boolean;
  readonly xcr0: number;
}

const text = (s: string, at: number): number =>
  [0, 1, 2, 3].reduce((sum, i) => sum | ((s.charCodeAt(at + i) || 0) << (8 * i)), 0);

const HIGHEST = 0x16;
/** The highest subleaf of leaf 7 in which there is a feature. */
const HIGHEST_OF_7 = Math.max(...Object.values(FEATURES).map(([leaf, subleaf]) => (leaf === 7 ? subleaf : 0)));
const HIGHEST_EXTENDED = 0x8000_0008;
const KVM_BASE = 0x4000_0000;
/** Clock source (old and new MSRs), no I/O delay, and clock readings that are stable across vCPUs. */
const KVM_FEATURES = (1 << 0) | (1 << 1) | (1 << 3) | (1 << 24);

/** Leaves whose answer depends on ECX, among those that hold features; the others ignore it. */
const INDEXED: ReadonlySet<number> = new Set([7, 0xd]);

/** Programs ask dozens of times when they start. */
const BY_LEAF = new Map(
  Object.values(FEATURES).map(([leaf]) => [
    leaf as number,
    Object.entries(FEATURES).filter(([, row]) => row[0] === leaf),
  ]),
);

export function cpuid(leaf: number, subleaf: number, input: CpuidInput): CpuidResult {
  leaf >>>= 0;
  const r: CpuidResult = { eax: 0, ebx: 0, ecx: 0, edx: 0 };
  // Beyond the highest basic leaf Intel answers with that leaf; hypervisor leaves are a range of their own.
  if (
    leaf > HIGHEST_EXTENDED ||
    (leaf > HIGHEST && (leaf < KVM_BASE || (leaf > KVM_BASE + 0xff && leaf < 0x8000_0000)))
  ) {
    leaf = HIGHEST;
  }
  for (const [name, [, s, register, bit]] of BY_LEAF.get(leaf) ?? []) {
    if ((s === subleaf || !INDEXED.has(leaf)) && input.features.has(name)) r[register] |= 1 << bit;
  }
  switch (leaf) {
    case 0:
      r.eax = HIGHEST;
      r.ebx = text("Genu", 0);
      r.edx = text("ineI", 0);
      r.ecx = text("ntel", 0);
      break;
    case 1:
      // Family 6, model 1Ah, stepping 3: old enough that kernels know no erratum of it that would matter here.
      r.eax = 0x1_06a3;
      r.ebx = (input.apicId << 24) | (1 << 16) | (8 << 8);
      if (input.osxsave) r.ecx |= 1 << 27;
      if (!input.apicEnabled) r.edx &= ~(1 << 9);
      break;
    case 4:
      // One level of each kind, so that guests that size buffers by it find something: 32 KiB L1, 4 MiB L2.
      if (subleaf < 3) {
        r.eax = [0x121, 0x122, 0x143][subleaf]!;
        r.ebx = (7 << 22) | 63;
        r.ecx = subleaf === 2 ? 8191 : 63;
      }
      break;
    case 7:
      if (subleaf === 0) r.eax = HIGHEST_OF_7;
      break;
    case 0xb:
      r.ebx = subleaf < 2 ? 1 : 0;
      r.ecx = subleaf | (subleaf < 2 ? (subleaf + 1) << 8 : 0);
      r.edx = input.apicId;
      break;
    case 0xd:
      if (!input.features.has("xsave")) break;
      if (subleaf === 0) {
        const avx = input.features.has("avx");
        r.eax = avx ? 7 : 3;
        r.ebx = (input.xcr0 & COMPONENT.avx) !== 0 ? SAVE_AREA.end : SAVE_AREA.avx;
        r.ecx = avx ? SAVE_AREA.end : SAVE_AREA.avx;
      } else if (subleaf === 2 && input.features.has("avx")) {
        r.eax = SAVE_AREA.end - SAVE_AREA.avx;
        r.ebx = SAVE_AREA.avx;
      }
      break;
    case 0x15:
      r.eax = 1;
      r.ebx = 1;
      r.ecx = TSC_HZ;
      break;
    case 0x16:
      r.eax = r.ebx = TSC_HZ / 1e6;
      r.ecx = 100;
      break;
    case KVM_BASE:
      r.eax = KVM_BASE + 0x10;
      r.ebx = text("KVMK", 0);
      r.ecx = text("VMKV", 0);
      r.edx = text("M", 0);
      break;
    case KVM_BASE + 1:
      r.eax = KVM_FEATURES;
      break;
    case KVM_BASE + 0x10:
      r.eax = r.ebx = TSC_HZ / 1000;
      break;
    case 0x8000_0000:
      r.eax = HIGHEST_EXTENDED;
      break;
    case 0x8000_0002:
    case 0x8000_0003:
    case 0x8000_0004: {
      const at = (leaf - 0x8000_0002) * 16;
      r.eax = text(input.brand, at);
      r.ebx = text(input.brand, at + 4);
      r.ecx = text(input.brand, at + 8);
      r.edx = text(input.brand, at + 12);
      break;
    }
    case 0x8000_0006:
      r.ecx = (4096 << 16) | (6 << 12) | 64;
      break;
    case 0x8000_0008:
      r.eax = input.physicalBits | (input.linearBits << 8);
      break;
  }
  return r;
}
