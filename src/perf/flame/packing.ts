/**
 * The flame graph's data as bytes, and back: a little-endian word that says how long the header is, the header (JSON in ASCII), then the columns it
 * lists, each at a multiple of eight. Columns are as narrow as their numbers; what rises is kept as differences, which compress well.
 */
import { VivError } from "../../base/index.ts";
import type { FlameData, FlameSamples } from "./data.ts";

const TYPES = { u8: Uint8Array, u16: Uint16Array, i32: Int32Array, u32: Uint32Array, f64: Float64Array } as const;
type Type = keyof typeof TYPES;
type Numbers = Uint8Array | Uint16Array | Int32Array | Uint32Array | Float64Array;

const VERSION = 1;
const ALIGNMENT = 8;
const aligned = (offset: number): number => Math.ceil(offset / ALIGNMENT) * ALIGNMENT;

interface Column {
  readonly type: Type;
  readonly length: number;
}

interface Header extends Omit<FlameData, "functions" | "stacks" | "profiles"> {
  readonly version: number;
  readonly names: readonly string[];
  readonly profiles: readonly { readonly info: FlameSamples["info"]; readonly tick: number }[];
  readonly columns: readonly Column[];
}

/** Only what every text encoding writes alike. */
const ascii = (value: unknown): string =>
  JSON.stringify(value).replace(/[^ -~]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);

const typeOf = (numbers: Numbers): Type =>
  (Object.keys(TYPES) as Type[]).find((type) => numbers instanceof TYPES[type])!;

/** Whole numbers in as little room as they need. */
function narrowed(numbers: Int32Array): Numbers {
  let [least, most] = [0, 0];
  for (const number of numbers) {
    if (number < least) least = number;
    if (number > most) most = number;
  }
  if (least < 0 || most > 0xffff) return numbers;
  return most > 0xff ? Uint16Array.from(numbers) : Uint8Array.from(numbers);
}

/** Nanoseconds in one unit of the packed times, which have 32 bits. */
function tickOf(time: Float64Array): number {
  let latest = 0;
  for (const at of time) if (at > latest) latest = at;
  return Math.max(1, Math.ceil(latest / 0xffff_ffff));
}

function packedTimes({ time, laneStart }: FlameSamples, tick: number): Uint32Array {
  const times = new Uint32Array(time.length);
  for (let lane = 0; lane + 1 < laneStart.length; lane++) {
    let last = 0;
    for (let sample = laneStart[lane]!; sample < laneStart[lane + 1]!; sample++) {
      const now = Math.max(last, Math.floor(time[sample]! / tick));
      times[sample] = now - last;
      last = now;
    }
  }
  return times;
}

function unpackedTimes(times: ArrayLike<number>, laneStart: Int32Array, tick: number): Float64Array {
  const time = new Float64Array(times.length);
  for (let lane = 0; lane + 1 < laneStart.length; lane++) {
    let now = 0;
    for (let sample = laneStart[lane]!; sample < laneStart[lane + 1]!; sample++) {
      now += times[sample]!;
      time[sample] = now * tick;
    }
  }
  return time;
}

/** How far below a stack its caller lies; 0 without one. Its own inverse but for the sign. */
const callerDistances = (caller: Int32Array): Int32Array =>
  caller.map((caller, stack) => (caller < 0 ? 0 : stack - caller));
const callersAt = (distance: ArrayLike<number>): Int32Array =>
  Int32Array.from(distance, (distance, stack) => (distance === 0 ? -1 : stack - distance));

export function pack(data: FlameData): Uint8Array {
  const { functions, stacks, guests, dsos, tasks, lanes } = data;
  const ticks = data.profiles.map(({ time }) => tickOf(time));
  const columns: Numbers[] = [
    narrowed(functions.mode),
    narrowed(functions.dso),
    narrowed(callerDistances(stacks.caller)),
    narrowed(stacks.fn),
    ...data.profiles.flatMap((samples, profile) => [
      narrowed(samples.laneStart),
      packedTimes(samples, ticks[profile]!),
      narrowed(samples.stack),
      narrowed(samples.task),
      narrowed(samples.mode),
      samples.weight,
    ]),
  ];
  const header: Header = {
    version: VERSION,
    guests,
    dsos,
    tasks,
    lanes,
    names: functions.name,
    profiles: data.profiles.map(({ info }, profile) => ({ info, tick: ticks[profile]! })),
    columns: columns.map((column) => ({ type: typeOf(column), length: column.length })),
  };
  const text = ascii(header);
  let offset = aligned(4 + text.length);
  const bytes = new Uint8Array(columns.reduce((end, column) => aligned(end) + column.byteLength, offset));
  new DataView(bytes.buffer).setUint32(0, text.length, true);
  for (let at = 0; at < text.length; at++) bytes[4 + at] = text.charCodeAt(at);
  for (const column of columns) {
    offset = aligned(offset);
    bytes.set(new Uint8Array(column.buffer, column.byteOffset, column.byteLength), offset);
    offset += column.byteLength;
  }
  return bytes;
}

const CHUNK = 0x8000;

/** Throws VivError where the bytes are cut short or of another version. `bytes` has to begin its buffer. */
export function unpack(bytes: Uint8Array<ArrayBuffer>): FlameData {
  const broken = (why: string): VivError =>
    new VivError("flame.data", `the page's data ${why}: write the page again with viv perf report`);
  const length = bytes.length < 4 ? Number.POSITIVE_INFINITY : new DataView(bytes.buffer).getUint32(0, true);
  if (4 + length > bytes.length) throw broken("is cut short");
  let text = "";
  for (let at = 4; at < 4 + length; at += CHUNK) {
    text += String.fromCharCode(...bytes.subarray(at, Math.min(at + CHUNK, 4 + length)));
  }
  const header = JSON.parse(text) as Header;
  if (header.version !== VERSION) throw broken(`has version ${header.version}, not ${VERSION}`);
  let offset = 4 + length;
  const columns = header.columns.map(({ type, length }) => {
    offset = aligned(offset);
    if (offset + length * TYPES[type].BYTES_PER_ELEMENT > bytes.length) throw broken("is cut short");
    const column = new TYPES[type](bytes.buffer, offset, length);
    offset += column.byteLength;
    return column;
  });
  let next = 0;
  const column = (): Numbers => columns[next++]!;
  const integers = (): Int32Array => Int32Array.from(column());
  const { guests, dsos, tasks, lanes, names } = header;
  const functions = { name: names, mode: integers(), dso: integers() };
  const stacks = { caller: callersAt(column()), fn: integers() };
  const profiles = header.profiles.map(({ info, tick }) => {
    const laneStart = integers();
    const time = unpackedTimes(column(), laneStart, tick);
    return {
      info,
      laneStart,
      time,
      stack: integers(),
      task: integers(),
      mode: integers(),
      weight: column() as Float64Array,
    };
  });
  return { guests, dsos, tasks, lanes, functions, stacks, profiles };
}
