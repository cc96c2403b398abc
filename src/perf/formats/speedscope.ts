/**
 * speedscope's own format (https://www.speedscope.app/file-format-schema.json): a sampled profile for each vCPU, or each thread, of each
 * guest, whose time goes by what samples weigh.
 */
import { dsoLongName, frameLabel, NO_STACK } from "../names.ts";
import type { Profile, ProfileInfo } from "../profile.ts";
import { type GroupBy, type SampleGroup, sampleGroups } from "./groups.ts";
import { type Json, JsonList, jsonParts } from "./json.ts";

const SCHEMA = "https://www.speedscope.app/file-format-schema.json";

export interface SpeedscopeOptions {
  /** What a profile is of. */
  readonly by?: GroupBy;
}

const unitOf = ({ unit }: ProfileInfo): string => (unit === "ns" ? "nanoseconds" : "none");

export function speedscope(profile: Profile, { by = "vcpu" }: SpeedscopeOptions = {}): Iterable<Uint8Array> {
  const { info, frames, dsos, guests } = profile;
  // Addresses of one function are one frame there.
  const shared: { [name: string]: Json }[] = [];
  const index = new Map<string, number>();
  const frameOf = (name: string, file: string | undefined): number => {
    const key = `${file} ${name}`;
    let frame = index.get(key);
    if (frame === undefined) {
      frame = shared.push({ name, ...(file === undefined ? {} : { file }) }) - 1;
      index.set(key, frame);
    }
    return frame;
  };
  const frameIndex = Int32Array.from(frames.dso, (dso, frame) => {
    const row = dsos[dso];
    return frameOf(frameLabel(profile, frame), row === undefined ? undefined : dsoLongName(row));
  });
  const noStack = frameOf(NO_STACK, undefined);
  const groups = sampleGroups(profile, by);
  const profiles = groups.map((group) => ({
    type: "sampled",
    name: groupName(profile, group, by),
    unit: unitOf(info),
    startValue: 0,
    endValue: group.weight,
    samples: new JsonList(stacksOf(profile, group, frameIndex, noStack)),
    weights: Float64Array.from(group.samples, (i) => profile.samples.weight[i]!),
  }));
  const heaviest = groups.reduce((best, { weight }, i) => (weight > (groups[best]?.weight ?? -1) ? i : best), 0);
  return jsonParts({
    $schema: SCHEMA,
    exporter: `vivarium ${info.version}`,
    name: `${info.event} of ${guests.map(({ name }) => name).join(", ")}`,
    activeProfileIndex: heaviest,
    shared: { frames: shared },
    profiles,
  });
}

function groupName({ guests, tasks }: Profile, { guest, vcpu, task }: SampleGroup, by: GroupBy): string {
  const { comm, tid } = tasks[task]!;
  return by === "vcpu" ? `${guests[guest]!.name} vCPU ${vcpu}` : `${guests[guest]!.name} ${comm} (${tid})`;
}

/** Each sample's frames, from the outermost on. */
function* stacksOf(
  { samples, stacks }: Profile,
  group: SampleGroup,
  frameIndex: Int32Array,
  noStack: number,
): Generator<readonly number[]> {
  for (const i of group.samples) {
    const list: number[] = [];
    for (let stack = samples.stack[i]!; stack >= 0; stack = stacks.caller[stack]!) {
      list.push(frameIndex[stacks.frame[stack]!]!);
    }
    yield list.length === 0 ? [noStack] : list.reverse();
  }
}
