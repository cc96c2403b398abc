/** What goes with a profile out of a guest's memory, so that it can be read, and its code shown, when the guest is gone. */
import { MiB } from "../../base/index.ts";
import type { LinuxKernel } from "../../guest/linux-kernel.ts";
import { tryRead } from "../../guest/lists.ts";
import { formatGva } from "../../guest/memory.ts";
import type { GuestAttachments } from "./orders.ts";

/** Code of a kernel or module: real ones have 30 MiB at most. */
const MOST_TEXT = 128 * MiB;

/** Without a kernel (an opaque guest) there is nothing. */
export function attachmentsOf(
  kernel: LinuxKernel | undefined,
  files: ReadonlyMap<string, Uint8Array>,
): GuestAttachments {
  if (!kernel) return { kallsyms: new Uint8Array(), modules: new Uint8Array(), kernelText: [], files };
  const { space, symbols, modules } = kernel;
  const texts = [symbols.text, ...modules.flatMap(({ text }) => text)];
  return {
    kallsyms: lines(function* () {
      for (const { name, type, start, module } of symbols.all()) {
        yield `${formatGva(start)} ${type} ${name}${module === undefined ? "" : `\t[${module}]`}`;
      }
    }),
    modules: lines(function* () {
      for (const { name, size, base } of modules) yield `${name} ${size} 1 - Live 0x${formatGva(base)}`;
    }),
    kernelText: texts.flatMap(({ start, end }) => {
      const length = end - start;
      const bytes = length > 0 && length <= MOST_TEXT ? tryRead(() => space.bytes(start, length)) : undefined;
      return bytes ? [{ start, bytes }] : [];
    }),
    files,
  };
}

/** Latin-1, as the guest has its names. */
function lines(make: () => Iterable<string>): Uint8Array {
  const all = [...make()];
  const bytes = new Uint8Array(all.reduce((sum, line) => sum + line.length + 1, 0));
  let at = 0;
  for (const line of all) {
    for (let i = 0; i < line.length; i++) bytes[at++] = line.charCodeAt(i);
    bytes[at++] = 10;
  }
  return bytes;
}
