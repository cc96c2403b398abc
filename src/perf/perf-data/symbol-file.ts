/**
 * ELF files for perf to take symbols and code from (System V gABI): for what a guest runs without a file of its own (its kernel as it is in
 * memory, modules, code that was made as it ran), and for functions of the host.
 */
import { encodeUtf8 } from "../../base/index.ts";
import {
  BINDING,
  CLASS_64,
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
  SYMBOL_TYPE,
} from "../../guest/elf/format.ts";
import { elfName } from "../plain-names.ts";
import { buildIdBytes } from "./guest-view.ts";
import { address, wholeNumber } from "./layout.ts";

const ET = { rel: 1, dyn: 3 } as const;
const VERSION = 1;
const STRTAB = 3;
const NOBITS = 8;
/** SHF_ALLOC, SHF_EXECINSTR. */
const TEXT_FLAGS = 2 | 4;
const READABLE = 4;
const NT_GNU_BUILD_ID = 3;
const NOTE_OWNER = "GNU\0";
const ALIGN = 16;

export interface FileSymbol {
  readonly name: string;
  readonly start: number;
  /** 0: up to the next one. */
  readonly size: number;
}

export interface SymbolFile {
  readonly buildId: string;
  /** A module's code has no place of its own, and begins at 0. */
  readonly relocatable: boolean;
  /** Where code is: addresses, and where it is known its bytes; else where in the file perf should think it to be. */
  readonly code: readonly FileCode[];
  readonly symbols: readonly FileSymbol[];
}
export interface FileCode {
  readonly start: number;
  readonly content: Uint8Array | { readonly offset: number; readonly length: number };
}

const aligned = (length: number): number => Math.ceil(length / ALIGN) * ALIGN;

/** The file, part by part. */
export function symbolFile({ buildId, relocatable, code, symbols }: SymbolFile): Uint8Array[] {
  const parts: Uint8Array[] = [];
  let offset = 0;
  const add = (bytes: Uint8Array): number => {
    const at = offset;
    parts.push(bytes);
    offset += bytes.length;
    const gap = aligned(offset) - offset;
    if (gap > 0) parts.push(new Uint8Array(gap));
    offset += gap;
    return at;
  };
  const segments = relocatable ? 0 : code.length;
  const head = new Uint8Array(aligned(ELF_HEADER.size + segments * PROGRAM_HEADER.size));
  add(head);

  const names = new Strings();
  const sections: { values: Parameters<typeof SECTION_HEADER.encode>[0]; start: number }[] = [{ values: {}, start: 0 }];
  const placed = code.map(({ start, content }, i) => {
    const held = content instanceof Uint8Array;
    const at = held ? add(content) : content.offset;
    const name = names.add(i === 0 ? ".text" : `.text.${i}`);
    const type = held ? SECTION.progbits : NOBITS;
    const size = content.length;
    sections.push({ values: { name, type, flags: TEXT_FLAGS, offset: at, size, align: 1 }, start });
    return { start, at, size, held };
  });
  const id = buildIdBytes(buildId);
  const note = new Uint8Array(12 + NOTE_OWNER.length + id.length);
  const noteView = new DataView(note.buffer);
  [NOTE_OWNER.length, id.length, NT_GNU_BUILD_ID].forEach((value, i) => {
    noteView.setUint32(4 * i, value, true);
  });
  note.set(encodeUtf8(NOTE_OWNER), 12);
  note.set(id, 12 + NOTE_OWNER.length);
  const noteValues = {
    name: names.add(".note.gnu.build-id"),
    type: SECTION.note,
    offset: add(note),
    size: note.length,
  };
  sections.push({ values: { ...noteValues, align: 4 }, start: 0 });

  const text = new Strings();
  const table = symbolTable(symbols, code, text);
  const link = sections.length + 1;
  const tableValues = { name: names.add(".symtab"), type: SECTION.symtab, offset: add(table), size: table.length };
  sections.push({ values: { ...tableValues, link, info: 1, align: 8, entrySize: SYMBOL.size }, start: 0 });
  for (const [name, strings] of [
    [".strtab", text],
    [".shstrtab", names],
  ] as const) {
    const place = names.add(name);
    const bytes = strings.bytes();
    sections.push({
      values: { name: place, type: STRTAB, offset: add(bytes), size: bytes.length, align: 1 },
      start: 0,
    });
  }
  const sectionHeaders = offset;
  for (const { values, start } of sections) {
    const bytes = SECTION_HEADER.encode(values);
    address.write(new DataView(bytes.buffer), SECTION_HEADER.offsets.address, start);
    parts.push(bytes);
  }
  head.set(
    ELF_HEADER.encode({
      magic: ELF_MAGIC,
      class: CLASS_64,
      data: LITTLE_ENDIAN,
      rest: [VERSION],
      type: relocatable ? ET.rel : ET.dyn,
      machine: MACHINE_X86_64,
      version: VERSION,
      programHeaders: segments === 0 ? 0 : ELF_HEADER.size,
      sectionHeaders,
      headerSize: ELF_HEADER.size,
      programHeaderSize: PROGRAM_HEADER.size,
      programHeaderCount: segments,
      sectionHeaderSize: SECTION_HEADER.size,
      sectionHeaderCount: sections.length,
      nameSection: sections.length - 1,
    }),
  );
  const view = new DataView(head.buffer);
  placed.slice(0, segments).forEach(({ start, at, size, held }, i) => {
    const place = ELF_HEADER.size + i * PROGRAM_HEADER.size;
    const flags = READABLE | EXECUTABLE;
    PROGRAM_HEADER.write(view, place, {
      type: SEGMENT.load,
      flags,
      offset: at,
      fileSize: held ? size : 0,
      memorySize: size,
      align: 1,
    });
    address.write(view, place + PROGRAM_HEADER.offsets.address, start);
    address.write(view, place + PROGRAM_HEADER.offsets.physical, start);
  });
  return parts;
}

function symbolTable(symbols: readonly FileSymbol[], code: readonly FileCode[], text: Strings): Uint8Array {
  const table = new Uint8Array((symbols.length + 1) * SYMBOL.size);
  const view = new DataView(table.buffer);
  symbols.forEach(({ name, start, size }, i) => {
    const at = (i + 1) * SYMBOL.size;
    const section = code.findIndex((piece) => start >= piece.start && start < piece.start + piece.content.length) + 1;
    const info = (BINDING.global << 4) | SYMBOL_TYPE.func;
    SYMBOL.write(view, at, { name: text.add(elfName(name)), info, section: section || 1, size: wholeNumber(size) });
    address.write(view, at + SYMBOL.offsets.value, start);
  });
  return table;
}

/** A string table. */
class Strings {
  readonly #parts: Uint8Array[] = [new Uint8Array(1)];
  #length = 1;

  add(text: string): number {
    const at = this.#length;
    const bytes = encodeUtf8(`${text}\0`);
    this.#parts.push(bytes);
    this.#length += bytes.length;
    return at;
  }

  bytes(): Uint8Array {
    const bytes = new Uint8Array(this.#length);
    let at = 0;
    for (const part of this.#parts) {
      bytes.set(part, at);
      at += part.length;
    }
    return bytes;
  }
}
