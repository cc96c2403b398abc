/**
 * ORC, the kernel's own unwind tables (Documentation/arch/x86/orc-unwinder.rst): for each instruction where the caller's stack begins and where
 * RBP was saved. Copied from the guest once for a kernel and once for each module.
 *
 * Not modelled: code that the kernel makes while it runs. BPF programs have frame pointers instead; ftrace's trampolines and functions whose
 * return address ftrace or a kretprobe has replaced end a chain.
 */
import { type Gva, gva } from "../../base/index.ts";
import { Unreadable } from "../memory.ts";
import type { Module } from "../modules.ts";
import { last } from "./binary-search.ts";
import { type OrcBase, type OrcFormat, type OrcKernel, type OrcType, orcFormat } from "./orc-format.ts";

/** Entries of a kernel's table: distributions have 400,000. Stops a count that asks for the host's memory. */
const MAX_ENTRIES = 4_000_000;
/** Of all modules' tables together, for the same reason: each could claim the same memory. */
const MAX_MODULE_ENTRIES = 4_000_000;
/** Instructions whose entries are remembered; beyond that all are forgotten. */
const MAX_KNOWN = 50_000;
/** A start, and an entry, in bytes. */
const START_SIZE = 4;
const ENTRY_SIZE = 6;

export interface OrcEntry {
  readonly type: OrcType;
  readonly spBase: OrcBase;
  readonly spOffset: number;
  readonly bpBase: OrcBase;
  readonly bpOffset: number;
  /** The caller was interrupted at its instruction pointer; otherwise it called, and that is where it goes on. */
  readonly signal: boolean;
}

export class OrcTable {
  readonly #at: number;
  readonly #starts: Int32Array;
  readonly #entries: DataView;
  readonly #format: OrcFormat;
  /** By their bits: a kernel has some hundred different ones. */
  readonly #kinds = new Map<number, OrcEntry>();

  /** `starts`: as they lie in memory, each relative to its own address; `at`: that of the first. */
  constructor(at: Gva, starts: Uint8Array, entries: Uint8Array, format: OrcFormat) {
    this.#at = at;
    const count = Math.min(Math.floor(starts.length / START_SIZE), Math.floor(entries.length / ENTRY_SIZE));
    this.#starts = new Int32Array(starts.slice(0, count * START_SIZE).buffer);
    this.#entries = new DataView(entries.buffer, entries.byteOffset, entries.byteLength);
    this.#format = format;
  }

  get count(): number {
    return this.#starts.length;
  }

  /** What is said of an instruction: the last of the entries that begin at or before it. Undefined where it lies before all. */
  find(ip: number): OrcEntry | undefined {
    const starts = this.#starts;
    const wanted = ip - this.#at;
    let low = 0;
    let high = starts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (START_SIZE * middle + starts[middle]! <= wanted) low = middle + 1;
      else high = middle;
    }
    return low === 0 ? undefined : this.#entry((low - 1) * ENTRY_SIZE);
  }

  #entry(at: number): OrcEntry {
    const view = this.#entries;
    const bits = view.getUint16(at + 4, true);
    const key = view.getUint32(at, true) * 2 ** 16 + bits;
    let entry = this.#kinds.get(key);
    if (!entry) {
      entry = decode(view.getInt16(at, true), view.getInt16(at + 2, true), bits, this.#format);
      this.#kinds.set(key, entry);
    }
    return entry;
  }
}

function decode(spOffset: number, bpOffset: number, bits: number, format: OrcFormat): OrcEntry {
  const bit = (number: number): boolean => number > 0 && ((bits >> number) & 1) !== 0;
  const spBase = format.bases[bits & 15] ?? "undefined";
  const bpBase = format.bases[(bits >> 4) & 15] ?? "undefined";
  let type = format.types[(bits >> 8) & ((1 << format.typeBits) - 1)] ?? "undefined";
  if (spBase === "undefined" && type !== "end") type = bit(format.endBit) ? "end" : "undefined";
  const signal = format.signalBit > 0 ? bit(format.signalBit) : type === "regs" || type === "partial";
  return { type, spBase, spOffset, bpBase, bpOffset, signal };
}

