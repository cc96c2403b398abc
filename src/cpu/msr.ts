/**
 * Model-specific registers (SDM vol. 4). One row each: where the value lives and what a write may hold. An index that has no row
 * raises #GP(0). Those of the local APIC (800h-8FFh), the TSC and KVM's clock are handled in system/msr.ts.
 */
export type MsrRow = readonly [
  index: number,
  name: string,
  /** A field of the state, or the value at reset of one kept in the MSR file. */
  home: string | bigint,
  /** Bits a write may set; others raise #GP. "canonical": any canonical address; "fixed": writes raise #GP; "ignored": they do nothing. */
  writable: bigint | "canonical" | "fixed" | "ignored",
];

const ALL = (1n << 64n) - 1n;

/** Page attribute table at reset. */
const PAT_RESET = 0x0007_0406_0007_0406n;

/** IBRS STIBP SSBD BHI_DIS_S: kept and given back, for there is nothing to hold back. */
const SPEC_CTRL = 0x407n;

export const MSR = {
  tsc: 0x10,
  tscAdjust: 0x3b,
  apicBase: 0x1b,
  specCtrl: 0x48,
  predCmd: 0x49,
  archCapabilities: 0x10a,
  pat: 0x277,
  tscDeadline: 0x6e0,
  x2apicFirst: 0x800,
  x2apicLast: 0x8ff,
  efer: 0xc000_0080,
  kvmWallClock: 0x4b56_4d00,
  kvmSystemTime: 0x4b56_4d01,
  kvmWallClockOld: 0x11,
  kvmSystemTimeOld: 0x12,
} as const;

/** Those that system/msr.ts handles by code: what they are. */
export const HANDLED_MSRS: readonly (readonly [index: number, name: string, about: string])[] = [
  [MSR.tsc, "IA32_TIME_STAMP_COUNTER", "nanoseconds since reset; a write sets it"],
  [MSR.apicBase, "IA32_APIC_BASE", "the local APIC's"],
  [MSR.archCapabilities, "IA32_ARCH_CAPABILITIES", "read-only; with arch_capabilities"],
  [MSR.tscDeadline, "IA32_TSC_DEADLINE", "the local APIC timer's; with tsc_deadline"],
  [MSR.x2apicFirst, "x2APIC registers", "up to 0x8ff, in x2APIC mode"],
  [MSR.efer, "IA32_EFER", "SCE LME LMA NXE, as the model has them"],
  [MSR.kvmWallClock, "MSR_KVM_WALL_CLOCK_NEW", "where the guest wants the wall clock at boot"],
  [MSR.kvmSystemTime, "MSR_KVM_SYSTEM_TIME_NEW", "where the guest wants kvm-clock"],
  [MSR.kvmWallClockOld, "MSR_KVM_WALL_CLOCK", "the same, by its old number"],
  [MSR.kvmSystemTimeOld, "MSR_KVM_SYSTEM_TIME", "the same, by its old number"],
];

const rows: MsrRow[] = [
  [0x17, "IA32_PLATFORM_ID", 0n, "fixed"],
  [0x3a, "IA32_FEATURE_CONTROL", 1n, "fixed"],
  [0x3b, "IA32_TSC_ADJUST", 0n, ALL],
  [0x48, "IA32_SPEC_CTRL", 0n, SPEC_CTRL],
  [0x49, "IA32_PRED_CMD", 0n, 1n],
  [0x8b, "IA32_BIOS_SIGN_ID", 0x1_0000_0000n, "ignored"],
  [0xce, "MSR_PLATFORM_INFO", 0n, "fixed"],
  [0xfe, "IA32_MTRRCAP", 0x508n, "fixed"],
  [0x174, "IA32_SYSENTER_CS", "sysenterCs", 0xffff_ffffn],
  [0x175, "IA32_SYSENTER_ESP", "sysenterEsp", "canonical"],
  [0x176, "IA32_SYSENTER_EIP", "sysenterEip", "canonical"],
  [0x179, "IA32_MCG_CAP", 0n, "fixed"],
  [0x17a, "IA32_MCG_STATUS", 0n, 7n],
  [0x1a0, "IA32_MISC_ENABLE", 1n, ALL],
  [0x1d9, "IA32_DEBUGCTL", 0n, 0n],
  [0x2ff, "IA32_MTRR_DEF_TYPE", 0xc06n, 0xcffn],
  [0x277, "IA32_PAT", PAT_RESET, ALL],
  [0xc000_0081, "IA32_STAR", "star", ALL],
  [0xc000_0082, "IA32_LSTAR", "lstar", "canonical"],
  [0xc000_0083, "IA32_CSTAR", "cstar", "canonical"],
  [0xc000_0084, "IA32_FMASK", "fmask", 0xffff_ffffn],
  [0xc000_0100, "IA32_FS_BASE", "fs.base", "canonical"],
  [0xc000_0101, "IA32_GS_BASE", "gs.base", "canonical"],
  [0xc000_0102, "IA32_KERNEL_GS_BASE", "kernelGsBase", "canonical"],
  [0xc000_0103, "IA32_TSC_AUX", "tscAux", 0xffff_ffffn],
];
// Memory types: kept and given back; all guest memory behaves as write-back.
for (let i = 0; i < 16; i++) rows.push([0x200 + i, `IA32_MTRR_PHYS${i & 1 ? "MASK" : "BASE"}${i >> 1}`, 0n, ALL]);
for (const index of [0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f]) {
  rows.push([index, `IA32_MTRR_FIX_${index.toString(16)}`, 0x0606_0606_0606_0606n, ALL]);
}

export const MSR_ROWS: ReadonlyMap<number, MsrRow> = new Map(rows.map((row) => [row[0], row]));
