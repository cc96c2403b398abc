import { HIGH_RAM_START, MiB } from "../../base/index.ts";
import type { GuestRam } from "../memory.ts";

/**
 * The memory map a kernel is told, whatever the protocol: Linux's e820 table, PVH's and Multiboot's lists
 * use the same type numbers (ACPI 6.5, section 15, table 15.6).
 */
export const MEMORY_TYPE = { ram: 1, reserved: 2, acpi: 3, nvs: 4 } as const;

export interface MemoryRegion {
  readonly start: number;
  readonly length: number;
  readonly type: (typeof MEMORY_TYPE)[keyof typeof MEMORY_TYPE];
}

/** Where usable RAM below 640 KiB ends: the extended BIOS data area takes the last KiB. */
export const EBDA_START = 0x9fc00;
const VGA_START = 0xa0000;
/** From here to 1 MiB a PC has its firmware; ours keeps the ACPI tables there. */
export const ROM_START = 0xe0000;
export const UPPER_MEMORY = MiB;

const EBDA: MemoryRegion = { start: EBDA_START, length: VGA_START - EBDA_START, type: MEMORY_TYPE.reserved };
const ROM: MemoryRegion = { start: ROM_START, length: UPPER_MEMORY - ROM_START, type: MEMORY_TYPE.reserved };
/** VGA memory and option ROMs: not RAM, and by custom in no map either. */
const VGA_HOLE = { start: VGA_START, length: ROM_START - VGA_START };

interface Span {
  readonly start: number;
  readonly length: number;
}

const without = (from: Span, cut: Span): Span[] => {
  const end = from.start + from.length;
  const cutEnd = cut.start + cut.length;
  if (cut.length === 0 || cut.start >= end || cutEnd <= from.start) return [from];
  const parts: Span[] = [];
  if (cut.start > from.start) parts.push({ start: from.start, length: cut.start - from.start });
  if (cutEnd < end) parts.push({ start: cutEnd, length: end - cutEnd });
  return parts;
};

/**
 * RAM and what is reserved, sorted, without overlap. `reserved` names what the machine has put elsewhere
 * (a PCI configuration window, tables inside RAM) and wins over all else.
 */
export const memoryMap = (
  ram: Pick<GuestRam, "size" | "lowSize">,
  reserved: readonly MemoryRegion[],
): MemoryRegion[] => {
  const map: MemoryRegion[] = [];
  const taken: Span[] = [];
  const add = (region: MemoryRegion): void => {
    const parts = taken.reduce<Span[]>((rest, cut) => rest.flatMap((part) => without(part, cut)), [region]);
    for (const part of parts) if (part.length > 0) map.push({ ...part, type: region.type });
    taken.push(region);
  };
  for (const region of reserved) add(region);
  add(EBDA);
  add(ROM);
  taken.push(VGA_HOLE);
  add({ start: 0, length: ram.lowSize, type: MEMORY_TYPE.ram });
  add({ start: HIGH_RAM_START, length: ram.size - ram.lowSize, type: MEMORY_TYPE.ram });
  return map.sort((a, b) => a.start - b.start);
};
