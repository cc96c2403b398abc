/**
 * What can be said about a machine, declared once: the library's options, the command line's flags, their help, the
 * checks and the documentation all come from this table.
 */
import { GiB, MiB, VivError } from "../base/index.ts";
import { CPU_MODELS, type CpuModel } from "../cpu/models.ts";
import { nearest } from "./nearest.ts";
import { isName, NAME_RULE } from "./registry/names.ts";

interface RowCommon {
  readonly flag: string;
  readonly short?: string;
  /** How help names the value. */
  readonly value: string;
  /** One line, without a full stop. */
  readonly help: string;
}

/** A file: its path, or its content. */
interface FileRow extends RowCommon {
  readonly kind: "file";
}
interface TextRow extends RowCommon {
  readonly kind: "text";
}
/** A guest's (registry/names.ts). */
interface NameRow extends RowCommon {
  readonly kind: "name";
}
/** Bytes: a number, or text as "512M". */
interface SizeRow extends RowCommon {
  readonly kind: "size";
  readonly default: number;
  readonly least: number;
  readonly most: number;
  readonly unit: number;
}
interface ChoiceRow<Choice extends string = string> extends RowCommon {
  readonly kind: "choice";
  readonly choices: readonly Choice[];
  readonly default: NoInfer<Choice>;
}
/** A whole number. */
interface CountRow extends RowCommon {
  readonly kind: "count";
  readonly default: number;
  readonly most: number;
  /** What a flag without a value means. */
  readonly bare: number;
}
/** Off unless it is asked for; a flag without a value. */
interface SwitchRow extends Omit<RowCommon, "value"> {
  readonly kind: "switch";
  readonly default: false;
}
export type ConfigRow = FileRow | TextRow | NameRow | SizeRow | ChoiceRow | CountRow | SwitchRow;

export const CONFIG = {
  name: {
    kind: "name",
    flag: "--name",
    value: "NAME",
    help: "what the guest is called, by viv ps and the commands that take a NAME (default: made up)",
  },
  unlisted: {
    kind: "switch",
    flag: "--unlisted",
    default: false,
    help: "keep the guest out of the list of guests: it has no name, and no other process can reach it",
  },
  opaque: {
    kind: "switch",
    flag: "--opaque",
    default: false,
    help: "nobody may look inside the guest: no inspection, and profiles have addresses in place of names",
  },
  kernel: {
    kind: "file",
    flag: "--kernel",
    value: "FILE",
    help: "boot this kernel (bzImage, vmlinux, PVH or Multiboot ELF) instead of the default guest",
  },
  initrd: { kind: "file", flag: "--initrd", value: "FILE", help: "initial RAM disk for the kernel" },
  append: { kind: "text", flag: "--append", value: "TEXT", help: "add this to the kernel command line" },
  memory: {
    kind: "size",
    flag: "--memory",
    short: "-m",
    value: "SIZE",
    default: 512 * MiB,
    least: 2 * MiB,
    // One WebAssembly memory has at most 4 GiB, and the CPU keeps its own data in it.
    most: 4 * GiB - 128 * MiB,
    unit: MiB,
    help: "guest memory, as 512M or 3G",
  },
  cpu: {
    kind: "choice",
    flag: "--cpu",
    value: "MODEL",
    choices: Object.keys(CPU_MODELS) as CpuModel[],
    default: "x86-64-v2",
    help: "CPU model",
  },
  onReset: {
    kind: "choice",
    flag: "--on-reset",
    value: "ACTION",
    choices: ["reboot", "exit"],
    default: "reboot",
    help: "what a reset by the guest does",
  },
  jit: {
    kind: "choice",
    flag: "--jit",
    value: "WHICH",
    choices: ["off", "on", "forced"],
    default: "on",
    help: "compile guest code that runs often (on), none (off), or all of it, which is slow (forced)",
  },
  lockstep: {
    kind: "count",
    flag: "--lockstep",
    value: "INSTRUCTIONS",
    default: 0,
    most: 1_000_000,
    bare: 10_000,
    help: "run the interpreter beside and compare all state every so many instructions; slow",
  },
  stats: {
    kind: "switch",
    flag: "--stats",
    default: false,
    help: "count what the vCPU does, and print it at the end; the guest runs slower",
  },
} as const satisfies Record<string, ConfigRow>;

export type ConfigKey = keyof typeof CONFIG;
export const CONFIG_ROWS = Object.entries(CONFIG) as unknown as readonly (readonly [ConfigKey, ConfigRow])[];

/** What may be given for a row, and what it becomes. */
type Given<Row> = Row extends { kind: "file" }
  ? string | Uint8Array
  : Row extends { kind: "size" | "count" }
    ? number | string
    : Row extends { choices: readonly (infer Choice)[] }
      ? Choice
      : Row extends { kind: "switch" }
        ? boolean
        : string;
type Resolved<Row> = Row extends { kind: "size" | "count" } ? number : Given<Row>;

/** A machine's configuration as the user gives it; what is left out has its default. */
export type MachineConfig = { readonly [Key in ConfigKey]?: Given<(typeof CONFIG)[Key]> | undefined };
/** Checked and complete; files and texts may be absent. */
export type ResolvedConfig = {
  readonly [Key in ConfigKey]: (typeof CONFIG)[Key] extends { default: unknown }
    ? Resolved<(typeof CONFIG)[Key]>
    : Resolved<(typeof CONFIG)[Key]> | undefined;
};

