/** The states a vCPU begins in: after RESET#, and as a boot protocol hands it to a kernel. */
import { LOW_RAM_END } from "../base/index.ts";
import { GPR_NAMES, SEGMENT_NAMES } from "./state.ts";
import { CS, LDTR, type SystemContext, TR } from "./system/access.ts";

/** The state a boot protocol asks for; what is not named is as after reset. */
export interface CpuEntry {
  readonly mode: "real16" | "flat32" | "long64";
  readonly rip: number;
  readonly rsp?: number;
  readonly registers: { readonly [name: string]: number };
  readonly gdt: { readonly base: number; readonly limit: number };
  readonly selectors: { readonly [name: string]: number };
  readonly pageTables?: number;
}

/** Family, model and stepping, as CPUID gives them. */
const SIGNATURE = 0x1_06a3;

/** Descriptor attributes (bits 40-55). */
const REAL_DATA = 0x93;
const REAL_CODE = 0x9b;
const LDT = 0x82;
const BUSY_TSS = 0x8b;
const FLAT_DATA = 0xc093;
const FLAT_CODE32 = 0xc09b;
const FLAT_CODE64 = 0xa09b;

/** SDM vol. 3A, table 9-1, on a state that is all zero. */
export function setResetState(c: SystemContext, ramSize: number): void {
  const { r } = c;
  r.setNumber("ramLow", Math.min(ramSize, LOW_RAM_END));
  r.setNumber("ramHigh", Math.max(0, ramSize - LOW_RAM_END));
  r.set("faultVector", -1);
  r.set("flagResult", 1);
  r.set("eflags", 2);
  r.setPair("rdx", SIGNATURE, 0);
  r.setPair("cr0", 0x6000_0010, 0);
  r.setPair("dr6", 0xffff_0ff0, 0);
  r.setPair("dr7", 0x400, 0);
  r.setPair("xcr0", 1, 0);
  r.set("fcw", 0x40);
  r.set("mxcsr", 0x1f80);
  SEGMENT_NAMES.forEach((_, i) => {
    const attributes = i === LDTR ? LDT : i === TR ? BUSY_TSS : REAL_DATA;
    c.setSegment(i, { selector: 0, attributes, limit: 0xffff, base: 0n });
  });
  c.setSegment(CS, { selector: 0xf000, attributes: REAL_CODE, limit: 0xffff, base: 0xffff_0000n });
  r.setPair("rip", 0xfff0, 0);
  r.set("gdtr.limit", 0xffff);
  r.set("idtr.limit", 0xffff);
}

/** On a vCPU that was just reset. */
export function setEntryState(c: SystemContext, entry: CpuEntry): void {
  const { r } = c;
  r.setPair("rdx", 0, 0);
  for (const [name, value] of Object.entries(entry.registers)) {
    if (GPR_NAMES.includes(name)) r.setNumber(name, value);
  }
  r.setNumber("rip", entry.rip);
  if (entry.rsp !== undefined) r.setNumber("rsp", entry.rsp);
  const long = entry.mode === "long64";
  if (entry.mode !== "real16") {
    r.setNumber("gdtr.base", entry.gdt.base);
    r.set("gdtr.limit", entry.gdt.limit);
    r.set("idtr.limit", 0);
    r.setPair("cr0", long ? 0x8000_0011 : 0x11, 0);
    const limit = 0xffff_ffff;
    SEGMENT_NAMES.forEach((name, i) => {
      const selector = entry.selectors[name] ?? 0;
      const code = long ? FLAT_CODE64 : FLAT_CODE32;
      if (i === TR) c.setSegment(i, { selector, attributes: BUSY_TSS, limit: 0x67, base: 0n });
      else if (i !== LDTR) c.setSegment(i, { selector, attributes: i === CS ? code : FLAT_DATA, limit, base: 0n });
    });
  }
  if (long) {
    r.setPair("cr4", 0x20, 0);
    r.setPair("efer", 0x500, 0);
    r.setNumber("cr3", entry.pageTables ?? 0);
  }
}
