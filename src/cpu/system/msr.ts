/** RDMSR and WRMSR (SDM vol. 4), with KVM's clock MSRs (Linux, Documentation/virt/kvm/x86/msr.rst). */
import { ARCH_CAPABILITIES } from "../cpuid.ts";
import { MSR, MSR_ROWS } from "../msr.ts";
import { GP, GuestFault } from "./access.ts";
import type { CpuContext } from "./context.ts";
import { isCanonicalBase } from "./mode.ts";

const fault = () => new GuestFault(GP, 0);

const EFER_SCE = 1n;
const EFER_LME = 0x100n;
const EFER_LMA = 0x400n;
const EFER_NXE = 0x800n;
const CR0_PG = 0x8000_0000;
/** Memory types PAT entries may hold: UC WC WT WP WB UC-. */
const PAT_TYPES = new Set([0, 1, 4, 5, 6, 7]);

const isX2apic = (index: number) => index >= MSR.x2apicFirst && index <= MSR.x2apicLast;
const join = (low: number, high: number) => (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);

const needed: Readonly<Record<number, string>> = {
  [MSR.specCtrl]: "spec_ctrl",
  [MSR.predCmd]: "spec_ctrl",
  [MSR.tscAdjust]: "tsc_adjust",
  [MSR.archCapabilities]: "arch_capabilities",
  [MSR.tscDeadline]: "tsc_deadline",
};

const tscNow = (c: CpuContext): bigint => BigInt(Math.floor(c.ports.tsc())) + c.tscOffset;

function read(c: CpuContext, index: number): bigint {
  const { apic } = c.ports;
  const feature = needed[index];
  if (feature !== undefined && !c.features.has(feature)) throw fault();
  if (isX2apic(index)) {
    const low = apic.readMsr(index);
    if (low < 0) throw fault();
    return join(low, apic.readMsrHigh(index));
  }
  switch (index) {
    case MSR.tsc:
      return BigInt.asUintN(64, tscNow(c));
    case MSR.predCmd:
      throw fault();
    case MSR.apicBase:
      return join(apic.apicBaseLow, apic.apicBaseHigh);
    case MSR.archCapabilities:
      return ARCH_CAPABILITIES;
    case MSR.tscDeadline:
      return apic.tscDeadline === 0 ? 0n : BigInt(Math.ceil(apic.tscDeadline)) + c.tscOffset;
    case MSR.efer:
      return c.r.getBig("efer");
    case MSR.kvmSystemTime:
    case MSR.kvmSystemTimeOld:
      return c.msrs.get(MSR.kvmSystemTime) ?? 0n;
    case MSR.kvmWallClock:
    case MSR.kvmWallClockOld:
      return c.msrs.get(MSR.kvmWallClock) ?? 0n;
  }
  const row = MSR_ROWS.get(index);
  if (!row) throw fault();
  const home = row[2];
  return typeof home === "string" ? c.r.getBig(home) : (c.msrs.get(index) ?? home);
}

