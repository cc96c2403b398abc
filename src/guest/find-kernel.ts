/** Finds the Linux kernel that runs in a guest, or says why there is none. */
import { type Gpa, gpa, gva } from "../base/index.ts";
import { type Anchor, anchors } from "./anchors.ts";
import { imageAddress } from "./image.ts";
import type { KallsymsTables } from "./kallsyms/tables.ts";
import { readKallsyms } from "./kallsyms/tables.ts";
import { type TokenTable, tokenTables } from "./kallsyms/token-table.ts";
import type { ControlRegisters } from "./kernel.ts";
import type { KernelCache, KnownKernel } from "./kernel-cache.ts";
import { bannerIn, LinuxKernel } from "./linux-kernel.ts";
import { formatGva, type PhysicalMemory, Unreadable } from "./memory.ts";
import { SearchBudget } from "./search-budget.ts";

export interface KernelFound {
  readonly found: true;
  readonly kernel: LinuxKernel;
}

export const MISSING = {
  "no-kernel": "no kernel runs yet: this is firmware, a boot loader or a kernel's first steps",
  "not-linux": "what runs is no Linux kernel, or hides that it is one",
  "no-kallsyms": "the kernel has no symbol table (CONFIG_KALLSYMS), or none of a kind that is known here",
} as const;

export interface KernelMissing {
  readonly found: false;
  readonly code: keyof typeof MISSING;
  /** One sentence without a full stop. */
  readonly message: string;
}

/**
 * Looks for a kernel, from the registers of the guest's vCPUs where there are any. With a cache, names and types of a kernel that is known
 * by its build-id are not read again; that they are the same is checked byte for byte, since a build-id is only a claim.
 * Throws nothing: memory that changes or lies ends as a kernel that is missing.
 */
export function findKernel(
  memory: PhysicalMemory,
  registers: readonly ControlRegisters[],
  cache?: KernelCache,
): KernelFound | KernelMissing {
  const known = [...(cache?.kernels() ?? [])];
  const searched = new Set<string>();
  const budget = new SearchBudget();
  let banner: string | undefined;
  for (const anchor of anchors(memory, registers, budget)) {
    const { distance, pieces } = anchor.image;
    // With the lengths: page tables of a process that ends while they are read map a part.
    const image = `${distance} ${pieces.map(({ start, length }) => `${start}+${length}`).join(" ")}`;
    if (searched.has(image) || !budget.spend("images")) continue;
    searched.add(image);
    try {
      const found = kernelIn(memory, anchor, known, budget);
      if (found instanceof LinuxKernel) {
        found.refresh();
        if (found.buildId !== undefined) cache?.keep(found.buildId, knownKernel(found));
        return { found: true, kernel: found };
      }
      banner ??= found;
    } catch (error) {
      if (!(error instanceof Unreadable)) throw error;
    }
  }
  if (banner !== undefined) return missing("no-kallsyms", `${banner.split(" (", 1)[0]}: ${MISSING["no-kallsyms"]}`);
  const lstar = registers.find((one) => one.lstar !== 0)?.lstar;
  if (lstar === undefined && searched.size === 0) return missing("no-kernel", MISSING["no-kernel"]);
  if (lstar === undefined) return missing("not-linux", MISSING["not-linux"]);
  return missing("not-linux", `${MISSING["not-linux"]} (system calls lead to ${formatGva(lstar)})`);
}

const missing = (code: KernelMissing["code"], message: string): KernelMissing => ({ found: false, code, message });

/** The kernel of an image; its banner where it has no symbols, undefined where it does not even have that. */
function kernelIn(
  memory: PhysicalMemory,
  anchor: Anchor,
  known: readonly KnownKernel[],
  budget: SearchBudget,
): LinuxKernel | string | undefined {
  const { image } = anchor;
  for (const tokens of tokensIn(memory, anchor, known, budget)) {
    // What the symbols call the kernel's text has to be mapped as its text.
    const verified = (text: number, end: number): boolean =>
      imageAddress(image, text) >= 0 && imageAddress(image, end - 1) >= 0;
    let tables: KallsymsTables | undefined;
    try {
      const names = known.map((kernel) => kernel.names);
      tables = readKallsyms(memory, tokens, image.distance, verified, budget, names);
    } catch (error) {
      if (!(error instanceof Unreadable)) throw error;
    }
    if (!tables) continue;
    const index = tables.names.indexOf("linux_banner");
    const banner = bannerIn(memory, image, index < 0 ? undefined : gva(tables.addresses[index]!));
    if (banner !== undefined) return new LinuxKernel(anchor, tables, banner, known);
  }
  return bannerIn(memory, image);
}

/** Token tables of an image, first where kernels that are known have theirs. */
function* tokensIn(
  memory: PhysicalMemory,
  { image }: Anchor,
  known: readonly KnownKernel[],
  budget: SearchBudget,
): Generator<TokenTable> {
  for (const { tokenOffset, tokenLength } of known) {
    const at = imageAddress(image, image.pieces[0]!.start + tokenOffset);
    if (at < 0 || imageAddress(image, image.pieces[0]!.start + tokenOffset + tokenLength - 1) < 0) continue;
    yield* tokenTables(memory, at as Gpa, gpa(at + tokenLength), budget);
  }
  for (const { physical, length } of image.pieces) yield* tokenTables(memory, physical, gpa(physical + length), budget);
}

function knownKernel({ symbols, types, image }: LinuxKernel): KnownKernel {
  const { names, tokens } = symbols.tables;
  return {
    names,
    types,
    tokenOffset: tokens.start + image.distance - image.pieces[0]!.start,
    tokenLength: tokens.end - tokens.start,
  };
}
