/** `viv perf top`: where guests are right now, again and again. */
import { VivError } from "../../base/index.ts";
import { TOP_SORT } from "../../perf/report/top.ts";
import { TopView } from "../../perf/report/top-view.ts";
import type { RemoteVm } from "../../vmm/registry/remote-vm.ts";
import { watchedGuests } from "./live.ts";
import { sortOf } from "./options.ts";
import type { SamplingFlags } from "./record.ts";
import { isInteractive, showView } from "./terminal.ts";

export interface TopFlags extends SamplingFlags {
  readonly all: boolean;
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
    const { event, frequency, period, delay: every } = flags;
    const enough = new AbortController();
    let watching: Promise<unknown> = Promise.resolve();
    const status = await showView(view, (redraw) => {
      const options = { event, frequency, period, callGraph: false, every, signal: enough.signal };
      const watch = async (guest: RemoteVm): Promise<void> => {
        for await (const profile of guest.profiles(options)) {
          if (enough.signal.aborted) return;
          view.update(profile);
          redraw();
        }
      };
      watching = Promise.all(guests.map(watch));
      watching.catch(() => undefined);
      return () => enough.abort();
    });
    await watching;
    return status;
  } finally {
    for (const guest of guests) guest.disconnect();
  }
}
