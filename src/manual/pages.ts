/** The pages of documentation that follow from the tables of the code: options, instructions, CPU state, MSRs, CPUID. */
import { CPU_MODELS, type CpuModel, FEATURES, featuresOf } from "../cpu/models.ts";
import { HANDLED_MSRS, MSR_ROWS } from "../cpu/msr.ts";
import { FIELDS, type FieldPart } from "../cpu/state.ts";
import type { Row } from "../isa/row.ts";
import { ROWS } from "../isa/rows.ts";
import { configMarkdown } from "../vmm/index.ts";

const GENERATED = "Written by `npm run docs`; do not edit.";

function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(heads), line(heads.map(() => "---")), ...rows.map(line)].join("\n");
}

const page = (...parts: readonly string[]): string => `${parts.join("\n\n")}\n`;
const code = (text: string): string => (text === "" ? "" : `\`${text}\``);
const hex = (value: number | bigint): string => `0x${value.toString(16)}`;
const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

// ---- instructions

/** What a reader is told of a row's attributes; the rest is for engines. */
const NOTES: Readonly<Record<string, string>> = {
  lock: "LOCK allowed",
  cpl0: "CPL 0",
  rep: "REP",
  unaligned: "memory need not be aligned",
};

/** The smallest model that has a row. */
function firstModel(row: Row): string {
  const models = Object.keys(CPU_MODELS) as CpuModel[];
  const found = models.find((model) => row.features.every((feature) => featuresOf(model).has(feature)));
  return found ?? "none";
}

function modes(row: Row): string {
  if (row.attributes.has("i64")) return "not 64-bit";
  return row.attributes.has("o64") ? "64-bit" : row.vex ? "all but real" : "all";
}

function operands(row: Row): string {
  return row.syntax
    .map((o) => {
      if (o.kind === "implied") return o.text;
      return o.access === "r" ? o.text : `${o.access}:${o.text}`;
    })
    .join(", ");
}

function instructions(): string {
  const mnemonics = new Set(ROWS.map((row) => row.mnemonic));
  const sorted = [...ROWS].sort((a, b) => byText(a.mnemonic, b.mnemonic));
  return page(
    "# Instructions",
    GENERATED,
    `${mnemonics.size} instructions in ${ROWS.length} encodings: what the decoder knows, the interpreter executes and the disassembler prints. ` +
      "The notation of encodings and operands is that of the SDM (vol. 2, section 3.1.1) as `src/isa/row.ts` explains it; `w:` and `rw:` mark operands that are written. " +
      "An instruction of a feature that the CPU model lacks is undefined; the column says the smallest model that has it ([cpuid.md](cpuid.md)).",
    table(
      ["Instruction", "Encoding", "Operands", "Modes", "Feature", "Model", "Notes"],
      sorted.map((row) => [
        row.mnemonic,
        code(row.encoding),
        code(operands(row)),
        modes(row),
        row.features.join(" "),
        firstModel(row),
        Object.keys(NOTES)
          .filter((name) => row.attributes.has(name))
          .map((name) => NOTES[name]!)
          .join(", "),
      ]),
    ),
  );
}

// ---- CPU state

const PARTS: Readonly<Record<FieldPart, string>> = {
  architectural: "What a snapshot holds and what lockstep compares.",
  derived: "Follows from the architectural part, and is rebuilt from it.",
  engine: "Means something only while generated code runs.",
};

function cpuState(): string {
  const sections = (Object.keys(PARTS) as FieldPart[]).map((part) => {
    const fields = [...FIELDS.values()].filter((field) => field.part === part);
    return [
      `## ${part[0]!.toUpperCase()}${part.slice(1)}`,
      PARTS[part],
      table(
        ["Field", "Type", "Offset", "Meaning"],
        fields.map((field) => [code(field.name), field.type, hex(field.offset), field.about]),
      ),
    ].join("\n\n");
  });
  return page(
    "# State of a vCPU",
    GENERATED,
    "Every field of `src/cpu/state.ts`, with its offset from the start of the vCPU's area in linear memory.",
    ...sections,
  );
}

// ---- MSRs

function writable(rule: bigint | string): string {
  if (rule === "canonical") return "any canonical address";
  if (rule === "fixed") return "never: #GP(0)";
  if (rule === "ignored") return "writes do nothing";
  return rule === (1n << 64n) - 1n ? "anything" : rule === 0n ? "zero" : `bits ${hex(rule as bigint)}`;
}

function msr(): string {
  const rows = [...MSR_ROWS.values()].sort((a, b) => a[0] - b[0]);
  return page(
    "# Model-specific registers",
    GENERATED,
    "From `src/cpu/msr.ts`. Any other index, and a value that may not be written, raise #GP(0).",
    table(
      ["Index", "Name", "At reset", "May be written"],
      rows.map(([index, name, home, rule]) => [
        hex(index),
        name,
        typeof home === "string" ? `\`${home}\` of [the state](cpu-state.md)` : hex(home),
        writable(rule),
      ]),
    ),
    "## Handled apart",
    "`src/cpu/system/msr.ts` has what reading and writing them does.",
    table(
      ["Index", "Name", "What it is"],
      HANDLED_MSRS.map(([index, name, about]) => [hex(index), name, about]),
    ),
  );
}

// ---- CPUID

function cpuid(): string {
  const models = Object.keys(CPU_MODELS) as CpuModel[];
  return page(
    "# CPUID features by model",
    GENERATED,
    "From `src/cpu/cpuid.ts`. `x86-64-v2` is the default model (`--cpu`).",
    table(
      ["Feature", "Leaf", "Register", "Bit", ...models],
      Object.entries(FEATURES).map(([name, [leaf, subleaf, register, bit]]) => [
        code(name),
        subleaf === 0 ? hex(leaf) : `${hex(leaf)}.${subleaf}`,
        register.toUpperCase(),
        String(bit),
        ...models.map((model) => (featuresOf(model).has(name) ? "yes" : "")),
      ]),
    ),
  );
}

/** File name → text. */
export const PAGES: Readonly<Record<string, string>> = {
  "options.md": page(
    "# Options of a machine",
    "Flags of `viv run`, and options of `Vm.start`.",
    GENERATED,
    configMarkdown().trimEnd(),
  ),
  "instructions.md": instructions(),
  "cpu-state.md": cpuState(),
  "msr.md": msr(),
  "cpuid.md": cpuid(),
};