function write(c: CpuContext, index: number, value: bigint): void {
  const { apic } = c.ports;
  const feature = needed[index];
  if (feature !== undefined && !c.features.has(feature)) throw fault();
  const low = Number(value & 0xffff_ffffn);
  const high = Number(value >> 32n);
  if (isX2apic(index)) {
    if (!apic.writeMsr(index, low, high)) throw fault();
    return;
  }
  switch (index) {
    case MSR.tsc:
      moveTsc(c, value - tscNow(c));
      return;
    case MSR.tscAdjust:
      moveTsc(c, value - (c.msrs.get(MSR.tscAdjust) ?? 0n));
      return;
    case MSR.apicBase:
      if (!apic.writeApicBase(low, high)) throw fault();
      return;
    case MSR.archCapabilities:
      throw fault();
    case MSR.tscDeadline:
      // The deadline may lie in the past: it fires at once then.
      apic.setTscDeadline(value === 0n ? 0 : Math.max(1, Number(value - c.tscOffset)));
      return;
    case MSR.efer:
      writeEfer(c, value);
      return;
    case MSR.kvmSystemTime:
    case MSR.kvmSystemTimeOld:
      c.msrs.set(MSR.kvmSystemTime, value);
      writeSystemTime(c, value);
      return;
    case MSR.kvmWallClock:
    case MSR.kvmWallClockOld:
      c.msrs.set(MSR.kvmWallClock, value);
      writeWallClock(c, value);
      return;
    case MSR.pat:
      for (let i = 0n; i < 64n; i += 8n) if (!PAT_TYPES.has(Number((value >> i) & 0xffn))) throw fault();
  }
  const row = MSR_ROWS.get(index);
  if (!row) throw fault();
  const [, , home, writable] = row;
  if (writable === "ignored") return;
  if (writable === "fixed") throw fault();
  if (writable === "canonical" ? !isCanonicalBase(c, value) : (value & ~writable) !== 0n) throw fault();
  if (typeof home === "string") c.r.setBig(home, value);
  else c.msrs.set(index, value);
}

/** A write to the TSC shows in IA32_TSC_ADJUST, and the other way round (SDM vol. 3B, 18.17.3). */
function moveTsc(c: CpuContext, by: bigint): void {
  c.tscOffset = BigInt.asIntN(64, c.tscOffset + by);
  c.msrs.set(MSR.tscAdjust, BigInt.asUintN(64, (c.msrs.get(MSR.tscAdjust) ?? 0n) + by));
}

function writeEfer(c: CpuContext, value: bigint): void {
  const old = c.r.getBig("efer");
  let allowed = EFER_LMA;
  if (c.features.has("syscall")) allowed |= EFER_SCE;
  if (c.features.has("lm")) allowed |= EFER_LME;
  if (c.features.has("nx")) allowed |= EFER_NXE;
  if ((value & ~allowed) !== 0n) throw fault();
  if (((value ^ old) & EFER_LME) !== 0n && (c.r.get("cr0") & CR0_PG) !== 0) throw fault();
  c.r.setBig("efer", (value & ~EFER_LMA) | (old & EFER_LMA));
  if (((value ^ old) & EFER_NXE) !== 0n) c.flushTlb(true);
  c.updateMode();
}

/**
 * pvclock_vcpu_time_info: the TSC counts nanoseconds, so the scale is 1 (shift 1, multiplier 2^31) for as long as the guest
 * leaves the TSC alone. Bit 0 of the address enables it.
 */
function writeSystemTime(c: CpuContext, value: bigint): void {
  if ((value & 1n) === 0n) return;
  const bytes = new DataView(new ArrayBuffer(32));
  const tsc = tscNow(c);
  bytes.setUint32(0, 2, true);
  bytes.setBigUint64(8, BigInt.asUintN(64, tsc), true);
  bytes.setBigUint64(16, BigInt.asUintN(64, tsc - c.tscOffset), true);
  bytes.setUint32(24, 0x8000_0000, true);
  bytes.setInt8(28, 1);
  bytes.setUint8(29, 1);
  c.writePhysical(value & ~1n, new Uint8Array(bytes.buffer));
}

/** pvclock_wall_clock: wall-clock time at which the machine's clock was zero. */
function writeWallClock(c: CpuContext, value: bigint): void {
  const start = c.ports.wallTime() - c.ports.tsc() / 1e6;
  const bytes = new DataView(new ArrayBuffer(12));
  bytes.setUint32(0, 2, true);
  bytes.setUint32(4, Math.floor(start / 1000), true);
  bytes.setUint32(8, Math.floor((start % 1000) * 1e6), true);
  c.writePhysical(value, new Uint8Array(bytes.buffer));
}

export function rdmsr(c: CpuContext): void {
  c.r.setBig("scratch0", read(c, c.r.get("rcx")));
}

export function wrmsr(c: CpuContext): void {
  write(c, c.r.get("rcx"), c.r.getBig("scratch0"));
}
