/** Where guest RAM lies in the guest physical map: what the CPU translates to, and what the machine lays out. */
import { GiB } from "./units.ts";

/**
 * Where RAM ends below 4 GiB. From here to 4 GiB lie PCI memory, the I/O APIC, HPET and local APIC;
 * RAM beyond this size continues at 4 GiB, as on every PC.
 */
export const LOW_RAM_END = 3 * GiB;
export const HIGH_RAM_START = 4 * GiB;

/** Offset in RAM (what lies at 4 GiB follows what ends at 3) of a guest physical address, or -1 where `length` bytes of RAM are not there. */
export function ramOffset(ramSize: number, address: number, length: number): number {
  if (address >= 0 && address + length <= Math.min(ramSize, LOW_RAM_END)) return address;
  const high = address - HIGH_RAM_START + LOW_RAM_END;
  return address >= HIGH_RAM_START && high + length <= ramSize ? high : -1;
}
