/** A kernel that was found: its symbols, its types, its modules, as they are at this moment. */
import { type Gva, gpa, gva } from "../base/index.ts";
import type { Anchor } from "./anchors.ts";
import { kernelSpace } from "./anchors.ts";
import { Btf, btfHeader } from "./btf/btf.ts";
import { BTF_MAGIC, BtfHeader } from "./btf/format.ts";
import { imageAddress, type KernelImage } from "./image.ts";
import { KernelSymbols } from "./kallsyms/symbols.ts";
import type { KallsymsTables } from "./kallsyms/tables.ts";
import type { ControlRegisters, Kernel } from "./kernel.ts";
import { AddressSpace, PAGE_SIZE, type PhysicalMemory, sameBytes, Unreadable } from "./memory.ts";
import { type Module, moduleSignature, moduleTypes, readModules } from "./modules.ts";
import { gnuBuildId } from "./notes.ts";

const BANNER = "Linux version ";
const MAX_BANNER = 512;
/** Places that begin like a banner. Stops an image that is full of them. */
const MAX_BANNERS = 64;
/** All notes of a kernel: Debian's have under 1 KiB. */
const MAX_NOTES = 64 * 1024;
/** Of the symbol table's tokens: what tells that it is still the same. */
const FINGERPRINT = 512;
/** Places that begin like BTF. The image holds one, and a few small ones of programs it has built in. */
const MAX_BTF_PLACES = 256;
const INIT_COMM = "swapper/0\0";

/** What a look inside has to do without. */
export interface Limit {
  readonly code: "no-types" | "no-data-symbols";
  readonly message: string;
}
const NO_TYPES: Limit = {
  code: "no-types",
  message: "the kernel has no BTF (CONFIG_DEBUG_INFO_BTF): its symbols are there, tasks and modules are not",
};
const NO_DATA_SYMBOLS: Limit = {
  code: "no-data-symbols",
  message: "the kernel lists its functions alone (no CONFIG_KALLSYMS_ALL): modules are not there",
};

/** Where the kernel calls itself Linux: needed to tell that it is one. Undefined where it does not. */
export function bannerIn(memory: PhysicalMemory, image: KernelImage, hint?: Gva): string | undefined {
  const at = hint === undefined ? -1 : imageAddress(image, hint);
  const first = at < 0 ? undefined : bannerAt(memory, at);
  if (first !== undefined) return first;
  const pattern = Uint8Array.from(BANNER, (character) => character.charCodeAt(0));
  let left = MAX_BANNERS;
  for (const place of places(memory, image, pattern)) {
    const found = bannerAt(memory, place);
    if (found !== undefined) return found;
    if (--left === 0) return undefined;
  }
  return undefined;
}

/** Wherever a pattern lies in the image, as physical addresses. */
function* places(memory: PhysicalMemory, { pieces }: KernelImage, pattern: Uint8Array): Generator<number> {
  for (const { physical, length } of pieces) {
    const end = gpa(physical + length);
    for (let at: number = physical; ; at += pattern.length) {
      at = memory.find(pattern, gpa(at), end);
      if (at < 0) break;
      yield at;
    }
  }
}

