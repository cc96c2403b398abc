/**
 * Where the machine's devices are: the addresses and interrupts that ACPI tells the guest and that the
 * machine attaches the devices at. They are where every PC has them.
 */
import { LOW_RAM_END } from "../base/index.ts";

export interface PortDevice {
  readonly port: number;
  /** Ports it takes. */
  readonly length: number;
  readonly irq: number;
}

export const SERIAL_PORTS: readonly PortDevice[] = [
  { port: 0x3f8, length: 8, irq: 4 },
  { port: 0x2f8, length: 8, irq: 3 },
  { port: 0x3e8, length: 8, irq: 4 },
  { port: 0x2e8, length: 8, irq: 3 },
];

export const RTC: PortDevice = { port: 0x70, length: 2, irq: 8 };

export const I8042 = { data: 0x60, command: 0x64, fastReset: 0x92, keyboardIrq: 1, mouseIrq: 12 } as const;

export const DEBUG_EXIT = { port: 0xf4, length: 4 } as const;

/**
 * PCI configuration ports. The address register is attached as one byte: only a 32-bit access at its start
 * reaches it, and the byte behind it is the reset register (0xcf9).
 */
export const PCI_CONFIG = { address: 0xcf8, data: 0xcfc } as const;

/** Where PCI functions may be mapped: between low RAM and the I/O APIC, and all ports above the system's. */
export const PCI_MEMORY_WINDOW = { start: LOW_RAM_END, end: 0xfec00000 } as const;
export const PCI_IO_WINDOW = { start: 0x0d00, end: 0x10000 } as const;

/** Devices of one bus, pins of one device. */
export const PCI_DEVICES = 32;
export const PCI_PINS = 4;
/** PCI interrupt pins go to four I/O APIC inputs of their own, level triggered, turned by device number. */
export const PCI_GSI_BASE = 16;
export const PCI_GSI_COUNT = 4;
/** Input of a device's pin, counted from INTA# = 0. */
export const pciGsi = (device: number, pin: number): number => PCI_GSI_BASE + ((device + pin) % PCI_GSI_COUNT);

/** The 8259 pair: command at the first port, data at the second. */
export const PIC_PORTS = { master: 0x20, slave: 0xa0, length: 2, elcr: 0x4d0 } as const;

/** The 8254, and the PC's control port beside it: channel 2's gate, the speaker. */
export const PIT_PORTS = { base: 0x40, length: 4, control: 0x61 } as const;

/** The I/O APIC: global system interrupts are its pins. */
export const IO_APIC = { address: 0xfec00000, length: 0x1000, id: 0, gsiBase: 0 } as const;

/** Every vCPU finds its own local APIC here. */
export const LOCAL_APIC = { address: 0xfee00000, length: 0x1000 } as const;

export const HPET_BLOCK = { address: 0xfed00000, length: 0x400 } as const;

/**
 * ACPI fixed hardware (ACPI 6.5, 4.8): what the FADT and `\_S5` tell the guest. Ports as on QEMU's Q35, so that guests
 * that power off without reading tables (0x2000 to port 0x604) work too.
 */
export const ACPI_PM = {
  base: 0x600,
  length: 0x24,
  /** Offsets from `base`, and lengths, of the register blocks. */
  event: { offset: 0x00, length: 4 },
  control: { offset: 0x04, length: 2 },
  timer: { offset: 0x08, length: 4 },
  gpe0: { offset: 0x20, length: 4 },
  /** The timer has 32 bits: FADT flag TMR_VAL_EXT. */
  timerBits: 32,
  sciIrq: 9,
  smiCommand: 0xb2,
  acpiEnable: 0x02,
  acpiDisable: 0x03,
  reset: { port: 0xcf9, value: 0x06 },
  /** SLP_TYP of soft off. */
  s5: 0,
} as const;
