/**
 * A recording: the directory that `viv perf record` leaves. It holds our own profile, which all reports of ours begin with, what was
 * taken out of the guests' memory beside it, and Linux perf's own files, so that perf opens the directory as one of its own.
 */
import { VivError } from "../base/index.ts";
import { readProfile } from "./file/file.ts";
import type { Profile } from "./profile.ts";

/** Our own file in it. */
export const PROFILE_FILE = "profile";

/** The files of a recording, to be read. Paths are relative to it. */
export interface RecordingSource {
  /** What the recording is called in messages. */
  readonly name: string;
  /** Bytes of a file; undefined where there is no such file. Throws VivError where it cannot be read. */
  size(path: string): number | undefined;
  /** A part of a file, shorter where the file ends. Throws VivError where it cannot be read. */
  read(path: string, offset: number, length: number): Uint8Array;
}

/** Throws VivError, of one line. */
export function readRecording(source: RecordingSource): Profile {
  const size = source.size(PROFILE_FILE);
  if (size === undefined) {
    throw new VivError("perf.recording", `${source.name} is no recording of viv perf record: it has no file "profile"`);
  }
  return readProfile(source.read(PROFILE_FILE, 0, size), `${source.name}/${PROFILE_FILE}`);
}
