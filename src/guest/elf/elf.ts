/**
 * ELF files as a guest has them: maybe only in parts (what its page cache holds), maybe stripped, maybe made to confuse. What is not
 * there is undefined; nothing throws.
 */
import type { StructOf } from "../../base/index.ts";
import { gnuBuildId } from "../notes.ts";
import {
  CLASS_64,
  DYNAMIC,
  ELF_HEADER,
  ELF_MAGIC,
  EXECUTABLE,
  LITTLE_ENDIAN,
  MACHINE_X86_64,
  PROGRAM_HEADER,
  SECTION,
  SECTION_HEADER,
  SEGMENT,
  SYMBOL,
  TAG,
} from "./format.ts";

/** A file that may have holes. */
export interface FileBytes {
  /** `length` bytes from `offset` on; undefined where not all of them are there. */
  read(offset: number, length: number): Uint8Array | undefined;
}

/** Headers of one kind. The largest real programs have a few dozen; a module of the kernel may have a section for each function. */
const MAX_HEADERS = 16_384;
/** A note segment: real ones have under 1 KiB. */
const MAX_NOTES = 64 * 1024;
const MAX_DYNAMIC = 4096;
/** Names of sections, in all. */
const MAX_NAMES = 256 * 1024;
/** Symbols that the dynamic linker's hash tables lead to, and steps through them. Stops chains of any length. */
const MAX_DYNAMIC_SYMBOLS = 1_000_000;
/** Of a .gnu_debuglink, a file name and a checksum. */
const MAX_LINK = 4096;
const PAGE = 4096;
/** What is read at once: the largest string tables and unwind sections there are. Stops a size that fills the host's memory. */
const MAX_PART = 256 * 1024 * 1024;

export type Segment = StructOf<typeof PROGRAM_HEADER>;
export type Section = StructOf<typeof SECTION_HEADER>;

/** A symbol table: records and their names. */
export interface SymbolSource {
  readonly symbols: Uint8Array;
  readonly names: Uint8Array;
}

export class Elf {
  readonly #file: FileBytes;
  readonly #header: StructOf<typeof ELF_HEADER>;
  readonly segments: readonly Segment[];
  #sections: readonly Section[] | undefined;

  private constructor(file: FileBytes, header: StructOf<typeof ELF_HEADER>, segments: readonly Segment[]) {
    this.#file = file;
    this.#header = header;
    this.segments = segments;
  }

  /** Undefined where it is no x86-64 ELF file, or its beginning is not there. */
  static open(file: FileBytes): Elf | undefined {
    const bytes = file.read(0, ELF_HEADER.size);
    if (!bytes) return undefined;
    const header = ELF_HEADER.decode(bytes);
    const { magic, class: bits, data, machine, programHeaderCount, programHeaderSize } = header;
    if (magic !== ELF_MAGIC || bits !== CLASS_64 || data !== LITTLE_ENDIAN || machine !== MACHINE_X86_64)
      return undefined;
    if (programHeaderSize !== PROGRAM_HEADER.size || programHeaderCount > MAX_HEADERS) return undefined;
    const table = file.read(header.programHeaders, programHeaderCount * PROGRAM_HEADER.size);
    if (!table) return undefined;
    return new Elf(file, header, rows(PROGRAM_HEADER, table));
  }

