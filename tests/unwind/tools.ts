/** Tools and files of this host that tests compare with. */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, readFileSync, realpathSync } from "node:fs";
import type { FileBytes } from "../../src/guest/elf/elf.ts";

export const has = (command: string): boolean => {
  try {
    execFileSync(command, ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
};

/** What a tool prints. Some complain of stripped files, and print all there is. */
export const output = (command: string, ...words: string[]): string =>
  spawnSync(command, words, { encoding: "utf8", maxBuffer: 1 << 29 }).stdout;

/** A library as the compiler finds it; undefined where there is none. */
export function library(name: string): string | undefined {
  const path = output("gcc", `-print-file-name=${name}`).trim();
  return path !== name && existsSync(path) ? realpathSync(path) : undefined;
}

export const bytesOf = (bytes: Uint8Array): FileBytes => ({
  read: (offset, length) => (offset + length <= bytes.length ? bytes.subarray(offset, offset + length) : undefined),
});
export const fileOf = (path: string): FileBytes => bytesOf(readFileSync(path));

/** As `file`, with some bytes missing. */
export const withHoles = (file: FileBytes, isMissing: (from: number, end: number) => boolean): FileBytes => ({
  read: (offset, length) => (isMissing(offset, offset + length) ? undefined : file.read(offset, length)),
});
