/**
 * ORC, the kernel's own unwind tables (Documentation/x86/orc-unwinder.rst, arch/x86/include/asm/orc_types.h): for each instruction where the
 * caller's stack begins and where RBP was saved. Copied from the guest once for a kernel and once for each module.
 *
 * Not modelled: version 4 of the format (7.1 on), whose numbers of registers are others. Such kernels unwind by frame pointers.
 */
import { type Gva, gva } from "../../base/index.ts";
import type { Btf } from "../btf/btf.ts";
import type { Kernel } from "../kernel.ts";
import { Unreadable } from "../memory.ts";
import { last } from "./call-frames.ts";

/** Entries of a table: distributions' kernels have 400,000. Stops a count that asks for the host's memory. */
const MAX_ENTRIES = 4_000_000;
const ENTRY_SIZE = 6;

/** Where the bits of the third word are. Versions differ in what follows the two registers. */
interface OrcVersion {
  readonly types: readonly OrcType[];
  readonly typeBits: number;
  /** Bit that says that the stack ends here; 0: a type does. */
  readonly endBit: number;
}
export type OrcType = "call" | "regs" | "partial" | "end" | "undefined";
const VERSIONS: Readonly<Record<1 | 2 | 3, OrcVersion>> = {
  1: { types: ["call", "regs", "partial"], typeBits: 2, endBit: 10 },
  2: { types: ["call", "regs", "partial"], typeBits: 2, endBit: 11 },
  3: { types: ["undefined", "end", "call", "regs", "partial"], typeBits: 3, endBit: 0 },
};

/** What a stack pointer or RBP is relative to. */
export const ORC_BASES = [
  "undefined",
  "previous-sp",
  "dx",
  "di",
  "bp",
  "sp",
  "r10",
  "r13",
  "bp-indirect",
  "sp-indirect",
] as const;
export type OrcBase = (typeof ORC_BASES)[number];

export interface OrcEntry {
  readonly spBase: OrcBase;
  readonly spOffset: number;
  readonly bpBase: OrcBase;
  readonly bpOffset: number;
  readonly type: OrcType;
}

/** A kernel's version of the format; undefined: one that is not known here. */
export function orcVersion({ release }: Pick<Kernel, "release">, types: Btf | undefined): OrcVersion | undefined {
  const entry = types?.member("orc_entry", "type");
  if (entry?.bits === 3) return isOlder(release, 7, 1) ? VERSIONS[3] : undefined;
  if (entry?.bits === 2) return types?.member("orc_entry", "signal") ? VERSIONS[2] : VERSIONS[1];
  // Without types by its number.
  if (isOlder(release, 6, 3)) return VERSIONS[1];
  if (isOlder(release, 6, 4)) return VERSIONS[2];
  return isOlder(release, 7, 1) ? VERSIONS[3] : undefined;
}

function isOlder(release: string, major: number, minor: number): boolean {
  const [a = 0, b = 0] = /^(\d+)\.(\d+)/.exec(release)?.slice(1).map(Number) ?? [];
  return a < major || (a === major && b < minor);
}

export class OrcTable {
  readonly #starts: Float64Array;
  readonly #entries: DataView;
  readonly #version: OrcVersion;
  readonly #known = new Map<number, OrcEntry>();

  /** `starts`: as they lie in memory, each relative to its own address; `at`: that of the first. */
  constructor(at: Gva, starts: Uint8Array, entries: Uint8Array, version: OrcVersion) {
    const relative = new DataView(starts.buffer, starts.byteOffset, starts.byteLength);
    const count = Math.min(Math.floor(starts.length / 4), Math.floor(entries.length / ENTRY_SIZE));
    this.#starts = Float64Array.from({ length: count }, (_, i) => at + 4 * i + relative.getInt32(4 * i, true));
    this.#entries = new DataView(entries.buffer, entries.byteOffset, entries.byteLength);
    this.#version = version;
  }

  /** What is said of an instruction; undefined where it lies before all entries. */
  find(ip: number): OrcEntry | undefined {
    const index = last(this.#starts.length, (i) => this.#starts[i]! <= ip);
    if (index < 0) return undefined;
    let entry = this.#known.get(index);
    if (!entry) {
      entry = this.#read(index * ENTRY_SIZE);
      this.#known.set(index, entry);
    }
    return entry;
  }

  #read(at: number): OrcEntry {
    const { types, typeBits, endBit } = this.#version;
    const bits = this.#entries.getUint16(at + 4, true);
    const ended = endBit > 0 && ((bits >> endBit) & 1) !== 0;
    return {
      spOffset: this.#entries.getInt16(at, true),
      bpOffset: this.#entries.getInt16(at + 2, true),
      spBase: ORC_BASES[bits & 15] ?? "undefined",
      bpBase: ORC_BASES[(bits >> 4) & 15] ?? "undefined",
      type: ended ? "end" : (types[(bits >> 8) & ((1 << typeBits) - 1)] ?? "undefined"),
    };
  }
}

/** The kernel's own table; undefined where it has none (CONFIG_UNWINDER_ORC) or its format is not known. */
export function kernelOrc(kernel: Kernel & { readonly types: Btf | undefined }): OrcTable | undefined {
  const version = orcVersion(kernel, kernel.types);
  const { symbols, space } = kernel;
  const starts = symbols.address("__start_orc_unwind_ip");
  const startsEnd = symbols.address("__stop_orc_unwind_ip");
  const entries = symbols.address("__start_orc_unwind");
  if (!version || starts === undefined || startsEnd === undefined || entries === undefined) return undefined;
  const count = (startsEnd - starts) / 4;
  if (!(count > 0 && count <= MAX_ENTRIES)) return undefined;
  try {
    return new OrcTable(starts, space.bytes(starts, count * 4), space.bytes(entries, count * ENTRY_SIZE), version);
  } catch (error) {
    if (error instanceof Unreadable) return undefined;
    throw error;
  }
}

/** A module's table (struct mod_arch_specific). `module`: of its struct module. */
export function moduleOrc(kernel: Kernel & { readonly types: Btf | undefined }, module: Gva): OrcTable | undefined {
  const { types, space } = kernel;
  const version = orcVersion(kernel, types);
  const at = (member: string) => types?.offsetOf("module", `arch.${member}`);
  const [countAt, startsAt, entriesAt] = [at("num_orcs"), at("orc_unwind_ip"), at("orc_unwind")];
  if (!version || countAt === undefined || startsAt === undefined || entriesAt === undefined) return undefined;
  try {
    const count = space.u32(module, countAt);
    if (count === 0 || count > MAX_ENTRIES) return undefined;
    const starts = space.pointer(module, startsAt);
    const entries = space.pointer(module, entriesAt);
    return new OrcTable(gva(starts), space.bytes(starts, count * 4), space.bytes(entries, count * ENTRY_SIZE), version);
  } catch (error) {
    if (error instanceof Unreadable) return undefined;
    throw error;
  }
}
