/** Registers of the I/O APIC: 82093AA data sheet section 3; version 0x20 and the EOI register as in ICH9, section 13.5. */

import type { RegisterTable } from "../../machine/registers.ts";

/** Memory-mapped registers. The data sheet allows 32-bit accesses only. */
export const IOAPIC = {
  select: { offset: 0x00, width: 4, access: "rw", writable: 0xff },
  window: { offset: 0x10, width: 4, access: "rw" },
  eoi: { offset: 0x40, width: 4, access: "w", writable: 0xff },
} as const satisfies RegisterTable;

/** Indirect registers, by value of `select`. */
export const IOAPIC_INDEX = { id: 0x00, version: 0x01, arbitration: 0x02, redirection: 0x10 } as const;

export const IOAPIC_PINS = 24;
export const IOAPIC_VERSION = ((IOAPIC_PINS - 1) << 16) | 0x20;
export const IOAPIC_ID_BITS = 0x0f000000;

/** Low half of a redirection entry. Delivery status (bit 12) always reads idle. */
export const ENTRY = {
  vector: 0xff,
  deliveryShift: 8,
  logical: 0x800,
  polarity: 0x2000,
  remoteIrr: 0x4000,
  level: 0x8000,
  mask: 0x10000,
  writable: 0x1afff,
} as const;

/** High half: bits 63:56 are the destination. */
export const ENTRY_HIGH_WRITABLE = 0xff000000;