/** What is needed of a kernel whose modules come and go. */
export type OrcSource = OrcKernel & {
  readonly symbols: { readonly text: { readonly start: Gva; readonly end: Gva } };
  readonly modules: readonly Pick<Module, "address" | "text">[];
};

interface ModuleCode {
  readonly start: number;
  readonly end: number;
  readonly module: Gva;
}

/** All tables of a kernel and its modules, each read when it is first needed. */
export class KernelOrc {
  readonly #kernel: OrcSource;
  #format: OrcFormat | undefined | null = null;
  #own: OrcTable | undefined | null = null;
  #modules: OrcSource["modules"] | undefined;
  #code: ModuleCode[] = [];
  readonly #tables = new Map<Gva, OrcTable | undefined>();
  #room = MAX_MODULE_ENTRIES;
  readonly #known = new Map<number, OrcEntry | undefined>();

  constructor(kernel: OrcSource) {
    this.#kernel = kernel;
  }

  /** What is said of an instruction. Undefined: nothing, as everywhere in a kernel without CONFIG_UNWINDER_ORC. */
  find(ip: number): OrcEntry | undefined {
    if (this.#kernel.modules !== this.#modules) this.#readModules();
    const known = this.#known.get(ip);
    if (known || this.#known.has(ip)) return known;
    if (this.#known.size >= MAX_KNOWN) this.#known.clear();
    const entry = this.#tableOf(ip)?.find(ip);
    this.#known.set(ip, entry);
    return entry;
  }

  /** Modules have come or gone: another may lie where one was. */
  #readModules(): void {
    const { modules } = this.#kernel;
    this.#modules = modules;
    this.#known.clear();
    this.#tables.clear();
    this.#room = MAX_MODULE_ENTRIES;
    this.#code = modules
      .flatMap(({ address, text }) => text.map(({ start, end }) => ({ start, end, module: address })))
      .sort((a, b) => a.start - b.start);
  }

  #tableOf(ip: number): OrcTable | undefined {
    const { start, end } = this.#kernel.symbols.text;
    if (ip >= start && ip < end) {
      if (this.#own === null) this.#own = this.#kernelTable();
      return this.#own;
    }
    const code = this.#code;
    const found = code[last(code.length, (i) => code[i]!.start <= ip)];
    if (!found || ip >= found.end) return undefined;
    const { module } = found;
    if (!this.#tables.has(module)) this.#tables.set(module, this.#moduleTable(module));
    return this.#tables.get(module);
  }

  #kernelTable(): OrcTable | undefined {
    const { symbols } = this.#kernel;
    const starts = symbols.address("__start_orc_unwind_ip");
    const end = symbols.address("__stop_orc_unwind_ip");
    const entries = symbols.address("__start_orc_unwind");
    if (starts === undefined || end === undefined || entries === undefined) return undefined;
    return this.#table(starts, entries, (end - starts) / START_SIZE, MAX_ENTRIES);
  }

  /** Of struct mod_arch_specific. */
  #moduleTable(module: Gva): OrcTable | undefined {
    const { types, space } = this.#kernel;
    const at = (member: string) => types?.offsetOf("module", `arch.${member}`);
    const [countAt, startsAt, entriesAt] = [at("num_orcs"), at("orc_unwind_ip"), at("orc_unwind")];
    if (countAt === undefined || startsAt === undefined || entriesAt === undefined) return undefined;
    try {
      const count = space.u32(module, countAt);
      const starts = space.pointer(module, startsAt);
      const table = this.#table(starts, space.pointer(module, entriesAt), count, this.#room);
      this.#room -= table?.count ?? 0;
      return table;
    } catch (error) {
      if (error instanceof Unreadable) return undefined;
      throw error;
    }
  }

  #table(starts: Gva, entries: Gva, count: number, most: number): OrcTable | undefined {
    if (this.#format === null) this.#format = orcFormat(this.#kernel);
    if (!this.#format || !(count > 0 && count <= most && Number.isInteger(count))) return undefined;
    const { space } = this.#kernel;
    try {
      return new OrcTable(
        gva(starts),
        space.bytes(starts, count * START_SIZE),
        space.bytes(entries, count * ENTRY_SIZE),
        this.#format,
      );
    } catch (error) {
      if (error instanceof Unreadable) return undefined;
      throw error;
    }
  }
}
