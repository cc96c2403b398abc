import { LOW_RAM_END, struct, u32, u64 } from "../../base/index.ts";
import { type Elf, findNote, loadSegments } from "./elf.ts";
import type { EntryState } from "./entry.ts";
import type { Layout } from "./layout.ts";
import { type BootRequest, modulesOf, putCommandLine, putInitrd } from "./request.ts";
import { putSegments } from "./tables.ts";
import { join, viewOf } from "./wire.ts";

/**
 * PVH direct boot (Xen docs/misc/pvh.pandoc; xen/include/public/arch-x86/hvm/start_info.h, version 1):
 * an ELF file with a note that gives a 32-bit physical entry point, where EBX points at hvm_start_info.
 * No flags are set: the guest is not Xen's initial domain.
 */

const OWNER = "Xen";
const XEN_ELFNOTE_PHYS32_ENTRY = 18;
const START_INFO_MAGIC = 0x336ec578;
const START_INFO_VERSION = 1;

const startInfo = struct("hvm_start_info", 56, {
  magic: u32,
  version: u32,
  flags: u32,
  nr_modules: u32,
  modlist_paddr: u64,
  cmdline_paddr: u64,
  rsdp_paddr: u64,
  memmap_paddr: u64,
  memmap_entries: u32,
  reserved: u32,
});

const moduleEntry = struct("hvm_modlist_entry", 32, { paddr: u64, size: u64, cmdline_paddr: u64, reserved: u64 });
const memmapEntry = struct("hvm_memmap_table_entry", 24, { addr: u64, size: u64, type: u32, reserved: u32 });

/** The entry point that the PVH note gives. */
export const pvhEntry = (elf: Elf): number | undefined => {
  const note = findNote(elf, OWNER, XEN_ELFNOTE_PHYS32_ENTRY);
  // 64-bit kernels write eight bytes, of which only a 32-bit address is of use.
  if (note === undefined || (note.length !== 4 && note.length !== 8)) return undefined;
  const view = viewOf(note);
  return note.length === 4 ? u32.read(view, 0) : u64.read(view, 0);
};

const ALIGN = 8;

const table = (layout: Layout, entries: readonly Uint8Array[]): number =>
  entries.length === 0 ? 0 : layout.put(join(entries), ALIGN);

export const loadPvh = (layout: Layout, elf: Elf, entry: number, request: BootRequest): EntryState => {
  loadSegments(layout, elf, entry);
  const modules = modulesOf(request).map(({ bytes, commandLine }) =>
    moduleEntry.encode({
      paddr: putInitrd(layout, bytes, LOW_RAM_END),
      size: bytes.length,
      cmdline_paddr: commandLine === "" ? 0 : putCommandLine(layout, commandLine),
    }),
  );
  const memmap = layout.map.map((r) => memmapEntry.encode({ addr: r.start, size: r.length, type: r.type }));
  const info = startInfo.encode({
    magic: START_INFO_MAGIC,
    version: START_INFO_VERSION,
    nr_modules: modules.length,
    modlist_paddr: table(layout, modules),
    cmdline_paddr: putCommandLine(layout, request.commandLine),
    rsdp_paddr: request.acpiRsdp,
    memmap_paddr: table(layout, memmap),
    memmap_entries: memmap.length,
  });
  return {
    protocol: "pvh",
    mode: "flat32",
    rip: entry,
    registers: { rbx: layout.put(info, ALIGN) },
    ...putSegments(layout, 32),
  };
};
