/** The fixed ACPI tables as structs. Section numbers are those of ACPI 6.5. */
import { array, ascii, type Field, struct, u8, u16, u32, u64 } from "../../base/index.ts";

/** 5.2.6 */
export const Header = struct("system description table header", 36, {
  signature: ascii(4),
  length: u32,
  revision: u8,
  checksum: u8,
  oemId: ascii(6, " "),
  oemTableId: ascii(8, " "),
  oemRevision: u32,
  creatorId: ascii(4, " "),
  creatorRevision: u32,
});

/** 5.2.5.3 */
export const Rsdp = struct("RSDP", 36, {
  signature: ascii(8),
  checksum: u8,
  oemId: ascii(6, " "),
  revision: u8,
  rsdtAddress: u32,
  length: u32,
  xsdtAddress: u64,
  extendedChecksum: u8,
  reserved: array(u8, 3),
});
/** The first checksum covers the part that ACPI 1.0 knew. */
export const RSDP_V1_SIZE = 20;

/** Generic address structure, 5.2.3.2. */
export const Address = struct("GAS", 12, { space: u8, width: u8, offset: u8, access: u8, address: u64 });
export const SPACE = { memory: 0, io: 1 } as const;

/** 5.2.9, after the header. */
export const Fadt = struct("FADT", 276 - Header.size, {
  firmwareControl: u32,
  dsdt: u32,
  interruptModel: u8,
  profile: u8,
  sciInterrupt: u16,
  smiCommand: u32,
  acpiEnable: u8,
  acpiDisable: u8,
  s4bios: u8,
  pstateControl: u8,
  pm1aEvent: u32,
  pm1bEvent: u32,
  pm1aControl: u32,
  pm1bControl: u32,
  pm2Control: u32,
  pmTimer: u32,
  gpe0: u32,
  gpe1: u32,
  pm1EventLength: u8,
  pm1ControlLength: u8,
  pm2ControlLength: u8,
  pmTimerLength: u8,
  gpe0Length: u8,
  gpe1Length: u8,
  gpe1Base: u8,
  cstControl: u8,
  c2Latency: u16,
  c3Latency: u16,
  flushSize: u16,
  flushStride: u16,
  dutyOffset: u8,
  dutyWidth: u8,
  dayAlarm: u8,
  monthAlarm: u8,
  century: u8,
  bootArchitecture: u16,
  reserved: u8,
  flags: u32,
  resetRegister: Address,
  resetValue: u8,
  armBootArchitecture: u16,
  minorVersion: u8,
  xFirmwareControl: u64,
  xDsdt: u64,
  xPm1aEvent: Address,
  xPm1bEvent: Address,
  xPm1aControl: Address,
  xPm1bControl: Address,
  xPm2Control: Address,
  xPmTimer: Address,
  xGpe0: Address,
  xGpe1: Address,
  sleepControl: Address,
  sleepStatus: Address,
  hypervisorVendor: ascii(8),
});

/** Table 5.10. */
export const FADT_FLAGS = {
  WBINVD: 1 << 0,
  /** Every processor has C1 (HLT). */
  PROC_C1: 1 << 2,
  /** No fixed sleep button. */
  SLP_BUTTON: 1 << 5,
  /** The RTC's wake status is not in the fixed registers. */
  FIX_RTC: 1 << 6,
  /** The PM timer counts 32 bits. */
  TMR_VAL_EXT: 1 << 8,
  RESET_REG_SUP: 1 << 10,
} as const;

/** Table 5.11: a PC with ports, a keyboard controller and no VGA. */
export const BOOT_ARCHITECTURE = { LEGACY_DEVICES: 1 << 0, I8042: 1 << 1, NO_VGA: 1 << 2 } as const;

/** 5.2.10 */
export const Facs = struct("FACS", 64, {
  signature: ascii(4),
  length: u32,
  hardwareSignature: u32,
  wakingVector: u32,
  globalLock: u32,
  flags: u32,
  xWakingVector: u64,
  version: u8,
  reserved: array(u8, 3),
  ospmFlags: u32,
  reserved2: array(u8, 24),
});

/** 5.2.12, after the header; entries follow. */
export const Madt = struct("MADT", 8, { localApicAddress: u32, flags: u32 });
/** A PC's pair of 8259s is there as well. */
export const PCAT_COMPAT = 1;

const entry = { type: u8, length: u8 } as const satisfies Record<string, Field<number>>;
export const LocalApicEntry = struct("local APIC entry", 8, { ...entry, uid: u8, id: u8, flags: u32 });
export const IoApicEntry = struct("I/O APIC entry", 12, { ...entry, id: u8, reserved: u8, address: u32, gsiBase: u32 });
export const OverrideEntry = struct("interrupt source override", 10, {
  ...entry,
  bus: u8,
  source: u8,
  gsi: u32,
  flags: u16,
});
export const LocalNmiEntry = struct("local APIC NMI entry", 6, {
  ...entry,
  uid: u8,
  flagsLow: u8,
  flagsHigh: u8,
  lint: u8,
});
export const MADT_TYPE = { localApic: 0, ioApic: 1, override: 2, localNmi: 4 } as const;
export const LOCAL_APIC_ENABLED = 1;
export const ALL_PROCESSORS = 0xff;
/** MPS INTI flags: polarity in bits 1..0, trigger in bits 3..2; 0 is as the bus has it. */
export const INTI = { busDefault: 0x0, activeHighLevel: 0x0d } as const;

/** IA-PC HPET Specification 1.0a, 3.2.4, after the header. */
export const HpetTable = struct("HPET", 20, {
  blockId: u32,
  address: Address,
  number: u8,
  minimumTick: u16,
  pageProtection: u8,
});

/** Windows ACPI Emulated Devices Table, after the header: what an emulated device makes unnecessary. */
export const Waet = struct("WAET", 4, { flags: u32 });
/** The PM timer needs only one read. */
export const WAET_PM_TIMER_GOOD = 1 << 1;
