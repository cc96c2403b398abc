import { array, at, blob, type Gpa, struct, u8, u16, u32, u64, VivError } from "../../base/index.ts";
import type { EntryState } from "./entry.ts";
import { type Layout, PAGE } from "./layout.ts";
import { type BootRequest, modulesOf, putCommandLine, putInitrd } from "./request.ts";
import { putIdentityMap, putSegments } from "./tables.ts";
import { viewOf } from "./wire.ts";

/**
 * Linux's x86 boot protocol (kernel Documentation/arch/x86/boot.rst and zero-page.rst). A bzImage is real-mode
 * setup code, which we never run, and the protected-mode kernel after it. We fill the zero page and enter at
 * the 64-bit entry point, or at the 32-bit one when the kernel has no other.
 * Not modelled: setup_data, EFI handover, a kernel or initrd above 4 GiB.
 */

const e820Entry = struct("boot_e820_entry", 20, { addr: u64, size: u64, type: u32 });
const E820_MAX = 128;

/** The zero page. Its setup header, 0x1f1 onwards, lies at the same offsets in a bzImage file. */
export const bootParams = struct("boot_params", 4096, {
  acpi_rsdp_addr: at(0x70, u64),
  e820_entries: at(0x1e8, u8),
  setup_sects: at(0x1f1, u8),
  root_flags: u16,
  syssize: u32,
  ram_size: u16,
  vid_mode: u16,
  root_dev: u16,
  boot_flag: u16,
  jump: u16,
  header: u32,
  version: u16,
  realmode_swtch: u32,
  start_sys_seg: u16,
  kernel_version: u16,
  type_of_loader: u8,
  loadflags: u8,
  setup_move_size: u16,
  code32_start: u32,
  ramdisk_image: u32,
  ramdisk_size: u32,
  bootsect_kludge: u32,
  heap_end_ptr: u16,
  ext_loader_ver: u8,
  ext_loader_type: u8,
  cmd_line_ptr: u32,
  initrd_addr_max: u32,
  kernel_alignment: u32,
  relocatable_kernel: u8,
  min_alignment: u8,
  xloadflags: u16,
  cmdline_size: u32,
  hardware_subarch: u32,
  hardware_subarch_data: u64,
  payload_offset: u32,
  payload_length: u32,
  setup_data: u64,
  pref_address: u64,
  init_size: u32,
  handover_offset: u32,
  kernel_info_offset: u32,
  e820_table: at(0x2d0, array(e820Entry, E820_MAX)),
  eddbuf: at(0xd00, blob(0x1ec)),
  padding: blob(0x114),
});

const { offsets } = bootParams;
const BOOT_FLAG = 0xaa55;
const HDRS = 0x53726448;
/** The setup header may not reach into the EDD buffer behind it. */
const SETUP_HEADER_LIMIT = 0x290;
const SECTOR = 512;
const DEFAULT_SETUP_SECTS = 4;

const LOADED_HIGH = 0x01;
/** Tells the kernel that it was moved, so that it chooses where its other mappings lie, too. */
const KASLR_FLAG = 0x02;
const CAN_USE_HEAP = 0x80;
const XLF_KERNEL_64 = 0x1;
const UNREGISTERED_LOADER = 0xff;
const NORMAL_VIDEO_MODE = 0xffff;
/** Where the setup code's heap would end; it is never run, but the field is obligatory. */
const HEAP_END = 0xfe00;

const ENTRY_64 = 0x200;
/** Where kernels before protocol 2.10 load. */
const OLD_LOAD_ADDRESS = 0x10_0000;
/** Such a kernel does not say what room it unpacks into: this much is kept free, or half of RAM where there is less. */
const OLD_INIT_SIZE = 0x200_0000;
/** Limits of kernels too old to say (boot.rst, initrd_addr_max and cmdline_size). */
const OLD_INITRD_ADDR_MAX = 0x37ff_ffff;
const OLD_CMDLINE_SIZE = 255;
/** A larger alignment than any kernel is built with; a file asking for more is damaged. */
const MAX_ALIGNMENT = 0x4000_0000;

