/** Guests' names on their way into files that others parse: they end where they should, and say nothing but themselves. */
import { encodeUtf8 } from "../base/index.ts";

/** perf takes this much of a name (KSYM_NAME_LEN, PATH_MAX), less the NUL. Stops names that fill the disk. */
const MAX_SYMBOL = 511;
const MAX_PATH = 4095;
/** Of a module (MODULE_NAME_LEN). */
const MAX_MODULE = 55;
/** In a line of kallsyms, a module's name with its tab and brackets counts as well. */
const MAX_LINE_SYMBOL = MAX_SYMBOL - MAX_MODULE - "\t[]".length;
/** The kernel's are 15 bytes; of others a bit more may be told. */
const MAX_COMM = 63;

/** At most `most` bytes, and no half of a character. */
function cut(bytes: Uint8Array, most: number): Uint8Array {
  if (bytes.length <= most) return bytes;
  let end = most;
  while (end > 0 && (bytes[end]! & 0xc0) === 0x80) end--;
  return bytes.subarray(0, end);
}

/** Control characters and ends of lines. */
const CONTROL = /[\p{Cc}\p{Zl}\p{Zp}]/gu;
const BLANK = /[\p{Cc}\s]/gu;

/** A name in a line of kallsyms or modules, which blanks end. */
export const symbolName = (name: string): string => name.slice(0, MAX_LINE_SYMBOL).replace(BLANK, "_") || "_";
/** A name in an ELF file, which NUL ends; perf prints the rest as it is. */
export const elfName = (name: string): string => name.slice(0, MAX_SYMBOL).replace(CONTROL, "?");
/** A module's name, as modules have them: none that perf would take for the kernel. */
export const moduleName = (name: string): string => name.slice(0, MAX_MODULE).replace(/[^\w-]/g, "_") || "_";

/** Names in records: NUL ends them, and perf prints the rest as it is. */
export const commBytes = (name: string): Uint8Array => cut(encodeUtf8(name.replace(CONTROL, "?")), MAX_COMM);
export const pathBytes = (path: string): Uint8Array => cut(encodeUtf8(path.replace(CONTROL, "?")), MAX_PATH);
