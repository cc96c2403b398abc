import { VivError } from "../../base/index.ts";
import type { GuestRam } from "../memory.ts";
import { compressionOf } from "./compression.ts";
import { type ImageSource, isElf, isUpperHalfKernel, loadSegments, parseElf, physicalEntry } from "./elf.ts";
import type { EntryState } from "./entry.ts";
import { Layout } from "./layout.ts";
import { enterVmlinux, isBzImage, loadBzImage } from "./linux.ts";
import { memoryMap } from "./memory-map.ts";
import { findMultiboot, HEADER_SEARCH, loadMultiboot } from "./multiboot.ts";
import { loadPayload, payloadIn } from "./payload.ts";
import { loadPvh, pvhEntry } from "./pvh.ts";
import type { BootRequest } from "./request.ts";

const ACCEPTED = "a Linux bzImage or vmlinux, or an ELF file with a PVH note or a Multiboot header";

/**
 * Puts a kernel into guest RAM and says how to start it. The kind of image is told by its content, in QEMU's order:
 * bzImage, Multiboot, what is inside a bzImage, PVH; then a vmlinux without a PVH note.
 * The image, like all files, is hostile: a bad one ends in a VivError that says what to do.
 */
export const loadKernel = (ram: GuestRam, source: ImageSource, request: BootRequest): EntryState => {
  const layout = new Layout(ram, memoryMap(ram, request.reserved ?? []));
  const head = source.subarray(0, Math.min(source.length, HEADER_SEARCH));
  if (!isBzImage(head) && findMultiboot(head) === undefined && isElf(head)) return loadElf(layout, source, request);
  const image = source.subarray(0, source.length);
  if (isBzImage(image)) return loadBzImage(layout, image, request);
  const multiboot = findMultiboot(image);
  if (multiboot !== undefined) return loadMultiboot(layout, image, multiboot, request);
  const compression = compressionOf(image);
  throw new VivError(
    "kernel.not-a-kernel",
    compression === undefined
      ? `the file is not a kernel; give ${ACCEPTED}`
      : `the file is ${compression} data, not a kernel; unpack it first, then give ${ACCEPTED}`,
  );
};

const loadElf = (layout: Layout, image: ImageSource, request: BootRequest): EntryState => {
  const elf = parseElf(image);
  const payload = payloadIn(elf);
  if (payload !== undefined) return loadPayload(layout, payload, request);
  const pvh = pvhEntry(elf);
  if (pvh !== undefined) return loadPvh(layout, elf, pvh, request);
  if (!isUpperHalfKernel(elf)) {
    throw new VivError(
      "kernel.not-a-kernel",
      `the ELF file has neither a PVH note nor a Multiboot header and is not a Linux vmlinux; give ${ACCEPTED}`,
    );
  }
  const entry = physicalEntry(elf);
  loadSegments(layout, elf, entry);
  return enterVmlinux(layout, entry, request);
};