export const isBzImage = (image: Uint8Array): boolean =>
  image.length >= offsets.version + 2 &&
  bootParams.get(viewOf(image), 0, "boot_flag") === BOOT_FLAG &&
  bootParams.get(viewOf(image), 0, "header") === HDRS;

const truncated = (what: string): VivError =>
  new VivError("kernel.truncated", `the kernel image ends inside ${what}; fetch or copy the file again`);

type Field = Exclude<keyof typeof bootParams.fields, "e820_table" | "eddbuf" | "padding">;

/** A bzImage taken apart. `field` reads 0 from a header too old to have it. */
export interface BzImage {
  readonly version: number;
  /** The protected-mode part, which follows the setup sectors. */
  readonly kernel: Uint8Array;
  /** The file's setup header, as long as its jump instruction says. */
  readonly header: Uint8Array;
  field(name: Field): number;
}

export const parseBzImage = (image: Uint8Array): BzImage => {
  if (image.length < SETUP_HEADER_LIMIT) throw truncated("its setup header");
  const view = viewOf(image);
  const version = bootParams.get(view, 0, "version");
  // The jump over the header tells its length: boot.rst, "The Real-Mode Kernel Header".
  const end = Math.min(offsets.header + view.getUint8(offsets.jump + 1), SETUP_HEADER_LIMIT);
  const field = (name: Field): number =>
    offsets[name] + bootParams.fields[name].size <= end ? bootParams.get(view, 0, name) : 0;

  const setupSize = ((field("setup_sects") || DEFAULT_SETUP_SECTS) + 1) * SECTOR;
  const kernel = image.subarray(setupSize);
  const stated = version >= 0x0204 ? field("syssize") * 16 : 0;
  // The last paragraph may be cut short.
  if (kernel.length <= ENTRY_64 || kernel.length + 16 <= stated) throw truncated("its protected-mode part");
  return { version, kernel, header: image.subarray(offsets.setup_sects, end), field };
};

const MIN_VERSION = 0x0202;

const versionText = (version: number): string => `${version >> 8}.${String(version & 0xff).padStart(2, "0")}`;

/** Claims the place the protected-mode kernel loads at, with the room it unpacks into. */
const placeKernel = (layout: Layout, { version, kernel, field }: BzImage): number => {
  const modern = version >= 0x020a;
  const preferred = (modern && field("pref_address")) || OLD_LOAD_ADDRESS;
  const oldSize = Math.min(OLD_INIT_SIZE, Math.floor(layout.ram.lowSize / 2));
  const size = Math.max(kernel.length, modern ? field("init_size") : oldSize);
  const align = field("kernel_alignment");
  const relocatable = version >= 0x0205 && field("relocatable_kernel") !== 0;
  let start = preferred;
  if (relocatable && align >= PAGE && align <= MAX_ALIGNMENT && (align & (align - 1)) === 0) {
    // A relocatable kernel unpacks no lower than its preferred address, so only upwards is of use.
    const moved = layout.take(size, { align, from: preferred });
    if (moved !== undefined) start = moved;
  }
  layout.claim(start, size).set(kernel);
  return start;
};

/** What the zero page says besides a bzImage's own setup header. */
interface ZeroPage {
  readonly header: Uint8Array;
  readonly codeStart: number;
  readonly cmdlineSize: number;
  readonly initrdLimit: number;
}

