/**
 * Wire structs, declared once: `struct("name", size, { field: type, … })` gives the size, every
 * field's offset, a reader and a writer. Layout is little-endian and packed, as ACPI, the Linux
 * boot protocol, virtio and ELF write their tables; padding is a field of its own, or `at`.
 * The declared size is checked when the module loads, so a forgotten field cannot move the rest.
 */

/** A type of the wire: `Read` comes out of memory, `Write` is what may be put there. */
export interface Field<Read, Write = Read> {
  readonly size: number;
  /** Where the field must start, when the declaration says so (`at`). */
  readonly offset?: number;
  read(view: DataView, at: number): Read;
  /** Throws RangeError on a value that does not fit: values written here are the host's. */
  write(view: DataView, at: number, value: Write): void;
}

const check = (value: number, limit: number): number => {
  if (!(Number.isInteger(value) && value >= 0 && value < limit)) {
    throw new RangeError(`${value} does not fit an unsigned field below ${limit}`);
  }
  return value;
};

export const u8: Field<number> = {
  size: 1,
  read: (view, at) => view.getUint8(at),
  write: (view, at, value) => view.setUint8(at, check(value, 2 ** 8)),
};

export const u16: Field<number> = {
  size: 2,
  read: (view, at) => view.getUint16(at, true),
  write: (view, at, value) => view.setUint16(at, check(value, 2 ** 16), true),
};

export const u32: Field<number> = {
  size: 4,
  read: (view, at) => view.getUint32(at, true),
  write: (view, at, value) => view.setUint32(at, check(value, 2 ** 32), true),
};

/**
 * 64 bits as a number, exact below 2^53. A guest's larger value reads rounded, and so still lies above
 * every limit it is compared with; where each bit counts, use `u64big`.
 */
export const u64: Field<number> = {
  size: 8,
  read: (view, at) => view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32,
  write: (view, at, value) => {
    check(value, Number.MAX_SAFE_INTEGER + 1);
    view.setUint32(at, value % 2 ** 32, true);
    view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
  },
};

/** 64 bits with sign as a number: exact below 2^53 on either side of zero, above that the nearest there is. */
export const s64: Field<number> = {
  size: 8,
  read: (view, at) => view.getUint32(at, true) + view.getInt32(at + 4, true) * 2 ** 32,
  write: (view, at, value) => {
    if (!Number.isSafeInteger(value)) throw new RangeError(`${value} does not fit a signed field`);
    view.setUint32(at, value >>> 0, true);
    view.setInt32(at + 4, Math.floor(value / 2 ** 32), true);
  },
};

/** 64 bits, all of them exact. */
export const u64big: Field<bigint> = {
  size: 8,
  read: (view, at) => view.getBigUint64(at, true),
  write: (view, at, value) => {
    if (BigInt.asUintN(64, value) !== value) throw new RangeError(`${value} does not fit an unsigned 64-bit field`);
    view.setBigUint64(at, value, true);
  },
};

const span = (view: DataView, at: number, length: number): Uint8Array => {
  if (at < 0 || at + length > view.byteLength) throw new RangeError(`${length} bytes at ${at} leave the buffer`);
  return new Uint8Array(view.buffer, view.byteOffset + at, length);
};

/** `size` bytes. Reads a copy; a shorter value is followed by zeros. */
export const blob = (size: number): Field<Uint8Array, ArrayLike<number>> => ({
  size,
  read: (view, at) => span(view, at, size).slice(),
  write: (view, at, value) => {
    check(value.length, size + 1);
    const target = span(view, at, size);
    target.fill(0);
    target.set(value);
  },
});

/** Text of at most `size` ASCII characters, filled up with `pad`. Reads up to the first NUL. */
export const ascii = (size: number, pad = "\0"): Field<string> => ({
  size,
  read: (view, at) => {
    const raw = span(view, at, size);
    const end = raw.indexOf(0);
    return String.fromCharCode(...(end < 0 ? raw : raw.subarray(0, end)));
  },
  write: (view, at, value) => {
    check(value.length, size + 1);
    const target = span(view, at, size);
    for (let i = 0; i < size; i++)
      target[i] = check((i < value.length ? value : pad).charCodeAt(i < value.length ? i : 0), 128);
  },
});

