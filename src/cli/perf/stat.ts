/** `viv perf stat`: why guests left guest code, how often and for how long. */
import { decodeUtf8 } from "../../base/index.ts";
import { statLines } from "../../perf/report/stat.ts";
import type { ExitReport } from "../../vmm/observer/orders.ts";
import { LOOK } from "../../vmm/observer/requests.ts";
import { EXIT } from "../exit-status.ts";
import { writeTo } from "../output.ts";
import { until, watchedGuests } from "./live.ts";

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
    const parts = guests.map((): Uint8Array[] => []);
    const pending = guests.map((guest, i) => {
      const report = (data: Uint8Array) => void parts[i]!.push(data.slice());
      return guest.connection.request(LOOK.exits, {}, { output: { report } });
    });
    const gone = Promise.race(pending.map(({ answer }) => answer));
    gone.catch(() => undefined);
    const time = { seconds: flags.seconds, command };
    const status = await Promise.race([
      until(
        time,
        gone.catch(() => undefined),
      ),
      gone.then(() => EXIT.ok),
    ]);
    for (const one of pending) one.send({ stop: true });
    await Promise.all(pending.map(({ answer }) => answer));
    const reports = guests.map(({ name }, i) => ({
      guest: name,
      ...(JSON.parse(decodeUtf8(Buffer.concat(parts[i]!))) as ExitReport),
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
