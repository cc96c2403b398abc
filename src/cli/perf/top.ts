/** `viv perf top`: where guests are right now, again and again. */
import { VivError } from "../../base/index.ts";
import { TOP_SORT } from "../../perf/report/top.ts";
import { TopView } from "../../perf/report/top-view.ts";
import { watchedGuests } from "./live.ts";
import { sortOf } from "./options.ts";
import { periodOf, type RecordFlags, recordGuests } from "./record.ts";
import { isInteractive, showView } from "./terminal.ts";

export interface TopFlags extends Pick<RecordFlags, "event" | "frequency" | "period" | "all"> {
  /** Seconds between two looks. */
  readonly delay: number;
  readonly sort?: string;
}

export async function topCommand(names: readonly string[], flags: TopFlags): Promise<number> {
  const sort = flags.sort === undefined ? TOP_SORT : sortOf(flags.sort);
  if (!isInteractive()) {
    throw new VivError(
      "perf.terminal",
      "viv perf top needs a terminal; viv perf record and viv perf report do without",
    );
  }
  const guests = await watchedGuests(names, flags.all);
  try {
    const view = new TopView({ sort, filter: {}, zero: false }, guests.map(({ name }) => name).join(", "));
    const order = { event: flags.event, period: periodOf(flags), callGraph: false, every: flags.delay * 1000 };
    let recording: Promise<unknown> = Promise.resolve();
    const status = await showView(view, (redraw) => {
      let enough = (_status: number): void => undefined;
      const stopped = new Promise<number>((resolve) => {
        enough = resolve;
      });
      recording = recordGuests(
        guests,
        order,
        (gone) => Promise.race([stopped, gone.then(() => 0)]),
        (_guest, profile) => {
          view.update(profile);
          redraw();
        },
      );
      recording.catch(() => undefined);
      return () => enough(0);
    });
    await recording;
    return status;
  } finally {
    for (const guest of guests) guest.disconnect();
  }
}
