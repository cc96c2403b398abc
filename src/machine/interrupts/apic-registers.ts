/**
 * The local APIC's registers, SDM vol. 3A table 11-1 (xAPIC, at `index * 16` in the page) and table 11-6 (x2APIC,
 * MSR 0x800 + index). Access checks of both interfaces derive from this table.
 * Not there: CMCI LVT (no machine checks), APR and RRD (not on processors since the Pentium 4), EOI-broadcast suppression.
 */
export type ApicAccess = "none" | "ro" | "wo" | "rw";

export interface ApicRegister {
  readonly index: number;
  /** Registers in a row: 8 for the 256-bit vector maps. */
  readonly count?: number;
  readonly xapic: ApicAccess;
  readonly x2apic: ApicAccess;
  /** Bits software may write; x2APIC faults on others that are set, xAPIC drops them. */
  readonly bits: number;
  /** Bits hardware keeps: written values are dropped, in x2APIC without a fault. */
  readonly ignored?: number;
  readonly reset?: number;
}

export const LVT_MASKED = 0x10000;
const DELIVERY_STATUS = 0x1000;
export const REMOTE_IRR = 0x4000;
export const LVT_LEVEL = 0x8000;

/** Version 0x14 (integrated APIC), highest LVT entry 5. */
const VERSION = 0x00050014;

export const APIC = {
  id: { index: 0x02, xapic: "rw", x2apic: "ro", bits: 0xff000000 },
  version: { index: 0x03, xapic: "ro", x2apic: "ro", bits: 0, reset: VERSION },
  tpr: { index: 0x08, xapic: "rw", x2apic: "rw", bits: 0xff },
  ppr: { index: 0x0a, xapic: "ro", x2apic: "ro", bits: 0 },
  eoi: { index: 0x0b, xapic: "wo", x2apic: "wo", bits: 0 },
  ldr: { index: 0x0d, xapic: "rw", x2apic: "ro", bits: 0xff000000 },
  dfr: { index: 0x0e, xapic: "rw", x2apic: "none", bits: 0xf0000000, reset: 0xffffffff },
  // Bit 9, focus checking, does nothing since the Pentium 4, but is written by some systems.
  svr: { index: 0x0f, xapic: "rw", x2apic: "rw", bits: 0x3ff, reset: 0xff },
  isr: { index: 0x10, count: 8, xapic: "ro", x2apic: "ro", bits: 0 },
  tmr: { index: 0x18, count: 8, xapic: "ro", x2apic: "ro", bits: 0 },
  irr: { index: 0x20, count: 8, xapic: "ro", x2apic: "ro", bits: 0 },
  esr: { index: 0x28, xapic: "rw", x2apic: "rw", bits: 0 },
  icrLow: { index: 0x30, xapic: "rw", x2apic: "rw", bits: 0x000ccfff, ignored: DELIVERY_STATUS },
  icrHigh: { index: 0x31, xapic: "rw", x2apic: "none", bits: 0xff000000 },
  lvtTimer: { index: 0x32, xapic: "rw", x2apic: "rw", bits: 0x700ff, ignored: DELIVERY_STATUS, reset: LVT_MASKED },
  lvtThermal: { index: 0x33, xapic: "rw", x2apic: "rw", bits: 0x107ff, ignored: DELIVERY_STATUS, reset: LVT_MASKED },
  lvtPerformance: {
    index: 0x34,
    xapic: "rw",
    x2apic: "rw",
    bits: 0x107ff,
    ignored: DELIVERY_STATUS,
    reset: LVT_MASKED,
  },
  lvtLint0: {
    index: 0x35,
    xapic: "rw",
    x2apic: "rw",
    bits: 0x1a7ff,
    ignored: DELIVERY_STATUS | REMOTE_IRR,
    reset: LVT_MASKED,
  },
  lvtLint1: {
    index: 0x36,
    xapic: "rw",
    x2apic: "rw",
    bits: 0x1a7ff,
    ignored: DELIVERY_STATUS | REMOTE_IRR,
    reset: LVT_MASKED,
  },
  lvtError: { index: 0x37, xapic: "rw", x2apic: "rw", bits: 0x100ff, ignored: DELIVERY_STATUS, reset: LVT_MASKED },
  initialCount: { index: 0x38, xapic: "rw", x2apic: "rw", bits: 0xffffffff },
  currentCount: { index: 0x39, xapic: "ro", x2apic: "ro", bits: 0 },
  divide: { index: 0x3e, xapic: "rw", x2apic: "rw", bits: 0xb },
  selfIpi: { index: 0x3f, xapic: "none", x2apic: "wo", bits: 0xff },
} as const satisfies Record<string, ApicRegister>;

export const APIC_REGISTER_COUNT = 0x40;

/** The row of each register index; undefined where the page is reserved. */
export const APIC_ROWS: readonly (ApicRegister | undefined)[] = (() => {
  const rows = Array.from<ApicRegister | undefined>({ length: APIC_REGISTER_COUNT });
  for (const row of Object.values(APIC) as ApicRegister[]) rows.fill(row, row.index, row.index + (row.count ?? 1));
  return rows;
})();

/** Register values after power-up, SDM 11.4.7.1. */
export const apicResetValues = (): number[] => APIC_ROWS.map((row) => row?.reset ?? 0);

/** The local vector table in order of register index. */
export const LVT_FIRST = APIC.lvtTimer.index;
export const LVT_LAST = APIC.lvtError.index;

/** SVR bit 8. */
export const SVR_ENABLE = 0x100;

/** IA32_APIC_BASE (MSR 0x1b), SDM figure 11-5 and 11.12.1. */
export const APIC_BASE = { bsp: 0x100, x2apic: 0x400, enable: 0x800, pageMask: 0xfffff000 } as const;
export const X2APIC_MSR_BASE = 0x800;

/** ESR bits, SDM figure 11-9. The bus errors of the APIC serial bus cannot happen here. */
export const ESR = { sendIllegalVector: 0x20, receiveIllegalVector: 0x40, illegalRegister: 0x80 } as const;

/** Timer modes: LVT timer bits 18:17. */
export const TIMER_MODE = { oneShot: 0, periodic: 1, tscDeadline: 2 } as const;
export const TIMER_MODE_SHIFT = 17;
