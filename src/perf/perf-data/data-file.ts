/**
 * The file `data` of a directory that Linux perf reads (perf.data-file-format.txt of Linux 6.1): head, identifiers, attr, records, and
 * behind them what is known of the machine. The head says how long all of it is: so the records are gone through twice, once to count.
 */
import { encodeUtf8, u32, u64 } from "../../base/index.ts";
import type { ProfileInfo } from "../profile.ts";
import {
  ATTR_FLAGS,
  Attr,
  EVENTS,
  FEATURE,
  FileAttr,
  FileHeader,
  FileSection,
  MAGIC,
  SAMPLE_TYPE,
  wholeNumber,
} from "./layout.ts";
import type { Places } from "./places.ts";
import { type Identifier, identifiersOf, records, timeOf } from "./records.ts";
import { RecordSink } from "./sink.ts";

const PERF_ARCH = "x86_64";
/** A single file `data`: the directory's form is what perf calls version 0 here. */
const DIRECTORY_FORM = 0;
/** perf fills its strings up to this (NAME_ALIGN). */
const STRING_ALIGN = 64;

export function* perfDataFile(places: Places): Generator<Uint8Array> {
  const ids = identifiersOf(places);
  const counter = new RecordSink(true);
  for (const part of records(places, ids, counter)) void part;
  const { info } = places.profile;

  const idBytes = numbers(u64, ...ids.map(({ id }) => id));
  const attr = attrOf(info);
  const idSection = { offset: FileHeader.size, size: idBytes.length };
  const attrs = { offset: idSection.offset + idSection.size, size: FileAttr.size };
  const data = { offset: attrs.offset + attrs.size, size: counter.length };
  const features = featuresOf(places, ids, attr);
  const header = FileHeader.encode({
    magic: MAGIC,
    size: FileHeader.size,
    attrSize: FileAttr.size,
    attrs,
    data,
    features: bitsOf(features.map(({ bit }) => bit)),
  });
  yield joined(header, idBytes, FileAttr.encode({ attr: Attr.decode(attr), ids: idSection }));
  yield* records(places, ids, new RecordSink(false));
  let offset = data.offset + data.size + features.length * FileSection.size;
  const sections = features.map(({ bytes }) => {
    const section = FileSection.encode({ offset, size: bytes.length });
    offset += bytes.length;
    return section;
  });
  yield joined(...sections, ...features.map(({ bytes }) => bytes));
}

const attrOf = ({ event, period }: ProfileInfo): Uint8Array =>
  Attr.encode({
    ...EVENTS[event],
    size: Attr.size,
    samplePeriod: wholeNumber(period),
    sampleType: SAMPLE_TYPE,
    flags: ATTR_FLAGS,
  });

function featuresOf({ profile }: Places, ids: readonly Identifier[], attr: Uint8Array) {
  const { info, samples } = profile;
  const idBytes = numbers(u64, ...ids.map(({ id }) => id));
  let [first, last] = [Number.POSITIVE_INFINITY, 0];
  for (const time of samples.time) {
    if (time < first) first = time;
    if (time > last) last = time;
  }
  const bytes: Readonly<Record<keyof typeof FEATURE, Uint8Array>> = {
    hostname: text(info.hostname),
    osRelease: text(info.hostKernel),
    version: text(info.version),
    arch: text(PERF_ARCH),
    cpuCount: numbers(u32, info.cpus, info.cpus),
    cpuDescription: text(info.cpu),
    commandLine: joined(numbers(u32, info.command.length), ...info.command.map(text)),
    eventDescription: joined(numbers(u32, 1, Attr.size), attr, numbers(u32, ids.length), text(info.event), idBytes),
    sampleTime: numbers(u64, timeOf(samples.time.length === 0 ? 0 : first), timeOf(last)),
    directoryFormat: numbers(u64, DIRECTORY_FORM),
  };
  return (Object.keys(FEATURE) as (keyof typeof FEATURE)[])
    .map((name) => ({ bit: FEATURE[name], bytes: bytes[name] }))
    .sort((a, b) => a.bit - b.bit);
}

function bitsOf(bits: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(32);
  for (const bit of bits) bytes[bit >> 3]! |= 1 << (bit & 7);
  return bytes;
}

function numbers(field: typeof u32, ...values: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(field.size * values.length);
  const view = new DataView(bytes.buffer);
  values.forEach((value, i) => {
    field.write(view, i * field.size, value);
  });
  return bytes;
}

/** A string of perf's headers: its length, then itself. */
function text(value: string): Uint8Array {
  const bytes = encodeUtf8(value);
  const length = Math.ceil((bytes.length + 1) / STRING_ALIGN) * STRING_ALIGN;
  const padded = new Uint8Array(length);
  padded.set(bytes);
  return joined(numbers(u32, length), padded);
}

export function joined(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
