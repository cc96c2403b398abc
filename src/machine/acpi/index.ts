/**
 * ACPI tables (ACPI 6.5, chapter 5), as a PC's firmware would leave them below 1 MiB. Full hardware ACPI,
 * so that a guest finds power-off, reset, its timers and its interrupt wiring without any probing.
 * Not there: S1 to S4, C-states beyond HLT, hot plug, memory-mapped PCI configuration (the host bridge has none).
 */
import { type Gpa, gpa, VivError } from "../../base/index.ts";
import { ROM_START, UPPER_MEMORY } from "../boot/memory-map.ts";
import { isaPin } from "../interrupts/isa-lines.ts";
import { ACPI_PM, HPET_BLOCK, IO_APIC, LOCAL_APIC, SERIAL_PORTS } from "../platform.ts";
import { dsdtBlock } from "./dsdt.ts";
import {
  ALL_PROCESSORS,
  BOOT_ARCHITECTURE,
  FADT_FLAGS,
  Facs,
  Fadt,
  Header,
  HpetTable,
  INTI,
  IoApicEntry,
  LOCAL_APIC_ENABLED,
  LocalApicEntry,
  LocalNmiEntry,
  MADT_TYPE,
  Madt,
  OverrideEntry,
  PCAT_COMPAT,
  RSDP_V1_SIZE,
  Rsdp,
  SPACE,
  WAET_PM_TIMER_GOOD,
  Waet,
} from "./structs.ts";

export interface AcpiOptions {
  /** vCPUs; number n has local APIC n. */
  readonly cpus: number;
  /** How many of the PC's four serial ports are there; all where absent. */
  readonly serialPorts?: number;
  /** The HPET's capability register, low half, and its shortest period in ticks; absent where there is no HPET. */
  readonly hpet?: { readonly id: number; readonly minimumTick: number };
}

export interface AcpiTable {
  readonly name: string;
  readonly gpa: Gpa;
  readonly bytes: Uint8Array;
}

export interface AcpiTables {
  readonly tables: readonly AcpiTable[];
  /** Where the RSDP is: what the boot protocols pass on. */
  readonly rsdp: Gpa;
}

/** Local APIC 255 is the broadcast address. */
const MAX_CPUS = 255;
/** ACPI asks for 16 for the RSDP and 64 for the FACS; one for all. */
const ALIGN = 64;
const RTC_CENTURY = 0x32;
/** Larger than any real latency: the state is not there (5.2.9). */
const NO_C2 = 101;
const NO_C3 = 1001;

const OEM = { oemId: "VIV", oemTableId: "VIVARIUM", oemRevision: 1, creatorId: "VIV", creatorRevision: 1 } as const;

/** The byte that makes the sum of all zero. */
const checksum = (content: Uint8Array): number => (256 - (content.reduce((sum, byte) => sum + byte, 0) % 256)) % 256;

const concat = (parts: readonly Uint8Array[]): Uint8Array => {
  const out = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
};

/** Header and contents, with the checksum right. */
const table = (signature: string, revision: number, ...contents: Uint8Array[]): Uint8Array => {
  const length = contents.reduce((size, part) => size + part.length, Header.size);
  const out = concat([Header.encode({ signature, length, revision, ...OEM }), ...contents]);
  out[Header.offsets.checksum] = checksum(out);
  return out;
};

const port = (address: number, length: number) =>
  ({ space: SPACE.io, width: length * 8, access: Math.min(length, 3), address }) as const;

const fadt = (facs: number, dsdt: number): Uint8Array => {
  const { base, event, control, timer, gpe0, reset } = ACPI_PM;
  return table(
    "FACP",
    6,
    Fadt.encode({
      firmwareControl: facs,
      dsdt,
      interruptModel: 1,
      sciInterrupt: ACPI_PM.sciIrq,
      smiCommand: ACPI_PM.smiCommand,
      acpiEnable: ACPI_PM.acpiEnable,
      acpiDisable: ACPI_PM.acpiDisable,
      pm1aEvent: base + event.offset,
      pm1aControl: base + control.offset,
      pmTimer: base + timer.offset,
      gpe0: base + gpe0.offset,
      pm1EventLength: event.length,
      pm1ControlLength: control.length,
      pmTimerLength: timer.length,
      gpe0Length: gpe0.length,
      c2Latency: NO_C2,
      c3Latency: NO_C3,
      century: RTC_CENTURY,
      bootArchitecture: BOOT_ARCHITECTURE.LEGACY_DEVICES | BOOT_ARCHITECTURE.I8042 | BOOT_ARCHITECTURE.NO_VGA,
      flags:
        FADT_FLAGS.WBINVD |
        FADT_FLAGS.PROC_C1 |
        FADT_FLAGS.SLP_BUTTON |
        FADT_FLAGS.FIX_RTC |
        (ACPI_PM.timerBits === 32 ? FADT_FLAGS.TMR_VAL_EXT : 0) |
        FADT_FLAGS.RESET_REG_SUP,
      resetRegister: port(reset.port, 1),
      resetValue: reset.value,
      minorVersion: 5,
      xDsdt: dsdt,
      xPm1aEvent: port(base + event.offset, event.length),
      xPm1aControl: port(base + control.offset, control.length),
      xPmTimer: port(base + timer.offset, timer.length),
      xGpe0: port(base + gpe0.offset, gpe0.length),
      hypervisorVendor: "Vivarium",
    }),
  );
};

