/** From a configuration to what the machine boots. */
import { type ConsoleRequest, consoleParameters } from "../image/console.ts";
import type { Guest } from "../image/index.ts";
import type { ResolvedConfig } from "./config.ts";
import type { BootSpec } from "./machine.ts";

/** The default guest, with a shell on its console where one is asked for. */
export function bootDefaultGuest(
  guest: Pick<Guest, "kernel" | "initrd" | "kernelCommandLine">,
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

/** A kernel of the user's. `read` fetches a file by its name, which `what` explains in messages; the bytes become the machine's. */
export async function bootOwnKernel(
  { initrd, append, onReset }: ResolvedConfig,
  kernel: string | Uint8Array,
  read: (name: string, what: string) => Promise<Uint8Array>,
): Promise<BootSpec> {
  /** The caller's own bytes are copied. */
  const content = (file: string | Uint8Array, what: string): Promise<Uint8Array> | Uint8Array =>
    typeof file === "string" ? read(file, what) : Uint8Array.from(file);
  return {
    kernel: await content(kernel, "kernel"),
    initrd: initrd === undefined ? undefined : await content(initrd, "initrd"),
    commandLine: append ?? "",
    onReset,
  };
}
