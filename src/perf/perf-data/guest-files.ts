/**
 * The files of guests in a recording, as perf looks for them: symbols of each kernel, and under `.build-id` what code came from. Paths are
 * made of numbers and build-ids, never of names.
 */

import { gva } from "../../base/index.ts";
import type { KernelSymbol } from "../../guest/kernel.ts";
import { type Attachments, kallsymsText, modulesText, type Parts } from "../attachments.ts";
import { moduleName } from "../plain-names.ts";
import type { Profile } from "../profile.ts";
import type { Places } from "./places.ts";
import { type FileCode, type FileSymbol, symbolFile } from "./symbol-file.ts";

/** Where a guest's kernel symbols are (perf_data__guest_kallsyms_name in data.c). */
export const kernelFolder = (machinePid: number): string => `kcore_dir__${machinePid}`;

/** The folder that holds what `.build-id` links to. */
const CODE_FOLDER = "code";
const codeFolder = (buildId: string): string => `${CODE_FOLDER}/${buildId}`;

/** What perf calls a file in its cache of build-ids (build_id_cache__basename): a kernel's, and its modules', are no ELF files to it. */
function baseNameOf(profile: Profile, dso: number): string {
  const { kind } = profile.dsos[dso]!;
  if (kind === "kernel" || kind === "module") return "kallsyms";
  return profile.dsos[dso]!.name === "[vdso]" ? "vdso" : "elf";
}

/** Where a DSO's code is in a recording. */
export const codePath = (places: Places, dso: number): string =>
  `${codeFolder(places.buildIds[dso]!)}/${baseNameOf(places.profile, dso)}`;

export interface RecordedFile {
  readonly path: string;
  readonly content: Parts;
}
export interface RecordedLink {
  readonly path: string;
  readonly target: string;
}

/** Symbols and modules of each guest's kernel. */
export function* kernelFiles(places: Places, attachments: Attachments): Generator<RecordedFile> {
  for (const [guest, machinePid] of places.machinePids.entries()) {
    const folder = kernelFolder(machinePid);
    const { kallsyms, modules } = attachments[guest] ?? {};
    const mapped = places.kernelMaps(guest).filter(({ dso }) => places.profile.dsos[dso]!.kind === "module");
    const loaded = mapped.map(({ dso, start, length }) => ({ name: bare(places.names[dso]!), start, length }));
    yield {
      path: `${folder}/kallsyms`,
      content: both(kallsyms ?? kallsymsText(seenSymbols(places.profile, guest)), guards(loaded)),
    };
    yield { path: `${folder}/modules`, content: modules ?? modulesText(loaded) };
  }
}

const bare = (name: string): string => name.replace(/^\[(.*)\]$/, "$1");

/**
 * Where perf looked for an address of a module before it read this file, it leaves out the module's first symbol (maps__split_kallsyms
 * in symbol.c): so that is none of the guest's.
 */
function* guards(modules: readonly { name: string; start: number }[]): Generator<string> {
  for (const { name, start } of modules) {
    yield* kallsymsText([{ name: "before", type: "t", start: gva(start - 1), module: name }]);
  }
}

async function* both(first: Parts, second: Parts): AsyncGenerator<Uint8Array | string> {
  yield* first;
  yield* second;
}

function* seenSymbols({ dsos, symbols }: Profile, guest: number): Generator<KernelSymbol> {
  for (const { name, dso, start } of symbols) {
    const { kind, guest: owner, name: file } = dsos[dso]!;
    if (owner !== guest) continue;
    if (kind === "kernel") yield { name, type: "T", start: gva(start) };
    if (kind === "module") yield { name, type: "t", start: gva(start), module: moduleName(bare(file)) };
  }
}

