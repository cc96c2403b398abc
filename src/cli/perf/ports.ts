/** What the commands of `viv perf` need of others: recordings, and writers of other tools' formats. */
import type { CodeOf } from "../../perf/code.ts";
import type { Profile } from "../../perf/profile.ts";

export interface Recording {
  readonly profile: Profile;
  /** Guest code that was recorded with it; absent where none was. */
  readonly codeOf?: CodeOf;
}

/** A file's content, part by part. */
export type Parts = Iterable<string | Uint8Array> | AsyncIterable<string | Uint8Array>;

export type Writer = (recording: Recording) => Parts;

export interface PerfPorts {
  /** Throws VivError where there is no recording that can be read. */
  open(directory: string): Promise<Recording>;
  /** By the name of the format; each is loaded where it is asked for. */
  readonly writers: Readonly<Record<string, () => Promise<Writer>>>;
  /** A page that shows how two profiles differ. */
  readonly diffPage?: () => Promise<(baseline: Recording, now: Recording) => Parts>;
}
