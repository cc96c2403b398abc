/**
 * A recording: the directory that `viv perf record` leaves. It holds our own profile, which all reports of ours begin with, what was
 * taken out of the guests' memory beside it, and Linux perf's own files, so that perf opens the directory as one of its own:
 *
 *     profile                       file/file.ts
 *     data                          perf-data/data-file.ts
 *     kcore_dir__PID/kallsyms       each guest's kernel symbols, PID being perf's number for the guest
 *     kcore_dir__PID/modules
 *     code/BUILD-ID/elf             code by build-id; `vdso` and `kallsyms` where perf calls it so
 *     .build-id/xx/…                links to these
 *
 * `perf report -i DIR` names kernels and modules. For the names of programs, and to annotate, perf has to be told where files by build-id
 * are: `perf --buildid-dir DIR report -i DIR`.
 */
import { VivError } from "../base/index.ts";
import type { Attachments, Parts } from "./attachments.ts";
import { type CodeOf, recordedCode } from "./code.ts";
import { readProfile, writeProfile } from "./file/file.ts";
import { perfDataFile } from "./perf-data/data-file.ts";
import { codeFiles, kernelFiles } from "./perf-data/guest-files.ts";
import { Places } from "./perf-data/places.ts";
import type { Profile } from "./profile.ts";

/** Our own file in it. */
export const PROFILE_FILE = "profile";
/** perf's. */
export const PERF_FILE = "data";

/** Where a recording is written. Paths are relative, of letters that no guest chose. */
export interface RecordingFiles {
  /** Writes a new file, and the folders it is in. */
  write(path: string, content: Parts): Promise<void>;
  /** Makes a symbolic link. */
  link(path: string, target: string): Promise<void>;
}

/** The files of a recording, to be read. Paths are relative to it. */
export interface RecordingSource {
  /** What the recording is called in messages. */
  readonly name: string;
  /** Bytes of a file; undefined where there is no such file. Throws VivError where it cannot be read. */
  size(path: string): number | undefined;
  /** A part of a file, shorter where the file ends, empty where there is none. Throws VivError where it cannot be read. */
  read(path: string, offset: number, length: number): Uint8Array;
}

export interface Recording {
  readonly profile: Profile;
  readonly codeOf: CodeOf;
}

export async function writeRecording(files: RecordingFiles, profile: Profile, attachments: Attachments): Promise<void> {
  await files.write(PROFILE_FILE, writeProfile(profile));
  const places = new Places(profile);
  await files.write(PERF_FILE, perfDataFile(places));
  for (const { path, content } of kernelFiles(places, attachments)) await files.write(path, content);
  for (const { path, content, link } of codeFiles(places, attachments)) {
    await files.write(path, content);
    await files.link(link.path, link.target);
  }
}

/** Throws VivError, of one line. */
export function readRecording(source: RecordingSource): Profile {
  const size = source.size(PROFILE_FILE);
  if (size === undefined) {
    throw new VivError("perf.recording", `${source.name} is no recording of viv perf record: it has no file "profile"`);
  }
  return readProfile(source.read(PROFILE_FILE, 0, size), `${source.name}/${PROFILE_FILE}`);
}

/** The profile, and the code beside it. Throws VivError, of one line. */
export function openRecording(source: RecordingSource): Recording {
  const profile = readRecording(source);
  return { profile, codeOf: recordedCode(source, profile) };
}
