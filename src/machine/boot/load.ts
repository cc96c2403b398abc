import { VivError } from "../../base/index.ts";
import type { GuestRam } from "../memory.ts";
import type { EntryState } from "./entry.ts";
import { Layout } from "./layout.ts";
import { isBzImage, loadBzImage } from "./linux.ts";
import { memoryMap } from "./memory-map.ts";
import type { BootRequest } from "./request.ts";

/**
 * Puts a kernel into guest RAM and says how to start it. The kind of image is told by its content.
 * The image, like all files, is hostile: a bad one ends in a VivError that says what to do.
 */
export const loadKernel = (ram: GuestRam, image: Uint8Array, request: BootRequest): EntryState => {
  const layout = new Layout(ram, memoryMap(ram, request.reserved ?? []));
  if (isBzImage(image)) return loadBzImage(layout, image, request);
  throw new VivError(
    "kernel.not-a-kernel",
    "the file is no kernel we know; give a Linux bzImage or vmlinux, or an ELF file with a PVH note or a Multiboot header",
  );
};
