/** Programs and libraries of a guest, as files that code is mapped from: read once out of its page cache, for their names and unwind tables. */
import { type Gva, MiB } from "../../base/index.ts";
import { Elf, type FileBytes } from "../../guest/elf/elf.ts";
import { ElfSymbols } from "../../guest/elf/symbols.ts";
import { tryRead } from "../../guest/lists.ts";
import type { Look } from "../../guest/look.ts";
import { listMemoryAreas, type MemoryArea } from "../../guest/maps.ts";
import { readFile } from "../../guest/page-cache.ts";
import type { Place } from "../../guest/paths.ts";
import { CallFrames } from "../../guest/unwind/call-frames.ts";
import type { UserCode } from "../../guest/unwind/user-frames.ts";

/** Of one file. Larger ones are known by their path alone. */
const MOST_FILE = 256 * MiB;
/** Of all files that are kept. A guest that maps ever new ones has the oldest read again. */
const MOST_FILES = 512 * MiB;
/** Pages of [vdso]. */
const MOST_VDSO = 64 * 1024;

export interface CodeFile {
  readonly kind: "user" | "vdso" | "jit";
  readonly name: string;
  readonly buildId: string | undefined;
  readonly elf: Elf | undefined;
  readonly frames: CallFrames | undefined;
  readonly symbols: ElfSymbols | undefined;
  /** All of it; undefined where parts are missing. */
  readonly bytes: Uint8Array | undefined;
}

/** Code that is mapped in a process. */
export interface MappedCode {
  readonly start: number;
  readonly end: number;
  readonly pageOffset: number;
  readonly protection: number;
  readonly file: CodeFile;
  /** What addresses are ahead of those of the file. */
  readonly bias: number;
  /** What unwinders are told. */
  readonly code: UserCode;
}

/** Symbols of stripped files, as the host may have them: packages of debug information, by build-id (40 hexadecimal digits). */
export type DebugFiles = (buildId: string) => FileBytes | undefined;

export class CodeFiles {
  readonly #debug: DebugFiles;
  /** By device, inode number and address of the inode, or what is there without a file; the ones used last at the end. */
  readonly #files = new Map<string, { readonly file: CodeFile; readonly size: number }>();
  #held = 0;

  constructor(debug: DebugFiles = () => undefined) {
    this.#debug = debug;
  }

  /** Files met so far that have a build-id and are whole, by it. */
  get whole(): ReadonlyMap<string, Uint8Array> {
    const found = new Map<string, Uint8Array>();
    for (const { file } of this.#files.values()) if (file.buildId && file.bytes) found.set(file.buildId, file.bytes);
    return found;
  }

  /** The code of a process, by address. Throws VivError for want of types. */
  mapped(look: Look, mm: Gva, root: Place | undefined): MappedCode[] {
    return listMemoryAreas(look, mm, root, true)
      .rows.filter(({ protection }) => protection[2] === "x")
      .map((area) => {
        const file = this.#fileOf(look, mm, area);
        const base = file.elf ? file.elf.codeAddressOf(area.offset) : -1;
        const bias = base < 0 ? area.start - area.offset : area.start - base;
        return {
          start: area.start,
          end: area.end,
          pageOffset: area.offset,
          protection: [..."rwx"].reduce((bits, letter, i) => bits | (area.protection[i] === letter ? 1 << i : 0), 0),
          file,
          bias,
          code: { frames: file.frames, bias, text: file.elf },
        };
      });
  }

  #fileOf(look: Look, mm: Gva, area: MemoryArea): CodeFile {
    const key = area.file === undefined ? keyOf(look, mm, area) : `${area.device} ${area.inode} ${area.file}`;
    const known = this.#files.get(key);
    if (known) return known.file;
    const made = tryRead(() => this.#read(look, mm, area)) ?? { file: named(area), size: 0 };
    this.#files.set(key, made);
    this.#held += made.size;
    for (const [oldest, { size }] of this.#files) {
      if (this.#held <= MOST_FILES) break;
      this.#files.delete(oldest);
      this.#held -= size;
    }
    return made.file;
  }

  #read(look: Look, mm: Gva, area: MemoryArea): { file: CodeFile; size: number } {
    if (area.file === undefined) {
      const bytes = area.name === "[vdso]" ? vdsoOf(look, mm, area) : undefined;
      if (!bytes) return { file: named(area), size: 0 };
      return { file: fileOf("vdso", area.name, whole(bytes), bytes, this.#debug), size: bytes.length };
    }
    const { size, bytes, missing } = readFile(look, area.file, MOST_FILE);
    const complete = missing.length === 0 && size === bytes.length;
    const source: FileBytes = {
      read: (offset, length) =>
        offset + length <= bytes.length &&
        !missing.some((hole) => hole.offset < offset + length && offset < hole.offset + hole.length)
          ? bytes.subarray(offset, offset + length)
          : undefined,
    };
    return { file: fileOf("user", area.name, source, complete ? bytes : undefined, this.#debug), size: bytes.length };
  }
}

/** The kernel's are the same in all processes, as long as that kernel runs; what a program made itself is its own. */
function keyOf(look: Look, mm: Gva, { name, start, end }: MemoryArea): string {
  const image = name === "[vsyscall]" ? 0 : name === "[vdso]" ? look.symbol("vdso_image_64") : undefined;
  return image === undefined ? `${mm} ${start}` : `${name} ${image} ${end - start}`;
}

/** The code that the kernel gives to each process: its own copy, of which a process has only the pages that it has run. */
function vdsoOf(look: Look, mm: Gva, { start, end }: MemoryArea): Uint8Array | undefined {
  const length = end - start;
  if (length > MOST_VDSO) return undefined;
  const image = look.symbol("vdso_image_64");
  const [data, size] = [look.optional("vdso_image", "data"), look.optional("vdso_image", "size")];
  if (image !== undefined && data !== undefined && size !== undefined && look.space.u64(image, size) === length)
    return look.space.bytes(look.space.pointer(image, data), length);
  return look.userSpace(mm).bytes(start, length);
}

const whole = (bytes: Uint8Array): FileBytes => ({
  read: (offset, length) => (offset + length <= bytes.length ? bytes.subarray(offset, offset + length) : undefined),
});

/** Code without a file: what a program made itself. */
const named = (area: MemoryArea): CodeFile => ({
  kind: area.file === undefined ? "jit" : "user",
  name: area.name || "[anon]",
  buildId: undefined,
  elf: undefined,
  frames: undefined,
  symbols: undefined,
  bytes: undefined,
});

function fileOf(
  kind: CodeFile["kind"],
  name: string,
  source: FileBytes,
  bytes: Uint8Array | undefined,
  debug: DebugFiles,
): CodeFile {
  const elf = Elf.open(source);
  return {
    kind,
    name,
    buildId: elf?.buildId,
    elf,
    frames: elf && CallFrames.of(elf),
    symbols: elf && symbolsOf(elf, debug),
    bytes,
  };
}

/** A stripped file has the names it exports at most. */
function symbolsOf(elf: Elf, debug: DebugFiles): ElfSymbols {
  const { buildId } = elf;
  if (!elf.hasSymbolTable && buildId !== undefined && BUILD_ID.test(buildId)) {
    const file = debug(buildId);
    const other = file && Elf.open(file);
    if (other?.buildId === buildId) {
      const symbols = new ElfSymbols(other.symbolSources());
      if (symbols.count > 0) return symbols;
    }
  }
  return new ElfSymbols(elf.symbolSources());
}
const BUILD_ID = /^[0-9a-f]{40}$/;