function bannerAt(memory: PhysicalMemory, at: number): string | undefined {
  if (!memory.has(gpa(at), MAX_BANNER)) return undefined;
  const bytes = memory.copy(gpa(at), MAX_BANNER);
  const end = bytes.indexOf(0);
  if (end < 0) return undefined;
  const text = String.fromCharCode(...bytes.subarray(0, end)).trimEnd();
  // An image also holds one without the number of its build: what stood there before it was linked (init/version.c).
  return /^Linux version \d\S* \(.* #\d/.test(text) ? text : undefined;
}

/** What may be taken over from an earlier look at the same kernel. */
export interface KnownTypes {
  readonly types: Btf | undefined;
}

export class LinuxKernel implements Kernel {
  readonly release: string;
  readonly banner: string;
  readonly buildId: string | undefined;
  readonly symbols: KernelSymbols;
  readonly image: KernelImage;
  /** By what it was found. */
  readonly from: Anchor["from"];
  #space: AddressSpace;
  #types: Btf | undefined;
  #typesRead = false;
  #modules: readonly Module[] = [];
  #signature: string | undefined;
  readonly #knownTypes: readonly KnownTypes[];
  readonly #fingerprint: Uint8Array;

  /** Throws Unreadable. */
  constructor(anchor: Anchor, tables: KallsymsTables, banner: string, known: readonly KnownTypes[]) {
    this.image = anchor.image;
    this.from = anchor.from;
    this.symbols = new KernelSymbols(tables);
    this.#space = kernelSpace(anchor, tables);
    this.banner = banner;
    this.release = /^Linux version (\S+)/.exec(banner)?.[1] ?? "";
    this.buildId = this.#readBuildId() ?? anchor.vmcoreinfo?.buildId;
    this.#knownTypes = known;
    this.#fingerprint = this.#space.memory.copy(tables.tokens.start, FINGERPRINT);
  }

  get space(): AddressSpace {
    return this.#space;
  }

  /** Read when it is first asked for. */
  get types(): Btf | undefined {
    if (!this.#typesRead) {
      this.#typesRead = true;
      this.#types = this.#readTypes();
      if (this.#types && this.symbols.address("init_task") === undefined) this.#findInitTask(this.#types);
    }
    return this.#types;
  }

  /** Loaded modules, as of the last `refresh`. */
  get modules(): readonly Module[] {
    return this.#modules;
  }

  get limits(): readonly Limit[] {
    const limits: Limit[] = [];
    if (!this.types) limits.push(NO_TYPES);
    if (this.symbols.tables.names.indexOf("init_task") < 0) limits.push(NO_DATA_SYMBOLS);
    return limits;
  }

  /**
   * Begins a new look at a guest that has run on: forgets translations, and reads the modules anew where they have changed. True
   * where they have, and `symbols` with them. Where the guest is changing them right now they stay as they were.
   */
  refresh(): boolean {
    this.#space = new AddressSpace(this.#space.memory, this.#space.root, this.#space.levels);
    const source = this.#moduleSource();
    if (!source) return false;
    const signature = moduleSignature(source);
    if (signature === undefined || signature === this.#signature) return false;
    try {
      const modules = readModules(source);
      this.#modules = modules;
      this.symbols.modules = modules;
      this.#signature = signature;
      return true;
    } catch (error) {
      if (error instanceof Unreadable) return false;
      throw error;
    }
  }

  /** Types of a module, with the kernel's own. Undefined where it brought none. Throws Unreadable. */
  moduleTypes(module: Module): Btf | undefined {
    const source = this.#moduleSource();
    return source && moduleTypes(source, module);
  }

  /**
   * The guest still runs this kernel: its vCPUs' page tables, or where there are none of them its own, still have its image in its place,
   * and its symbol table is still there. Cheap enough for each look.
   */
  stillThere(registers: readonly ControlRegisters[]): boolean {
    const { memory } = this.#space;
    const { tokens } = this.symbols.tables;
    if (!sameBytes(this.#fingerprint, memory.copy(tokens.start, FINGERPRINT))) return false;
    const { start } = this.symbols.text;
    const place = start - this.image.distance;
    if (registers.length === 0) return this.#fresh(this.#space.root).translate(start) === place;
    return registers.some(({ cr3 }) => {
      const root = cr3 - (cr3 % PAGE_SIZE);
      // Under PTI user code runs on tables that map next to nothing of it; the kernel's are the page before.
      return [root, root - (root & PAGE_SIZE)].some((table) => this.#fresh(table).translate(start) === place);
    });
  }

  #fresh(root: number): AddressSpace {
    return new AddressSpace(this.#space.memory, gpa(root), this.#space.levels);
  }

  #moduleSource() {
    const { types, symbols } = this;
    return types && { space: this.#space, types, address: (name: string) => symbols.address(name) };
  }

  #between(from: string, to: string, most: number): Uint8Array | undefined {
    const start = this.symbols.address(from);
    const end = this.symbols.address(to);
    if (start === undefined || end === undefined || !(end > start) || end - start > most) return undefined;
    const at = imageAddress(this.image, start);
    return at < 0 ? undefined : this.#space.memory.copy(gpa(at), end - start);
  }

  #readBuildId(): string | undefined {
    const notes = this.#between("__start_notes", "__stop_notes", MAX_NOTES);
    return notes && gnuBuildId(notes);
  }

  #readTypes(): Btf | undefined {
    try {
      return this.#typesIn(this.#between("__start_BTF", "__stop_BTF", Number.MAX_SAFE_INTEGER)) ?? this.#searchTypes();
    } catch (error) {
      if (error instanceof Unreadable) return undefined;
      throw error;
    }
  }

  #typesIn(bytes: Uint8Array | undefined): Btf | undefined {
    if (!bytes) return undefined;
    return this.#knownTypes.find(({ types }) => types?.isOf(bytes))?.types ?? Btf.read(bytes);
  }

  /** Without data symbols: of all BTF in the image the largest. Programs that the kernel has built in have small ones. */
  #searchTypes(): Btf | undefined {
    const { memory } = this.#space;
    const pattern = new Uint8Array(8);
    const head = BtfHeader.encode({ magic: BTF_MAGIC, version: 1, headerLength: BtfHeader.size });
    pattern.set(head.subarray(0, pattern.length));
    let best = { at: 0, length: 0 };
    let left = MAX_BTF_PLACES;
    for (const at of places(memory, this.image, pattern)) {
      const header = btfHeader(memory.copy(gpa(at), BtfHeader.size));
      if (header && header.end > best.length && memory.has(gpa(at), header.end)) best = { at, length: header.end };
      if (--left === 0) break;
    }
    return best.length === 0 ? undefined : this.#typesIn(memory.copy(gpa(best.at), best.length));
  }

  /** Without data symbols: the first task is in the image, is called swapper/0, has the number 0 and stands in a sound list. */
  #findInitTask(types: Btf): void {
    const comm = types.offsetOf("task_struct", "comm");
    const pid = types.offsetOf("task_struct", "pid");
    const tasks = types.offsetOf("task_struct", "tasks");
    if (comm === undefined || pid === undefined || tasks === undefined) return;
    const space = this.#space;
    const pattern = Uint8Array.from(INIT_COMM, (character) => character.charCodeAt(0));
    let left = MAX_BANNERS;
    for (const at of places(space.memory, this.image, pattern)) {
      const task = gva(at + this.image.distance - comm);
      try {
        const next = space.pointer(task, tasks);
        if (space.u32(task, pid) === 0 && space.pointer(next, 8) === task + tasks) {
          this.symbols.add("init_task", task);
          return;
        }
      } catch (error) {
        if (!(error instanceof Unreadable)) throw error;
      }
      if (--left === 0) return;
    }
  }
}
