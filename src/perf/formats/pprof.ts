/**
 * pprof's format (https://github.com/google/pprof/blob/main/proto/profile.proto), without the gzip that is usual around it: whoever writes
 * the file adds that. Samples of the same stack, task, vCPU and mode are one.
 *
 * Each DSO has a mapping of its own, by build-id, with addresses as in the file: processes have it anywhere. All mappings claim to have
 * functions, so that pprof does not look for a guest's files on the machine it runs on.
 */
import { dsoLongName, frameName, hexadecimal, NO_STACK } from "../names.ts";
import { MODES, type Profile, type ProfileInfo } from "../profile.ts";
import { Message } from "./protobuf.ts";

const PROFILE = {
  sampleType: 1,
  sample: 2,
  mapping: 3,
  location: 4,
  function: 5,
  strings: 6,
  timeNanos: 9,
  durationNanos: 10,
  periodType: 11,
  period: 12,
  comment: 13,
  defaultSampleType: 14,
} as const;
const VALUE_TYPE = { type: 1, unit: 2 } as const;
const SAMPLE = { locations: 1, values: 2, label: 3 } as const;
const LABEL = { key: 1, text: 2, number: 3 } as const;
const MAPPING = { id: 1, start: 2, limit: 3, fileName: 5, buildId: 6, hasFunctions: 7 } as const;
const LOCATION = { id: 1, mapping: 2, address: 3, line: 4 } as const;
const LINE = { function: 1 } as const;
const FUNCTION = { id: 1, name: 2, systemName: 3, fileName: 4 } as const;

const PART = 1 << 16;

export interface PprofOptions {
  /** An outermost frame for each guest, so that plain flame graphs tell them apart. */
  readonly guests?: boolean;
}

/** What samples weigh, in pprof's words. */
function weightType({ event }: ProfileInfo): readonly [type: string, unit: string] {
  switch (event) {
    case "instructions":
      return ["instructions", "count"];
    case "off-cpu":
      return ["off-cpu", "nanoseconds"];
    default:
      return ["cpu", "nanoseconds"];
  }
}

export function* pprof(profile: Profile, { guests = true }: PprofOptions = {}): Generator<Uint8Array> {
  const message = new Message();
  const strings = new Strings();
  const writer = new Writer(profile, strings, guests);
  const { info } = profile;
  const valueType = (type: string, unit: string): Message =>
    new Message().number(VALUE_TYPE.type, strings.of(type)).number(VALUE_TYPE.unit, strings.of(unit));
  const [type, unit] = weightType(info);
  message.message(PROFILE.sampleType, valueType("samples", "count"));
  message.message(PROFILE.sampleType, valueType(type, unit));
  for (const sample of writer.samples()) {
    message.message(PROFILE.sample, sample);
    if (message.bytes.length < PART) continue;
    yield message.bytes.slice();
    message.clear();
  }
  for (const [field, rows] of writer.tables()) {
    for (const row of rows) {
      message.message(field, row);
      if (message.bytes.length < PART) continue;
      yield message.bytes.slice();
      message.clear();
    }
  }
  message
    // Milliseconds are exact, nanoseconds since 1970 are not.
    .number(PROFILE.timeNanos, Math.round(info.startedAt) * 1e6)
    .number(PROFILE.durationNanos, Math.round(info.duration))
    .message(PROFILE.periodType, valueType(type, unit))
    .number(PROFILE.period, Math.round(info.period))
    .numbers(PROFILE.comment, [strings.of(`recorded by ${info.command.join(" ")} on ${info.hostname}`)])
    .number(PROFILE.defaultSampleType, strings.of(type));
  for (const text of strings.all) message.text(PROFILE.strings, text);
  yield message.bytes.slice();
}

class Strings {
  readonly all: string[] = [""];
  readonly #index = new Map<string, number>([["", 0]]);

  of(text: string): number {
    let index = this.#index.get(text);
    if (index === undefined) {
      index = this.all.push(text) - 1;
      this.#index.set(text, index);
    }
    return index;
  }
}

/** Locations, functions and mappings, numbered from 1 as samples need them. */
class Writer {
  readonly #profile: Profile;
  readonly #strings: Strings;
  readonly #guests: boolean;
  /** By frame, 0 where it is not needed yet. */
  readonly #locationOf: Int32Array;
  readonly #locations: Message[] = [];
  readonly #functions: Message[] = [];
  readonly #functionOf = new Map<string, number>();
  readonly #roots = new Map<number, number>();
  #noStack = 0;

  constructor(profile: Profile, strings: Strings, guests: boolean) {
    this.#profile = profile;
    this.#strings = strings;
    this.#guests = guests;
    this.#locationOf = new Int32Array(profile.frames.dso.length);
  }

