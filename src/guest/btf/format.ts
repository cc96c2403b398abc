/** BTF as it lies in memory (Documentation/bpf/btf.rst): a header, type records, strings. */
import { struct, u8, u16, u32 } from "../../base/index.ts";

export const BTF_MAGIC = 0xeb9f;

export const BtfHeader = struct("btf_header", 24, {
  magic: u16,
  version: u8,
  flags: u8,
  headerLength: u32,
  typeOffset: u32,
  typeLength: u32,
  stringOffset: u32,
  stringLength: u32,
});

/** A kind of type: what follows its 12 bytes. */
interface Kind {
  readonly name: string;
  /** Bytes that follow once, and for each of the `vlen` members. */
  readonly once?: number;
  readonly each?: number;
}

/** By number. A kind that is not here ends the reading: where the next record begins is then not known. */
export const BTF_KINDS: readonly (Kind | undefined)[] = [
  undefined,
  { name: "int", once: 4 },
  { name: "pointer" },
  { name: "array", once: 12 },
  { name: "struct", each: 12 },
  { name: "union", each: 12 },
  { name: "enum", each: 8 },
  { name: "forward" },
  { name: "typedef" },
  { name: "volatile" },
  { name: "const" },
  { name: "restrict" },
  { name: "function" },
  { name: "prototype", each: 8 },
  { name: "variable", once: 4 },
  { name: "section", each: 12 },
  { name: "float" },
  { name: "declaration tag", once: 4 },
  { name: "type tag" },
  { name: "enum64", each: 12 },
];

const kind = (name: string): number => BTF_KINDS.findIndex((row) => row?.name === name);

export const INT = kind("int");
export const POINTER = kind("pointer");
export const ARRAY = kind("array");
export const STRUCT = kind("struct");
export const UNION = kind("union");
export const ENUM = kind("enum");
export const TYPEDEF = kind("typedef");
export const ENUM64 = kind("enum64");
/** Have the size of the type they name. */
export const TRANSPARENT: ReadonlySet<number> = new Set(
  ["typedef", "volatile", "const", "restrict", "type tag"].map(kind),
);
/** Are found by name. */
export const NAMED: ReadonlySet<number> = new Set([STRUCT, UNION, ENUM, ENUM64, TYPEDEF]);
/** Have a size of their own. */
export const SIZED: ReadonlySet<number> = new Set([INT, STRUCT, UNION, ENUM, ENUM64, kind("float"), kind("section")]);
