/** Recordings on this machine, for `viv perf`. */
import type { PerfPorts } from "./ports.ts";

/** All that is behind it is loaded only where a recording is read. */
export const RECORDINGS: PerfPorts = {
  open: async (directory) => {
    const [{ openRecording }, { NodeRecordingSource }] = await Promise.all([
      import("../../perf/recording.ts"),
      import("../../sys/node/recording-source.ts"),
    ]);
    return openRecording(new NodeRecordingSource(directory));
  },
  writers: {},
};