const putZeroPage = (layout: Layout, request: BootRequest, kernel: ZeroPage): Gpa => {
  const [initrd, ...others] = modulesOf(request);
  if (others.length > 0) {
    throw new VivError(
      "kernel.unsupported",
      `Linux takes one initrd and ${others.length + 1} were given; join the archives into one file`,
    );
  }
  if (layout.map.length > E820_MAX) {
    throw new VivError(
      "kernel.unsupported",
      `the memory map has ${layout.map.length} entries and Linux takes ${E820_MAX}; reserve fewer ranges`,
    );
  }
  const initrdAt = initrd === undefined ? 0 : putInitrd(layout, initrd.bytes, kernel.initrdLimit);
  const commandLine = putCommandLine(layout, request.commandLine, kernel.cmdlineSize);

  const page = new Uint8Array(bootParams.size);
  page.set(kernel.header, offsets.setup_sects);
  const view = viewOf(page);
  const set = (name: Field, value: number): void => bootParams.set(view, 0, name, value);
  set("vid_mode", NORMAL_VIDEO_MODE);
  set("type_of_loader", UNREGISTERED_LOADER);
  set("loadflags", bootParams.get(view, 0, "loadflags") | LOADED_HIGH | CAN_USE_HEAP);
  set("heap_end_ptr", HEAP_END);
  set("code32_start", kernel.codeStart);
  set("ramdisk_image", initrdAt);
  set("ramdisk_size", initrd?.bytes.length ?? 0);
  set("cmd_line_ptr", commandLine);
  set("acpi_rsdp_addr", request.acpiRsdp);
  set("setup_data", 0);
  set("e820_entries", layout.map.length);
  const table = layout.map.map((region) => ({ addr: region.start, size: region.length, type: region.type }));
  bootParams.set(view, 0, "e820_table", table);
  return layout.put(page, PAGE);
};

/** The 64-bit entry: long mode on an identity map, RSI at the zero page (boot.rst, "64-bit Boot Protocol"). */
const enter64 = (layout: Layout, rip: number, zeroPage: Gpa): EntryState => ({
  protocol: "linux64",
  mode: "long64",
  rip,
  registers: { rsi: zeroPage },
  pageTables: putIdentityMap(layout),
  ...putSegments(layout, 64),
});

export const loadBzImage = (layout: Layout, image: Uint8Array, request: BootRequest): EntryState => {
  const bz = parseBzImage(image);
  const { version, field } = bz;
  if (version < MIN_VERSION || (field("loadflags") & LOADED_HIGH) === 0) {
    throw new VivError(
      "kernel.unsupported",
      `the kernel speaks boot protocol ${versionText(version)} and loads below 1 MiB; use a bzImage of protocol ` +
        `${versionText(MIN_VERSION)} or later (Linux 2.4 on)`,
    );
  }
  const start = placeKernel(layout, bz);
  const zeroPage = putZeroPage(layout, request, {
    header: bz.header,
    codeStart: start,
    cmdlineSize: (version >= 0x0206 && field("cmdline_size")) || OLD_CMDLINE_SIZE,
    initrdLimit: ((version >= 0x0203 && field("initrd_addr_max")) || OLD_INITRD_ADDR_MAX) + 1,
  });
  if (version >= 0x020c && (field("xloadflags") & XLF_KERNEL_64) !== 0) {
    return enter64(layout, start + ENTRY_64, zeroPage);
  }
  return {
    protocol: "linux32",
    mode: "flat32",
    rip: start,
    registers: { rsi: zeroPage },
    ...putSegments(layout, 32),
  };
};

/** COMMAND_LINE_SIZE less its NUL, the same in every x86-64 kernel. */
const VMLINUX_CMDLINE_SIZE = 2047;
const VMLINUX_VERSION = 0x020f;

/** Starts a vmlinux, already in memory, at its ELF entry, with a zero page as a bzImage would get it. `random`: it has KASLR. */
export const enterVmlinux = (layout: Layout, entry: number, request: BootRequest, random = false): EntryState => {
  const header = bootParams
    .encode({
      boot_flag: BOOT_FLAG,
      header: HDRS,
      version: VMLINUX_VERSION,
      loadflags: random ? KASLR_FLAG : 0,
      cmdline_size: VMLINUX_CMDLINE_SIZE,
    })
    .subarray(offsets.setup_sects, SETUP_HEADER_LIMIT);
  const zeroPage = putZeroPage(layout, request, {
    header,
    codeStart: 0,
    cmdlineSize: VMLINUX_CMDLINE_SIZE,
    initrdLimit: layout.ram.lowSize,
  });
  return enter64(layout, entry, zeroPage);
};
