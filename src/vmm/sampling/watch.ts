/** A machine that is watched: hooks sampling and counting into its vCPU as long as somebody wants it. Off, nothing of it is there. */
import { type HostWork, WORK } from "../../cpu/host-work.ts";
import type { SamplingPorts } from "../../cpu/sampling.ts";
import { type SampleArea, WANTED } from "./area.ts";
import type { ExitTable } from "./exits.ts";

/** What a vCPU has to offer to be watched. */
export interface WatchedVcpu {
  readonly instructions: number;
  sample(ports: SamplingPorts | undefined): void;
  watchWork(work: HostWork | undefined): void;
}

export interface WatchPorts {
  readonly area: SampleArea;
  readonly exits: ExitTable;
  readonly vcpu: WatchedVcpu;
  /** Makes what takes samples. */
  capture(): SamplingPorts;
  /** Nanoseconds. */
  now(): number;
  readonly deviceNames: readonly string[];
  /** Number of the device that is accessed. */
  deviceAt(work: number, detail: number): number;
}

/** More than anything nests. */
const DEEPEST = 16;

export class Watch implements HostWork {
  readonly #p: WatchPorts;
  readonly #counts: boolean;
  /** Instructions retired when it began. */
  readonly #before: number;
  /** What the thread does, the outermost first: kind, detail, since when. */
  readonly #works = new Int32Array(DEEPEST);
  readonly #details = new Float64Array(DEEPEST);
  readonly #since = new Float64Array(DEEPEST);
  #depth = 0;

  /** Begins at once. */
  constructor(ports: WatchPorts) {
    this.#p = ports;
    const { area, vcpu } = ports;
    const wanted = area.get("wanted");
    area.devices = ports.deviceNames;
    area.setNumber("begunAt", ports.now());
    this.#counts = (wanted & WANTED.exits) !== 0;
    this.#before = vcpu.instructions;
    vcpu.watchWork(this);
    if ((wanted & WANTED.samples) !== 0) vcpu.sample(ports.capture());
    this.#works[0] = WORK.loop;
    area.set("work", WORK.loop);
    area.set("begun", 1);
  }

  /** Nobody watches any more. */
  stop(): void {
    const { area, vcpu } = this.#p;
    area.setNumber("retired", vcpu.instructions - this.#before);
    vcpu.sample(undefined);
    vcpu.watchWork(undefined);
    area.set("begun", 0);
  }

  begin(work: number, detail: number): void {
    const { area } = this.#p;
    area.setWork(work, detail);
    const depth = ++this.#depth;
    this.#works[depth] = work;
    this.#details[depth] = detail;
    if (this.#counts) this.#since[depth] = this.#p.now();
  }

  end(): void {
    const depth = this.#depth--;
    const work = this.#works[depth]!;
    this.#p.area.setWork(this.#works[depth - 1]!, this.#details[depth - 1]!);
    if (!this.#counts || work === WORK.guest) return;
    const detail = this.#details[depth]!;
    const index = work === WORK.port || work === WORK.memory ? this.#p.deviceAt(work, detail) : detail;
    this.#p.exits.add(work, index, this.#p.now() - this.#since[depth]!);
  }
}
