/** Raw samples where they lie in the ring: what is asked for is read there, and nothing made of the rest. */
import { s64 } from "../../base/index.ts";
import { GPR_NAMES } from "../../cpu/state.ts";
import type { StackWords } from "../../guest/unwind/words.ts";
import { COMM_SIZE, RAW_PIECE, RAW_SAMPLE } from "./area.ts";
import { MOST_USER_STACK } from "./capture-code.ts";

const { offsets } = RAW_SAMPLE;

/** Its fields. */
export class SampleInRing {
  readonly #view: DataView;
  readonly #gpr = new Float64Array(GPR_NAMES.length);
  /** Where it lies. */
  at = 0;

  /** `view`: of the ring. */
  constructor(view: DataView) {
    this.#view = view;
  }

  get<Field extends keyof typeof RAW_SAMPLE.fields>(field: Field) {
    return RAW_SAMPLE.get(this.#view, this.at, field);
  }

  /** General registers in the order of GPR_NAMES; good until the next sample's are asked for. */
  gpr(): Float64Array {
    const from = this.at + offsets.gpr;
    for (let i = 0; i < GPR_NAMES.length; i++) this.#gpr[i] = s64.read(this.#view, from + i * s64.size);
    return this.#gpr;
  }

  /** Its task has this name, in all bytes. */
  isNamed(comm: Uint8Array): boolean {
    const from = this.at + offsets.comm;
    for (let i = 0; i < COMM_SIZE; i++) if (this.#view.getUint8(from + i) !== comm[i]) return false;
    return true;
  }
}

/** The pieces of memory that came with a sample. */
export class SamplePieces implements StackWords {
  readonly #view: DataView;
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];
  readonly #places: number[] = [];
  /** A word was asked for that lies right behind a piece of a user stack. */
  ranOut = false;

  constructor(view: DataView) {
    this.#view = view;
  }

  /** To those of a sample. */
  move(at: number, count: number): void {
    this.ranOut = false;
    this.#starts.length = count;
    let place = at + RAW_SAMPLE.size;
    for (let i = 0; i < count; i++) {
      const start = RAW_PIECE.get(this.#view, place, "start");
      const length = RAW_PIECE.get(this.#view, place, "length");
      this.#starts[i] = start;
      this.#ends[i] = start + length;
      this.#places[i] = place + RAW_PIECE.size;
      place += RAW_PIECE.size + Math.ceil(length / 8) * 8;
    }
  }

  word(at: number): number {
    for (let i = 0; i < this.#starts.length; i++) {
      const start = this.#starts[i]!;
      if (!(at >= start && at < this.#ends[i]! + MOST_USER_STACK)) continue;
      if (at + 8 > this.#ends[i]!) {
        if (at > 0) this.ranOut = true;
        continue;
      }
      const place = this.#places[i]! + (at - start);
      return this.#view.getInt32(place + 4, true) * 2 ** 32 + this.#view.getUint32(place, true);
    }
    return Number.NaN;
  }
}
