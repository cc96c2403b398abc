/** Recordings on this machine's disk, and the files that other tools read. All that is behind it is loaded where it is needed. */
import { VivError } from "../../base/index.ts";
import type { Parts, RecordedGuests } from "../../perf/attachments.ts";
import type { Profile } from "../../perf/profile.ts";
import type { Recording } from "../../perf/recording.ts";

/**
 * Writes a recording into a directory that only its owner can read: `viv perf report` and Linux `perf report` open it. One that is there is
 * kept as `DIRECTORY.old`. Throws VivError `perf.output`: something else is there, or it cannot be written.
 */
export const saveRecording = (directory: string, recording: RecordedGuests): Promise<void> =>
  saveRecordingOf(directory, () => Promise.resolve(recording));

/** As `saveRecording`; that the directory can be written is known before the recording is made. */
export async function saveRecordingOf(directory: string, make: () => Promise<RecordedGuests>): Promise<void> {
  const [{ writeRecording }, { NodeRecordingFiles }] = await Promise.all([
    import("../../perf/recording.ts"),
    import("./recording-files.ts"),
  ]);
  const files = new NodeRecordingFiles(directory);
  try {
    const { profile, attachments } = await make();
    await writeRecording(files, profile, attachments);
    files.finish();
  } finally {
    files.discard();
  }
}

/** A recording that `saveRecording` or `viv perf record` left. Throws VivError `perf.recording`, of one line. */
export async function openRecording(directory: string): Promise<Recording> {
  const [{ openRecording: open }, { NodeRecordingSource }] = await Promise.all([
    import("../../perf/recording.ts"),
    import("./recording-source.ts"),
  ]);
  return open(new NodeRecordingSource(directory));
}

/** Recordings of several guests, made at the same time and by the same event, as one. Throws VivError `perf.nothing` where there is none. */
export async function mergeRecordings(
  recordings: readonly RecordedGuests[],
  command: readonly string[] = [],
): Promise<RecordedGuests> {
  return (await import("../../perf/merge.ts")).mergeRecordings(recordings, command);
}

/** A page of its own; `other` is what came later. Titles are the profile's: of whom, and of what. */
export async function flameGraph(): Promise<(profile: Profile, other?: Profile) => Iterable<string>> {
  const [{ html, titleOf }, { flameOptions }] = await Promise.all([
    import("../../perf/html.ts"),
    import("./flame-page.ts"),
  ]);
  const options = flameOptions();
  return (profile, other) =>
    html(profile, { ...options, title: titleOf(profile, other), ...(other === undefined ? {} : { other }) });
}

/** What makes a file of a profile, by the format's name; docs/recordings.md says who opens it. */
export const PROFILE_WRITERS = {
  pprof: async () => {
    const [{ pprof }, { gzip }] = await Promise.all([import("../../perf/formats/pprof.ts"), import("./gzip.ts")]);
    return (profile) => gzip(pprof(profile));
  },
  firefox: async () => (await import("../../perf/formats/firefox.ts")).firefox,
  speedscope: async () => (await import("../../perf/formats/speedscope.ts")).speedscope,
  collapsed: async () => (await import("../../perf/formats/collapsed.ts")).collapsed,
  html: flameGraph,
} as const satisfies Readonly<Record<string, () => Promise<(profile: Profile) => Parts>>>;
export type ProfileFormat = keyof typeof PROFILE_WRITERS;

/** The file's content, part by part: texts are UTF-8. Throws VivError `perf.format` where the format is not known. */
export async function* exportProfile(
  profile: Profile,
  format: ProfileFormat,
): AsyncGenerator<Uint8Array | string, void, undefined> {
  if (!Object.hasOwn(PROFILE_WRITERS, format)) {
    const known = Object.keys(PROFILE_WRITERS).join(", ");
    throw new VivError("perf.format", `${String(format)} is no format: choose from ${known}`);
  }
  const write: (profile: Profile) => Parts = await PROFILE_WRITERS[format]();
  yield* write(profile);
}
