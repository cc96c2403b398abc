/** Builds the measured program from `bench/guest` with the host's compiler, and the initramfs that holds it as /init. */
import { execFile } from "node:child_process";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { writeCpio } from "#dist/image/cpio.js";

const COMPILER = "gcc";
/** The oldest x86-64, and no rewriting of byte loops: every contender executes the same plain instructions. */
const FLAGS = [
  "-O2 -march=x86-64 -static -nostdlib -ffreestanding -no-pie -fno-pie -fno-stack-protector -fcf-protection=none",
  "-ffp-contract=off -fno-tree-vectorize -fno-tree-loop-distribute-patterns",
].flatMap((line) => line.split(" "));

export interface Program {
  readonly path: string;
  readonly initrd: string;
  readonly compiler: string;
}

export async function buildProgram(directory: string): Promise<Program> {
  const run = promisify(execFile);
  const sources = fileURLToPath(new URL("../../bench/guest/", import.meta.url));
  const files = (await readdir(sources)).filter((name) => name.endsWith(".c")).map((name) => join(sources, name));
  const path = join(directory, "bench-guest");
  await run(COMPILER, [...FLAGS, "-o", path, ...files]);
  const initrd = join(directory, "initrd.cpio");
  await writeFile(
    initrd,
    writeCpio([
      { type: "directory", path: "dev", mode: 0o755 },
      { type: "character", path: "dev/console", mode: 0o600, major: 5, minor: 1 },
      { type: "file", path: "init", mode: 0o755, data: await readFile(path) },
    ]),
  );
  const version = (await run(COMPILER, ["-dumpfullversion"])).stdout.trim();
  return { path, initrd, compiler: `${COMPILER} ${version} ${FLAGS.slice(0, 2).join(" ")}` };
}
