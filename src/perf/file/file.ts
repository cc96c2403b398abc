/**
 * A profile as a file: a head, the small tables as JSON, then the columns as they are in memory, each on a multiple of eight bytes.
 * Little-endian, as are the typed arrays of every processor V8 is built for today.
 */
import { ascii, decodeUtf8, encodeUtf8, struct, u32, u64, VivError } from "../../base/index.ts";
import type { FrameColumns, Profile, ProfileInfo, SampleColumns, StackColumns } from "../profile.ts";
import {
  COLUMN_TABLES,
  type ColumnKind,
  type ColumnTable,
  columnHolds,
  columnsOf,
  INFO,
  lengthsOf,
  ROW_TABLES,
  ROWS,
  type RowTable,
  wrongField,
} from "./model.ts";

const MAGIC = "vivprof";
/** Raised with each change that older readers would misread. */
const VERSION = 1;
const ALIGNMENT = 8;

const Head = struct("profile file head", 32, {
  magic: ascii(8),
  version: u32,
  /** Of all that follows the head. */
  checksum: u32,
  /** Bytes of JSON, without what fills them up. */
  tables: u64,
  /** Bytes that follow the head. */
  length: u64,
});

interface Tables extends Pick<Profile, RowTable> {
  readonly info: ProfileInfo;
  /** Rows of each table of columns. */
  readonly rows: Readonly<Record<ColumnTable, number>>;
}
type Numbers = Int32Array | Float64Array;

const aligned = (length: number): number => Math.ceil(length / ALIGNMENT) * ALIGNMENT;

/** Filled up to a multiple of eight bytes; without a copy where it is one already. */
function padded(bytes: Uint8Array): Uint8Array {
  if (bytes.length % ALIGNMENT === 0 && bytes.byteOffset % ALIGNMENT === 0) return bytes;
  const copy = new Uint8Array(aligned(bytes.length));
  copy.set(bytes);
  return copy;
}

/** FNV-1a, a word at a time: a change of any one word shows for certain. */
function checksumOf(bytes: Uint8Array, from: number): number {
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  let sum = from;
  for (let i = 0; i < words.length; i++) sum = Math.imul(sum ^ words[i]!, 0x0100_0193);
  return sum;
}
const CHECKSUM_START = 0x811c_9dc5 | 0;

/** The file, part by part. The parts are the profile's own memory where that can be. */
export function* writeProfile(profile: Profile): Generator<Uint8Array> {
  const rows = { frames: 0, stacks: 0, samples: 0 };
  const columns: Uint8Array[] = [];
  for (const table of COLUMN_TABLES) {
    const held = profile[table] as unknown as Readonly<Record<string, Numbers>>;
    for (const [name] of columnsOf(table)) {
      const column = held[name]!;
      rows[table] = column.length;
      columns.push(padded(new Uint8Array(column.buffer, column.byteOffset, column.byteLength)));
    }
  }
  const { info, guests, dsos, symbols, tasks, mappings, kernelMaps } = profile;
  const tables: Tables = { info, guests, dsos, symbols, tasks, mappings, kernelMaps, rows };
  const json = encodeUtf8(JSON.stringify(tables));
  const parts = [padded(json), ...columns];
  const checksum = parts.reduce((sum, part) => checksumOf(part, sum), CHECKSUM_START) >>> 0;
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  yield Head.encode({ magic: MAGIC, version: VERSION, checksum, tables: json.length, length });
  yield* parts;
}

/** What a file holds, as views of `bytes`. `name` is the file's, for messages. Throws VivError, and nothing else. */
export function readProfile(bytes: Uint8Array, name: string): Profile {
  const wrong = (what: string): VivError => new VivError("perf.recording", `${name} cannot be read: ${what}`);
  const damaged = (what: string): VivError => wrong(`it is damaged (${what}); record anew`);
  if (bytes.length < Head.size || !startsWithMagic(bytes)) throw wrong("it is no profile of viv perf record");
  const head = Head.decode(bytes);
  if (head.version !== VERSION) {
    throw wrong(`it has version ${head.version}, this viv knows version ${VERSION}; use the viv that recorded it`);
  }
  if (bytes.length !== Head.size + head.length || head.length % ALIGNMENT !== 0) {
    throw damaged(`${bytes.length} bytes long instead of ${Head.size + head.length}`);
  }
  const body = padded(bytes.subarray(Head.size));
  if (checksumOf(body, CHECKSUM_START) >>> 0 !== head.checksum) throw damaged("its checksum is wrong");
  if (head.tables > body.length) throw damaged("its tables are cut off");
  const tables = parseTables(body.subarray(0, head.tables));
  if (tables === undefined) throw damaged("its tables are none");
  const { rows, ...rest } = tables;

  const lengths = lengthsOf(tables, rows.frames, rows.stacks);
  const wrongInfo = wrongField(tables.info, INFO, lengths);
  if (wrongInfo !== undefined) throw damaged(`info.${wrongInfo}`);
  for (const table of ROW_TABLES) {
    tables[table].forEach((row, i) => {
      const field = wrongField(row, ROWS[table], lengths);
      if (field !== undefined) throw damaged(`${table}[${i}].${field}`);
    });
  }
  let at = aligned(head.tables);
  const column = (table: ColumnTable, field: string, kind: ColumnKind): Numbers => {
    const real = kind === "number";
    const size = rows[table] * (real ? Float64Array : Int32Array).BYTES_PER_ELEMENT;
    if (at + size > body.length) throw damaged(`${table}.${field} is cut off`);
    const place = [body.buffer, body.byteOffset + at, rows[table]] as const;
    const values = real ? new Float64Array(...place) : new Int32Array(...place);
    at += aligned(size);
    if (!columnHolds(values, kind, lengths)) throw damaged(`${table}.${field}`);
    return values;
  };
  const columns = <Columns>(table: ColumnTable): Columns =>
    Object.fromEntries(columnsOf(table).map(([field, kind]) => [field, column(table, field, kind)])) as Columns;
  const [frames, stacks] = [columns<FrameColumns>("frames"), columns<StackColumns>("stacks")];
  return { ...rest, frames, stacks, samples: columns<SampleColumns>("samples") };
}

function startsWithMagic(bytes: Uint8Array): boolean {
  return Array.from(`${MAGIC}\0`).every((character, i) => bytes[i] === character.charCodeAt(0));
}

/** Undefined where it is no JSON, or not with these tables. Fields are not checked yet. */
function parseTables(bytes: Uint8Array): Tables | undefined {
  let value: unknown;
  try {
    value = JSON.parse(decodeUtf8(bytes));
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const tables = value as Readonly<Record<string, unknown>>;
  if (!ROW_TABLES.every((table) => Array.isArray(tables[table]))) return undefined;
  const rows = tables["rows"] as Readonly<Record<string, unknown>> | null | undefined;
  if (typeof rows !== "object" || rows === null) return undefined;
  const counted = COLUMN_TABLES.every((table) => Number.isSafeInteger(rows[table]) && (rows[table] as number) >= 0);
  return counted ? (value as Tables) : undefined;
}
