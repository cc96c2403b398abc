/** Registers of the HPET: IA-PC HPET specification 1.0a, section 2.3. 64-bit registers are two rows, low half first. */
import type { RegisterTable } from "../../machine/registers.ts";

export const HPET_HZ = 100_000_000;
export const HPET_TIMERS = 3;

const FEMTOSECONDS_PER_TICK = 1e15 / HPET_HZ;
/** Vendor 8086h, legacy replacement, 64-bit counter, number of timers, revision 1. */
const CAPABILITIES = (0x8086 << 16) | 0xa000 | ((HPET_TIMERS - 1) << 8) | 1;

/** I/O APIC pins a timer can be routed to: those no other device uses. */
const ROUTES = 0x00f00000;

export const HPET_REGISTERS = {
  capabilities: { offset: 0x00, width: 4, access: "r", reset: CAPABILITIES },
  period: { offset: 0x04, width: 4, access: "r", reset: FEMTOSECONDS_PER_TICK },
  config: { offset: 0x10, width: 4, access: "rw", writable: 0x3 },
  status: { offset: 0x20, width: 4, access: "rw", writable: 2 ** HPET_TIMERS - 1 },
  counterLow: { offset: 0xf0, width: 4, access: "rw" },
  counterHigh: { offset: 0xf4, width: 4, access: "rw" },
} as const satisfies RegisterTable;

export const CONFIG = { enable: 0x1, legacy: 0x2 } as const;

/** Timer n's registers start at TIMER_BASE + n * TIMER_STRIDE. */
export const TIMER_BASE = 0x100;
export const TIMER_STRIDE = 0x20;

/** Timer configuration bits. FSB (message) delivery, bits 14 and 15, is not there. */
export const TIMER = {
  level: 0x002,
  interrupt: 0x004,
  periodic: 0x008,
  setValue: 0x040,
  only32: 0x100,
  routeShift: 9,
  routeMask: 0x1f,
} as const;
const PERIODIC_CAPABLE = 0x10;
const SIZE_64_CAPABLE = 0x20;

/** Offsets are from the start of one timer's registers. */
export const TIMER_REGISTERS = {
  config: { offset: 0x00, width: 4, access: "rw", writable: 0x3f4e, reset: PERIODIC_CAPABLE | SIZE_64_CAPABLE },
  routes: { offset: 0x04, width: 4, access: "r", reset: ROUTES },
  comparatorLow: { offset: 0x08, width: 4, access: "rw", reset: 0xffffffff },
  comparatorHigh: { offset: 0x0c, width: 4, access: "rw", reset: 0xffffffff },
} as const satisfies RegisterTable;
