/** Reads kallsyms around its token table: markers and names by what they must agree on, then addresses in every layout there is. */
import { type Gpa, gpa } from "../../base/index.ts";
import { KERNEL_MAP_END, KERNEL_MAP_START } from "../image.ts";
import type { PhysicalMemory } from "../memory.ts";
import type { SearchBudget } from "../search-budget.ts";
import {
  type AddressEncoding,
  type AddressSource,
  KALLSYMS_LAYOUTS,
  type KallsymsLayout,
  LABEL_SIZE,
  LENGTH_FORMS,
  MARKER_SIZES,
  type MarkerSize,
} from "./layouts.ts";
import { CompressedNames, MARKER_STEP } from "./names.ts";
import { MAX_NAME, type TokenTable } from "./token-table.ts";

/** Debian's kernels have 150,000. Stops a table that takes the host's memory. */
const MAX_SYMBOLS = 2 ** 20;
/** Fewer are too few to be told from other data. */
const MIN_MARKERS = 4;
/** Between two markers: 256 names of a length and at least one token, and at most as long as names are. */
const MIN_GROUP = 2 * MARKER_STEP;
const MAX_GROUP = (2 + MAX_NAME) * MARKER_STEP;
/** How far in front of the token table markers may begin: seqs_of_names has three bytes a symbol, a marker eight. */
const MAX_DISTANCE = 3 * MAX_SYMBOLS + (8 * MAX_SYMBOLS) / MARKER_STEP;
/** The search goes back by this much at a time. */
const STRETCH = 512 * 1024;
/** Bytes of all names: Debian's kernels have under 3 MiB. Stops markers that ask for the guest's whole memory. */
const MAX_NAMES = 16 * 1024 * 1024;
const LABEL = 8;
/** Symbols out of order that a sound table may have. */
const MAX_DISORDER = 0.001;
const TEXT_ALIGNMENT = 2 * 1024 * 1024;

export interface KallsymsTables {
  readonly layout: KallsymsLayout;
  readonly encoding: AddressEncoding["name"];
  readonly names: CompressedNames;
  /** By index, in the table's order; sign-extended. */
  readonly addresses: Float64Array;
  readonly tokens: TokenTable;
  /** Where num_syms lies, with the names 8 bytes behind it. */
  readonly numSyms: Gpa;
}

const align = (at: number): number => Math.ceil(at / LABEL) * LABEL;

/**
 * The symbol table whose token table this is; undefined where what is around it is none.
 * `distance`: of the image, virtual less physical; 0 gives place-relative addresses as physical ones. `verified` is asked whether page
 * tables agree with the addresses of `_text` (or `_stext`) and `_etext`. `known`: names that need not be read again where they are the same.
 * Throws Unreadable.
 */
export function readKallsyms(
  memory: PhysicalMemory,
  tokens: TokenTable,
  distance: number,
  verified: (text: number, end: number) => boolean,
  budget: SearchBudget,
  known: Iterable<CompressedNames> = [],
): KallsymsTables | undefined {
  if (!budget.spend("tables")) return undefined;
  for (const markers of markerArrays(memory, tokens.start)) {
    if (!budget.spend("arrays")) return undefined;
    const found = namesBefore(memory, markers, tokens, budget, known);
    if (!found) continue;
    const { names, numSyms } = found;
    for (const layout of KALLSYMS_LAYOUTS) {
      const source = addressSource(memory, layout, numSyms, tokens.end, names.count, distance);
      if (!source) continue;
      for (const encoding of layout.encodings) {
        const addresses = decode(names, source, encoding, distance, verified);
        if (addresses) return { layout, encoding: encoding.name, names, addresses, tokens, numSyms };
      }
    }
    // Names that agree with all their markers are no accident: there is no second table.
    return undefined;
  }
  return undefined;
}

interface Markers {
  readonly start: Gpa;
  readonly values: readonly number[];
}

/** What may be kallsyms_markers, the nearest first: 0, then steps that 256 names can have. */
function* markerArrays(memory: PhysicalMemory, end: Gpa): Generator<Markers> {
  const least = Math.max(0, end - MAX_DISTANCE);
  for (let stop: number = end; stop > least; ) {
    const from = Math.max(least, stop - STRETCH);
    if (!memory.has(gpa(from), end - from)) return;
    // To the end of all, since an array that begins here may be longer than the stretch.
    const length = Math.min(end - from, STRETCH + (8 * MAX_SYMBOLS) / MARKER_STEP);
    const bytes = memory.copy(gpa(from), length);
    const view = new DataView(bytes.buffer);
    const first = Math.floor((stop - 1) / LABEL) * LABEL;
    for (let at = first; at >= from; at -= LABEL) {
      if (at - from + 4 > length || view.getUint32(at - from, true) !== 0) continue;
      for (const size of MARKER_SIZES) {
        const values = rising(view, at - from, size);
        if (values.length >= MIN_MARKERS) yield { start: gpa(at), values };
      }
    }
    stop = from;
  }
}