const madt = (cpus: number): Uint8Array => {
  const override = (source: number, gsi: number, flags: number): Uint8Array =>
    OverrideEntry.encode({ type: MADT_TYPE.override, length: OverrideEntry.size, source, gsi, flags });
  return table(
    "APIC",
    5,
    Madt.encode({ localApicAddress: LOCAL_APIC.address, flags: PCAT_COMPAT }),
    ...Array.from({ length: cpus }, (_, id) =>
      LocalApicEntry.encode({
        type: MADT_TYPE.localApic,
        length: LocalApicEntry.size,
        uid: id,
        id,
        flags: LOCAL_APIC_ENABLED,
      }),
    ),
    IoApicEntry.encode({
      type: MADT_TYPE.ioApic,
      length: IoApicEntry.size,
      id: IO_APIC.id,
      address: IO_APIC.address,
      gsiBase: IO_APIC.gsiBase,
    }),
    override(0, isaPin(0), INTI.busDefault),
    override(ACPI_PM.sciIrq, isaPin(ACPI_PM.sciIrq), INTI.activeHighLevel),
    LocalNmiEntry.encode({ type: MADT_TYPE.localNmi, length: LocalNmiEntry.size, uid: ALL_PROCESSORS, lint: 1 }),
  );
};

const rsdp = (rsdtAddress: number, xsdtAddress: number): Uint8Array => {
  const out = Rsdp.encode({
    signature: "RSD PTR ",
    oemId: OEM.oemId,
    revision: 2,
    rsdtAddress,
    length: Rsdp.size,
    xsdtAddress,
  });
  out[Rsdp.offsets.checksum] = checksum(out.subarray(0, RSDP_V1_SIZE));
  out[Rsdp.offsets.extendedChecksum] = checksum(out);
  return out;
};

/** A table of the addresses of tables: RSDT with 32 bits each, XSDT with 64. */
const pointers = (signature: "RSDT" | "XSDT", addresses: readonly number[]): Uint8Array => {
  const width = signature === "RSDT" ? 4 : 8;
  const content = new Uint8Array(addresses.length * width);
  const view = new DataView(content.buffer);
  addresses.forEach((address, i) => {
    view.setUint32(i * width, address, true);
  });
  return table(signature, 1, content);
};

/** Builds the tables and places them from 0xe0000, the RSDP first, where a scan for it finds it (5.2.5.1). */
export const buildAcpi = (options: AcpiOptions): AcpiTables => {
  const { cpus, serialPorts = SERIAL_PORTS.length, hpet } = options;
  if (!Number.isInteger(cpus) || cpus < 1 || cpus > MAX_CPUS) {
    throw new VivError("cpus.count", `a machine has 1 to ${MAX_CPUS} vCPUs, not ${cpus}`);
  }
  const tables: AcpiTable[] = [];
  let next = ROM_START;
  const place = (name: string, content: Uint8Array, at = next): number => {
    tables.push({ name, gpa: gpa(at), bytes: content });
    if (at === next) next = Math.ceil((at + content.length) / ALIGN) * ALIGN;
    if (next > UPPER_MEMORY) throw new RangeError("the ACPI tables do not fit below 1 MiB");
    return at;
  };

  const root = next;
  next += ALIGN;
  const facs = place("FACS", Facs.encode({ signature: "FACS", length: Facs.size, version: 2 }));
  const dsdtContent = dsdtBlock({ cpus, serialPorts, hpet: hpet !== undefined });
  const dsdt = place("DSDT", table("DSDT", 2, dsdtContent));
  const listed = [place("FACP", fadt(facs, dsdt)), place("APIC", madt(cpus))];
  if (hpet !== undefined) {
    const { id: blockId, minimumTick } = hpet;
    const address = { space: SPACE.memory, width: 64, address: HPET_BLOCK.address };
    listed.push(place("HPET", table("HPET", 1, HpetTable.encode({ blockId, address, minimumTick }))));
  }
  listed.push(place("WAET", table("WAET", 1, Waet.encode({ flags: WAET_PM_TIMER_GOOD }))));
  place("RSDP", rsdp(place("RSDT", pointers("RSDT", listed)), place("XSDT", pointers("XSDT", listed))), root);
  return { tables, rsdp: gpa(root) };
};
