import type { Entropy } from "../ports.ts";
import { type Elf, isElf, isUpperHalfKernel, linkedRange, loadSegments, parseElf, physicalEntry } from "./elf.ts";
import type { EntryState } from "./entry.ts";
import type { Layout } from "./layout.ts";
import { enterVmlinux } from "./linux.ts";
import { type Relocations, readRelocations, relocate } from "./relocate.ts";
import type { BootRequest } from "./request.ts";

/**
 * What is inside a bzImage, unpacked: a vmlinux with relocations behind it. It is started as the bzImage's own code would start it
 * (kernel arch/x86/boot/compressed: misc.c and kaslr.c), KASLR with it.
 * Not modelled: the choice among memory above 4 GiB, and mem= and memmap= limits to it.
 */
export interface Payload {
  readonly elf: Elf;
  readonly relocations: Relocations;
}

/** Of the kernel's mappings, and so of where it may lie (MIN_KERNEL_ALIGN in asm/boot.h). */
const ALIGN = 0x20_0000;
/** Virtual room for the kernel (KERNEL_IMAGE_SIZE in asm/page_64_types.h, with KASLR). */
const KERNEL_IMAGE_SIZE = 0x4000_0000;

export const payloadIn = (elf: Elf): Payload | undefined => {
  const relocations = isUpperHalfKernel(elf) ? readRelocations(elf.source, elf.end) : undefined;
  return relocations && { elf, relocations };
};

/** Whether `loadKernel` would start an unpacked kernel as the bzImage that it was in would have. */
export const isPayload = (image: Uint8Array): boolean => isElf(image) && payloadIn(parseElf(image)) !== undefined;

const below = (limit: number, entropy: Entropy): number => {
  const bytes = new Uint32Array(1);
  entropy.fill(new Uint8Array(bytes.buffer));
  return Math.floor((bytes[0]! / 2 ** 32) * limit);
};

export const loadPayload = (layout: Layout, { elf, relocations }: Payload, request: BootRequest): EntryState => {
  const entry = physicalEntry(elf);
  const { start, end } = linkedRange(elf);
  const size = end - start;
  const { entropy } = request;
  const random = entropy !== undefined && !/(^|\s)nokaslr(\s|$)/.test(request.commandLine);
  /** How far the kernel may be moved up, in both spaces: the initrd has room above it. */
  const slide = (room: number): number =>
    random && room >= ALIGN ? ALIGN * below(Math.floor(room / ALIGN) + 1, entropy) : 0;
  const others = (request.initrd?.length ?? 0) + ALIGN;
  const physical = slide(layout.ram.lowSize - end - others);
  const virtual = slide(KERNEL_IMAGE_SIZE - end);
  loadSegments(layout, elf, entry, physical);
  if (virtual !== 0) relocate(layout.ram.view(start + physical, size)!, start, relocations, virtual);
  return enterVmlinux(layout, entry + physical, request, random);
};
