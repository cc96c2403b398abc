/**
 * A writer for ACPI Machine Language (ACPI 6.5, chapter 20): just the terms our DSDT is made of. Each
 * function returns the bytes of one term; terms nest by being passed on.
 */
export type Aml = readonly number[];

const bytesOf = (value: number, count: number): number[] =>
  Array.from({ length: count }, (_, i) => Math.floor(value / 2 ** (8 * i)) % 256);

const text = (value: string): number[] => Array.from(value, (c) => c.charCodeAt(0));

/** A name of one segment or a path, such as `\_SB.PCI0` (20.2.2). Short segments are filled up with `_`. */
export const path = (value: string): Aml => {
  const root = value.startsWith("\\");
  const segments = (root ? value.slice(1) : value).split(".").filter((segment) => segment !== "");
  for (const segment of segments) {
    if (!/^[A-Z_][A-Z0-9_]{0,3}$/.test(segment)) throw new RangeError(`${segment} is not an ACPI name segment`);
  }
  const prefix =
    segments.length === 0
      ? [0x00]
      : segments.length === 1
        ? []
        : segments.length === 2
          ? [0x2e]
          : [0x2f, segments.length];
  return [...(root ? [0x5c] : []), ...prefix, ...segments.flatMap((segment) => text(segment.padEnd(4, "_")))];
};

/** The smallest constant that holds `value` (20.2.3). */
export const integer = (value: number): Aml => {
  if (value === 0 || value === 1) return [value];
  if (value <= 0xff) return [0x0a, value];
  if (value <= 0xffff) return [0x0b, ...bytesOf(value, 2)];
  if (value <= 0xffffffff) return [0x0c, ...bytesOf(value, 4)];
  return [0x0e, ...bytesOf(value, 8)];
};

export const string = (value: string): Aml => [0x0d, ...text(value), 0];

/** PkgLength counts its own bytes too (20.2.4). */
const packaged = (content: Aml): Aml => {
  if (content.length + 1 < 2 ** 6) return [content.length + 1, ...content];
  const extra = content.length + 2 < 2 ** 12 ? 1 : content.length + 3 < 2 ** 20 ? 2 : 3;
  const total = content.length + 1 + extra;
  return [(extra << 6) | (total & 0x0f), ...bytesOf(total >> 4, extra), ...content];
};

export const name = (at: string, value: Aml): Aml => [0x08, ...path(at), ...value];

export const scope = (at: string, ...terms: Aml[]): Aml => [0x10, ...packaged([...path(at), ...terms.flat()])];

export const device = (at: string, ...terms: Aml[]): Aml => [0x5b, 0x82, ...packaged([...path(at), ...terms.flat()])];

export const buffer = (content: ArrayLike<number>): Aml => [
  0x11,
  ...packaged([...integer(content.length), ...Array.from(content)]),
];

/** DefPackage, 255 elements at most. */
export const list = (...elements: Aml[]): Aml => {
  if (elements.length > 255) throw new RangeError("an AML package holds at most 255 elements");
  return [0x12, ...packaged([elements.length, ...elements.flat()])];
};

/** A hardware identifier: three letters and four hexadecimal digits, packed into 32 bits (19.3.4). */
export const eisaId = (id: string): Aml => {
  const match = /^([A-Z]{3})([0-9A-F]{4})$/.exec(id);
  if (match === null) throw new RangeError(`${id} is not an EISA identifier`);
  const [a, b, c] = text(match[1]!).map((letter) => letter - 0x40) as [number, number, number];
  const product = Number.parseInt(match[2]!, 16);
  const swapped = [(a << 2) | (b >> 3), ((b & 7) << 5) | c, product >> 8, product & 0xff];
  return [0x0c, ...swapped];
};
