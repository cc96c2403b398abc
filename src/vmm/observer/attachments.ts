/** What goes with a profile out of a guest's memory, so that it can be read, and its code shown, when the guest is gone. */
import { encodeUtf8, MiB } from "../../base/index.ts";
import type { LinuxKernel } from "../../guest/linux-kernel.ts";
import { tryRead } from "../../guest/lists.ts";
import { kallsymsText, modulesText } from "../../perf/attachments.ts";

/** Code of a kernel or module: real ones have 30 MiB at most. */
const MOST_TEXT = 128 * MiB;

/** Lines end with a newline. */
export interface RecordedMemory {
  /** As /proc/kallsyms. */
  readonly kallsyms: Uint8Array;
  /** As /proc/modules. */
  readonly modules: Uint8Array;
  /** Code of the kernel and of its modules, as it is in memory. */
  readonly kernelText: readonly { readonly start: number; readonly bytes: Uint8Array }[];
  /** Programs and libraries by build-id. */
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/** Without a kernel (an opaque guest) there is nothing. */
export function attachmentsOf(kernel: LinuxKernel | undefined, files: ReadonlyMap<string, Uint8Array>): RecordedMemory {
  if (!kernel) return { kallsyms: new Uint8Array(), modules: new Uint8Array(), kernelText: [], files };
  const { space, symbols, modules } = kernel;
  const texts = [symbols.text, ...modules.flatMap(({ text }) => text)];
  return {
    kallsyms: bytesOf(kallsymsText(symbols.all())),
    modules: bytesOf(modulesText(modules.map(({ name, base, size }) => ({ name, start: base, length: size })))),
    kernelText: texts.flatMap(({ start, end }) => {
      const length = end - start;
      const bytes = length > 0 && length <= MOST_TEXT ? tryRead(() => space.bytes(start, length)) : undefined;
      return bytes ? [{ start, bytes }] : [];
    }),
    files,
  };
}

function bytesOf(lines: Iterable<string>): Uint8Array {
  return encodeUtf8([...lines].join(""));
}
