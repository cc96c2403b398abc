/** Builds a profile from samples, one by one: each guest, DSO, symbol, task, frame and stack is kept once. */
import { float64Column, int32Column } from "./columns.ts";
import {
  MODES,
  type Mode,
  type Profile,
  type ProfileDso,
  type ProfileGuest,
  type ProfileInfo,
  type ProfileKernelMap,
  type ProfileMapping,
  type ProfileSymbol,
  type ProfileTask,
} from "./profile.ts";

/** Rows that are told apart by a key. */
class Rows<Row> {
  readonly rows: Row[] = [];
  readonly #index = new Map<string, number>();
  readonly #key: (row: Row) => string;

  constructor(key: (row: Row) => string) {
    this.#key = key;
  }

  add(row: Row): number {
    const key = this.#key(row);
    let index = this.#index.get(key);
    if (index === undefined) {
      index = this.rows.push(row) - 1;
      this.#index.set(key, index);
    }
    return index;
  }
}

export class ProfileBuilder {
  readonly #guests: ProfileGuest[] = [];
  readonly #dsos = new Rows<ProfileDso>((row) => `${row.guest} ${row.kind} ${row.buildId ?? ""} ${row.name}`);
  readonly #symbols = new Rows<ProfileSymbol>((row) => `${row.dso} ${row.start} ${row.name}`);
  readonly #tasks = new Rows<ProfileTask>((row) => `${row.guest} ${row.pid} ${row.tid} ${row.comm}`);
  readonly #mappings = new Rows<ProfileMapping>(
    (row) => `${row.guest} ${row.pid} ${row.start} ${row.length} ${row.pageOffset} ${row.dso}`,
  );
  readonly #kernelMaps = new Rows<ProfileKernelMap>((row) => `${row.dso} ${row.start}`);
  readonly #frameIndex = new Map<string, number>();
  readonly #frames = {
    address: float64Column(),
    offset: float64Column(),
    dso: int32Column(),
    symbol: int32Column(),
    mode: int32Column(),
  };
  /** The tree, to find a stack again: by caller and frame. */
  readonly #stackIndex = new Map<number, number>();
  readonly #stacks = { caller: int32Column(), frame: int32Column() };
  readonly #samples = {
    time: float64Column(),
    stack: int32Column(),
    task: int32Column(),
    vcpu: int32Column(),
    mode: int32Column(),
    weight: float64Column(),
  };

  guest(guest: ProfileGuest): number {
    return this.#guests.push(guest) - 1;
  }
  dso(dso: ProfileDso): number {
    return this.#dsos.add(dso);
  }
  symbol(symbol: ProfileSymbol): number {
    return this.#symbols.add(symbol);
  }
  task(task: ProfileTask): number {
    return this.#tasks.add(task);
  }
  mapping(mapping: ProfileMapping): number {
    return this.#mappings.add(mapping);
  }
  kernelMap(map: ProfileKernelMap): number {
    return this.#kernelMaps.add(map);
  }

  /** `symbol` and `dso` may be -1. */
  frame(frame: { address: number; offset: number; dso: number; symbol: number; mode: Mode }): number {
    const { address, offset, dso, symbol } = frame;
    const mode = MODES.indexOf(frame.mode);
    const key = `${dso} ${symbol} ${offset} ${address} ${mode}`;
    let index = this.#frameIndex.get(key);
    if (index === undefined) {
      index = this.#frames.address.push(address);
      this.#frames.offset.push(offset);
      this.#frames.dso.push(dso);
      this.#frames.symbol.push(symbol);
      this.#frames.mode.push(mode);
      this.#frameIndex.set(key, index);
    }
    return index;
  }

  /** The stack of `frame`, called from the stack `caller`; -1: from nowhere. */
  stack(caller: number, frame: number): number {
    const key = (caller + 1) * 2 ** 26 + frame;
    let index = this.#stackIndex.get(key);
    if (index === undefined) {
      index = this.#stacks.caller.push(caller);
      this.#stacks.frame.push(frame);
      this.#stackIndex.set(key, index);
    }
    return index;
  }

  /** Weights are whole, as perf's: sums of fractions would differ by the order of samples, and with them that of equal rows. */
  sample(sample: { time: number; stack: number; task: number; vcpu: number; mode: Mode; weight: number }): void {
    this.#samples.time.push(sample.time);
    this.#samples.stack.push(sample.stack);
    this.#samples.task.push(sample.task);
    this.#samples.vcpu.push(sample.vcpu);
    this.#samples.mode.push(MODES.indexOf(sample.mode));
    this.#samples.weight.push(Math.round(sample.weight));
  }

  get sampleCount(): number {
    return this.#samples.time.length;
  }

  /** The profile so far. What the columns hold is shared with the builder: build once, at the end. */
  build(info: ProfileInfo): Profile {
    const { address, offset, dso, symbol, mode } = this.#frames;
    const { time, stack, task, vcpu, mode: sampleMode, weight } = this.#samples;
    return {
      info,
      guests: this.#guests,
      dsos: this.#dsos.rows,
      symbols: this.#symbols.rows,
      tasks: this.#tasks.rows,
      mappings: this.#mappings.rows,
      kernelMaps: this.#kernelMaps.rows,
      frames: {
        address: address.values(),
        offset: offset.values(),
        dso: dso.values(),
        symbol: symbol.values(),
        mode: mode.values(),
      },
      stacks: { caller: this.#stacks.caller.values(), frame: this.#stacks.frame.values() },
      samples: {
        time: time.values(),
        stack: stack.values(),
        task: task.values(),
        vcpu: vcpu.values(),
        mode: sampleMode.values(),
        weight: weight.values(),
      },
    };
  }
}
