/**
 * Where the kernel's symbol table lies, for every kernel from 4.19 on (scripts/kallsyms.c, kernel/kallsyms.c). Its middle has always
 * been the same: `num_syms names markers [seqs_of_names] token_table token_index`, each label at a multiple of 8. Where the
 * addresses are, and how they are written, has changed.
 */

/** Labels of which addresses follow. */
export type AddressLabel = "addresses" | "offsets" | "relative_base";

/** Bytes of a label's data. */
export const LABEL_SIZE: Readonly<Record<AddressLabel, (count: number) => number>> = {
  addresses: (count) => 8 * count,
  offsets: (count) => 4 * count,
  relative_base: () => 8,
};

export interface KallsymsLayout {
  readonly kernels: string;
  /** What ends where `num_syms` begins. */
  readonly before: readonly AddressLabel[];
  /** What begins where `token_index` ends. */
  readonly after: readonly AddressLabel[];
  /** The encodings its addresses may have. */
  readonly encodings: readonly AddressEncoding[];
}

/** What an address is made from: signed where memory has 64 bits. */
export interface AddressSource {
  /** 64 bits of `addresses`. */
  absolute(index: number): number;
  /** 32 bits of `offsets`, with sign. */
  offset(index: number): number;
  /** `relative_base`. */
  readonly base: number;
  /** Virtual address of `offsets`. */
  readonly place: number;
}

export interface AddressEncoding {
  readonly name: "absolute" | "relative" | "absolute-percpu" | "place-relative";
  address(source: AddressSource, index: number): number;
}

const ABSOLUTE: AddressEncoding = {
  name: "absolute",
  address: (source, index) => source.absolute(index),
};
const RELATIVE: AddressEncoding = {
  name: "relative",
  address: (source, index) => source.base + (source.offset(index) >>> 0),
};
/** CONFIG_KALLSYMS_ABSOLUTE_PERCPU: what is not negative is an address itself, in the per-CPU area. */
const ABSOLUTE_PERCPU: AddressEncoding = {
  name: "absolute-percpu",
  address: (source, index) => {
    const offset = source.offset(index);
    return offset >= 0 ? offset : source.base - 1 - offset;
  },
};
const PLACE_RELATIVE: AddressEncoding = {
  name: "place-relative",
  address: (source, index) => source.place + 4 * index + source.offset(index),
};

export const KALLSYMS_LAYOUTS: readonly KallsymsLayout[] = [
  {
    kernels: "6.4 to 6.19",
    before: [],
    after: ["offsets", "relative_base"],
    encodings: [ABSOLUTE_PERCPU, RELATIVE],
  },
  {
    kernels: "4.19 to 6.3",
    before: ["offsets", "relative_base"],
    after: [],
    encodings: [ABSOLUTE_PERCPU, RELATIVE],
  },
  { kernels: "from 7.0 on", before: [], after: ["offsets"], encodings: [PLACE_RELATIVE] },
  { kernels: "4.19 to 6.3 without KALLSYMS_BASE_RELATIVE", before: ["addresses"], after: [], encodings: [ABSOLUTE] },
  { kernels: "6.4 to 6.10 without KALLSYMS_BASE_RELATIVE", before: [], after: ["addresses"], encodings: [ABSOLUTE] },
];

/** Widths of a marker: `unsigned long` until 4.19, `unsigned int` since. */
export const MARKER_SIZES = [4, 8] as const;
export type MarkerSize = (typeof MARKER_SIZES)[number];

/** How the length in front of a name is written: one byte, or since 6.1 up to two (ULEB128). */
export const LENGTH_FORMS = ["uleb128", "byte"] as const;
export type LengthForm = (typeof LENGTH_FORMS)[number];
