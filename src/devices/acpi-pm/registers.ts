/**
 * ACPI fixed hardware registers: ACPI 6.5, 4.8.3 and 4.8.4. Where the blocks lie is the machine's business (ACPI_PM in
 * machine/platform.ts); here is what they hold.
 */
import { ACPI_PM } from "../../machine/platform.ts";
import type { RegisterTable } from "../../machine/registers.ts";

const GPE_HALF = ACPI_PM.gpe0.length / 2;

/** PM1 status and enable bits: the timer, the global lock, the buttons, the RTC. */
export const PM1 = {
  timer: 0x0001,
  global: 0x0020,
  powerButton: 0x0100,
  sleepButton: 0x0200,
  rtc: 0x0400,
  wake: 0x8000,
} as const;
/** PM1 control bits. */
export const PM1_CONTROL = {
  sciEnable: 0x0001,
  busMasterReload: 0x0002,
  sleepType: 0x1c00,
  sleepTypeShift: 10,
  sleepEnable: 0x2000,
} as const;

/** Status bits are cleared by writing ones to them. */
export const ACPI_REGISTERS = {
  pm1Status: { offset: ACPI_PM.event.offset, width: 2, access: "rw", writable: 0x8731 },
  pm1Enable: { offset: ACPI_PM.event.offset + 2, width: 2, access: "rw", writable: 0x0721 },
  pm1Control: { offset: ACPI_PM.control.offset, width: 2, access: "rw", writable: 0x1c02 },
  timer: { offset: ACPI_PM.timer.offset, width: 4, access: "r" },
  gpe0Status: { offset: ACPI_PM.gpe0.offset, width: 2, access: "rw" },
  gpe0Enable: { offset: ACPI_PM.gpe0.offset + GPE_HALF, width: 2, access: "rw" },
} as const satisfies RegisterTable;

/** The power management timer's clock: three times the 8254's. */
export const PM_TIMER_HZ = 3_579_545;

/** Reset control register, port 0xcf9 (ICH9 data sheet 13.7.5). */
export const RESET_CONTROL = { system: 0x02, cpu: 0x04, full: 0x08, writable: 0x0e } as const;
