/**
 * The records of a profile, in the order of time: who the identifiers are, where kernels lie, then samples, each with what perf has to
 * know first. Time is the recording's own, from its beginning.
 */
import type { Profile } from "../profile.ts";
import { GuestView, writeMmap } from "./guest-view.ts";
import {
  CONTEXT,
  IdIndex,
  IdIndexEntry,
  IdIndexGuest,
  MAX_RECORD,
  MISC,
  RECORD,
  RecordHeader,
  Sample,
  wholeNumber,
} from "./layout.ts";
import type { Places } from "./places.ts";
import type { RecordSink } from "./sink.ts";

/** perf takes a record without a time for one that need not wait. */
const FIRST_TIME = 1;
/** Of the process that recorded, which has no samples of its own. */
const HOST_IDENTIFIER = 1;
/** Of one record; there may be several. */
const IDS_PER_RECORD = 1024;
/** Records until perf may let go of what it holds back to sort it. */
const ROUND = 4096;
const CHAIN_ENTRY = 8;
/** What fits a record; innermost first, so that it is the thread's start that is missing. perf itself shows 127 unless told otherwise. */
const MAX_CHAIN = Math.floor((MAX_RECORD - RecordHeader.size - Sample.size) / CHAIN_ENTRY);
const READ_EXECUTE = 5;

export interface Identifier {
  readonly id: number;
  /** -1: the host. */
  readonly guest: number;
  readonly vcpu: number;
  readonly machinePid: number;
  readonly thread: number;
}

/** One for the host, one for each vCPU of each guest. */
export function identifiersOf(places: Places): readonly Identifier[] {
  const { guests } = places.profile;
  const host = { id: HOST_IDENTIFIER, guest: -1, vcpu: 0, machinePid: 0, thread: guests[0]?.hostPid ?? 0 };
  const vcpus = guests.flatMap(({ vcpuThreads, hostPid }, guest) =>
    Array.from({ length: places.vcpuCounts[guest]! }, (_, vcpu) => ({
      guest,
      vcpu,
      machinePid: places.machinePids[guest]!,
      thread: vcpuThreads[vcpu] ?? hostPid,
    })),
  );
  return [host, ...vcpus.map((vcpu, i) => ({ id: HOST_IDENTIFIER + 1 + i, ...vcpu }))];
}

export const timeOf = (ns: number): number => FIRST_TIME + wholeNumber(ns);

/** Writes all records, and gives the parts that are done as it goes. */
export function* records(places: Places, ids: readonly Identifier[], sink: RecordSink): Generator<Uint8Array> {
  const { profile } = places;
  for (let first = 0; first < ids.length; first += IDS_PER_RECORD) {
    idIndex(sink, ids.slice(first, first + IDS_PER_RECORD));
  }
  const firstId = firstIds(ids);
  profile.guests.forEach((_, guest) => {
    kernelMaps(sink, places, guest, firstId[guest] ?? HOST_IDENTIFIER);
  });
  const view = new GuestView(places, sink);
  let untilRound = ROUND;
  const { samples, tasks } = profile;
  for (const i of inOrder(samples.time)) {
    const task = samples.task[i]!;
    const identifier = (firstId[tasks[task]!.guest] ?? 0) + samples.vcpu[i]!;
    view.tell(task, samples.stack[i]!, timeOf(samples.time[i]!), identifier);
    writeSample(sink, places, i, identifier);
    if (--untilRound === 0) {
      sink.begin(RECORD.finishedRound, 0, 0);
      untilRound = ROUND;
    }
    yield* sink.take();
  }
  sink.begin(RECORD.finishedRound, 0, 0);
  yield* sink.end();
}

/** By guest, the identifier of its vCPU 0; the others' follow. */
function firstIds(ids: readonly Identifier[]): number[] {
  const first: number[] = [];
  for (const { id, guest, vcpu } of ids) if (guest >= 0 && vcpu === 0) first[guest] = id;
  return first;
}

