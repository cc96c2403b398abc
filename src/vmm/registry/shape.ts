/**
 * Shapes of what comes from another process as JSON: declared once, they are the check and the type. A library for that would take
 * longer to load than `viv ps` runs.
 */
import { VivError } from "../../base/index.ts";

export interface Shape<T> {
  readonly optional?: boolean;
  /** The value, with nothing in it that was not declared. Throws VivError `control.value`; `at` says where it stood. */
  check(value: unknown, at: string): T;
}
export type Of<S> = S extends Shape<infer T> ? T : never;

const wrong = (at: string, wanted: string): VivError => new VivError("control.value", `${at} is not ${wanted}`);

/** The longest text where no other bound is given: stops one message from being all of a process's memory. */
const MOST_TEXT = 4096;

export const text = (most = MOST_TEXT): Shape<string> => ({
  check(value, at) {
    if (typeof value === "string" && value.length <= most) return value;
    throw wrong(at, `a text of at most ${most} characters`);
  },
});

export const number = (least: number, most: number): Shape<number> => ({
  check(value, at) {
    if (typeof value === "number" && value >= least && value <= most) return value;
    throw wrong(at, `a number from ${least} to ${most}`);
  },
});

/** A whole number, not negative. */
export const count = (most = Number.MAX_SAFE_INTEGER): Shape<number> => ({
  check(value, at) {
    if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= most) return value;
    throw wrong(at, `a whole number up to ${most}`);
  },
});

export const flag: Shape<boolean> = {
  check(value, at) {
    if (typeof value === "boolean") return value;
    throw wrong(at, "true or false");
  },
};

export const choice = <const Choice extends string>(...choices: readonly Choice[]): Shape<Choice> => ({
  check(value, at) {
    const found = choices.find((one) => one === value);
    if (found !== undefined) return found;
    throw wrong(at, `one of ${choices.join(", ")}`);
  },
});

export const list = <T>(of: Shape<T>, most: number): Shape<readonly T[]> => ({
  check(value, at) {
    if (Array.isArray(value) && value.length <= most) return value.map((one, i) => of.check(one, `${at}[${i}]`));
    throw wrong(at, `a list of at most ${most}`);
  },
});

/** Any keys, each with such a value. */
export const dictionary = <T>(of: Shape<T>, most: number): Shape<Readonly<Record<string, T>>> => ({
  check(value, at) {
    const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
    const entries = isObject ? Object.entries(value) : [];
    if (!isObject || entries.length > most) throw wrong(at, `an object of at most ${most} keys`);
    return Object.fromEntries(entries.map(([key, one]) => [key, of.check(one, `${at}.${key}`)]));
  },
});

export const optional = <T>(of: Shape<T>): Shape<T | undefined> & { readonly optional: true } => ({
  optional: true,
  check: (value, at) => (value === undefined ? undefined : of.check(value, at)),
});

export type Fields = Readonly<Record<string, Shape<unknown>>>;
type OptionalKeys<F> = { [K in keyof F]: F[K] extends { readonly optional: true } ? K : never }[keyof F];
type Simple<T> = { readonly [K in keyof T]: T[K] };
export type Recorded<F extends Fields> = Simple<
  { [K in Exclude<keyof F, OptionalKeys<F>>]: Of<F[K]> } & { [K in OptionalKeys<F>]?: Of<F[K]> | undefined }
>;

/** These keys. What else is there is left out: it is of a newer version. */
export const record = <const F extends Fields>(fields: F): Shape<Recorded<F>> => ({
  check(value, at) {
    if (typeof value !== "object" || value === null) throw wrong(at, "an object");
    const given = value as Readonly<Record<string, unknown>>;
    const out: Record<string, unknown> = {};
    for (const [key, shape] of Object.entries(fields)) {
      const one = shape.check(Object.hasOwn(given, key) ? given[key] : undefined, `${at}.${key}`);
      if (one !== undefined) out[key] = one;
    }
    return out as Recorded<F>;
  },
});

/** For requests that are answered by being done. */
export const nothing = record({});
