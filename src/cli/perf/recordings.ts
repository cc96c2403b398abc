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
  writers: {
    pprof: async () => {
      const [{ pprof }, { gzipped }] = await Promise.all([import("../../perf/formats/pprof.ts"), import("./gzip.ts")]);
      return ({ profile }) => gzipped(pprof(profile));
    },
    firefox: async () => {
      const { firefox } = await import("../../perf/formats/firefox.ts");
      return ({ profile }) => firefox(profile);
    },
    speedscope: async () => {
      const { speedscope } = await import("../../perf/formats/speedscope.ts");
      return ({ profile }) => speedscope(profile);
    },
    collapsed: async () => {
      const { collapsed } = await import("../../perf/formats/collapsed.ts");
      return ({ profile }) => collapsed(profile);
    },
  },
};
