/**
 * What generated code asks of TypeScript: devices, time, decoding, and instructions too rare to be written twice as fast.
 * Name → parameters → results. 64-bit values pass through the state's scratch fields, never as BigInt.
 */
import type { Signature, ValType } from "../../wasm/index.ts";

const rows = {
  /** (guest physical address, bytes) → value. */
  mmio_read: "f64 i32 > i32",
  mmio_write: "f64 i32 i32 >",
  /** (RAM offset of the page, codeKey) → code page. May drop all code pages. */
  new_code_page: "i32 i32 > i32",
  /** (code page, offset in it) → record; decodes the block that starts there. */
  decode: "i32 i32 > i32",
  /** (record of an instruction that lies across two pages) → record to run, 0 with an exception pending. */
  decode_across: "i32 > i32",
  /** (port, bytes) → value. */
  port_read: "i32 i32 > i32",
  port_write: "i32 i32 i32 >",
  /** Time-stamp counter without the guest's offset, exact below 2^53. */
  read_tsc: "> f64",
  /** 64 random bits, to scratch0. */
  read_random: ">",
  /** (record of a jump): it was taken often, now to the linear address in scratch0. */
  hot: "i32 >",
  /** (table slot of a region, 1 where a jump with many targets left it): it was left often, now to the linear address in scratch0. */
  left_often: "i32 i32 >",
  /** Compiled code went often to code that is not compiled: to the linear address in scratch0. */
  entered: ">",
  /** (code page): compiled code made of it is out of date. */
  drop_regions: "i32 >",
  /** One of the operations of cpu/system by number; 0: done, 1: an exception is pending. */
  system: "i32 > i32",
} as const;

export type ImportName = keyof typeof rows;

export const IMPORTS: readonly (Signature & { readonly name: ImportName })[] = Object.entries(rows).map(
  ([name, text]) => {
    const [params = "", results = ""] = text.split(">");
    const types = (list: string) => list.split(" ").filter(Boolean) as ValType[];
    return { name: name as ImportName, params: types(params), results: types(results) };
  },
);

/** How many operands and results each import has, as TypeScript implements them. */
export type Imports = { readonly [Name in ImportName]: (...operands: number[]) => number | undefined };
