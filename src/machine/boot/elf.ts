import { blob, LOW_RAM_END, type Struct, struct, u8, u16, u32, u64, u64big, VivError } from "../../base/index.ts";
import type { Layout } from "./layout.ts";
import { hex, mib } from "./layout.ts";
import { viewOf } from "./wire.ts";

/**
 * ELF executables as kernels are shipped in (System V ABI, chapters 4 and 5; the x86-64 psABI for machine 62).
 * Only what loading needs: program headers and notes. Of sections only is looked where their headers end.
 */

const ident = { magic: u32, class: u8, data: u8, ident_version: u8, ident_rest: blob(9) };

const elf32Header = struct("Elf32_Ehdr", 52, {
  ...ident,
  type: u16,
  machine: u16,
  version: u32,
  entry: u32,
  phoff: u32,
  shoff: u32,
  flags: u32,
  ehsize: u16,
  phentsize: u16,
  phnum: u16,
  shentsize: u16,
  shnum: u16,
  shstrndx: u16,
});

// Virtual addresses are read whole: a kernel's lie where a number would round them.
const elf64Header = struct("Elf64_Ehdr", 64, { ...elf32Header.fields, entry: u64big, phoff: u64, shoff: u64 });

const programHeader32 = struct("Elf32_Phdr", 32, {
  type: u32,
  offset: u32,
  vaddr: u32,
  paddr: u32,
  filesz: u32,
  memsz: u32,
  flags: u32,
  align: u32,
});

const programHeader64 = struct("Elf64_Phdr", 56, {
  type: u32,
  flags: u32,
  offset: u64,
  vaddr: u64big,
  paddr: u64,
  filesz: u64,
  memsz: u64,
  align: u64,
});

const noteHeader = struct("Elf_Nhdr", 12, { namesz: u32, descsz: u32, type: u32 });

const MAGIC = 0x464c457f;
const CLASS_64 = 2;
const LITTLE_ENDIAN = 1;
const ET_EXEC = 2;
const ET_DYN = 3;
const EM_386 = 3;
const EM_X86_64 = 62;
const PT_LOAD = 1;
const PT_INTERP = 3;
const PT_NOTE = 4;

/** No kernel has as many; a table of 65535 segments, each the size of RAM, would keep the host busy for hours. */
const MAX_SEGMENTS = 64;
/** Bounds the walk over notes of no length in a large segment. */
const MAX_NOTES = 1024;
/** What lies in the upper half of the 64-bit space is a kernel's, never a program's. */
const UPPER_HALF = 2n ** 63n;

/** What an image is read from: its bytes, or a file of which as much is read as is wanted. */
export interface ImageSource {
  readonly length: number;
  subarray(start: number, end?: number): Uint8Array;
  /** Fills `target` with what lies from `start` on. Bytes are copied without it. */
  readInto?(target: Uint8Array, start: number): void;
}

export interface Segment {
  readonly type: number;
  readonly vaddr: bigint;
  readonly paddr: number;
  readonly memsz: number;
  readonly align: number;
  /** Where it is in the file. */
  readonly offset: number;
  readonly filesz: number;
}

export interface Elf {
  readonly source: ImageSource;
  readonly bits: 32 | 64;
  /** As written in the file: physical or virtual. */
  readonly entry: bigint;
  readonly segments: readonly Segment[];
  /** Where the file ends by what its headers say: it may have something behind it. */
  readonly end: number;
}

export const isElf = (image: ImageSource): boolean =>
  image.length >= 4 && viewOf(image.subarray(0, 4)).getUint32(0, true) === MAGIC;

const truncated = (what: string): VivError =>
  new VivError("kernel.truncated", `the ELF file ends inside ${what}; fetch or copy the file again`);
const unsupported = (message: string): VivError => new VivError("kernel.unsupported", message);

