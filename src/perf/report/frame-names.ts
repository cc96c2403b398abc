/**
 * What the frames of a profile are called, and which of them are the same function: as Linux perf has it, so that a report can be
 * laid beside its own (tools/perf/util/sort.c: a symbol is its DSO's short name, its start and its size; what has no symbol is
 * its address).
 *
 * A sample without any stack has a frame, too: one for each mode, behind the profile's own.
 */
import { formatGva } from "../../guest/memory.ts";
import { dsoShortName, frameName, hexadecimal, NO_STACK, UNKNOWN } from "../names.ts";
import { MODES, type Profile } from "../profile.ts";
import { Ids } from "./ids.ts";

/** As perf marks where a symbol ran, by mode: guest kernel, guest user, host, and `-` for a task that sleeps. */
const MARKS: readonly string[] = ["g", "u", ".", "-"];

/** By DSO: where a module lies. A module is loaded anywhere, and perf counts from its start. */
function basesOf({ dsos, kernelMaps }: Profile): ReadonlyMap<number, number> {
  return new Map(kernelMaps.filter(({ dso }) => dsos[dso]?.kind === "module").map(({ dso, start }) => [dso, start]));
}

export class FrameNames {
  readonly profile: Profile;
  /** Frames, with those of samples that have no stack. */
  readonly count: number;
  /** Equal where the DSO's name is. */
  readonly dsoClass: Int32Array;
  /** Equal where the function is. */
  readonly functionClass: Int32Array;
  readonly #dsoNames: readonly string[];

  constructor(profile: Profile) {
    this.profile = profile;
    const { frames, symbols } = profile;
    const known = frames.dso.length;
    this.count = known + MODES.length;
    this.dsoClass = new Int32Array(this.count);
    this.functionClass = new Int32Array(this.count);
    const dsoIds = new Ids<string>();
    const unknown = dsoIds.of(UNKNOWN);
    const classOfDso = profile.dsos.map((_, dso) => dsoIds.of(dsoShortName(profile, dso)));
    this.#dsoNames = dsoIds.keys;
    const functions = new Ids<string>();
    const base = basesOf(profile);
    const classOfSymbol = symbols.map(({ dso, start, size }) =>
      functions.of(`${classOfDso[dso] ?? unknown} ${start - (base.get(dso) ?? 0)} ${size}`),
    );
    // There may be as many addresses without a symbol as samples: numbers, not strings, for each DSO.
    const addresses = this.#dsoNames.map(() => new Map<number, number>());
    let next = functions.keys.length;
    for (let frame = 0; frame < this.count; frame++) {
      const dso = frames.dso[frame] ?? -1;
      const symbol = frames.symbol[frame] ?? -1;
      const dsoClass = classOfDso[dso] ?? unknown;
      this.dsoClass[frame] = dsoClass;
      if (symbol >= 0 && symbol < classOfSymbol.length) {
        this.functionClass[frame] = classOfSymbol[symbol]!;
        continue;
      }
      const ids = addresses[dsoClass]!;
      const address = this.address(frame);
      const found = frame < known ? ids.get(address) : undefined;
      this.functionClass[frame] = found ?? next;
      if (found === undefined) ids.set(frame < known ? address : Number.NaN, next++);
    }
  }

  /** The frame of a sample that has no stack. */
  withoutStack(mode: number): number {
    return this.count - MODES.length + mode;
  }

  /** Index into MODES. */
  mode(frame: number): number {
    return this.#known(frame) ? this.profile.frames.mode[frame]! : frame - (this.count - MODES.length);
  }
  mark(frame: number): string {
    return MARKS[this.mode(frame)] ?? "?";
  }

  dso(frame: number): string {
    return this.#dsoNames[this.dsoClass[frame]!]!;
  }
  /** With its folders, where it is a file. */
  dsoPath(frame: number): string {
    return this.profile.dsos[this.profile.frames.dso[frame] ?? -1]?.name ?? UNKNOWN;
  }
  hasDso(frame: number): boolean {
    return (this.profile.frames.dso[frame] ?? -1) >= 0;
  }

  /** Undefined where nothing is known but an address. */
  symbol(frame: number): string | undefined {
    return frameName(this.profile, frame);
  }
  symbolStart(frame: number): number {
    return this.profile.symbols[this.profile.frames.symbol[frame] ?? -1]?.start ?? this.address(frame);
  }

  /** What stands for it where it has no symbol: the address in its DSO, in memory where it has no DSO. */
  address(frame: number): number {
    const { address, offset } = this.profile.frames;
    return (this.hasDso(frame) ? offset[frame] : address[frame]) ?? 0;
  }

  /** The function, or the address with all its digits as perf writes it in rows. */
  title(frame: number): string {
    return this.symbol(frame) ?? (this.#known(frame) ? `0x${formatGva(this.address(frame))}` : NO_STACK);
  }
  /** The function, or the address as perf writes it in call graphs. */
  callTitle(frame: number): string {
    return this.symbol(frame) ?? (this.#known(frame) ? hexadecimal(this.address(frame)) : NO_STACK);
  }

  #known(frame: number): boolean {
    return frame < this.count - MODES.length;
  }
}
