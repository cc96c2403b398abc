/**
 * The watcher's hold on a machine while it is watched: asks for samples, says when the clock ticks, and takes what the machine wrote. On a
 * thread of its own, which sees where the vCPU's is at each tick without stopping it.
 */
import { WORK } from "../../cpu/host-work.ts";
import { STATE_BASE } from "../../cpu/memory-map.ts";
import { ATTENTION } from "../../cpu/runtime/exits.ts";
import { TICK } from "../../cpu/sampling.ts";
import { offsetOf } from "../../cpu/state.ts";
import { HostLink, REQUEST } from "../link.ts";
import { SampleArea, WANTED } from "./area.ts";
import type { ExitRow } from "./exits.ts";

const ATTENTION_WORD = (STATE_BASE + offsetOf("attention")) >> 2;

export interface TickerOptions {
  /** Of the machine's HostLink. */
  readonly link: SharedArrayBuffer;
  readonly memory: WebAssembly.Memory;
}

export interface WatchOrder {
  /** Samples by the clock (0), by so many instructions, or none. */
  readonly period?: number;
  readonly exits?: boolean;
}

export class Ticker {
  readonly area: SampleArea;
  readonly #link: HostLink;
  readonly #words: Int32Array;
  /** Ticks at which the vCPU was halted. */
  idle = 0;

  constructor({ link, memory }: TickerOptions) {
    this.#link = new HostLink(link);
    this.area = new SampleArea(memory);
    this.#words = new Int32Array(memory.buffer);
  }

  /** The machine begins when it next looks: soon, or when it is no longer paused. */
  start({ period, exits = false }: WatchOrder): void {
    const { area } = this;
    for (const word of ["tick", "ticks", "lost"] as const) area.set(word, 0);
    area.set("read", area.get("written"));
    area.set("period", period ?? 0);
    area.set("wanted", (period === undefined ? 0 : WANTED.samples) | (exits ? WANTED.exits : 0));
    if (exits) this.#link.exits.clear();
    this.idle = 0;
    this.#link.request(REQUEST.watched);
  }
  stop(): void {
    this.#link.withdraw(REQUEST.watched);
  }
  get begun(): boolean {
    return this.area.get("begun") !== 0;
  }
  get exits(): readonly ExitRow[] {
    return this.#link.exits.read();
  }

  /** The clock ticks: where the vCPU is now, a sample is due. */
  tick(): void {
    const { area } = this;
    const work = area.get("work");
    if (work === WORK.halted || !this.begun) {
      this.idle++;
      return;
    }
    area.set("tickWork", work);
    area.set("tickDetail", area.get("workDetail"));
    area.set("ticks", area.get("ticks") + 1);
    area.set("tick", work === WORK.guest ? TICK.guest : TICK.host);
    Atomics.store(this.#words, ATTENTION_WORD, ATTENTION);
  }
}
