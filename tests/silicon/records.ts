/**
 * The files of records. A file holds a family's rows; blank lines and lines with a semicolon are for people:
 *   = key of the row            (undefined: flags that the manual leaves undefined)
 *   : mode, code, hash of the starting states
 *   outcome of each run in turn ("x N" in front: N times the same)
 * Starting states are not in the files: inputs.ts makes them again, and the hash says that they are the same.
 */
import { FLAG_NAMES, UNDEFINED_FLAGS } from "./exceptions.ts";
import { hash } from "./random.ts";

export interface RecordedCase {
  readonly mode: number;
  readonly code: string;
  readonly inputs: string;
  readonly outcomes: readonly string[];
}

export interface RecordedRow {
  readonly key: string;
  readonly mnemonic: string;
  readonly cases: readonly RecordedCase[];
}

/** A hash over starting states, so that a replay knows its inputs are those recorded. */
/** Of the states up to their last byte that is not zero: most have nothing in the upper halves of the YMM registers. */
export const inputHash = (states: readonly Uint8Array[]): string =>
  hash(states.map((state) => Buffer.from(state).toString("latin1").replace(/\0+$/, "")).join("")).toString(36);

export function writeRows(rows: readonly RecordedRow[]): string {
  const lines: string[] = [];
  for (const { key, mnemonic, cases } of rows) {
    const undefinedFlags = FLAG_NAMES.filter(([, bit]) => (UNDEFINED_FLAGS[mnemonic] ?? 0) & bit).map(([name]) => name);
    lines.push("", `= ${key}${undefinedFlags.length ? ` ; undefined: ${undefinedFlags.join(" ")}` : ""}`);
    for (const { mode, code, inputs, outcomes } of cases) {
      lines.push(`: ${mode} ${code} ${inputs}`);
      for (let i = 0; i < outcomes.length; ) {
        let end = i + 1;
        while (outcomes[end] === outcomes[i]) end++;
        lines.push(end - i > 1 ? `x${end - i} ${outcomes[i]}` : outcomes[i]!);
        i = end;
      }
    }
  }
  return `${lines.join("\n")}\n`;
}

export function readRows(text: string): Map<string, RecordedCase[]> {
  const rows = new Map<string, RecordedCase[]>();
  let cases: RecordedCase[] = [];
  let outcomes: string[] = [];
  for (const line of text.split("\n")) {
    if (line === "" || line.startsWith(";")) continue;
    if (line.startsWith("= ")) {
      cases = [];
      rows.set(line.slice(2).split(" ; ")[0]!, cases);
    } else if (line.startsWith(": ")) {
      const [mode, code, inputs] = line.slice(2).split(" ") as [string, string, string];
      outcomes = [];
      cases.push({ mode: Number(mode), code, inputs, outcomes });
    } else {
      const repeated = /^x(\d+) (.*)$/.exec(line);
      if (repeated) outcomes.push(...Array<string>(Number(repeated[1])).fill(repeated[2]!));
      else outcomes.push(line);
    }
  }
  return rows;
}
