/** `viv stop|kill|pause|resume NAME...`: each prints the names of the guests it was done with. */
import { VivError } from "../base/errors.ts";
import { processStart } from "../sys/node/cpu-time.ts";
import { connectGuest, findGuest } from "../sys/node/registry/guests.ts";
import type { RemoteVm } from "../vmm/registry/remote-vm.ts";
import { EXIT, messageOf } from "./exit-status.ts";

/** A process that does not switch its machine off within this time is ended itself. */
const KILL_GRACE_MS = 1_000;

export const stopCommand = (names: readonly string[], grace: number): Promise<number> =>
  forEach(names, (guest) => guest.shutDown(grace));
export const pauseCommand = (names: readonly string[]): Promise<number> => forEach(names, (guest) => guest.pause());
export const resumeCommand = (names: readonly string[]): Promise<number> => forEach(names, (guest) => guest.resume());

/** At the same time; what fails with one guest does not keep it from the others. */
async function forEach(names: readonly string[], work: (guest: RemoteVm) => Promise<unknown>): Promise<number> {
  return all(names, async (name) => {
    const guest = await connectGuest(name);
    try {
      await work(guest);
    } finally {
      guest.disconnect();
    }
    return guest.name;
  });
}

async function all(names: readonly string[], work: (name: string) => Promise<string>): Promise<number> {
  const outcomes = await Promise.allSettled(names.map(work));
  for (const outcome of outcomes) {
    if (outcome.status === "fulfilled") process.stdout.write(`${outcome.value}\n`);
    else process.stderr.write(`viv: ${messageOf(outcome.reason, false)}\n`);
  }
  return outcomes.every(({ status }) => status === "fulfilled") ? EXIT.ok : EXIT.failure;
}

export const killCommand = (names: readonly string[]): Promise<number> =>
  all(names, async (name) => {
    const { name: found, pid, pidStart } = findGuest(name);
    const done = await Promise.race([
      connectGuest(name)
        .then((guest) => guest.stop())
        .then(
          () => true,
          () => false,
        ),
      new Promise<boolean>((resolve) => {
        setTimeout(resolve, KILL_GRACE_MS, false);
      }),
    ]);
    if (done) return found;
    const started = processStart(pid);
    // Another process may have the number by now, but not with the same beginning.
    if (started !== undefined && started === pidStart) process.kill(pid, "SIGKILL");
    else if (pidStart === undefined) {
      throw new VivError("guest.unresponsive", `guest ${found} does not answer: end its process, ${pid}, yourself`);
    }
    return found;
  });
