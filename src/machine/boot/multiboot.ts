import { blob, struct, u32, u64, VivError } from "../../base/index.ts";
import { isElf, loadSegments, parseElf, physicalEntry } from "./elf.ts";
import type { EntryState } from "./entry.ts";
import { type Layout, mib, PAGE } from "./layout.ts";
import { MEMORY_TYPE, UPPER_MEMORY } from "./memory-map.ts";
import { type BootModule, type BootRequest, modulesOf, putCommandLine } from "./request.ts";
import { putSegments } from "./tables.ts";
import { join, viewOf } from "./wire.ts";

/**
 * Multiboot 1 (Multiboot Specification 0.6.96): a header in the file's first 8 KiB, either with load addresses
 * of its own or in an ELF file. 64-bit ELF files are loaded too and entered in 32-bit mode like the others.
 * Modules always start on a page and lie just above the kernel, where QEMU has them. Not modelled: video modes
 * (a request for one is passed over), drives, APM, symbol tables.
 */

export const HEADER_SEARCH = 8192;
const HEADER_MAGIC = 0x1badb002;
const LOADER_MAGIC = 0x2badb002;

/** Flags of the header. A kernel must not be started when it sets one in bits 0-15 that the loader does not know. */
const KNOWN_REQUIREMENTS = 0x0007;
const REQUIREMENTS = 0xffff;
const HAS_ADDRESSES = 0x1_0000;

const header = struct("multiboot_header", 32, {
  magic: u32,
  flags: u32,
  checksum: u32,
  header_addr: u32,
  load_addr: u32,
  load_end_addr: u32,
  bss_end_addr: u32,
  entry_addr: u32,
});
/** Magic, flags and checksum: all there is without addresses. */
const SHORT_HEADER = 12;

/** Flags of the information structure. */
const INFO_MEMORY = 1 << 0;
const INFO_COMMAND_LINE = 1 << 2;
const INFO_MODULES = 1 << 3;
const INFO_MEMORY_MAP = 1 << 6;
const INFO_LOADER_NAME = 1 << 9;

const information = struct("multiboot_info", 116, {
  flags: u32,
  mem_lower: u32,
  mem_upper: u32,
  boot_device: u32,
  cmdline: u32,
  mods_count: u32,
  mods_addr: u32,
  syms: blob(16),
  mmap_length: u32,
  mmap_addr: u32,
  drives_length: u32,
  drives_addr: u32,
  config_table: u32,
  boot_loader_name: u32,
  apm_table: u32,
  video: blob(44),
});

const mapEntry = struct("multiboot_mmap_entry", 24, { size: u32, addr: u64, len: u64, type: u32 });
const moduleEntry = struct("multiboot_mod_list", 16, { mod_start: u32, mod_end: u32, cmdline: u32, pad: u32 });

const LOADER_NAME = "vivarium";
const DEFAULT_KERNEL_NAME = "kernel";
const ALIGN = 8;

/** Where the Multiboot header is in the file: on a 4-byte boundary, its first three words adding up to 0. */
export const findMultiboot = (image: Uint8Array): number | undefined => {
  const view = viewOf(image);
  const end = Math.min(image.length, HEADER_SEARCH) - SHORT_HEADER;
  for (let at = 0; at <= end; at += 4) {
    if (header.get(view, at, "magic") !== HEADER_MAGIC) continue;
    const sum = HEADER_MAGIC + header.get(view, at, "flags") + header.get(view, at, "checksum");
    if (sum >>> 0 === 0) return at;
  }
  return undefined;
};

interface Loaded {
  readonly entry: number;
  readonly end: number;
}

const damaged = (what: string): VivError =>
  new VivError(
    "kernel.damaged",
    `the Multiboot header's addresses are wrong: ${what}; get the file again or link it anew`,
  );

