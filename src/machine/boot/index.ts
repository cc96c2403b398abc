export type { ImageSource } from "./elf.ts";
export * from "./entry.ts";
export { type Decompress, type Decompressors, extractVmlinux } from "./extract.ts";
export { isBzImage } from "./linux.ts";
export { loadKernel } from "./load.ts";
export { EBDA_START, MEMORY_TYPE, type MemoryRegion, memoryMap, ROM_START } from "./memory-map.ts";
export { isPayload } from "./payload.ts";
export type { BootModule, BootRequest } from "./request.ts";
