/**
 * CPUID (SDM vol. 2, CPUID) and the CPU models. A feature is one row: where CPUID shows it. A model is a list of features;
 * the decoder knows no instruction of a feature that its model lacks.
 */
import { COMPONENT, SAVE_AREA } from "../isa/float/save.ts";

type Register = "eax" | "ebx" | "ecx" | "edx";

/** name → leaf, subleaf, register, bit. */
export const FEATURES = {
  fpu: [1, 0, "edx", 0],
  de: [1, 0, "edx", 2],
  pse: [1, 0, "edx", 3],
  tsc: [1, 0, "edx", 4],
  msr: [1, 0, "edx", 5],
  pae: [1, 0, "edx", 6],
  mce: [1, 0, "edx", 7],
  cx8: [1, 0, "edx", 8],
  apic: [1, 0, "edx", 9],
  sep: [1, 0, "edx", 11],
  mtrr: [1, 0, "edx", 12],
  pge: [1, 0, "edx", 13],
  mca: [1, 0, "edx", 14],
  cmov: [1, 0, "edx", 15],
  pat: [1, 0, "edx", 16],
  pse36: [1, 0, "edx", 17],
  clflush: [1, 0, "edx", 19],
  mmx: [1, 0, "edx", 23],
  fxsr: [1, 0, "edx", 24],
  sse: [1, 0, "edx", 25],
  sse2: [1, 0, "edx", 26],
  sse3: [1, 0, "ecx", 0],
  pclmulqdq: [1, 0, "ecx", 1],
  ssse3: [1, 0, "ecx", 9],
  fma: [1, 0, "ecx", 12],
  cx16: [1, 0, "ecx", 13],
  pcid: [1, 0, "ecx", 17],
  sse41: [1, 0, "ecx", 19],
  sse42: [1, 0, "ecx", 20],
  x2apic: [1, 0, "ecx", 21],
  movbe: [1, 0, "ecx", 22],
  popcnt: [1, 0, "ecx", 23],
  tsc_deadline: [1, 0, "ecx", 24],
  aes: [1, 0, "ecx", 25],
  xsave: [1, 0, "ecx", 26],
  avx: [1, 0, "ecx", 28],
  f16c: [1, 0, "ecx", 29],
  rdrand: [1, 0, "ecx", 30],
  hypervisor: [1, 0, "ecx", 31],
  fsgsbase: [7, 0, "ebx", 0],
  tsc_adjust: [7, 0, "ebx", 1],
  bmi1: [7, 0, "ebx", 3],
  avx2: [7, 0, "ebx", 5],
  smep: [7, 0, "ebx", 7],
  bmi2: [7, 0, "ebx", 8],
  erms: [7, 0, "ebx", 9],
  invpcid: [7, 0, "ebx", 10],
  rdseed: [7, 0, "ebx", 18],
  adx: [7, 0, "ebx", 19],
  smap: [7, 0, "ebx", 20],
  clflushopt: [7, 0, "ebx", 23],
  clwb: [7, 0, "ebx", 24],
  sha: [7, 0, "ebx", 29],
  umip: [7, 0, "ecx", 2],
  la57: [7, 0, "ecx", 16],
  rdpid: [7, 0, "ecx", 22],
  fsrm: [7, 0, "edx", 4],
  spec_ctrl: [7, 0, "edx", 26],
  stibp: [7, 0, "edx", 27],
  arch_capabilities: [7, 0, "edx", 29],
  ssbd: [7, 0, "edx", 31],
  bhi_ctrl: [7, 2, "edx", 4],
  arat: [6, 0, "eax", 2],
  xsaveopt: [13, 1, "eax", 0],
  lahf_lm: [0x8000_0001, 0, "ecx", 0],
  lzcnt: [0x8000_0001, 0, "ecx", 5],
  prefetchw: [0x8000_0001, 0, "ecx", 8],
  syscall: [0x8000_0001, 0, "edx", 11],
  nx: [0x8000_0001, 0, "edx", 20],
  pdpe1gb: [0x8000_0001, 0, "edx", 26],
  rdtscp: [0x8000_0001, 0, "edx", 27],
  lm: [0x8000_0001, 0, "edx", 29],
  invariant_tsc: [0x8000_0007, 0, "edx", 8],
} as const satisfies Record<string, readonly [number, number, Register, number]>;

export type Feature = keyof typeof FEATURES;

const BASELINE =
  "fpu de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 hypervisor x2apic " +
  "tsc_deadline syscall nx lm pdpe1gb rdtscp invariant_tsc arat";
/** The level of the psABI, and what a kernel gains from without cost to us: process-context ids, FS/GS base, supervisor guards, fast REP. */
const V2 =
  `${BASELINE} sse3 ssse3 sse41 sse42 popcnt cx16 lahf_lm pcid invpcid fsgsbase smep umip erms fsrm spec_ctrl stibp ` +
  "ssbd bhi_ctrl arch_capabilities rdrand";
const V3 = `${V2} avx avx2 bmi1 bmi2 f16c fma lzcnt movbe xsave xsaveopt`;
const MAX = `${V3} tsc_adjust aes pclmulqdq sha adx smap la57 rdseed rdpid clflushopt clwb prefetchw`;

export const CPU_MODELS = { "x86-64": BASELINE, "x86-64-v2": V2, "x86-64-v3": V3, max: MAX } as const;
export type CpuModel = keyof typeof CPU_MODELS;

export const featuresOf = (model: CpuModel): ReadonlySet<string> => new Set(CPU_MODELS[model].split(" "));

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
