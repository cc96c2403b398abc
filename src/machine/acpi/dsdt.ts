/**
 * The DSDT's definition block: what the machine has beyond what the fixed tables can say. Devices that
 * answer at fixed addresses are named so that an operating system binds its drivers without probing.
 */
import {
  ACPI_PM,
  HPET_BLOCK,
  I8042,
  PCI_CONFIG,
  PCI_DEVICES,
  PCI_IO_WINDOW,
  PCI_MEMORY_WINDOW,
  PCI_PINS,
  pciGsi,
  RTC,
  SERIAL_PORTS,
} from "../platform.ts";
import { type Aml, device, eisaId, integer, list, name, scope, string } from "./aml.ts";
import { busNumbers, fixedMemory, ioPorts, ioWindow, irq, memoryWindow, resourceTemplate } from "./resources.ts";

export interface DsdtOptions {
  readonly cpus: number;
  readonly serialPorts: number;
  readonly hpet: boolean;
}

/** `_PRT` names all functions of a device by this low half of the address. */
const ANY_FUNCTION = 0xffff;

/** \_S5: the sleep types of PM1a and PM1b (7.4.2). */
const sleepStates = (): Aml => name("_S5", list(...[ACPI_PM.s5, ACPI_PM.s5, 0, 0].map(integer)));

/** `_PRT` (6.2.13): each pin is wired straight to an input of the I/O APIC. */
const routing = (): Aml => {
  const entries: Aml[] = [];
  for (let slot = 1; slot < PCI_DEVICES; slot++) {
    for (let pin = 0; pin < PCI_PINS; pin++) {
      const address = slot * 0x10000 + ANY_FUNCTION;
      entries.push(list(integer(address), integer(pin), integer(0), integer(pciGsi(slot, pin))));
    }
  }
  return list(...entries);
};

const pciRoot = (): Aml =>
  device(
    "PCI0",
    name("_HID", eisaId("PNP0A03")),
    name("_UID", integer(0)),
    name("_BBN", integer(0)),
    name(
      "_CRS",
      resourceTemplate(
        busNumbers(0, 256),
        ioPorts(PCI_CONFIG.address, 8),
        ioWindow(0, PCI_CONFIG.address),
        ioWindow(PCI_IO_WINDOW.start, PCI_IO_WINDOW.end),
        memoryWindow(PCI_MEMORY_WINDOW.start, PCI_MEMORY_WINDOW.end),
      ),
    ),
    name("_PRT", routing()),
  );

const serial = (count: number): Aml[] =>
  SERIAL_PORTS.slice(0, count).map((at, i) =>
    device(
      `COM${i + 1}`,
      name("_HID", eisaId("PNP0501")),
      name("_UID", integer(i + 1)),
      name("_CRS", resourceTemplate(ioPorts(at.port, at.length), irq(at.irq))),
    ),
  );

const clock = (): Aml =>
  device(
    "RTC",
    name("_HID", eisaId("PNP0B00")),
    name("_CRS", resourceTemplate(ioPorts(RTC.port, RTC.length), irq(RTC.irq))),
  );

const keyboard = (): Aml =>
  device(
    "KBD",
    name("_HID", eisaId("PNP0303")),
    name("_CRS", resourceTemplate(ioPorts(I8042.data, 1), ioPorts(I8042.command, 1), irq(I8042.keyboardIrq))),
  );

/** The auxiliary port of the keyboard controller is there, with no mouse on it. Linux warns where only the keyboard is listed. */
const mouse = (): Aml =>
  device("MOU", name("_HID", eisaId("PNP0F13")), name("_CRS", resourceTemplate(irq(I8042.mouseIrq))));

const hpet = (): Aml =>
  device(
    "HPET",
    name("_HID", eisaId("PNP0103")),
    name("_UID", integer(0)),
    name("_CRS", resourceTemplate(fixedMemory(HPET_BLOCK.address, HPET_BLOCK.length))),
  );

/** Processor devices (8.4); `_UID` ties each to its local APIC in the MADT. */
const processors = (count: number): Aml[] =>
  Array.from({ length: count }, (_, i) =>
    device(
      `C${i.toString(16).toUpperCase().padStart(3, "0")}`,
      name("_HID", string("ACPI0007")),
      name("_UID", integer(i)),
    ),
  );

export const dsdtBlock = (options: DsdtOptions): Uint8Array =>
  Uint8Array.from([
    ...sleepStates(),
    ...scope(
      "_SB",
      pciRoot(),
      ...serial(options.serialPorts),
      clock(),
      keyboard(),
      mouse(),
      ...(options.hpet ? [hpet()] : []),
      ...processors(options.cpus),
    ),
  ]);
