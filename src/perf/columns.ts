/** Columns of numbers that grow: what a million samples are kept in. */
type Numbers = Int32Array | Uint32Array | Float64Array;

export class Column<Kind extends Numbers> {
  #numbers: Kind;
  readonly #make: (length: number) => Kind;
  #length = 0;

  constructor(make: (length: number) => Kind, room = 64) {
    this.#make = make;
    this.#numbers = make(room);
  }

  get length(): number {
    return this.#length;
  }

  push(value: number): number {
    if (this.#length === this.#numbers.length) {
      const larger = this.#make(this.#length * 2);
      larger.set(this.#numbers);
      this.#numbers = larger;
    }
    this.#numbers[this.#length] = value;
    return this.#length++;
  }

  /** What was pushed, as a view that holds until the next push. */
  values(): Kind {
    return this.#numbers.subarray(0, this.#length) as Kind;
  }
}

export const int32Column = (): Column<Int32Array> => new Column((length) => new Int32Array(length));
export const float64Column = (): Column<Float64Array> => new Column((length) => new Float64Array(length));
