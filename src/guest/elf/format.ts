/** Structures of ELF files, 64 bits, little endian (System V gABI, chapters 4 and 5). */
import { blob, s64, struct, u8, u16, u32, u64 } from "../../base/index.ts";

export const ELF_HEADER = struct("Elf64_Ehdr", 64, {
  magic: u32,
  class: u8,
  data: u8,
  rest: blob(10),
  type: u16,
  machine: u16,
  version: u32,
  entry: u64,
  programHeaders: u64,
  sectionHeaders: u64,
  flags: u32,
  headerSize: u16,
  programHeaderSize: u16,
  programHeaderCount: u16,
  sectionHeaderSize: u16,
  sectionHeaderCount: u16,
  nameSection: u16,
});
/** 7F 45 4C 46. */
export const ELF_MAGIC = 0x464c_457f;
export const CLASS_64 = 2;
export const LITTLE_ENDIAN = 1;
export const MACHINE_X86_64 = 62;

export const PROGRAM_HEADER = struct("Elf64_Phdr", 56, {
  type: u32,
  flags: u32,
  offset: u64,
  address: u64,
  physical: u64,
  fileSize: u64,
  memorySize: u64,
  align: u64,
});
export const SEGMENT = { load: 1, dynamic: 2, note: 4, ehFrame: 0x6474_e550 } as const;
export const EXECUTABLE = 1;

export const SECTION_HEADER = struct("Elf64_Shdr", 64, {
  name: u32,
  type: u32,
  flags: u64,
  address: u64,
  offset: u64,
  size: u64,
  link: u32,
  info: u32,
  align: u64,
  entrySize: u64,
});
export const SECTION = { progbits: 1, symtab: 2, note: 7, dynsym: 11, x86Unwind: 0x7000_0001 } as const;

export const SYMBOL = struct("Elf64_Sym", 24, { name: u32, info: u8, other: u8, section: u16, value: u64, size: u64 });
export const SYMBOL_TYPE = { none: 0, func: 2, ifunc: 10 } as const;
export const BINDING = { local: 0, global: 1, weak: 2 } as const;
/** Low bits of `other`: internal and hidden symbols are not for other files. */
export const VISIBILITY = { mask: 3, internal: 1, hidden: 2 } as const;
export const SECTION_INDEX = { undefined: 0, absolute: 0xfff1 } as const;

export const DYNAMIC = struct("Elf64_Dyn", 16, { tag: s64, value: u64 });
export const TAG = { end: 0, hash: 4, strings: 5, symbols: 6, stringsSize: 10, gnuHash: 0x6fff_fef5 } as const;
