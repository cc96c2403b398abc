/** A recording that is being written: a directory that only its owner may enter. */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { VivError } from "../../base/index.ts";
import { writeProfile } from "../../perf/file/file.ts";
import type { Profile } from "../../perf/profile.ts";
import { PROFILE_FILE } from "../../perf/recording.ts";
import type { GuestAttachments } from "../../vmm/observer/orders.ts";

const OWNER_ONLY = { directory: 0o700, file: 0o600 } as const;

export class RecordingDirectory {
  readonly #path: string;

  private constructor(path: string) {
    this.#path = path;
  }

  /** Throws VivError where something lies there that is no recording. */
  static at(path: string): RecordingDirectory {
    if (existsSync(path) && !isRecording(path)) {
      throw new VivError("perf.output", `${path} is there already and no recording: name another place with -o`);
    }
    return new RecordingDirectory(path);
  }

  /** One that was there before is kept beside it, as perf does. Throws VivError where it cannot be written. */
  async write(profile: Profile, _attachments: readonly GuestAttachments[]): Promise<void> {
    try {
      if (existsSync(this.#path)) {
        rmSync(`${this.#path}.old`, { recursive: true, force: true });
        renameSync(this.#path, `${this.#path}.old`);
      }
      mkdirSync(this.#path, { mode: OWNER_ONLY.directory });
      writeFileSync(join(this.#path, PROFILE_FILE), Buffer.concat([...writeProfile(profile)]), {
        mode: OWNER_ONLY.file,
      });
    } catch (cause) {
      throw new VivError(
        "perf.output",
        `${this.#path} cannot be written (${cause instanceof Error ? cause.message : String(cause)})`,
        { cause },
      );
    }
  }
}

const isRecording = (path: string): boolean =>
  statSync(path).isDirectory() && (existsSync(join(path, PROFILE_FILE)) || readdirSync(path).length === 0);
