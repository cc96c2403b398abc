/** Recordings on this machine, for `viv perf`. */
import type { Profile } from "../../perf/profile.ts";
import type { PerfPorts } from "./ports.ts";

/** A page of its own; `other` is what came later. Titles are the profile's: of whom, and of what. */
async function flameGraph(): Promise<(profile: Profile, other?: Profile) => Iterable<string>> {
  const [{ html, titleOf }, { flameOptions }] = await Promise.all([
    import("../../perf/html.ts"),
    import("../../sys/node/flame-page.ts"),
  ]);
  const options = flameOptions();
  return (profile, other) =>
    html(profile, { ...options, title: titleOf(profile, other), ...(other === undefined ? {} : { other }) });
}

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
      const [{ pprof }, { gzip }] = await Promise.all([
        import("../../perf/formats/pprof.ts"),
        import("../../sys/node/gzip.ts"),
      ]);
      return ({ profile }) => gzip(pprof(profile));
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
    html: async () => {
      const write = await flameGraph();
      return ({ profile }) => write(profile);
    },
  },
  diffPage: async () => {
    const write = await flameGraph();
    return (baseline, now) => write(baseline.profile, now.profile);
  },
};
