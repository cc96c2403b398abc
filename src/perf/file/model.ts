/**
 * What a profile's file may hold: for every field of the model (`profile.ts`) what its values are, and for every column its type and
 * what it counts in. A file may be damaged, or made to harm: what passes these checks has no index that leads astray, and stacks that end.
 */
import {
  type FrameColumns,
  MODES,
  type Profile,
  type ProfileDso,
  type ProfileGuest,
  type ProfileInfo,
  type ProfileKernelMap,
  type ProfileMapping,
  type ProfileSymbol,
  type ProfileTask,
  type SampleColumns,
  type StackColumns,
} from "../profile.ts";

/** How many rows each table has. */
export interface Lengths extends Record<RowTable, number> {
  readonly frames: number;
  readonly stacks: number;
  readonly modes: number;
}

type Check = (value: unknown, lengths: Lengths) => boolean;
type Fields<Row> = { readonly [Name in keyof Required<Row>]: Check };

const text: Check = (value) => typeof value === "string";
const flag: Check = (value) => typeof value === "boolean";
const number: Check = (value) => typeof value === "number";
const count: Check = (value) => Number.isSafeInteger(value) && (value as number) >= 0;
const buildId: Check = (value) => typeof value === "string" && /^[0-9a-f]{40}$/.test(value);
const optional =
  (check: Check): Check =>
  (value, lengths) =>
    value === undefined || check(value, lengths);
const list =
  (check: Check): Check =>
  (value, lengths) =>
    Array.isArray(value) && value.every((item) => check(item, lengths));
const oneOf =
  (...words: readonly string[]): Check =>
  (value) =>
    typeof value === "string" && words.includes(value);
/** A row of a table; from -1 on where there may be none. */
const row =
  (table: keyof Lengths, least: 0 | -1 = 0): Check =>
  (value, lengths) =>
    Number.isInteger(value) && (value as number) >= least && (value as number) < lengths[table];

export const INFO: Fields<ProfileInfo> = {
  event: oneOf("cpu-clock", "instructions", "off-cpu"),
  unit: oneOf("ns", "instructions"),
  period: number,
  startedAt: number,
  duration: number,
  hostname: text,
  hostKernel: text,
  cpu: text,
  cpus: count,
  command: list(text),
  version: text,
  lost: count,
};

export const ROWS = {
  guests: {
    name: text,
    hostPid: count,
    vcpuThreads: list(count),
    hostname: optional(text),
    kernelRelease: optional(text),
    kernelBuildId: optional(text),
    opaque: flag,
  } satisfies Fields<ProfileGuest>,
  dsos: {
    kind: oneOf("kernel", "module", "user", "vdso", "jit", "host", "label", "unknown"),
    guest: row("guests", -1),
    name: text,
    buildId: optional(buildId),
  } satisfies Fields<ProfileDso>,
  symbols: { name: text, dso: row("dsos"), start: number, size: number } satisfies Fields<ProfileSymbol>,
  tasks: { guest: row("guests"), pid: count, tid: count, comm: text } satisfies Fields<ProfileTask>,
  mappings: {
    guest: row("guests"),
    pid: count,
    start: number,
    length: number,
    pageOffset: number,
    dso: row("dsos"),
    protection: count,
  } satisfies Fields<ProfileMapping>,
  kernelMaps: { dso: row("dsos"), start: number, length: number } satisfies Fields<ProfileKernelMap>,
} as const;
export type RowTable = "guests" | "dsos" | "symbols" | "tasks" | "mappings" | "kernelMaps";
export const ROW_TABLES = Object.keys(ROWS) as readonly RowTable[];

/** A column: whole numbers between two bounds, or any number. `caller`: each value below its own place. */
export type ColumnKind = "number" | { readonly table: keyof Lengths | "caller" | "any"; readonly least: 0 | -1 };
type Columns<Table> = { readonly [Name in keyof Table]: ColumnKind };

export const COLUMNS = {
  frames: {
    address: "number",
    offset: "number",
    dso: { table: "dsos", least: -1 },
    symbol: { table: "symbols", least: -1 },
    mode: { table: "modes", least: 0 },
  } satisfies Columns<FrameColumns>,
  stacks: {
    caller: { table: "caller", least: -1 },
    frame: { table: "frames", least: 0 },
  } satisfies Columns<StackColumns>,
  samples: {
    time: "number",
    stack: { table: "stacks", least: -1 },
    task: { table: "tasks", least: 0 },
    vcpu: { table: "any", least: 0 },
    mode: { table: "modes", least: 0 },
    weight: "number",
  } satisfies Columns<SampleColumns>,
} as const;
export type ColumnTable = keyof typeof COLUMNS;
export const COLUMN_TABLES = Object.keys(COLUMNS) as readonly ColumnTable[];

/** Name and kind of each column of a table, in the order of the file. */
export const columnsOf = (table: ColumnTable): readonly (readonly [string, ColumnKind])[] =>
  Object.entries<ColumnKind>(COLUMNS[table]);

export const lengthsOf = (profile: Pick<Profile, RowTable>, frames: number, stacks: number): Lengths => ({
  guests: profile.guests.length,
  dsos: profile.dsos.length,
  symbols: profile.symbols.length,
  tasks: profile.tasks.length,
  mappings: profile.mappings.length,
  kernelMaps: profile.kernelMaps.length,
  frames,
  stacks,
  modes: MODES.length,
});

/** The first field that does not hold what it should; undefined where all do. */
export function wrongField(
  value: unknown,
  fields: Readonly<Record<string, Check>>,
  lengths: Lengths,
): string | undefined {
  if (typeof value !== "object" || value === null) return "row";
  const row = value as Readonly<Record<string, unknown>>;
  return Object.keys(fields).find((name) => !fields[name]!(row[name], lengths));
}

/** True where each number of a column is what it may be. */
export function columnHolds(column: Int32Array | Float64Array, kind: ColumnKind, lengths: Lengths): boolean {
  if (kind === "number") {
    for (let i = 0; i < column.length; i++) if (!Number.isFinite(column[i]!)) return false;
    return true;
  }
  const { table, least } = kind;
  const end = table === "caller" || table === "any" ? 2 ** 31 : lengths[table];
  for (let i = 0; i < column.length; i++) {
    const value = column[i]!;
    if (value < least || value >= (table === "caller" ? i : end)) return false;
  }
  return true;
}