  *samples(): Generator<Message> {
    const { samples } = this.#profile;
    const sums = new Map<string, { first: number; count: number; weight: number }>();
    for (let i = 0; i < samples.stack.length; i++) {
      const key = `${samples.stack[i]} ${samples.task[i]} ${samples.vcpu[i]} ${samples.mode[i]}`;
      const sum = sums.get(key);
      if (sum === undefined) sums.set(key, { first: i, count: 1, weight: samples.weight[i]! });
      else {
        sum.count++;
        sum.weight += samples.weight[i]!;
      }
    }
    for (const { first, count, weight } of sums.values()) yield this.#sample(first, count, weight);
  }

  #sample(i: number, count: number, weight: number): Message {
    const { samples, stacks, tasks, guests } = this.#profile;
    const { guest, pid, tid, comm } = tasks[samples.task[i]!]!;
    const locations: number[] = [];
    for (let stack = samples.stack[i]!; stack >= 0; stack = stacks.caller[stack]!) {
      locations.push(this.#location(stacks.frame[stack]!));
    }
    if (locations.length === 0) locations.push((this.#noStack ||= this.#place(0, 0, this.#function(NO_STACK, ""))));
    if (this.#guests) {
      let root = this.#roots.get(guest);
      if (root === undefined) {
        this.#roots.set(guest, (root = this.#place(0, 0, this.#function(guests[guest]!.name, "guest"))));
      }
      locations.push(root);
    }
    return new Message()
      .numbers(SAMPLE.locations, locations)
      .numbers(SAMPLE.values, [count, Math.round(weight)])
      .message(SAMPLE.label, this.#textLabel("vm", guests[guest]!.name))
      .message(SAMPLE.label, this.#numberLabel("vcpu", samples.vcpu[i]!))
      .message(SAMPLE.label, this.#numberLabel("pid", pid))
      .message(SAMPLE.label, this.#numberLabel("tid", tid))
      .message(SAMPLE.label, this.#textLabel("comm", comm))
      .message(SAMPLE.label, this.#textLabel("mode", MODES[samples.mode[i]!]!));
  }

  #textLabel(key: string, text: string): Message {
    return new Message().number(LABEL.key, this.#strings.of(key)).number(LABEL.text, this.#strings.of(text));
  }
  #numberLabel(key: string, value: number): Message {
    return new Message().number(LABEL.key, this.#strings.of(key)).number(LABEL.number, value);
  }

  #location(frame: number): number {
    const known = this.#locationOf[frame]!;
    if (known > 0) return known;
    const { frames, dsos } = this.#profile;
    const dso = frames.dso[frame]!;
    const row = dsos[dso];
    const address = (row === undefined ? frames.address : frames.offset)[frame]!;
    const name = frameName(this.#profile, frame) ?? hexadecimal(address);
    const location = this.#place(dso + 1, address, this.#function(name, row === undefined ? "" : dsoLongName(row)));
    this.#locationOf[frame] = location;
    return location;
  }

  #place(mapping: number, address: number, func: number): number {
    const id = this.#locations.length + 1;
    const message = new Message().number(LOCATION.id, id).number(LOCATION.mapping, mapping);
    message.number(LOCATION.address, Math.trunc(address));
    this.#locations.push(message.message(LOCATION.line, new Message().number(LINE.function, func)));
    return id;
  }

  #function(name: string, file: string): number {
    const key = `${file} ${name}`;
    let id = this.#functionOf.get(key);
    if (id === undefined) {
      id = this.#functions.length + 1;
      this.#functionOf.set(key, id);
      const text = this.#strings.of(name);
      const message = new Message().number(FUNCTION.id, id).number(FUNCTION.name, text);
      this.#functions.push(message.number(FUNCTION.systemName, text).number(FUNCTION.fileName, this.#strings.of(file)));
    }
    return id;
  }

  /** What samples refer to, once all of them were made. */
  *tables(): Generator<readonly [number, readonly Message[]]> {
    yield [PROFILE.mapping, this.#mappings()];
    yield [PROFILE.location, this.#locations];
    yield [PROFILE.function, this.#functions];
  }

  #mappings(): Message[] {
    const { dsos, frames } = this.#profile;
    const [least, most] = [
      new Float64Array(dsos.length).fill(Number.POSITIVE_INFINITY),
      new Float64Array(dsos.length).fill(Number.NEGATIVE_INFINITY),
    ];
    for (let frame = 0; frame < frames.dso.length; frame++) {
      const dso = frames.dso[frame]!;
      if (dso < 0) continue;
      least[dso] = Math.min(least[dso]!, frames.offset[frame]!);
      most[dso] = Math.max(most[dso]!, frames.offset[frame]!);
    }
    return dsos.map((dso, i) => {
      const seen = least[i]! <= most[i]!;
      return new Message()
        .number(MAPPING.id, i + 1)
        .number(MAPPING.start, seen ? Math.trunc(least[i]!) : 0)
        .number(MAPPING.limit, seen ? Math.trunc(most[i]!) + 1 : 0)
        .number(MAPPING.fileName, this.#strings.of(dsoLongName(dso)))
        .number(MAPPING.buildId, this.#strings.of(dso.buildId ?? ""))
        .number(MAPPING.hasFunctions, 1);
    });
  }
}
