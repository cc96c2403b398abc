/**
 * The proof of the CPU: every row of the instruction set does on the software CPU what it did on a real processor (records/,
 * which record.ts rebuilds). A row without a record fails, unless exceptions.ts says why it has none.
 */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { ENGINE } from "../lockstep/engines.ts";
import { allCases, type Case, type RowCases } from "./cases.ts";
import { DIFFERENCES, differenceOf, NOT_RUN } from "./exceptions.ts";
import { FAMILIES, fileOf } from "./families.ts";
import { inputOf } from "./inputs.ts";
import { RECORD } from "./layout.ts";
import { Processor } from "./processor.ts";
import { inputHash, type RecordedCase, readRows } from "./records.ts";
import { describeInput, describeOutcome, sameOutcome } from "./text.ts";

/** Mismatches of a row that are printed. */
const SHOWN = 3;

const byRow = new Map(allCases().map((made) => [made.row, made]));
let processor = new Processor();
/** Compiling takes its time: with this set, every so many-th case of a row is run. */
const EVERY = Number(process.env["SILICON_EVERY"] ?? 1);

function replay(c: Case, recorded: RecordedCase, wrong: string[]): void {
  const inputs = c.aims.map((_, n) => inputOf(c, n).record);
  expect(inputHash(inputs), "starting states are not those recorded: npm run silicon").toBe(recorded.inputs);
  inputs.forEach((before, n) => {
    const got = describeOutcome(before, processor.run(before), c.code.length);
    const expected = recorded.outcomes[n]!;
    if (sameOutcome(got, expected, before, differenceOf(c.row))) return;
    wrong.push(
      `${c.mode}-bit ${recorded.code}, run ${n} (${c.aims[n]})\n  recorded ${expected}\n  got      ${got}\n  from     ${describeInput(before, c.row.attributes)}`,
    );
  });
}

function check({ row, cases }: RowCases, recorded: readonly RecordedCase[] | undefined): void {
  expect(recorded, `no record of this row: npm run silicon, or a reason in exceptions.ts`).toBeDefined();
  const wrong: string[] = [];
  const code = (c: Case) => `${c.mode} ${Buffer.from(c.code).toString("hex")}`;
  expect(cases.map(code), "encodings are not those recorded: npm run silicon").toEqual(
    recorded!.map((r) => `${r.mode} ${r.code}`),
  );
  // V8 keeps all modules that ever used a table as long as that table.
  if (ENGINE.jit !== false) processor = new Processor();
  cases.forEach((c, i) => {
    if (i % EVERY === 0) replay(c, recorded![i]!, wrong);
  });
  if (wrong.length > SHOWN) wrong.splice(SHOWN, wrong.length, `and ${wrong.length - SHOWN} more`);
  if (wrong.length) expect.fail(`${row.mnemonic}\n${wrong.join("\n")}`);
}

for (const [family, rows] of Object.entries(FAMILIES)) {
  const text = readFileSync(fileOf(family), "utf8");
  const recorded = readRows(text);
  const lacking = new Set(/^; not recorded, for want of a feature: (.*)$/m.exec(text)![1]!.split("; "));

  describe(`${family} instructions, as a processor did them`, () => {
    const made = rows.map((row) => byRow.get(row)!);
    const isRun = ({ row, key }: RowCases) =>
      NOT_RUN[row.mnemonic] === undefined && NOT_RUN[key] === undefined && !lacking.has(key);
    it.each(made.filter(isRun).map((r) => [r.key, r] as const))("%s", (key, r) => {
      check(r, recorded.get(key));
    });
    it("has no record of a row that is gone", () => {
      const keys = new Set(made.filter(isRun).map((r) => r.key));
      expect([...recorded.keys()].filter((key) => !keys.has(key))).toEqual([]);
    });
  });
}

it("finds the upper halves of vector registers as they were after SSE instructions", () => {
  const changed: string[] = [];
  for (const { row, key, cases } of byRow.values()) {
    if (row.vex || !row.attributes.has("sse") || cases.length === 0 || NOT_RUN[row.mnemonic] !== undefined) continue;
    const before = inputOf(cases[0]!, 0).record;
    for (let i = RECORD.YMM; i < RECORD.SIZE; i++) before[i] = i;
    const after = processor.run(before);
    if (Buffer.compare(before.subarray(RECORD.YMM), after.subarray(RECORD.YMM)) !== 0) changed.push(key);
  }
  expect(changed).toEqual([]);
});

it("names every row once, and gives reasons only for rows that exist", () => {
  const keys = [...byRow.values()].map((r) => r.key);
  expect(keys.filter((key, i) => keys.indexOf(key) !== i)).toEqual([]);
  const names = new Set([...keys, ...[...byRow.keys()].map((row) => row.mnemonic)]);
  for (const name of [...Object.keys(NOT_RUN), ...Object.keys(DIFFERENCES)]) expect(names).toContain(name);
});

it("has a case for every mode, operand size and form", () => {
  const missing = [...byRow.values()].filter((r) => r.missing.length > 0);
  expect(missing.map((r) => `${r.key}: ${r.missing.join(", ")}`)).toEqual([]);
});