/** `length` fields in a row; fewer values are followed by zeros. */
export const array = <Read, Write>(field: Field<Read, Write>, length: number): Field<Read[], readonly Write[]> => ({
  size: field.size * length,
  read: (view, at) => {
    const values: Read[] = [];
    for (let i = 0; i < length; i++) values.push(field.read(view, at + i * field.size));
    return values;
  },
  write: (view, at, values) => {
    check(values.length, length + 1);
    span(view, at, field.size * length).fill(0);
    values.forEach((value, i) => {
      field.write(view, at + i * field.size, value);
    });
  },
});

/** A field that starts at `offset`; the gap before it is reserved. For sparse tables such as Linux's zero page. */
export const at = <Read, Write>(offset: number, field: Field<Read, Write>): Field<Read, Write> => ({
  size: field.size,
  offset,
  read: (view, position) => field.read(view, position),
  write: (view, position, value) => field.write(view, position, value),
});

type Fields = Record<string, Field<unknown, never>>;
type ReadOf<F> = F extends Field<infer Read, never> ? Read : never;
type WriteOf<F> = F extends { write(view: DataView, at: number, value: infer Write): void } ? Write : never;

/** What a struct reads as. */
export type StructOf<S> = S extends Struct<infer F> ? { [K in keyof F]: ReadOf<F[K]> } : never;

export interface Struct<F extends Fields>
  extends Field<{ [K in keyof F]: ReadOf<F[K]> }, { readonly [K in keyof F]?: WriteOf<F[K]> }> {
  readonly name: string;
  readonly fields: F;
  /** Byte offset of each field. */
  readonly offsets: { readonly [K in keyof F]: number };
  /** Reads or writes one field of the struct that starts at `at`. */
  get<K extends keyof F>(view: DataView, at: number, field: K): ReadOf<F[K]>;
  set<K extends keyof F>(view: DataView, at: number, field: K, value: WriteOf<F[K]>): void;
  /** The struct as bytes; a field left out is zero. */
  encode(values: { readonly [K in keyof F]?: WriteOf<F[K]> }): Uint8Array;
  /** Reads the struct that `bytes` start with. Throws RangeError when they are too short. */
  decode(bytes: Uint8Array): { [K in keyof F]: ReadOf<F[K]> };
}

/** Declares a struct of `size` bytes; throws at once when its fields do not add up to that. */
export const struct = <const F extends Fields>(name: string, size: number, fields: F): Struct<F> => {
  const offsets: Record<string, number> = {};
  const entries = Object.entries(fields);
  let end = 0;
  for (const [key, field] of entries) {
    const start = field.offset ?? end;
    if (start < end) throw new RangeError(`${name}.${key} is declared at ${start}, inside the field before it`);
    offsets[key] = start;
    end = start + field.size;
  }
  if (end !== size) throw new RangeError(`${name} is declared as ${size} bytes, its fields take ${end}`);

  type Values = { readonly [K in keyof F]?: WriteOf<F[K]> };
  type Result = { [K in keyof F]: ReadOf<F[K]> };
  const self: Struct<F> = {
    name,
    size,
    fields,
    offsets: offsets as { readonly [K in keyof F]: number },
    get: (view, base, key) => fields[key]!.read(view, base + offsets[key as string]!) as never,
    set: (view, base, key, value) => fields[key]!.write(view, base + offsets[key as string]!, value as never),
    read: (view, base) => {
      const result: Record<string, unknown> = {};
      for (const [key, field] of entries) result[key] = field.read(view, base + offsets[key]!);
      return result as Result;
    },
    /** A field left out is zero. */
    write: (view, base, values: Values) => {
      span(view, base, size).fill(0);
      for (const [key, value] of Object.entries(values)) {
        const field = fields[key];
        if (field === undefined) throw new RangeError(`${name} has no field ${key}`);
        if (value !== undefined) field.write(view, base + offsets[key]!, value as never);
      }
    },
    encode: (values) => {
      const out = new Uint8Array(size);
      self.write(new DataView(out.buffer), 0, values);
      return out;
    },
    decode: (bytes) => self.read(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), 0),
  };
  return self;
};
