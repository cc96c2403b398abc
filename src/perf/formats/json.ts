/** JSON that is written part by part: columns of a million numbers need not be one string. */
import { encodeUtf8 } from "../../base/index.ts";

/** A list whose items are made as they are written. */
export class JsonList {
  readonly items: Iterable<Json>;

  constructor(items: Iterable<Json>) {
    this.items = items;
  }
}

export type Json =
  | null
  | boolean
  | number
  | string
  | readonly Json[]
  | Int32Array
  | Float64Array
  | JsonList
  | { readonly [name: string]: Json };

/** Numbers of a column that become text at once. */
const NUMBERS = 4096;
/** Characters of a part. */
const PART = 1 << 16;

function* texts(value: Json): Generator<string> {
  if (Array.isArray(value) && value.every((item) => typeof item !== "object")) yield JSON.stringify(value);
  else if (value instanceof JsonList || Array.isArray(value)) {
    let before = "[";
    for (const item of value instanceof JsonList ? value.items : (value as readonly Json[])) {
      yield before;
      yield* texts(item);
      before = ",";
    }
    yield before === "[" ? "[]" : "]";
  } else if (value instanceof Int32Array || value instanceof Float64Array) {
    yield "[";
    for (let at = 0; at < value.length; at += NUMBERS) {
      yield `${at === 0 ? "" : ","}${value.subarray(at, at + NUMBERS).join(",")}`;
    }
    yield "]";
  } else if (typeof value === "object" && value !== null) {
    let before = "{";
    for (const [name, field] of Object.entries(value)) {
      yield `${before}${JSON.stringify(name)}:`;
      yield* texts(field);
      before = ",";
    }
    yield before === "{" ? "{}" : "}";
  } else yield JSON.stringify(value);
}

/** Text as UTF-8, in parts of some size. */
export function* inParts(pieces: Iterable<string>): Generator<Uint8Array> {
  let held = "";
  for (const piece of pieces) {
    held += piece;
    if (held.length < PART) continue;
    yield encodeUtf8(held);
    held = "";
  }
  if (held !== "") yield encodeUtf8(held);
}

export const jsonParts = (value: Json): Generator<Uint8Array> => inParts(texts(value));
