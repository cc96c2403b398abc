/** `viv perf export`, and other files made of recordings. */
import { open, rename, rm } from "node:fs/promises";
import { VivError } from "../../base/index.ts";
import { EXIT } from "../exit-status.ts";
import { writeTo } from "../output.ts";
import type { Parts, PerfPorts } from "./ports.ts";
import type { ExportFlags } from "./program.ts";

export async function exportCommand(ports: PerfPorts, flags: ExportFlags): Promise<number> {
  const load = ports.writers[flags.format];
  if (load === undefined) throw new VivError("usage.perf", `--format ${flags.format} is not known`);
  const [recording, writer] = await Promise.all([ports.open(flags.input), load()]);
  await writeFile(flags.output, writer(recording));
  return EXIT.ok;
}

const bytesOf = (part: string | Uint8Array): Uint8Array => (typeof part === "string" ? Buffer.from(part) : part);

/** To a file that is there whole or not at all; to standard output where there is no name. */
export async function writeFile(path: string | undefined, parts: Parts): Promise<void> {
  if (path === undefined || path === "-") {
    for await (const part of parts) {
      await writeTo(process.stdout, bytesOf(part));
      if (process.stdout.destroyed) return;
    }
    return;
  }
  const unfinished = `${path}.${process.pid}.part`;
  try {
    const file = await open(unfinished, "wx");
    try {
      for await (const part of parts) await file.writeFile(bytesOf(part));
    } finally {
      await file.close();
    }
    await rename(unfinished, path);
  } catch (error) {
    await rm(unfinished, { force: true });
    if (error instanceof Error && "code" in error && "syscall" in error) {
      throw new VivError("perf.output", `${path} cannot be written: ${error.message}`, { cause: error });
    }
    throw error;
  }
}
