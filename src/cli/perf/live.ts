/** Guests that are being watched: the requests to all of them at once, and when they end. */
import { spawn } from "node:child_process";
import { constants } from "node:os";
import { VivError } from "../../base/index.ts";
import { connectGuest, listGuests } from "../../sys/node/registry/guests.ts";
import type { WatchOptions } from "../../vmm/observer/watch-options.ts";
import type { RemoteVm } from "../../vmm/registry/remote-vm.ts";
import { EXIT } from "../exit-status.ts";
import { watchSignals } from "../interruption.ts";

/** The guests that were named, or all. Throws VivError where there is none. */
export async function watchedGuests(names: readonly string[], all: boolean): Promise<readonly RemoteVm[]> {
  if (names.length > 0 && all) throw new VivError("usage.perf", "name guests, or all of them with -a: not both");
  const wanted = names.length > 0 ? names : (await listGuests()).map(({ name }) => name);
  if (wanted.length === 0) throw new VivError("perf.no-guest", "no guest of yours runs: start one with viv run");
  return Promise.all(wanted.map((name) => connectGuest(name)));
}

/**
 * Watches all of them, each with `watch`, until it is time to stop. What each gave, and the exit status of `until`. One that ends before its
 * time, or refuses, ends all.
 */
export async function watchAll<Result>(
  guests: readonly RemoteVm[],
  time: Until,
  watch: (guest: RemoteVm, until: WatchOptions) => Promise<Result>,
): Promise<{ readonly results: readonly Result[]; readonly status: number }> {
  const enough = new AbortController();
  const pending = guests.map((guest) => watch(guest, { signal: enough.signal }));
  const gone = Promise.race(pending);
  // Who waits for it hears of it below.
  const over = gone.catch(() => undefined);
  const status = await Promise.race([until(time, over), gone.then(() => EXIT.ok)]);
  enough.abort();
  return { results: await Promise.all(pending), status };
}

export interface Until {
  readonly seconds?: number | undefined;
  /** A command of the host: as long as it runs. */
  readonly command?: readonly string[] | undefined;
}

/**
 * Settles when it is time to stop: at Ctrl-C, after some seconds, when the host's command ends, or `gone`. With the exit status: the
 * command's, and 0 where somebody just had enough.
 */
export async function until({ seconds, command }: Until, gone: Promise<unknown>): Promise<number> {
  const signals = watchSignals();
  try {
    const interrupted = new Promise<number>((resolve) => {
      signals.listen((signal) => resolve(signal === "SIGINT" ? EXIT.ok : EXIT.signal + constants.signals[signal]));
    });
    const waits: Promise<number>[] = [interrupted, gone.then(() => EXIT.ok)];
    let timer: NodeJS.Timeout | undefined;
    if (seconds !== undefined) {
      waits.push(
        new Promise((resolve) => {
          timer = setTimeout(resolve, seconds * 1000, EXIT.ok);
        }),
      );
    }
    if (command !== undefined) waits.push(run(command));
    const status = await Promise.race(waits);
    clearTimeout(timer);
    return status;
  } finally {
    signals.end();
  }
}

const run = ([program = "", ...words]: readonly string[]): Promise<number> =>
  new Promise((resolve, reject) => {
    const child = spawn(program, words, { stdio: "inherit" });
    child.on("error", (cause) => {
      reject(
        new VivError("perf.command", `${program} cannot be run (${cause.message}): it is a command of this host`, {
          cause,
        }),
      );
    });
    child.on("exit", (code, signal) => resolve(code ?? EXIT.signal + constants.signals[signal ?? "SIGTERM"]));
  });