/** Loads by the header's own addresses (specification, 3.1.3). */
const loadByAddresses = (layout: Layout, image: Uint8Array, at: number): Loaded => {
  if (at + header.size > image.length) {
    throw new VivError("kernel.truncated", "the kernel image ends inside its Multiboot header; fetch or copy it again");
  }
  const h = header.read(viewOf(image), at);
  const offset = at - (h.header_addr - h.load_addr);
  if (h.header_addr < h.load_addr || offset < 0) throw damaged("the header lies before what is loaded");
  const length = h.load_end_addr === 0 ? image.length - offset : h.load_end_addr - h.load_addr;
  if (length < 0) throw damaged("the end lies before the start");
  if (offset + length > image.length) {
    throw new VivError(
      "kernel.truncated",
      "the kernel image is shorter than its Multiboot header says; fetch it again",
    );
  }
  const loadEnd = h.load_addr + length;
  if (h.bss_end_addr !== 0 && h.bss_end_addr < loadEnd) throw damaged("its zeroed memory ends before it starts");
  const end = Math.max(h.bss_end_addr, loadEnd);
  if (h.entry_addr < h.load_addr || h.entry_addr >= end) throw damaged("the entry point lies outside what is loaded");
  const target = layout.claim(h.load_addr, end - h.load_addr);
  target.set(image.subarray(offset, offset + length));
  target.fill(0, length);
  return { entry: h.entry_addr, end };
};

const loadElf = (layout: Layout, image: Uint8Array): Loaded => {
  if (!isElf(image)) {
    throw new VivError(
      "kernel.unsupported",
      "the kernel has a Multiboot header without addresses and is no ELF file; link it as ELF or set flag 16",
    );
  }
  const elf = parseElf(image);
  const entry = physicalEntry(elf);
  return { entry, end: loadSegments(layout, elf, entry) };
};

const putModule = (layout: Layout, { bytes, commandLine }: BootModule, from: number): Uint8Array => {
  const start = layout.take(Math.max(bytes.length, 1), { align: PAGE, from });
  if (start === undefined) {
    throw new VivError(
      "initrd.does-not-fit",
      `a module of ${mib(bytes.length)} does not fit above the kernel in ${mib(layout.ram.lowSize)} of memory; ` +
        "give the guest more memory or use a smaller module",
    );
  }
  layout.ram.view(start, bytes.length)!.set(bytes);
  return moduleEntry.encode({
    mod_start: start,
    mod_end: start + bytes.length,
    cmdline: putCommandLine(layout, commandLine),
  });
};

/** KiB of RAM that follow `start` without a gap. */
const contiguous = (layout: Layout, start: number): number => {
  const region = layout.map.find((r) => r.start === start && r.type === MEMORY_TYPE.ram);
  return Math.floor((region?.length ?? 0) / 1024);
};

export const loadMultiboot = (layout: Layout, image: Uint8Array, at: number, request: BootRequest): EntryState => {
  const flags = header.get(viewOf(image), at, "flags");
  const unknown = flags & REQUIREMENTS & ~KNOWN_REQUIREMENTS;
  if (unknown !== 0) {
    throw new VivError(
      "kernel.unsupported",
      `the kernel's Multiboot header requires features 0x${unknown.toString(16)}, which no loader has; clear those flags`,
    );
  }
  const { entry, end } = (flags & HAS_ADDRESSES) !== 0 ? loadByAddresses(layout, image, at) : loadElf(layout, image);

  const modules = modulesOf(request).map((module) => putModule(layout, module, end));
  const memoryMap = layout.map.map((r) =>
    // `size` does not count itself.
    mapEntry.encode({ size: mapEntry.size - 4, addr: r.start, len: r.length, type: r.type }),
  );
  const info = information.encode({
    flags: INFO_MEMORY | INFO_COMMAND_LINE | INFO_MODULES | INFO_MEMORY_MAP | INFO_LOADER_NAME,
    mem_lower: contiguous(layout, 0),
    mem_upper: contiguous(layout, UPPER_MEMORY),
    cmdline: putCommandLine(layout, `${request.kernelName ?? DEFAULT_KERNEL_NAME} ${request.commandLine}`),
    mods_count: modules.length,
    mods_addr: modules.length === 0 ? 0 : layout.put(join(modules), ALIGN),
    mmap_length: memoryMap.length * mapEntry.size,
    mmap_addr: layout.put(join(memoryMap), ALIGN),
    boot_loader_name: putCommandLine(layout, LOADER_NAME),
  });
  return {
    protocol: "multiboot",
    mode: "flat32",
    rip: entry,
    registers: { rax: LOADER_MAGIC, rbx: layout.put(info, ALIGN) },
    ...putSegments(layout, 32),
  };
};
