/** What goes into a recording beside the profile: taken out of the guests' memory by whoever records. */
import type { KernelSymbol } from "../guest/kernel.ts";
import { formatGva } from "../guest/memory.ts";
import { moduleName, symbolName } from "./plain-names.ts";
import type { Profile } from "./profile.ts";

/** A file's content, part by part. */
export type Parts = Iterable<Uint8Array | string> | AsyncIterable<Uint8Array | string>;

/** Guest code as it was in memory. */
export interface CodePiece {
  /** Guest virtual address, sign-extended. */
  readonly start: number;
  readonly bytes: Uint8Array;
}

export interface GuestAttachments {
  /** Lines as /proc/kallsyms has them (`kallsymsText`). Absent: what the profile saw stands for it. */
  readonly kallsyms?: Parts;
  /** Lines as /proc/modules has them (`modulesText`). */
  readonly modules?: Parts;
  /** Text of the kernel and of its modules, as long or short as could be read; each piece begins on a page. */
  readonly text?: readonly CodePiece[];
  /** ELF files that the guest's processes ran, by build-id: 40 hexadecimal digits. */
  readonly files?: ReadonlyMap<string, Parts>;
}

/** By the guest's number in the profile. */
export type Attachments = readonly (GuestAttachments | undefined)[];

/** A recording before it is written: what was sampled, and what of the guests' memory goes with it. */
export interface RecordedGuests {
  readonly profile: Profile;
  readonly attachments: Attachments;
}

/** Lines that are handed on together. */
const LINES = 1024;

/** /proc/kallsyms of symbols: names are made to fit a line, whatever the guest calls them. */
export function* kallsymsText(symbols: Iterable<KernelSymbol>): Generator<string> {
  let lines: string[] = [];
  for (const { start, type, name, module } of symbols) {
    const suffix = module === undefined ? "" : `\t[${moduleName(module)}]`;
    const letter = /^[A-Za-z]$/.test(type) ? type : "t";
    lines.push(`${formatGva(start)} ${letter} ${symbolName(name)}${suffix}\n`);
    if (lines.length < LINES) continue;
    yield lines.join("");
    lines = [];
  }
  yield lines.join("");
}

/** /proc/modules, as far as perf reads it. */
export function* modulesText(
  modules: Iterable<{ readonly name: string; readonly start: number; readonly length: number }>,
): Generator<string> {
  for (const { name, start, length } of modules) {
    yield `${moduleName(name)} ${Math.max(0, Math.trunc(length))} 0 - Live 0x${formatGva(start)}\n`;
  }
}
