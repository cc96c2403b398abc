/**
 * What perf knows at a moment of a recording about a guest's tasks and what they have mapped. It is told just before the first sample
 * that needs it: so a thread that changes its name, or a process that starts another program, is right at each of its samples.
 */

import { commBytes, pathBytes } from "../plain-names.ts";
import type { Profile } from "../profile.ts";
import { Comm, MISC, Mmap2, RECORD, SampleId, wholeNumber } from "./layout.ts";
import type { Places } from "./places.ts";
import { paddedLength, type RecordSink } from "./sink.ts";

/** MAP_PRIVATE. */
const PRIVATE = 2;
const READ_EXECUTE = 5;

interface Area {
  readonly start: number;
  readonly end: number;
  readonly dso: number;
}

/** A process, as far as perf was told. */
interface Process {
  /** The last one that holds an address counts. */
  readonly areas: Area[];
  /** Stacks whose every frame perf finds. */
  readonly told: Set<number>;
}

export class GuestView {
  readonly #places: Places;
  readonly #sink: RecordSink;
  readonly #comms = new Map<string, number>();
  readonly #processes = new Map<string, Process>();
  /** Rows of `mappings` by guest and process. */
  readonly #mappings = new Map<string, number[]>();

  constructor(places: Places, sink: RecordSink) {
    this.#places = places;
    this.#sink = sink;
    places.profile.mappings.forEach(({ guest, pid }, row) => {
      const key = `${guest} ${pid}`;
      const rows = this.#mappings.get(key);
      if (rows === undefined) this.#mappings.set(key, [row]);
      else rows.push(row);
    });
  }

  get #profile(): Profile {
    return this.#places.profile;
  }

  /** Says what perf has to know for a sample of `task` with `stack`. */
  tell(task: number, stack: number, time: number, identifier: number): void {
    const { guest, pid, tid, comm } = this.#profile.tasks[task]!;
    const thread = `${guest} ${pid} ${tid}`;
    if (this.#comms.get(thread) !== task) {
      this.#comms.set(thread, task);
      this.#comm(pid, tid, comm, time, identifier);
    }
    const key = `${guest} ${pid}`;
    let process = this.#processes.get(key);
    if (process === undefined) this.#processes.set(key, (process = { areas: [], told: new Set() }));
    this.#map(process, key, pid, stack, time, identifier);
  }

  #map(process: Process, key: string, pid: number, stack: number, time: number, identifier: number): void {
    const { stacks, frames, dsos } = this.#profile;
    const { addresses } = this.#places;
    const { told, areas } = process;
    for (let at = stack; at >= 0 && !told.has(at); at = stacks.caller[at]!) {
      told.add(at);
      const frame = stacks.frame[at]!;
      const dso = frames.dso[frame]!;
      const kind = dsos[dso]?.kind;
      if (kind === undefined || kind === "kernel" || kind === "module" || kind === "unknown") continue;
      const address = addresses[frame]!;
      if (areas.findLast(({ start, end }) => address >= start && address < end)?.dso === dso) continue;
      const area = this.#areaOf(key, dso, address);
      if (area === undefined) continue;
      this.#mmap(pid, area, time, identifier);
      const { start, length } = area;
      const covers = areas.some((other) => other.start < start + length && other.end > start);
      areas.push({ start, end: start + length, dso });
      if (!covers) continue;
      // What was found may be hidden now.
      told.clear();
      told.add(at);
    }
  }

  #areaOf(key: string, dso: number, address: number) {
    const host = this.#places.hostMapping(dso);
    if (host !== undefined) return { ...host, pageOffset: 0, dso, protection: READ_EXECUTE };
    const { mappings } = this.#profile;
    const row = this.#mappings.get(key)?.findLast((i) => {
      const mapping = mappings[i]!;
      return mapping.dso === dso && address >= mapping.start && address < mapping.start + mapping.length;
    });
    return row === undefined ? undefined : mappings[row]!;
  }

  #comm(pid: number, tid: number, name: string, time: number, identifier: number): void {
    const text = commBytes(name);
    const length = paddedLength(text.length);
    const at = this.#sink.begin(RECORD.comm, MISC.guestUser, Comm.size + length + SampleId.size);
    if (this.#sink.counting) return;
    Comm.write(this.#sink.view, at, { pid: pid >>> 0, tid: tid >>> 0 });
    this.#sink.put(at + Comm.size, text);
    SampleId.write(this.#sink.view, at + Comm.size + length, { pid: pid >>> 0, tid: tid >>> 0, time, identifier });
  }

  #mmap(
    pid: number,
    area: { start: number; length: number; pageOffset: number; dso: number; protection: number },
    time: number,
    identifier: number,
  ): void {
    const name = this.#places.names[area.dso]!;
    const protection = area.protection & 7;
    writeMmap(
      this.#sink,
      MISC.guestUser,
      { ...area, pid, tid: pid, protection },
      name,
      this.#places.buildIds[area.dso]!,
      { time, identifier },
    );
  }
}

export const buildIdBytes = (buildId: string): Uint8Array =>
  Uint8Array.from({ length: buildId.length / 2 }, (_, i) => Number.parseInt(buildId.slice(2 * i, 2 * i + 2), 16));

export function writeMmap(
  sink: RecordSink,
  misc: number,
  map: { pid: number; tid: number; start: number; length: number; pageOffset: number; protection: number },
  name: string,
  buildId: string,
  sample: { time: number; identifier: number },
): void {
  const text = pathBytes(name);
  const length = paddedLength(text.length);
  const at = sink.begin(RECORD.mmap2, misc | MISC.buildId, Mmap2.size + length + SampleId.size);
  if (sink.counting) return;
  const [pid, tid] = [map.pid >>> 0, map.tid >>> 0];
  const { start, pageOffset, protection } = map;
  const id = buildIdBytes(buildId);
  const extent = wholeNumber(map.length);
  const values = { pid, tid, start, pageOffset, protection, length: extent, flags: PRIVATE };
  Mmap2.write(sink.view, at, { ...values, buildIdSize: id.length, buildId: id });
  sink.put(at + Mmap2.size, text);
  SampleId.write(sink.view, at + Mmap2.size + length, { pid, tid, ...sample });
}
