/** From a configuration to what the machine boots. */
import { type ConsoleRequest, consoleParameters } from "../image/console.ts";
import type { Guest } from "../image/index.ts";
import type { ResolvedConfig } from "./config.ts";
import type { BootFile, BootSpec } from "./machine.ts";

/** The default guest, with a shell on its console where one is asked for. */
export function bootDefaultGuest(
  guest: Pick<BootSpec, "kernel" | "initrd"> & Pick<Guest, "kernelCommandLine">,
  { append, onReset }: ResolvedConfig,
  console: ConsoleRequest | undefined,
): BootSpec {
  const words = [guest.kernelCommandLine, console && consoleParameters(console), append];
  return {
    kernel: guest.kernel,
    initrd: guest.initrd,
    commandLine: words.filter((word) => word !== undefined && word !== "").join(" "),
    onReset,
  };
}

/**
 * A kernel of the user's. `find` makes of a file's name, which `what` explains in messages, what the machine's host can read; bytes become
 * the machine's.
 */
export async function bootOwnKernel(
  { initrd, append, onReset }: ResolvedConfig,
  kernel: string | Uint8Array,
  find: (name: string, what: string) => Promise<BootFile> | BootFile,
): Promise<BootSpec> {
  /** The caller's own bytes are copied. */
  const content = (file: string | Uint8Array, what: string): Promise<BootFile> | BootFile =>
    typeof file === "string" ? find(file, what) : Uint8Array.from(file);
  return {
    kernel: await content(kernel, "kernel"),
    initrd: initrd === undefined ? undefined : await content(initrd, "initrd"),
    commandLine: append ?? "",
    onReset,
  };
}
