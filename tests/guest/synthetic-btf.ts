/** Writes BTF (Documentation/bpf/btf.rst), without the tables of src/guest. */

export interface BtfMember {
  readonly name: string;
  readonly type: number;
  /** From the struct's start. */
  readonly bit: number;
  /** Of a bit field. */
  readonly bits?: number;
}

export class BtfWriter {
  readonly #records: number[] = [];
  readonly #strings: number[] = [0];
  #next: number;
  readonly #firstString: number;

  /** `base`: types and bytes of strings that another BTF has already; the first type is then behind them. */
  constructor(base: { types: number; strings: number } = { types: 1, strings: 0 }) {
    this.#next = base.types;
    this.#firstString = base.strings;
  }

  get types(): number {
    return this.#next;
  }
  get strings(): number {
    return this.#firstString + this.#strings.length;
  }

  int(name: string, size: number): number {
    return this.#type(name, 1, size, 0, false, [word(size * 8)]);
  }
  pointer(to: number): number {
    return this.#type("", 2, to, 0, false, []);
  }
  array(of: number, count: number): number {
    return this.#type("", 3, 0, 0, false, [word(of), word(of), word(count)]);
  }
  struct(name: string, size: number, members: readonly BtfMember[], union = false): number {
    const fields = members.some((member) => member.bits !== undefined);
    const words = members.flatMap(({ name: member, type, bit, bits = 0 }) => [
      word(this.#string(member)),
      word(type),
      word(fields ? bit + bits * 2 ** 24 : bit),
    ]);
    return this.#type(name, union ? 5 : 4, size, members.length, fields, words);
  }
  enumeration(name: string, values: Readonly<Record<string, number>>, signed = false): number {
    const words = Object.entries(values).flatMap(([value, number]) => [word(this.#string(value)), word(number)]);
    return this.#type(name, 6, 4, words.length / 2, signed, words);
  }
  enumeration64(name: string, values: Readonly<Record<string, bigint>>): number {
    const words = Object.entries(values).flatMap(([value, number]) => [
      word(this.#string(value)),
      word(Number(number & 0xffff_ffffn)),
      word(Number((number >> 32n) & 0xffff_ffffn)),
    ]);
    return this.#type(name, 19, 8, words.length / 3, false, words);
  }
  typedef(name: string, type: number): number {
    return this.#type(name, 8, type, 0, false, []);
  }
  constant(type: number): number {
    return this.#type("", 10, type, 0, false, []);
  }
  /** A record of any kind. */
  raw(kind: number, count: number, size: number): number {
    return this.#type("raw", kind, size, count, false, []);
  }

  bytes(): Uint8Array {
    const types = this.#records;
    const header = [0x9f, 0xeb, 1, 0, ...word(24), ...word(0), ...word(types.length), ...word(types.length)];
    return Uint8Array.from([...header, ...word(this.#strings.length), ...types, ...this.#strings]);
  }

  #type(name: string, kind: number, size: number, count: number, flag: boolean, rest: readonly number[][]): number {
    const info = kind * 2 ** 24 + count + (flag ? 2 ** 31 : 0);
    for (const one of [word(this.#string(name)), word(info), word(size), ...rest]) this.#records.push(...one);
    return this.#next++;
  }

  #string(text: string): number {
    if (text === "") return 0;
    const at = this.#firstString + this.#strings.length;
    this.#strings.push(...[...text].map((character) => character.charCodeAt(0)), 0);
    return at;
  }
}

const word = (value: number): number[] => [value & 255, (value >>> 8) & 255, (value >>> 16) & 255, value >>> 24];