/** What code came from: the guests' own files, and files made of what the profile knows. Each build-id once. */
export function* codeFiles(places: Places, attachments: Attachments): Generator<RecordedFile & { link: RecordedLink }> {
  const { profile } = places;
  const done = new Set<string>();
  const symbols = symbolsByDso(profile);
  for (const dso of profile.dsos.keys()) {
    const buildId = places.buildIds[dso]!;
    if (done.has(buildId)) continue;
    const content = fileOf(attachments, buildId) ?? madeFile(places, attachments, dso, symbols.get(dso) ?? []);
    if (content === undefined) continue;
    done.add(buildId);
    // A link, as perf's own cache has it: annotate goes by where it leads.
    const link = {
      path: `.build-id/${buildId.slice(0, 2)}/${buildId.slice(2)}`,
      target: `../../${codeFolder(buildId)}`,
    };
    yield { path: codePath(places, dso), content, link };
  }
}

function fileOf(attachments: Attachments, buildId: string): Parts | undefined {
  for (const guest of attachments) {
    const found = guest?.files?.get(buildId);
    if (found !== undefined) return found;
  }
  return undefined;
}

function symbolsByDso({ symbols }: Profile): Map<number, FileSymbol[]> {
  const lists = new Map<number, FileSymbol[]>();
  for (const symbol of symbols) {
    const list = lists.get(symbol.dso);
    if (list === undefined) lists.set(symbol.dso, [symbol]);
    else list.push(symbol);
  }
  return lists;
}

/** Undefined where there is nothing to say. */
function madeFile(
  places: Places,
  attachments: Attachments,
  dso: number,
  symbols: readonly FileSymbol[],
): Uint8Array[] | undefined {
  const { profile } = places;
  const { kind, guest } = profile.dsos[dso]!;
  const buildId = places.buildIds[dso]!;
  const host = places.hostSymbols.get(dso);
  if (host !== undefined) return symbolFile({ buildId, relocatable: false, code: nowhere(0), symbols: host });
  if (kind === "kernel" || kind === "module") {
    const map = places.kernelMaps(guest).find((row) => row.dso === dso);
    if (map === undefined) return undefined;
    // A module's symbols are counted from where it lies.
    const base = kind === "module" ? map.start : 0;
    const pieces = piecesIn(attachments[guest]?.text ?? [], map.start, map.start + map.length);
    const code: FileCode[] = pieces.map(({ start, bytes }) => ({ start: start - base, content: bytes }));
    if (code.length === 0 && kind === "kernel") return undefined;
    const placed = symbols.map((symbol) => ({ ...symbol, start: symbol.start - base }));
    const relocatable = kind === "module";
    return symbolFile({ buildId, relocatable, code: code.length > 0 ? code : nowhere(0), symbols: placed });
  }
  if (symbols.length === 0) return undefined;
  return symbolFile({ buildId, relocatable: false, code: nowhere(slideOf(profile, dso)), symbols });
}

function piecesIn(pieces: readonly { start: number; bytes: Uint8Array }[], start: number, end: number) {
  return pieces.flatMap((piece) => {
    const from = Math.max(start, piece.start);
    const to = Math.min(end, piece.start + piece.bytes.length);
    return from < to ? [{ start: from, bytes: piece.bytes.subarray(from - piece.start, to - piece.start) }] : [];
  });
}

/** Room for any address, without code. `slide`: how far addresses are above offsets in the file. */
const ROOM = 2 ** 47;
const nowhere = (slide: number): FileCode[] => [
  { start: Math.max(0, slide), content: { offset: Math.max(0, -slide), length: ROOM } },
];

/** As the mappings place a DSO's addresses in its file. */
function slideOf({ frames, mappings }: Profile, dso: number): number {
  const rows = mappings.filter((mapping) => mapping.dso === dso);
  for (let frame = 0; frame < frames.dso.length && rows.length > 0; frame++) {
    if (frames.dso[frame] !== dso) continue;
    const address = frames.address[frame]!;
    const row = rows.find(({ start, length }) => address >= start && address < start + length);
    if (row !== undefined) return frames.offset[frame]! - (address - row.start + row.pageOffset);
  }
  return 0;
}