function rising(view: DataView, at: number, size: MarkerSize): number[] {
  const values = [0];
  if (size === 8 && (at + 8 > view.byteLength || view.getUint32(at + 4, true) !== 0)) return [];
  for (let next = at + size; next + size <= view.byteLength; next += size) {
    const value = view.getUint32(next, true);
    const step = value - values.at(-1)!;
    if (step < MIN_GROUP || step > MAX_GROUP || values.length >= MAX_SYMBOLS / MARKER_STEP) break;
    if (size === 8 && view.getUint32(next + 4, true) !== 0) break;
    values.push(value);
  }
  return values;
}

/** The names that end where the markers begin, with num_syms in front of them. */
function namesBefore(
  memory: PhysicalMemory,
  markers: Markers,
  { tokens }: TokenTable,
  budget: SearchBudget,
  known: Iterable<CompressedNames>,
): { names: CompressedNames; numSyms: Gpa } | undefined {
  const { start, values } = markers;
  const last = values.at(-1)!;
  // The last group has at least one name, of two bytes.
  const nearest = Math.floor((start - last - 2) / LABEL) * LABEL;
  const least = Math.max(LABEL, nearest - MAX_GROUP);
  if (last > MAX_NAMES || nearest < least || !memory.has(gpa(least - LABEL), start - least + LABEL)) return undefined;
  const before = memory.copy(gpa(least - LABEL), start - least + LABEL);
  const view = new DataView(before.buffer);
  for (let at = nearest - least; at >= 0; at -= LABEL) {
    // num_syms; `bytes` begin with what stands in front of names, so it is at the same offset.
    const count = view.getUint32(at, true);
    const groups = Math.ceil(count / MARKER_STEP);
    if (groups < MIN_MARKERS || groups > values.length || view.getUint32(at + 4, true) !== 0) continue;
    const bytes = before.subarray(at + LABEL);
    for (const names of known) {
      if (names.count === count && names.isOf(bytes, tokens)) return { names, numSyms: gpa(least + at - LABEL) };
    }
    for (const form of LENGTH_FORMS) {
      if (!budget.spend("readings")) return undefined;
      const names = CompressedNames.read(bytes, count, values, tokens, form);
      if (names) return { names, numSyms: gpa(least + at - LABEL) };
    }
  }
  return undefined;
}

function addressSource(
  memory: PhysicalMemory,
  layout: KallsymsLayout,
  numSyms: Gpa,
  end: Gpa,
  count: number,
  distance: number,
): AddressSource | undefined {
  const places = new Map<string, Uint8Array>();
  let place = 0;
  let at: number = numSyms;
  const take = (label: (typeof layout.after)[number], from: number): boolean => {
    const size = LABEL_SIZE[label](count);
    if (from < 0 || !memory.has(gpa(from), size)) return false;
    places.set(label, memory.copy(gpa(from), size));
    if (label === "offsets") place = from + distance;
    return true;
  };
  for (const label of layout.before.toReversed()) {
    at = Math.floor((at - LABEL_SIZE[label](count)) / LABEL) * LABEL;
    if (!take(label, at)) return undefined;
  }
  at = end;
  for (const label of layout.after) {
    at = align(at);
    if (!take(label, at)) return undefined;
    at += LABEL_SIZE[label](count);
  }
  const view = (label: string): DataView => new DataView((places.get(label) ?? new Uint8Array(0)).buffer);
  const offsets = view("offsets");
  const addresses = view("addresses");
  const signed = (from: DataView, byte: number): number =>
    from.getUint32(byte, true) + from.getInt32(byte + 4, true) * 2 ** 32;
  return {
    offset: (index) => offsets.getInt32(4 * index, true),
    absolute: (index) => signed(addresses, 8 * index),
    base: places.has("relative_base") ? signed(view("relative_base"), 0) : 0,
    place,
  };
}

/** All addresses, where they can be a kernel's. */
function decode(
  names: CompressedNames,
  source: AddressSource,
  encoding: AddressEncoding,
  distance: number,
  verified: (text: number, end: number) => boolean,
): Float64Array | undefined {
  const addressOf = (name: string): number | undefined => {
    const index = names.indexOf(name);
    return index < 0 ? undefined : encoding.address(source, index);
  };
  // Without KALLSYMS_ALL only symbols from _stext on are there.
  const text = addressOf("_text") ?? addressOf("_stext");
  const end = addressOf("_etext");
  if (text === undefined || end === undefined || !(text < end)) return undefined;
  const virtual = distance !== 0 || encoding.name !== "place-relative";
  if (virtual && !(text >= KERNEL_MAP_START && end <= KERNEL_MAP_END)) return undefined;
  if (names.indexOf("_text") >= 0 && text % TEXT_ALIGNMENT !== 0) return undefined;
  if (!verified(text, end)) return undefined;
  const addresses = new Float64Array(names.count);
  let disorder = 0;
  let before = 0;
  for (let i = 0; i < addresses.length; i++) {
    const address = encoding.address(source, i);
    addresses[i] = address;
    // As unsigned numbers: what is negative comes last.
    if (i > 0 && (address < 0 === before < 0 ? address < before : before < 0)) disorder++;
    before = address;
  }
  return disorder <= MAX_DISORDER * addresses.length ? addresses : undefined;
}
