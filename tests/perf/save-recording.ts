/** Leaves a recording at `directory`, for tests. */
import type { Attachments } from "../../src/perf/attachments.ts";
import type { Profile } from "../../src/perf/profile.ts";
import { writeRecording } from "../../src/perf/recording.ts";
import { NodeRecordingFiles } from "../../src/sys/node/recording-files.ts";

export async function saveRecording(directory: string, profile: Profile, attachments: Attachments): Promise<void> {
  const files = new NodeRecordingFiles(directory);
  await writeRecording(files, profile, attachments);
  files.finish();
}
