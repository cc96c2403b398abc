/** Recordings (`perf/recording.ts`) on this machine's disk, to be read. */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { VivError } from "../../base/index.ts";
import type { RecordingSource } from "../../perf/recording.ts";

export class NodeRecordingSource implements RecordingSource {
  readonly name: string;

  constructor(directory: string) {
    this.name = directory;
  }

  size(path: string): number | undefined {
    return this.#open(path, (file) => fstatSync(file).size);
  }

  read(path: string, offset: number, length: number): Uint8Array {
    const bytes = this.#open(path, (file) => {
      const into = new Uint8Array(Math.max(0, Math.min(length, fstatSync(file).size - offset)));
      let at = 0;
      while (at < into.length) {
        const got = readSync(file, into, at, into.length - at, offset + at);
        if (got === 0) break;
        at += got;
      }
      return into.subarray(0, at);
    });
    return bytes ?? new Uint8Array();
  }

  #open<Result>(path: string, use: (file: number) => Result): Result | undefined {
    const whole = join(this.name, path);
    let file: number | undefined;
    try {
      file = openSync(whole, "r");
      return use(file);
    } catch (error) {
      const code = error instanceof Error && "code" in error ? error.code : undefined;
      if (code === "ENOENT" || code === "ENOTDIR") return undefined;
      if (code === undefined) throw error;
      const reason = error instanceof Error ? error.message : String(error);
      throw new VivError("perf.recording", `${whole} cannot be read: ${reason}`, { cause: error });
    } finally {
      if (file !== undefined) closeSync(file);
    }
  }
}
