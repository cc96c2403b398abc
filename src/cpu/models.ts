/**
 * The CPU models. A feature is one row: where CPUID shows it. A model is a list of features; the decoder knows no
 * instruction of a feature that its model lacks.
 */

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
