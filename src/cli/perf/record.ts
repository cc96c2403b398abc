/** `viv perf record`: samples of guests that run, into a recording. */
import { mergeRecordings, saveRecordingOf } from "../../sys/node/recordings.ts";
import type { RecordOptions } from "../../vmm/observer/watch-options.ts";
import type { RemoteVm } from "../../vmm/registry/remote-vm.ts";
import { watchAll, watchedGuests } from "./live.ts";

export type SamplingFlags = Pick<RecordOptions, "event" | "frequency" | "period">;

export interface RecordFlags extends SamplingFlags {
  readonly callGraph: boolean;
  readonly output: string;
  readonly all: boolean;
  readonly seconds?: number | undefined;
}

export async function recordCommand(
  names: readonly string[],
  { event, frequency, period, callGraph, output, all, seconds }: RecordFlags,
  command: readonly string[] | undefined,
): Promise<number> {
  let guests: readonly RemoteVm[] = [];
  let summary = "";
  let status = 0;
  try {
    await saveRecordingOf(output, async () => {
      guests = await watchedGuests(names, all);
      const watched = await watchAll(guests, { seconds, command }, (guest, until) =>
        guest.record({ event, frequency, period, callGraph, ...until }),
      );
      status = watched.status;
      const recording = await mergeRecordings(watched.results, ["viv", ...process.argv.slice(2)]);
      const { samples, info } = recording.profile;
      const lost = info.lost > 0 ? `, ${info.lost} lost` : "";
      summary = `${samples.time.length} samples of ${guests.map(({ name }) => name).join(", ")}${lost}`;
      return recording;
    });
    process.stderr.write(`[ viv perf record: ${summary}, in ${output} ]\n`);
    return status;
  } finally {
    for (const guest of guests) guest.disconnect();
  }
}
