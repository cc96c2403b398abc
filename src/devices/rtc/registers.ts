/**
 * MC146818A real-time clock (Motorola data sheet) and the CMOS memory behind it. `offset` is the index
 * written to port 0x70.
 */
import { KiB, MiB } from "../../base/index.ts";
import type { RegisterTable } from "../../machine/registers.ts";

export const CMOS_SIZE = 128;

/** Bit 7 of the index port keeps NMIs from the processor. */
export const NMI_MASK = 0x80;

export const RTC_REGISTERS = {
  seconds: { offset: 0x00, access: "rw" },
  secondsAlarm: { offset: 0x01, access: "rw" },
  minutes: { offset: 0x02, access: "rw" },
  minutesAlarm: { offset: 0x03, access: "rw" },
  hours: { offset: 0x04, access: "rw" },
  hoursAlarm: { offset: 0x05, access: "rw" },
  weekday: { offset: 0x06, access: "rw" },
  day: { offset: 0x07, access: "rw" },
  month: { offset: 0x08, access: "rw" },
  year: { offset: 0x09, access: "rw" },
  /** 32768 Hz time base, 1024 Hz periodic rate. Bit 7 is the update-in-progress flag. */
  a: { offset: 0x0a, access: "rw", writable: 0x7f, reset: 0x26 },
  /** BCD, 24 hours. */
  b: { offset: 0x0b, access: "rw", reset: 0x02 },
  c: { offset: 0x0c, access: "r" },
  /** Battery good. */
  d: { offset: 0x0d, access: "r", reset: 0x80 },
  /** A PC's firmware keeps the century here; FADT points at it. */
  century: { offset: 0x32, access: "rw" },
} as const satisfies RegisterTable;

/** The registers that are the running time. */
export const TIME_REGISTERS = ["seconds", "minutes", "hours", "weekday", "day", "month", "year", "century"] as const;

export const A = { UPDATE_IN_PROGRESS: 0x80, RATE: 0x0f } as const;
export const B = {
  SET: 0x80,
  PERIODIC: 0x40,
  ALARM: 0x20,
  UPDATE: 0x10,
  SQUARE_WAVE: 0x08,
  BINARY: 0x04,
  HOURS24: 0x02,
} as const;
export const C = { REQUEST: 0x80, PERIODIC: 0x40, ALARM: 0x20, UPDATE: 0x10 } as const;

/** The flags of C and the enables of B are the same bits. */
export const EVENTS = C.PERIODIC | C.ALARM | C.UPDATE;

/** Where firmware leaves what it found; little-endian over `width` bytes. `value` gets RAM sizes in bytes. */
interface CmosField {
  readonly offset: number;
  readonly width: number;
  readonly value: (low: number, high: number) => number;
}

/**
 * Memory sizes as a PC's firmware stores them (Ralf Brown's list, CMOS.LST): `low` counts RAM from 0
 * below 4 GiB, `high` RAM from 4 GiB. A value that does not fit its bytes is stored as the largest that does.
 */
const EXTENDED_KIB = (low: number): number => Math.max(0, low - MiB) / KiB;
export const CMOS_FIELDS: readonly CmosField[] = [
  /** Base memory in KiB. */
  { offset: 0x15, width: 2, value: (low) => Math.min(low / KiB, 640) },
  /** Memory above 1 MiB in KiB, twice. */
  { offset: 0x17, width: 2, value: EXTENDED_KIB },
  { offset: 0x30, width: 2, value: EXTENDED_KIB },
  /** Memory between 16 MiB and 4 GiB in 64 KiB. */
  { offset: 0x34, width: 2, value: (low) => Math.max(0, low - 16 * MiB) / (64 * KiB) },
  /** Memory above 4 GiB in 64 KiB. */
  { offset: 0x5b, width: 3, value: (_low, high) => high / (64 * KiB) },
  /** Equipment: a coprocessor; no display, no floppy. */
  { offset: 0x14, width: 1, value: () => 0x02 },
];
