/** Recordings on this machine, for `viv perf`. */
import type { Profile } from "../../perf/profile.ts";
import { flameGraph, openRecording, PROFILE_WRITERS } from "../../sys/node/recordings.ts";
import type { Parts, PerfPorts, Writer } from "./ports.ts";

const ofRecording =
  (load: () => Promise<(profile: Profile) => Parts>): (() => Promise<Writer>) =>
  async () => {
    const write = await load();
    return ({ profile }) => write(profile);
  };

export const RECORDINGS: PerfPorts = {
  open: openRecording,
  writers: Object.fromEntries(Object.entries(PROFILE_WRITERS).map(([format, load]) => [format, ofRecording(load)])),
  diffPage: async () => {
    const write = await flameGraph();
    return (baseline, now) => write(baseline.profile, now.profile);
  },
};