const SUFFIXES: Readonly<Record<string, number>> = { "": 1, K: 1024, M: MiB, G: GiB };

/** Bytes as text, in the largest unit that gives a whole number. */
export function formatSize(size: number): string {
  for (const suffix of ["G", "M", "K"]) {
    if (size > 0 && size % SUFFIXES[suffix]! === 0) return `${size / SUFFIXES[suffix]!}${suffix}`;
  }
  return String(size);
}

const wrong = (row: ConfigRow, given: unknown, wanted: string): VivError =>
  new VivError("config.value", `${row.flag} ${describe(given)}: ${wanted}`);

const describe = (given: unknown): string =>
  typeof given === "string" ? (given === "" ? '""' : given) : typeof given === "number" ? String(given) : typeof given;

function parseSize(row: SizeRow, given: unknown): number {
  let size = given;
  if (typeof given === "string") {
    const match = /^(\d+(?:\.\d+)?) *([KMG]?)(?:i?B)?$/i.exec(given.trim());
    if (!match) throw wrong(row, given, "give a size, as 512M or 3G");
    size = Number(match[1]) * SUFFIXES[match[2]!.toUpperCase()]!;
  }
  if (typeof size !== "number" || !Number.isFinite(size)) throw wrong(row, given, "give a size, as 512M or 3G");
  if (size < row.least) throw wrong(row, given, `that is too little; the least is ${formatSize(row.least)}`);
  if (size > row.most) throw wrong(row, given, `that is too much; the most is ${formatSize(row.most)}`);
  if (size % row.unit !== 0) throw wrong(row, given, `give a multiple of ${formatSize(row.unit)}`);
  return size;
}

function parseCount(row: CountRow, given: unknown): number {
  const count = typeof given === "string" && /^\d+$/.test(given.trim()) ? Number(given) : given;
  if (typeof count !== "number" || !Number.isInteger(count) || count < 0)
    throw wrong(row, given, "give a whole number");
  if (count > row.most) throw wrong(row, given, `that is too much; the most is ${row.most}`);
  return count;
}

/** One value, checked; throws VivError `config.value`. */
export function resolveValue(row: ConfigRow, given: unknown): unknown {
  switch (row.kind) {
    case "size":
      return parseSize(row, given);
    case "count":
      return parseCount(row, given);
    case "choice":
      if (typeof given === "string" && row.choices.includes(given)) return given;
      throw wrong(row, given, `choose one of ${row.choices.join(", ")}`);
    case "switch":
      if (typeof given === "boolean") return given;
      throw wrong(row, given, "give true or false");
    case "file":
      if (given instanceof Uint8Array) return given;
      if (typeof given === "string" && given !== "") return given;
      throw wrong(row, given, "name a file");
    case "name":
      if (typeof given === "string" && isName(given)) return given;
      throw wrong(row, given, NAME_RULE);
    case "text":
      if (typeof given === "string") return given;
      throw wrong(row, given, "give a text");
  }
}

/** A whole configuration, checked and with its defaults. */
export function resolveConfig(given: MachineConfig): ResolvedConfig {
  for (const key of Object.keys(given)) {
    if (key in CONFIG) continue;
    const near = nearest(key, Object.keys(CONFIG));
    const hint = near === undefined ? `known are ${Object.keys(CONFIG).join(", ")}` : `did you mean "${near}"?`;
    throw new VivError("config.unknown", `a machine has no option "${key}"; ${hint}`);
  }
  const entries = CONFIG_ROWS.map(([key, row]) => {
    const value: unknown = given[key];
    return [key, value === undefined ? ("default" in row ? row.default : undefined) : resolveValue(row, value)];
  });
  const config = Object.fromEntries(entries) as ResolvedConfig;
  if (config.initrd !== undefined && config.kernel === undefined) {
    throw new VivError("config.initrd", `${CONFIG.initrd.flag} goes with ${CONFIG.kernel.flag}: name a kernel too`);
  }
  if (config.stats && config.lockstep > 0) {
    throw new VivError(
      "config.stats",
      `${CONFIG.stats.flag} and ${CONFIG.lockstep.flag} do not go together: leave one of them out`,
    );
  }
  if (config.unlisted && config.name !== undefined) {
    throw new VivError(
      "config.unlisted",
      `a guest with ${CONFIG.unlisted.flag} has no name: leave out that or ${CONFIG.name.flag}`,
    );
  }
  return config;
}

/** Help of a row, with its choices and default. */
export function describeRow(row: ConfigRow): string {
  const choices = row.kind === "choice" ? `: ${row.choices.join(", ")}` : "";
  const fallback =
    row.kind === "size"
      ? ` (default ${formatSize(row.default)})`
      : row.kind === "choice"
        ? ` (default ${row.default})`
        : row.kind === "count"
          ? ` (without a number ${row.bare}; default ${row.default || "off"})`
          : "";
  return row.help + choices + fallback;
}

/** The table as Markdown, for the documentation. */
export function configMarkdown(): string {
  const lines = CONFIG_ROWS.map(([key, row]) => {
    const flags = [...("short" in row && row.short !== undefined ? [row.short] : []), row.flag].join(", ");
    const value = row.kind === "switch" ? "" : row.kind === "count" ? ` [${row.value}]` : ` ${row.value}`;
    return `| \`${flags}${value}\` | \`${key}\` | ${describeRow(row)} |`;
  });
  return ["| Flag | Option | Meaning |", "| --- | --- | --- |", ...lines, ""].join("\n");
}
