/** Small whole numbers for what is the same, and lists of what has the same number: over typed arrays, without an object for each. */

export class Ids<Key> {
  readonly keys: Key[] = [];
  readonly #ids = new Map<Key, number>();

  of(key: Key): number {
    let id = this.#ids.get(key);
    if (id === undefined) {
      id = this.keys.push(key) - 1;
      this.#ids.set(key, id);
    }
    return id;
  }
}

const FIRST_SLOTS = 1024;

/** Up to this many possible pairs each has a place of its own: 64 MiB. Neighbours stay neighbours there, which hashing undoes. */
const MOST_PLACES = 2 ** 24;

/** Where all possible pairs are too many: open addressing over typed arrays, at most half full. */
export class PairIds {
  readonly #places: Int32Array | undefined;
  readonly #seconds: number;
  #slots = new Int32Array(FIRST_SLOTS).fill(-1);
  #first = new Int32Array(FIRST_SLOTS / 2);
  #second = new Int32Array(FIRST_SLOTS / 2);
  #length = 0;

  get length(): number {
    return this.#length;
  }
  /** Numbers are below these. */
  constructor(firsts: number, seconds: number) {
    this.#seconds = seconds;
    if (firsts * seconds <= MOST_PLACES) this.#places = new Int32Array(firsts * seconds).fill(-1);
  }

  /** First and second numbers by id: views that hold until the next new pair. */
  get first(): Int32Array {
    return this.#first.subarray(0, this.#length);
  }
  get second(): Int32Array {
    return this.#second.subarray(0, this.#length);
  }
  firstOf(id: number): number {
    return this.#first[id]!;
  }
  secondOf(id: number): number {
    return this.#second[id]!;
  }

  of(first: number, second: number): number {
    if (this.#places !== undefined) {
      const place = first * this.#seconds + second;
      const known = this.#places[place]!;
      return known >= 0 ? known : (this.#places[place] = this.#next(first, second));
    }
    const mask = this.#slots.length - 1;
    for (let slot = hash(first, second) & mask; ; slot = (slot + 1) & mask) {
      const id = this.#slots[slot]!;
      if (id < 0) return this.#add(slot, first, second);
      if (this.#first[id] === first && this.#second[id] === second) return id;
    }
  }

  #add(slot: number, first: number, second: number): number {
    this.#slots[slot] = this.#length;
    const id = this.#next(first, second);
    if (this.#length * 2 >= this.#slots.length) this.#rehash();
    return id;
  }

  #next(first: number, second: number): number {
    if (this.#length === this.#first.length) this.#grow();
    this.#first[this.#length] = first;
    this.#second[this.#length] = second;
    return this.#length++;
  }

  #grow(): void {
    const room = this.#first.length * 2;
    const [first, second] = [new Int32Array(room), new Int32Array(room)];
    first.set(this.#first);
    second.set(this.#second);
    [this.#first, this.#second] = [first, second];
  }

  #rehash(): void {
    const slots = new Int32Array(this.#slots.length * 2).fill(-1);
    const mask = slots.length - 1;
    for (let id = 0; id < this.#length; id++) {
      let slot = hash(this.#first[id]!, this.#second[id]!) & mask;
      while (slots[slot]! >= 0) slot = (slot + 1) & mask;
      slots[slot] = id;
    }
    this.#slots = slots;
  }
}

/** The finisher of MurmurHash3 over both. */
function hash(first: number, second: number): number {
  let h = Math.imul(first, 0x9e37_79b1) ^ second;
  h = Math.imul(h ^ (h >>> 16), 0x85eb_ca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2_ae35);
  return h ^ (h >>> 16);
}

/** Indices by their value: those of value `v` are `list[start[v]]` to `list[start[v + 1] - 1]`, ascending. Negative values are left out. */
export interface Grouped {
  readonly start: Int32Array;
  readonly list: Int32Array;
}

export function grouped(values: Int32Array, count: number): Grouped {
  const start = new Int32Array(count + 1);
  let size = 0;
  for (let i = 0; i < values.length; i++) {
    if (values[i]! < 0) continue;
    start[values[i]! + 1]!++;
    size++;
  }
  for (let i = 0; i < count; i++) start[i + 1]! += start[i]!;
  const place = start.slice();
  const list = new Int32Array(size);
  for (let i = 0; i < values.length; i++) {
    if (values[i]! >= 0) list[place[values[i]!]!++] = i;
  }
  return { start, list };
}
