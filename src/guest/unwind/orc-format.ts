/**
 * Versions of ORC, the kernel's unwind tables (arch/x86/include/asm/orc_types.h). An entry is three words: offset of the stack pointer, offset of
 * RBP, and bits that say what each is relative to and what kind of frame it is. The bits differ from version to version.
 *
 * Since 6.4 a kernel names its version in .orc_header: SHA-1 over the definitions' text (scripts/orc_hash.sh). Here all versions of the
 * format up to 7.1 are known.
 */
import type { Btf } from "../btf/btf.ts";
import type { Kernel } from "../kernel.ts";
import { Unreadable } from "../memory.ts";

/** What the caller's stack pointer, or RBP, is relative to. */
export type OrcBase =
  | "undefined"
  | "previous-sp"
  | "ax"
  | "dx"
  | "di"
  | "bp"
  | "sp"
  | "r10"
  | "r13"
  | "bp-indirect"
  | "sp-indirect";

/** `call`: the return address lies below the caller's stack; `regs`: a struct pt_regs lies there; `partial`: what the processor pushed alone. */
export type OrcType = "undefined" | "end" | "call" | "regs" | "partial";

export interface OrcFormat {
  /** Of .orc_header, hexadecimal; none where kernels had no such section. */
  readonly hashes: readonly string[];
  /** ORC_REG_*, by number. */
  readonly bases: readonly OrcBase[];
  /** ORC_TYPE_*, by number, from bit 8 on. */
  readonly types: readonly OrcType[];
  readonly typeBits: number;
  /** Bit that says that the next frame was interrupted, and did not call. 0: types say so. */
  readonly signalBit: number;
  /** Bit that says of a frame without a base that the stack ends there. 0: a type says so. */
  readonly endBit: number;
}

const BASES = ["undefined", "previous-sp", "dx", "di", "bp", "sp", "r10", "r13", "bp-indirect", "sp-indirect"] as const;

export const ORC_FORMATS = {
  /** 4.14 */
  1: { hashes: [], bases: BASES, types: ["call", "regs", "partial"], typeBits: 2, signalBit: 0, endBit: 10 },
  /** 6.3 */
  2: {
    hashes: ["db84aed4103b31dd51e017f8f79783ca985c2c51"],
    bases: BASES,
    types: ["call", "regs", "partial"],
    typeBits: 2,
    signalBit: 10,
    endBit: 11,
  },
  /** 6.4; the second hash: with ORC_REG_AX, as stable kernels have it since 2026. */
  3: {
    hashes: ["fe5d32bf581bd63b2ca9a5c65ba5a625eab3fe24", "edfa4d15552fdd2e1d56679728416379f2fe4534"],
    bases: [...BASES, "ax"],
    types: ["undefined", "end", "call", "regs", "partial"],
    typeBits: 3,
    signalBit: 11,
    endBit: 0,
  },
  /** 7.1 */
  4: {
    hashes: ["137c36ad7627c4dd55932176bb0ecdbd5041fc82"],
    bases: ["undefined", "ax", "dx", "sp", "bp", "di", "r10", "r13", "previous-sp", "sp-indirect", "bp-indirect"],
    types: ["undefined", "end", "call", "regs", "partial"],
    typeBits: 3,
    signalBit: 11,
    endBit: 0,
  },
} as const satisfies Record<number, OrcFormat>;

const HASH_SIZE = 20;

/** What is needed of a kernel. */
export type OrcKernel = Pick<Kernel, "release" | "symbols" | "space"> & {
  readonly types: Pick<Btf, "member" | "offsetOf"> | undefined;
};

/** A kernel's format: by its header, by the bits of its struct orc_entry, by its release. Undefined: one that is not known here. */
export function orcFormat(kernel: OrcKernel): OrcFormat | undefined {
  const hash = headerOf(kernel);
  if (hash !== undefined) return Object.values<OrcFormat>(ORC_FORMATS).find(({ hashes }) => hashes.includes(hash));
  const { release, types } = kernel;
  const type = types?.member("orc_entry", "type");
  if (type?.bits === 2) return types?.member("orc_entry", "signal") ? ORC_FORMATS[2] : ORC_FORMATS[1];
  // RHEL has the third in a kernel that calls itself 5.14.
  if (type?.bits === 3) return isOlder(release, 7, 1) ? ORC_FORMATS[3] : ORC_FORMATS[4];
  if (isOlder(release, 6, 3)) return ORC_FORMATS[1];
  if (isOlder(release, 6, 4)) return ORC_FORMATS[2];
  return isOlder(release, 7, 1) ? ORC_FORMATS[3] : ORC_FORMATS[4];
}

function headerOf({ symbols, space }: OrcKernel): string | undefined {
  const start = symbols.address("__start_orc_header");
  const end = symbols.address("__stop_orc_header");
  if (start === undefined || end === undefined || end - start < HASH_SIZE) return undefined;
  try {
    return Array.from(space.bytes(start, HASH_SIZE), (byte) => byte.toString(16).padStart(2, "0")).join("");
  } catch (error) {
    if (error instanceof Unreadable) return undefined;
    throw error;
  }
}

function isOlder(release: string, major: number, minor: number): boolean {
  const [a = 0, b = 0] = /^(\d+)\.(\d+)/.exec(release)?.slice(1).map(Number) ?? [];
  return a < major || (a === major && b < minor);
}