function idIndex(sink: RecordSink, ids: readonly Identifier[]): void {
  const at = sink.begin(RECORD.idIndex, 0, IdIndex.size + ids.length * (IdIndexEntry.size + IdIndexGuest.size));
  if (sink.counting) return;
  IdIndex.write(sink.view, at, { count: ids.length });
  const entries = at + IdIndex.size;
  const guests = entries + ids.length * IdIndexEntry.size;
  ids.forEach(({ id, machinePid, vcpu, thread }, i) => {
    IdIndexEntry.write(sink.view, entries + i * IdIndexEntry.size, { id, index: i, tid: thread });
    IdIndexGuest.write(sink.view, guests + i * IdIndexGuest.size, { machinePid, vcpu });
  });
}

/** Without a reference symbol: kallsyms says where the kernel is now, and nothing has to be moved. */
function kernelMaps(sink: RecordSink, places: Places, guest: number, identifier: number): void {
  const pid = places.machinePids[guest]!;
  for (const { dso, start, length } of places.kernelMaps(guest)) {
    const kernel = places.profile.dsos[dso]!.kind === "kernel";
    const name = kernel ? `[guest.kernel.kallsyms.${pid}]_text` : places.names[dso]!;
    const map = { pid, tid: 0, start, length, pageOffset: 0, protection: READ_EXECUTE };
    writeMmap(sink, MISC.guestKernel, map, name, places.buildIds[dso]!, { time: FIRST_TIME, identifier });
  }
}

function writeSample(sink: RecordSink, places: Places, i: number, identifier: number): void {
  const { samples, stacks, tasks } = places.profile;
  const stack = samples.stack[i]!;
  const length = stack < 0 ? 0 : Math.min(places.chainLengths[stack]!, MAX_CHAIN);
  const leaf = stack < 0 ? -1 : stacks.frame[stack]!;
  // Nothing is mapped at 0 in a process, while the kernel has symbols there.
  const context = leaf < 0 ? CONTEXT.user : places.contexts[leaf]!;
  const misc = context === CONTEXT.kernel ? MISC.guestKernel : MISC.guestUser;
  const at = sink.begin(RECORD.sample, misc, Sample.size + length * CHAIN_ENTRY);
  if (sink.counting) return;
  const { pid, tid } = tasks[samples.task[i]!]!;
  Sample.write(sink.view, at, {
    identifier,
    ip: leaf < 0 ? 0 : places.addresses[leaf]!,
    pid: pid >>> 0,
    tid: tid >>> 0,
    time: timeOf(samples.time[i]!),
    period: wholeNumber(samples.weight[i]!),
    chainLength: length,
  });
  writeChain(sink, places, stack, at + Sample.size, length);
}

/** Innermost first, with a mark in front of each run of kernel or user addresses. */
function writeChain(sink: RecordSink, places: Places, leaf: number, at: number, length: number): void {
  const { stacks } = places.profile;
  const { addresses, contexts } = places;
  let context = 0;
  let left = length;
  let place = at;
  const put = (value: number): void => {
    sink.view.setUint32(place, value >>> 0, true);
    sink.view.setUint32(place + 4, Math.floor(value / 2 ** 32) >>> 0, true);
    place += CHAIN_ENTRY;
    left--;
  };
  for (let stack = leaf; stack >= 0 && left > 0; stack = stacks.caller[stack]!) {
    const frame = stacks.frame[stack]!;
    if (contexts[frame]! !== context) put((context = contexts[frame]!));
    // A mark at the very end leaves no room for its frame.
    if (left > 0) put(addresses[frame]!);
  }
}

/** Indices of samples by time: a profile has them vCPU by vCPU. */
function inOrder(time: Profile["samples"]["time"]): Uint32Array {
  const order = Uint32Array.from({ length: time.length }, (_, i) => i);
  let sorted = true;
  for (let i = 1; i < time.length && sorted; i++) sorted = time[i]! >= time[i - 1]!;
  return sorted ? order : order.sort((a, b) => time[a]! - time[b]! || a - b);
}
