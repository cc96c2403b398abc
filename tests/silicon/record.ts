/**
 * Rebuilds the records on the processor this runs on (npm run silicon): Linux on x86-64 with gcc and FSGSBASE. Rows whose
 * CPUID feature it lacks are not recorded; a line of the file's header names them.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { allCases, type RowCases } from "./cases.ts";
import { FAMILIES, fileOf } from "./families.ts";
import { inputOf } from "./inputs.ts";
import { CODE_BYTES, PAGE, PLACES, RECORD, STACK_WINDOW_BYTES, WINDOW_BYTES } from "./layout.ts";
import { inputHash, type RecordedRow, writeRows } from "./records.ts";
import { describeOutcome } from "./text.ts";

/** /proc/cpuinfo's names of features where they are not ours. */
const LINUX_NAMES: Record<string, string> = {
  sse3: "pni",
  sse41: "sse4_1",
  sse42: "sse4_2",
  sha: "sha_ni",
  lzcnt: "abm",
  prefetchw: "3dnowprefetch",
};

const cpuinfo = readFileSync("/proc/cpuinfo", "utf8");
const field = (name: string) => new RegExp(`^${name}\\s*: (.*)$`, "m").exec(cpuinfo)?.[1] ?? "unknown";
const present = new Set(field("flags").split(" "));
const lacks = (feature: string) => !present.has(LINUX_NAMES[feature] ?? feature);

/** All families, or those that the environment variable FAMILIES names. */
const WANTED = new Set(process.env["FAMILIES"]?.split(" ") ?? Object.keys(FAMILIES));

function compile(directory: string): string {
  const program = join(directory, "recorder");
  const macros = { ...PLACES, ...RECORD, PAGE, WINDOW_BYTES, STACK_WINDOW_BYTES, CODE_BYTES };
  const options = ["-O1", "-Wall", "-Werror", "-mno-red-zone", "-fno-stack-protector", "-o", program];
  const defined = Object.entries(macros).map(([name, value]) => `-D${name}=${value}`);
  execFileSync("gcc", [...options, ...defined, fileURLToPath(new URL("recorder.c", import.meta.url))]);
  return program;
}

function record(program: string, directory: string, rows: readonly RowCases[]): RecordedRow[] {
  const inputs = rows.flatMap(({ cases }) => cases.map((c) => c.aims.map((_, n) => inputOf(c, n).record)));
  const all = inputs.flat();
  const input = Buffer.concat(all);
  writeFileSync(join(directory, "in"), input);
  writeFileSync(join(directory, "out"), input);
  execFileSync(program, [join(directory, "in"), join(directory, "out")], { timeout: 120_000 });
  const output = readFileSync(join(directory, "out"));
  let at = 0;
  let n = 0;
  return rows.map(({ row, key, cases }) => ({
    key,
    mnemonic: row.mnemonic,
    cases: cases.map((c) => {
      const before = inputs[n++]!;
      return {
        mode: c.mode,
        code: Buffer.from(c.code).toString("hex"),
        inputs: inputHash(before),
        outcomes: before.map((state) =>
          describeOutcome(state, output.subarray(at, (at += RECORD.SIZE)), c.code.length),
        ),
      };
    }),
  }));
}

it("records every row", () => {
  const byRow = new Map(allCases().map((made) => [made.row, made]));
  const directory = mkdtempSync(join(tmpdir(), "vivarium-silicon-"));
  mkdirSync(new URL("records/", import.meta.url), { recursive: true });
  try {
    const program = compile(directory);
    for (const [family, rows] of Object.entries(FAMILIES)) {
      if (!WANTED.has(family)) continue;
      const lacking = rows.filter((row) => row.features.some(lacks));
      const made = rows.filter((row) => !lacking.includes(row)).map((row) => byRow.get(row)!);
      const header = [
        `; ${family}: what this processor did, by tests/silicon/record.ts (npm run silicon)`,
        `; ${field("vendor_id")} family ${field("cpu family")} model ${field("model")} stepping ${field("stepping")} (${field("model name")})`,
        `; features: ${[...new Set(rows.flatMap((row) => row.features))].filter((f) => !lacks(f)).join(" ")}`,
        `; not recorded, for want of a feature: ${lacking.map((row) => byRow.get(row)!.key).join("; ") || "none"}`,
      ];
      const recorded = record(
        program,
        directory,
        made.filter(({ cases }) => cases.length > 0),
      );
      writeFileSync(fileOf(family), `${header.join("\n")}\n${writeRows(recorded)}`);
      expect(recorded.length).toBeGreaterThan(0);
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}, 600_000);
