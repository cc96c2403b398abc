/** `viv perf record`: samples of guests that run, into a recording. */
import { VivError } from "../../base/index.ts";
import { readProfile } from "../../perf/file/file.ts";
import { mergeProfiles } from "../../perf/merge.ts";
import type { Profile, ProfileInfo } from "../../perf/profile.ts";
import { writeRecording } from "../../perf/recording.ts";
import { NodeRecordingFiles } from "../../sys/node/recording-files.ts";
import type { GuestAttachments } from "../../vmm/observer/orders.ts";
import { type Part, PartReader } from "../../vmm/observer/parts.ts";
import { LOOK } from "../../vmm/observer/requests.ts";
import type { RemoteVm } from "../../vmm/registry/remote-vm.ts";
import { type Until, until, watchedGuests } from "./live.ts";

export interface RecordFlags {
  readonly event: ProfileInfo["event"];
  /** Samples a second; by instructions: instructions between two. */
  readonly frequency: number;
  readonly period: number;
  readonly callGraph: boolean;
  readonly output: string;
  readonly all: boolean;
  readonly seconds?: number | undefined;
}

const NS_PER_S = 1e9;

export const periodOf = ({ event, frequency, period }: Pick<RecordFlags, "event" | "frequency" | "period">): number =>
  event === "instructions" ? period : NS_PER_S / frequency;

/** One guest's recording as it comes. */
export class Incoming {
  profile: Profile | undefined;
  readonly #parts: Uint8Array[] = [];
  readonly #attachments = {
    kallsyms: new Uint8Array() as Uint8Array,
    modules: new Uint8Array() as Uint8Array,
    kernelText: [] as { start: number; bytes: Uint8Array }[],
    files: new Map<string, Uint8Array>(),
  };
  readonly #name: string;
  readonly #onProfile: (profile: Profile) => void;

  constructor(name: string, onProfile: (profile: Profile) => void = () => undefined) {
    this.#name = name;
    this.#onProfile = onProfile;
  }
  get attachments(): GuestAttachments {
    return this.#attachments;
  }

  take({ name, about, bytes }: Part): void {
    switch (name) {
      case "profile":
        this.#parts.push(bytes);
        break;
      case "end":
        this.profile = readProfile(Buffer.concat(this.#parts.splice(0)), this.#name);
        this.#onProfile(this.profile);
        break;
      case "kallsyms":
      case "modules":
        this.#attachments[name] = bytes;
        break;
      case "kernel-text":
        this.#attachments.kernelText.push({ start: Number(about["start"]), bytes });
        break;
      case "file":
        this.#attachments.files.set(String(about["buildId"]), bytes);
    }
  }
}

/** Records all of them until `when`; what each sent, and the exit status. */
export async function recordGuests(
  guests: readonly RemoteVm[],
  order: { event: ProfileInfo["event"]; period: number; callGraph: boolean; every: number },
  when: (gone: Promise<unknown>) => Promise<number>,
  onProfile?: (guest: number, profile: Profile) => void,
): Promise<{ readonly incoming: readonly Incoming[]; readonly status: number }> {
  const incoming = guests.map(({ name }, i) => new Incoming(name, (profile) => onProfile?.(i, profile)));
  const pending = guests.map((guest, i) => {
    const reader = new PartReader((part) => incoming[i]!.take(part));
    return guest.connection.request(LOOK.record, order, { output: { parts: (data) => reader.take(data) } });
  });
  // One that ends, or refuses, ends all: what came so far is kept below.
  const gone = Promise.race(pending.map(({ answer }) => answer));
  gone.catch(() => undefined);
  const status = await Promise.race([when(gone.catch(() => undefined)), gone.then(() => 0)]);
  for (const one of pending) one.send({ stop: true });
  await Promise.all(pending.map(({ answer }) => answer));
  return { incoming, status };
}

export async function recordCommand(
  names: readonly string[],
  flags: RecordFlags,
  command: readonly string[] | undefined,
): Promise<number> {
  const files = new NodeRecordingFiles(flags.output);
  let guests: readonly RemoteVm[] = [];
  try {
    guests = await watchedGuests(names, flags.all);
    const order = { event: flags.event, period: periodOf(flags), callGraph: flags.callGraph, every: 0 };
    const time: Until = { seconds: flags.seconds, command };
    const { incoming, status } = await recordGuests(guests, order, (gone) => until(time, gone));
    const profiles = incoming.flatMap(({ profile }) => profile ?? []);
    const first = profiles[0];
    if (!first) throw new VivError("perf.nothing", "no guest gave a profile");
    const startedAt = Math.min(...profiles.map(({ info }) => info.startedAt));
    const profile = mergeProfiles(profiles, {
      ...first.info,
      startedAt,
      duration: Math.max(...profiles.map(({ info }) => info.duration)),
      lost: profiles.reduce((sum, { info }) => sum + info.lost, 0),
      command: ["viv", ...process.argv.slice(2)],
    });
    // Each of these profiles has one guest.
    const attachments = incoming.map(({ attachments: { kallsyms, modules, kernelText, files: programs } }) => ({
      kallsyms: [kallsyms],
      modules: [modules],
      text: kernelText,
      files: new Map([...programs].map(([buildId, bytes]) => [buildId, [bytes]] as const)),
    }));
    await writeRecording(files, profile, attachments);
    files.finish();
    const count = profile.samples.time.length;
    const lost = profile.info.lost > 0 ? `, ${profile.info.lost} lost` : "";
    process.stderr.write(
      `[ viv perf record: ${count} samples of ${guests.map(({ name }) => name).join(", ")}${lost}, in ${flags.output} ]\n`,
    );
    return status;
  } finally {
    files.discard();
    for (const guest of guests) guest.disconnect();
  }
}