  /** Sections, none where their table is not there. */
  get sections(): readonly Section[] {
    if (this.#sections) return this.#sections;
    const { sectionHeaders, sectionHeaderCount, sectionHeaderSize } = this.#header;
    const sound = sectionHeaderSize === SECTION_HEADER.size && sectionHeaderCount <= MAX_HEADERS;
    const table = sound ? this.#read(sectionHeaders, sectionHeaderCount * SECTION_HEADER.size) : undefined;
    this.#sections = table ? rows(SECTION_HEADER, table) : [];
    return this.#sections;
  }

  sectionNamed(name: string): Section | undefined {
    const { sections } = this;
    const names = sections[this.#header.nameSection];
    const text = names && names.size <= MAX_NAMES ? this.#read(names.offset, names.size) : undefined;
    return text && sections.find((section) => textAt(text, section.name, name.length + 1) === name);
  }

  /** Hexadecimal, of the GNU build-id note. */
  get buildId(): string | undefined {
    for (const { type, offset, fileSize } of this.segments) {
      if (type !== SEGMENT.note || fileSize > MAX_NOTES) continue;
      const notes = this.#read(offset, fileSize);
      const found = notes && gnuBuildId(notes);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** Offset in the file of an address; -1 where none of it is there. */
  offsetOf(address: number): number {
    for (const segment of this.segments) {
      const within = address - segment.address;
      if (segment.type === SEGMENT.load && within >= 0 && within < segment.fileSize) return segment.offset + within;
    }
    return -1;
  }
  /**
   * The address of code that is mapped from an offset in the file; -1 where none is. Mappings are of whole pages, so that the first page of a
   * segment may also hold the end of the one before, which is mapped elsewhere.
   */
  codeAddressOf(offset: number): number {
    for (const { type, flags, offset: start, address, fileSize } of this.segments) {
      if (type !== SEGMENT.load || (flags & EXECUTABLE) === 0) continue;
      if (offset >= start - (start % PAGE) && offset < start + fileSize) return address - start + offset;
    }
    return -1;
  }

  /** Bytes by their address. */
  at(address: number, length: number): Uint8Array | undefined {
    const offset = this.offsetOf(address);
    return offset < 0 ? undefined : this.#read(offset, length);
  }
  sectionBytes({ offset, size }: Section): Uint8Array | undefined {
    return this.#read(offset, size);
  }

  /** The first segment of a kind. */
  segment(type: number): Segment | undefined {
    return this.segments.find((segment) => segment.type === type);
  }

  /** Name of the file that holds what was stripped. */
  get debugLink(): string | undefined {
    const section = this.sectionNamed(".gnu_debuglink");
    const bytes = section && section.size <= MAX_LINK ? this.sectionBytes(section) : undefined;
    return bytes && textAt(bytes, 0, MAX_LINK);
  }

  /** It is not stripped. */
  get hasSymbolTable(): boolean {
    return this.sections.some(({ type }) => type === SECTION.symtab);
  }

  /** The full symbol table, and the one for dynamic linking, as far as they are there. */
  symbolSources(): SymbolSource[] {
    const { sections } = this;
    const found: SymbolSource[] = [];
    for (const wanted of [SECTION.symtab, SECTION.dynsym]) {
      const section = sections.find(({ type }) => type === wanted);
      const strings = section && sections[section.link];
      const symbols = section && this.sectionBytes(section);
      const names = strings && this.sectionBytes(strings);
      if (symbols && names) found.push({ symbols, names });
    }
    const dynamic = found.length === 0 ? this.#dynamicSymbols() : undefined;
    if (dynamic) found.push(dynamic);
    return found;
  }

  /** The dynamic linker's way to its symbols, which needs no section headers. */
  #dynamicSymbols(): SymbolSource | undefined {
    const segment = this.segment(SEGMENT.dynamic);
    if (!segment || segment.fileSize > MAX_DYNAMIC * DYNAMIC.size) return undefined;
    const bytes = this.#read(segment.offset, segment.fileSize);
    if (!bytes) return undefined;
    const values = new Map<number, number>();
    for (const { tag, value } of rows(DYNAMIC, bytes)) {
      if (tag === TAG.end) break;
      values.set(tag, value);
    }
    const symbolsAt = values.get(TAG.symbols);
    const namesAt = values.get(TAG.strings);
    if (symbolsAt === undefined || namesAt === undefined) return undefined;
    const count = this.#hashed(values.get(TAG.hash)) ?? this.#gnuHashed(values.get(TAG.gnuHash));
    // The string table follows the symbols in what every linker writes.
    const size = count === undefined ? Math.max(0, namesAt - symbolsAt) : count * SYMBOL.size;
    const symbols = this.at(symbolsAt, size);
    const names = this.at(namesAt, values.get(TAG.stringsSize) ?? 0);
    return symbols && names && { symbols, names };
  }

  /** Symbols of a DT_HASH: as many as it has chains. */
  #hashed(table: number | undefined): number | undefined {
    return table === undefined ? undefined : this.#u32(table + 4);
  }

  /** Of a DT_GNU_HASH: up to the end of the chain that the last bucket leads to. */
  #gnuHashed(table: number | undefined): number | undefined {
    const head = table === undefined ? undefined : this.at(table, 16);
    if (table === undefined || !head) return undefined;
    const view = new DataView(head.buffer, head.byteOffset, 16);
    const [bucketCount, first, filterWords] = [0, 4, 8].map((at) => view.getUint32(at, true)) as [
      number,
      number,
      number,
    ];
    const buckets = table + 16 + filterWords * 8;
    const chains = buckets + bucketCount * 4;
    const bytes = bucketCount <= MAX_DYNAMIC_SYMBOLS ? this.at(buckets, bucketCount * 4) : undefined;
    if (!bytes) return undefined;
    const words = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    let last = 0;
    for (let i = 0; i < bucketCount; i++) last = Math.max(last, words.getUint32(i * 4, true));
    // Symbols in front of the first are not in the table: what the file itself looks for elsewhere.
    if (last < first) return first;
    for (let index = last; index < last + MAX_DYNAMIC_SYMBOLS; index++) {
      const hash = this.#u32(chains + (index - first) * 4);
      if (hash === undefined) return undefined;
      if ((hash & 1) !== 0) return index + 1;
    }
    return undefined;
  }

  #u32(address: number): number | undefined {
    const bytes = this.at(address, 4);
    return bytes && new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true);
  }

  #read(offset: number, length: number): Uint8Array | undefined {
    return length >= 0 && length <= MAX_PART && offset >= 0 ? this.#file.read(offset, length) : undefined;
  }
}

function rows<Row>(kind: { readonly size: number; read(view: DataView, at: number): Row }, bytes: Uint8Array): Row[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: Math.floor(bytes.length / kind.size) }, (_, i) => kind.read(view, i * kind.size));
}

/** Latin-1 up to a NUL, at most `most` characters. */
export function textAt(bytes: Uint8Array, at: number, most: number): string {
  let text = "";
  for (let i = at; i < bytes.length && text.length < most; i++) {
    const code = bytes[i]!;
    if (code === 0) break;
    text += String.fromCharCode(code);
  }
  return text;
}
