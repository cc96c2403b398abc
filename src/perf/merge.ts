/** Several profiles as one: of guests that were recorded at the same time by different processes. */
import { VivError } from "../base/index.ts";
import type { RecordedGuests } from "./attachments.ts";
import type { Profile, ProfileInfo } from "./profile.ts";

/** A column of all profiles, each with its indices moved by what lies in front of it. Index -1 stays. */
function indices(columns: readonly Int32Array[], bases: readonly number[]): Int32Array {
  const all = new Int32Array(columns.reduce((sum, column) => sum + column.length, 0));
  let at = 0;
  columns.forEach((column, i) => {
    const base = bases[i]!;
    for (const index of column) all[at++] = index < 0 ? index : index + base;
  });
  return all;
}

function numbers(columns: readonly Float64Array[], more: readonly number[] = []): Float64Array {
  const all = new Float64Array(columns.reduce((sum, column) => sum + column.length, 0));
  let at = 0;
  columns.forEach((column, i) => {
    const add = more[i] ?? 0;
    for (const number of column) all[at++] = number + add;
  });
  return all;
}

/** How many rows lie in front of each profile's. */
function basesOf(profiles: readonly Profile[], length: (profile: Profile) => number): number[] {
  let sum = 0;
  return profiles.map((profile) => {
    const base = sum;
    sum += length(profile);
    return base;
  });
}

/** `info` speaks for all of them; times are moved to its beginning. They were sampled by the same event. */
export function mergeProfiles(profiles: readonly Profile[], info: ProfileInfo): Profile {
  const guests = basesOf(profiles, (profile) => profile.guests.length);
  const dsos = basesOf(profiles, (profile) => profile.dsos.length);
  const symbols = basesOf(profiles, (profile) => profile.symbols.length);
  const tasks = basesOf(profiles, (profile) => profile.tasks.length);
  const frames = basesOf(profiles, (profile) => profile.frames.address.length);
  const stacks = basesOf(profiles, (profile) => profile.stacks.frame.length);
  const none = profiles.map(() => 0);
  const later = profiles.map((profile) => (profile.info.startedAt - info.startedAt) * 1e6);
  const of = <Column>(pick: (profile: Profile) => Column): Column[] => profiles.map(pick);
  return {
    info,
    guests: profiles.flatMap((profile) => profile.guests),
    dsos: profiles.flatMap((profile, i) =>
      profile.dsos.map((dso) => ({ ...dso, guest: dso.guest < 0 ? dso.guest : dso.guest + guests[i]! })),
    ),
    symbols: profiles.flatMap((profile, i) =>
      profile.symbols.map((symbol) => ({ ...symbol, dso: symbol.dso + dsos[i]! })),
    ),
    tasks: profiles.flatMap((profile, i) => profile.tasks.map((task) => ({ ...task, guest: task.guest + guests[i]! }))),
    mappings: profiles.flatMap((profile, i) =>
      profile.mappings.map((mapping) => ({
        ...mapping,
        guest: mapping.guest + guests[i]!,
        dso: mapping.dso + dsos[i]!,
      })),
    ),
    kernelMaps: profiles.flatMap((profile, i) =>
      profile.kernelMaps.map((map) => ({ ...map, dso: map.dso + dsos[i]! })),
    ),
    frames: {
      address: numbers(of(({ frames }) => frames.address)),
      offset: numbers(of(({ frames }) => frames.offset)),
      dso: indices(
        of(({ frames }) => frames.dso),
        dsos,
      ),
      symbol: indices(
        of(({ frames }) => frames.symbol),
        symbols,
      ),
      mode: indices(
        of(({ frames }) => frames.mode),
        none,
      ),
    },
    stacks: {
      caller: indices(
        of(({ stacks }) => stacks.caller),
        stacks,
      ),
      frame: indices(
        of(({ stacks }) => stacks.frame),
        frames,
      ),
    },
    samples: {
      time: numbers(
        of(({ samples }) => samples.time),
        later,
      ),
      stack: indices(
        of(({ samples }) => samples.stack),
        stacks,
      ),
      task: indices(
        of(({ samples }) => samples.task),
        tasks,
      ),
      vcpu: indices(
        of(({ samples }) => samples.vcpu),
        none,
      ),
      mode: indices(
        of(({ samples }) => samples.mode),
        none,
      ),
      weight: numbers(of(({ samples }) => samples.weight)),
    },
  };
}

/** Recordings as one: it begins with the first of them and is as long as the longest. Throws VivError `perf.nothing` where there is none. */
export function mergeRecordings(recordings: readonly RecordedGuests[], command: readonly string[]): RecordedGuests {
  const profiles = recordings.map(({ profile }) => profile);
  const [first] = profiles;
  if (!first) throw new VivError("perf.nothing", "there is no recording");
  const profile = mergeProfiles(profiles, {
    ...first.info,
    startedAt: Math.min(...profiles.map(({ info }) => info.startedAt)),
    duration: Math.max(...profiles.map(({ info }) => info.duration)),
    lost: profiles.reduce((sum, { info }) => sum + info.lost, 0),
    command,
  });
  const attachments = recordings.flatMap(({ profile: { guests }, attachments: own }) => guests.map((_, i) => own[i]));
  return { profile, attachments };
}
