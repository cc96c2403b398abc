/** `viv perf stat`: why guests left guest code, how often and for how long. */
import { statLines } from "../../perf/report/stat.ts";
import { writeTo } from "../output.ts";
import { watchAll, watchedGuests } from "./live.ts";

export interface StatFlags {
  readonly all: boolean;
  readonly seconds?: number | undefined;
  readonly sort: "samples" | "time";
  readonly histogram: boolean;
  readonly json: boolean;
}

export async function statCommand(
  names: readonly string[],
  flags: StatFlags,
  command: readonly string[] | undefined,
): Promise<number> {
  const guests = await watchedGuests(names, flags.all);
  try {
    const time = { seconds: flags.seconds, command };
    const { results: reports, status } = await watchAll(guests, time, async (guest, until) => ({
      guest: guest.name,
      ...(await guest.countExits(until)),
    }));
    const text = flags.json
      ? `${JSON.stringify(reports, undefined, 2)}\n`
      : reports.map((report) => [...statLines(report, flags)].map((line) => `${line}\n`).join("")).join("\n");
    await writeTo(process.stdout, Buffer.from(text));
    return status;
  } finally {
    for (const guest of guests) guest.disconnect();
  }
}
