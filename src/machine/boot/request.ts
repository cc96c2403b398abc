import { type Gpa, gpa, VivError } from "../../base/index.ts";
import type { Entropy } from "../ports.ts";
import type { Layout } from "./layout.ts";
import { hex, mib, PAGE } from "./layout.ts";
import type { MemoryRegion } from "./memory-map.ts";

/** What the user wants booted besides the kernel image, and how it gets into guest RAM. */

/** A file given to the kernel with a line of its own: PVH and Multiboot take several. */
export interface BootModule {
  readonly bytes: Uint8Array;
  readonly commandLine: string;
}

export interface BootRequest {
  readonly commandLine: string;
  /** The same as a first module without a command line. */
  readonly initrd?: Uint8Array | undefined;
  readonly modules?: readonly BootModule[] | undefined;
  /** What Multiboot puts before the command line, as a path would stand there. */
  readonly kernelName?: string | undefined;
  /** Guest physical address of the ACPI root pointer; 0 when there are no tables. */
  readonly acpiRsdp: number;
  readonly reserved?: readonly MemoryRegion[] | undefined;
  /** Where a kernel is put by chance (KASLR); without it, it lies where it was linked. */
  readonly entropy?: Entropy | undefined;
}

export const modulesOf = (request: BootRequest): readonly BootModule[] => [
  ...(request.initrd === undefined ? [] : [{ bytes: request.initrd, commandLine: "" }]),
  ...(request.modules ?? []),
];

/** The longest command line where the protocol itself sets no bound; a host limit against memory filled with text. */
export const MAX_COMMAND_LINE = 4095;

/** The command line as UTF-8, NUL at its end; `limit` counts without the NUL. */
export const commandLineBytes = (text: string, limit: number): Uint8Array => {
  const out: number[] = [];
  for (const character of text) {
    const code = character.codePointAt(0)!;
    if (code === 0) {
      throw new VivError(
        "kernel.unsupported",
        "the command line holds a NUL character, where the kernel would stop reading; remove it",
      );
    }
    if (code < 0x80) out.push(code);
    else if (code < 0x800) out.push(0xc0 | (code >> 6), 0x80 | (code & 63));
    else if (code < 0x10000) out.push(0xe0 | (code >> 12), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
    else out.push(0xf0 | (code >> 18), 0x80 | ((code >> 12) & 63), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
  }
  if (out.length > limit) {
    throw new VivError(
      "kernel.command-line-too-long",
      `the command line has ${out.length} bytes and this kernel takes ${limit}; shorten it`,
    );
  }
  out.push(0);
  return Uint8Array.from(out);
};

export const putCommandLine = (layout: Layout, text: string, limit = MAX_COMMAND_LINE): Gpa =>
  layout.put(commandLineBytes(text, limit), 16);

/** Puts an initrd on a page of its own, as high as `below` allows: there no kernel unpacks itself. */
export const putInitrd = (layout: Layout, initrd: Uint8Array, below: number): Gpa => {
  if (initrd.length === 0) return gpa(0);
  const at = layout.take(initrd.length, { align: PAGE, below, high: true });
  if (at === undefined) {
    throw new VivError(
      "initrd.does-not-fit",
      `the initrd of ${mib(initrd.length)} does not fit between the kernel and ${hex(Math.min(below, layout.ram.lowSize))}; ` +
        "give the guest more memory or use a smaller initrd",
    );
  }
  layout.ram.view(at, initrd.length)!.set(initrd);
  return at;
};
