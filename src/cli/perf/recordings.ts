/** Recordings on this machine, for `viv perf`. */
import type { Profile } from "../../perf/profile.ts";
import type { Parts, PerfPorts } from "./ports.ts";

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
    html: async () => {
      const page = await flamePages();
      return ({ profile }) => page(profile);
    },
    collapsed: async () => {
      const { collapsed } = await import("../../perf/formats/collapsed.ts");
      return ({ profile }) => collapsed(profile);
    },
  },
  diffPage: async () => {
    const page = await flamePages();
    return (baseline, now) => page(baseline.profile, now.profile);
  },
};

/** Flame graphs, each a page in one file. */
async function flamePages(): Promise<(profile: Profile, other?: Profile) => Parts> {
  const [{ html }, { flameOptions }] = await Promise.all([
    import("../../perf/html.ts"),
    import("../../sys/node/flame-page.ts"),
  ]);
  return (profile, other) => {
    const title = profile.guests.map(({ name }) => name).join(", ");
    return html(profile, { ...flameOptions(), title, ...(other && { other }) });
  };
}
