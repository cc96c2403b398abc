/** A recording as parts: how the thread that makes it hands it on, and how it is put together again. */
import { concat, VivError } from "../../base/index.ts";
import type { GuestAttachments, RecordedGuests } from "../../perf/attachments.ts";
import { readProfile, writeProfile } from "../../perf/file/file.ts";
import type { Profile } from "../../perf/profile.ts";
import type { RecordedMemory } from "./attachments.ts";
import type { ObserverPart } from "./orders.ts";

const NOTHING = new Uint8Array();

/** A profile, and what goes with it. */
export function* recordingParts(profile: Profile, memory?: RecordedMemory): Generator<ObserverPart> {
  for (const bytes of writeProfile(profile)) yield { name: "profile", bytes };
  yield { name: "end", bytes: NOTHING };
  if (!memory) return;
  const { kallsyms, modules, kernelText, files } = memory;
  yield { name: "kallsyms", bytes: kallsyms };
  yield { name: "modules", bytes: modules };
  for (const { start, bytes } of kernelText) yield { name: "kernel-text", about: { start }, bytes };
  for (const [buildId, bytes] of files) yield { name: "file", about: { buildId }, bytes };
}

/** Takes the parts of one guest's recording as they come. Throws VivError where they are none. */
export class RecordingReader {
  readonly #name: string;
  readonly #onProfile: (profile: Profile) => Promise<void> | void;
  #profile: Profile | undefined;
  readonly #pieces: Uint8Array[] = [];
  readonly #lines: Record<"kallsyms" | "modules", Uint8Array[]> = { kallsyms: [], modules: [] };
  readonly #text: { start: number; bytes: Uint8Array }[] = [];
  readonly #files = new Map<string, Uint8Array[]>();

  /** `name`: what the guest is called in messages. `onProfile` is given each profile when it is whole. */
  constructor(name: string, onProfile: (profile: Profile) => Promise<void> | void = () => undefined) {
    this.#name = name;
    this.#onProfile = onProfile;
  }

  take({ name, about = {}, bytes }: ObserverPart): Promise<void> | void {
    switch (name) {
      case "profile":
        this.#pieces.push(bytes);
        break;
      case "end":
        this.#profile = readProfile(concat(this.#pieces.splice(0)), this.#name);
        return this.#onProfile(this.#profile);
      case "kallsyms":
      case "modules":
        this.#lines[name].push(bytes);
        break;
      case "kernel-text":
        this.#text.push({ start: Number(about["start"]), bytes });
        break;
      case "file":
        this.#files.set(String(about["buildId"]), [bytes]);
    }
  }

  /** When all parts were taken: the last profile. Throws VivError `perf.nothing` where none came. */
  get recording(): RecordedGuests {
    const profile = this.#profile;
    if (!profile) throw new VivError("perf.nothing", `guest ${this.#name} gave no profile`);
    const own: GuestAttachments = { ...this.#lines, text: this.#text, files: this.#files };
    // The profile has this one guest.
    return { profile, attachments: [own] };
  }
}
