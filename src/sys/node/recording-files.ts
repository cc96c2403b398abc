/**
 * Recordings (`perf/recording.ts`) on this machine's disk: they hold what guests did, so nobody but their owner may read them. A new one is
 * put together beside its place, and takes it when it is whole; the one before becomes `DIR.old`, as perf does with its files.
 */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, symlinkSync } from "node:fs";
import { mkdir, open } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { VivError } from "../../base/index.ts";
import type { Parts } from "../../perf/attachments.ts";
import { PERF_FILE, PROFILE_FILE, type RecordingFiles } from "../../perf/recording.ts";

const PRIVATE_FOLDER = 0o700;
const PRIVATE_FILE = 0o600;
/** Small parts are written together. */
const BATCH = 1 << 20;

export class NodeRecordingFiles implements RecordingFiles {
  readonly directory: string;
  readonly #unfinished: string;

  /** Throws VivError where a recording cannot be put: something else is there, or nothing may be written. */
  constructor(directory: string) {
    this.directory = resolve(directory);
    refuseOther(this.directory);
    refuseOther(`${this.directory}.old`);
    this.#unfinished = `${this.directory}.${process.pid}.part`;
    toUser(this.directory, () => {
      rmSync(this.#unfinished, { recursive: true, force: true });
      mkdirSync(this.#unfinished, { mode: PRIVATE_FOLDER });
    });
  }

  async write(path: string, content: Parts): Promise<void> {
    const whole = this.#at(path);
    try {
      await mkdir(dirname(whole), { recursive: true, mode: PRIVATE_FOLDER });
      const file = await open(whole, "wx", PRIVATE_FILE);
      try {
        for await (const batch of batches(content)) await file.writeFile(batch);
      } finally {
        await file.close();
      }
    } catch (error) {
      throw fileError(this.directory, error);
    }
  }

  async link(path: string, target: string): Promise<void> {
    const whole = this.#at(path);
    toUser(this.directory, () => {
      mkdirSync(dirname(whole), { recursive: true, mode: PRIVATE_FOLDER });
      symlinkSync(target, whole);
    });
  }

  /** Puts the recording in its place. */
  finish(): void {
    toUser(this.directory, () => {
      refuseOther(this.directory);
      if (existsSync(this.directory)) {
        refuseOther(`${this.directory}.old`);
        rmSync(`${this.directory}.old`, { recursive: true, force: true });
        renameSync(this.directory, `${this.directory}.old`);
      }
      renameSync(this.#unfinished, this.directory);
    });
  }

  /** Removes what was written so far; nothing once it is finished. */
  discard(): void {
    rmSync(this.#unfinished, { recursive: true, force: true });
  }

  #at(path: string): string {
    if (!/^[\w.-]+(\/[\w.-]+)*$/.test(path) || path.split("/").includes(".."))
      throw new RangeError(`${path} is no place in a recording`);
    return join(this.#unfinished, path);
  }
}

/** Anything but a recording, or an empty folder, is the user's. */
function refuseOther(directory: string): void {
  const stat = statSync(directory, { throwIfNoEntry: false });
  if (stat === undefined) return;
  const own = stat.isDirectory() && existsSync(join(directory, PROFILE_FILE)) && existsSync(join(directory, PERF_FILE));
  if (own || (stat.isDirectory() && readdirSync(directory).length === 0)) return;
  throw new VivError(
    "perf.output",
    `${directory} is there and is no recording of viv perf: give another directory with -o`,
  );
}

async function* batches(content: Parts): AsyncGenerator<Uint8Array> {
  let held: Uint8Array[] = [];
  let size = 0;
  for await (const part of content) {
    const bytes = typeof part === "string" ? Buffer.from(part) : part;
    held.push(bytes);
    size += bytes.length;
    if (size < BATCH) continue;
    yield held.length === 1 ? held[0]! : Buffer.concat(held, size);
    [held, size] = [[], 0];
  }
  if (size > 0) yield Buffer.concat(held, size);
}

function toUser<Result>(directory: string, action: () => Result): Result {
  try {
    return action();
  } catch (error) {
    throw fileError(directory, error);
  }
}

function fileError(directory: string, error: unknown): unknown {
  if (!(error instanceof Error) || !("syscall" in error)) return error;
  const message = `${directory} cannot be written: ${error.message}; give another directory with -o`;
  return new VivError("perf.output", message, { cause: error });
}