export const parseElf = (image: ImageSource): Elf => {
  const head = image.subarray(0, Math.min(image.length, elf64Header.size));
  if (head.length < elf32Header.size) throw truncated("its header");
  const wide = elf32Header.get(viewOf(head), 0, "class") === CLASS_64;
  if (wide && head.length < elf64Header.size) throw truncated("its header");
  const header = wide ? elf64Header.decode(head) : elf32Header.decode(head);
  if (header.data !== LITTLE_ENDIAN || header.machine !== (wide ? EM_X86_64 : EM_386)) {
    throw unsupported(`the ELF file is for another processor (machine ${header.machine}); use a kernel built for x86`);
  }
  if (header.type !== ET_EXEC && header.type !== ET_DYN) {
    throw unsupported("the ELF file is an object or a core file; use the linked kernel image");
  }
  const layout: Struct<typeof programHeader64.fields> | Struct<typeof programHeader32.fields> = wide
    ? programHeader64
    : programHeader32;
  if (header.phnum === 0 || header.phentsize !== layout.size) {
    throw unsupported("the ELF file has no program headers to load it by; use the linked kernel image");
  }
  if (header.phnum > MAX_SEGMENTS) {
    throw unsupported(`the ELF file has ${header.phnum} segments and at most ${MAX_SEGMENTS} are taken; link it anew`);
  }
  const tableEnd = header.phoff + header.phnum * layout.size;
  if (tableEnd > image.length) throw truncated("its program headers");

  const table = viewOf(image.subarray(header.phoff, tableEnd));
  const segments: Segment[] = [];
  let end = Math.max(tableEnd, header.shoff + header.shnum * header.shentsize);
  for (let i = 0; i < header.phnum; i++) {
    const { type, offset, vaddr, paddr, filesz, memsz, align } = layout.read(table, i * layout.size);
    if (type !== PT_LOAD && type !== PT_NOTE && type !== PT_INTERP) continue;
    if (offset + filesz > image.length) throw truncated(`segment ${i}`);
    if (type === PT_LOAD && filesz > memsz) {
      throw new VivError(
        "kernel.damaged",
        `segment ${i} of the ELF file is larger in the file than in memory; get it again`,
      );
    }
    end = Math.max(end, offset + filesz);
    segments.push({ type, vaddr: BigInt(vaddr), paddr, memsz, align, offset, filesz });
  }
  return { source: image, bits: wide ? 64 : 32, entry: BigInt(header.entry), segments, end };
};

const loadable = (elf: Elf): Segment[] => elf.segments.filter((s) => s.type === PT_LOAD && s.memsz > 0);

/** Linked to run in the upper half of the address space and not an ordinary program: a Linux vmlinux, or made like one. */
export const isUpperHalfKernel = (elf: Elf): boolean =>
  elf.bits === 64 &&
  !elf.segments.some((s) => s.type === PT_INTERP) &&
  loadable(elf).some((s) => s.vaddr >= UPPER_HALF);

const holds = (start: number, length: number, address: number): boolean => address >= start && address < start + length;

/** The physical address of the entry point, which kernels write as either kind of address. */
export const physicalEntry = (elf: Elf): number => {
  const segments = loadable(elf);
  const entry = Number(elf.entry);
  if (segments.some((s) => holds(s.paddr, s.memsz, entry))) return entry;
  for (const { vaddr, paddr, memsz } of segments) {
    const offset = Number(elf.entry - vaddr);
    if (holds(0, memsz, offset)) return paddr + offset;
  }
  return entry;
};

/** The physical addresses from the lowest segment's first to behind the highest's last. */
export const linkedRange = (elf: Elf): { readonly start: number; readonly end: number } => {
  const segments = loadable(elf);
  return {
    start: Math.min(...segments.map((s) => s.paddr)),
    end: Math.max(...segments.map((s) => s.paddr + s.memsz)),
  };
};

/**
 * Copies the loadable segments to their physical addresses, `moved` bytes higher. Returns where the highest ends.
 * Their total is bounded: a file whose segments all overlap would else have RAM cleared many times over.
 */
export const loadSegments = (layout: Layout, elf: Elf, entry: number, moved = 0): number => {
  const segments = loadable(elf);
  if (!segments.some((s) => holds(s.paddr, s.memsz, entry))) {
    throw new VivError(
      "kernel.damaged",
      `the kernel's entry point ${hex(entry)} lies outside what it loads; get the file again or link it anew`,
    );
  }
  const total = segments.reduce((sum, s) => sum + s.memsz, 0);
  if (total > LOW_RAM_END) {
    throw new VivError(
      "kernel.too-big",
      `the kernel's segments take ${mib(total)}, more than fits below ${hex(LOW_RAM_END)}; check that the file is not damaged`,
    );
  }
  let end = 0;
  const { source } = elf;
  for (const { paddr, memsz, offset, filesz } of segments) {
    const target = layout.claim(paddr + moved, memsz);
    if (source.readInto) source.readInto(target.subarray(0, filesz), offset);
    else target.set(source.subarray(offset, offset + filesz));
    target.fill(0, filesz);
    end = Math.max(end, paddr + moved + memsz);
  }
  return end;
};

/** The description of the first note with this owner and type. */
export const findNote = (elf: Elf, owner: string, type: number): Uint8Array | undefined => {
  let left = MAX_NOTES;
  for (const segment of elf.segments) {
    if (segment.type !== PT_NOTE) continue;
    const bytes = elf.source.subarray(segment.offset, segment.offset + segment.filesz);
    const pad = segment.align === 8 ? 8 : 4;
    const up = (n: number): number => Math.ceil(n / pad) * pad;
    let at = 0;
    while (at + noteHeader.size <= bytes.length && left-- > 0) {
      const note = noteHeader.read(viewOf(bytes), at);
      const name = at + noteHeader.size;
      const description = up(name + note.namesz);
      const end = description + note.descsz;
      if (end > bytes.length) break;
      if (note.type === type && note.namesz === owner.length + 1) {
        if (String.fromCharCode(...bytes.subarray(name, name + owner.length)) === owner) {
          return bytes.subarray(description, end);
        }
      }
      at = up(end);
    }
  }
  return undefined;
};
