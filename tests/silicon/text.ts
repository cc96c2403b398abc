/** A run's outcome as one line of text: what changed, and how it ended. Records and replays are written by the same hand. */
import { GPR_NAMES } from "../../src/cpu/state.ts";
import type { Difference } from "./exceptions.ts";
import { FX, RECORD, SELECTOR_NAMES, STACK_WINDOW_BYTES, WINDOW_BYTES } from "./layout.ts";

const INT3_VECTOR = 3;
/** RF is the exception's own. */
const RESUME = 0x1_0000n;

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

interface Field {
  readonly name: string;
  readonly at: number;
  readonly bytes: number;
}

const FIELDS: readonly Field[] = [
  ...GPR_NAMES.map((name, i) => ({ name, at: RECORD.GPR + 8 * i, bytes: 8 })),
  ...SELECTOR_NAMES.map((name, i) => ({ name, at: RECORD.SELECTORS + 2 * i, bytes: 2 })),
  { name: "fsbase", at: RECORD.FS_BASE, bytes: 8 },
  { name: "gsbase", at: RECORD.GS_BASE, bytes: 8 },
  { name: "fcw", at: RECORD.FX + FX.FCW, bytes: 2 },
  { name: "fsw", at: RECORD.FX + FX.FSW, bytes: 2 },
  { name: "ftw", at: RECORD.FX + FX.FTW, bytes: 1 },
  { name: "fop", at: RECORD.FX + FX.FOP, bytes: 2 },
  { name: "fip", at: RECORD.FX + FX.FIP, bytes: 8 },
  { name: "fdp", at: RECORD.FX + FX.FDP, bytes: 8 },
  { name: "mxcsr", at: RECORD.FX + FX.MXCSR, bytes: 4 },
];
const SELECTOR_FIELDS: ReadonlySet<string> = new Set(SELECTOR_NAMES);
const LONG_FIELDS: readonly Field[] = [
  ...Array.from({ length: 8 }, (_, i) => ({ name: `st${i}`, at: RECORD.FX + FX.ST + 16 * i, bytes: 10 })),
  ...Array.from({ length: 16 }, (_, i) => ({ name: `xmm${i}`, at: RECORD.FX + FX.XMM + 16 * i, bytes: 16 })),
  // The upper half of each YMM register.
  ...Array.from({ length: 16 }, (_, i) => ({ name: `ymm${i}`, at: RECORD.YMM + 16 * i, bytes: 16 })),
];

/** Most significant digit first, without leading zeros. */
function number(record: Uint8Array, at: number, bytes: number): string {
  const digits = hex(record.slice(at, at + bytes).reverse());
  return digits.replace(/^0+(?=.)/, "");
}

function differs(a: Uint8Array, b: Uint8Array, at: number, bytes: number): boolean {
  for (let i = at; i < at + bytes; i++) if (a[i] !== b[i]) return true;
  return false;
}

/** Runs of changed bytes as offset:bytes; up to three bytes that did not change do not part a run. */
function memory(name: string, before: Uint8Array, after: Uint8Array, at: number, length: number, out: string[]): void {
  let i = 0;
  while (i < length) {
    if (before[at + i] === after[at + i]) {
      i++;
      continue;
    }
    let end = i + 1;
    for (let k = i + 1; k < length && k < end + 4; k++) if (before[at + k] !== after[at + k]) end = k + 1;
    out.push(`${name}${i.toString(16)}:${hex(after.subarray(at + i, at + end))}`);
    i = end;
  }
}

export function describeOutcome(before: Uint8Array, after: Uint8Array, length: number): string {
  const a = new DataView(before.buffer, before.byteOffset);
  const b = new DataView(after.buffer, after.byteOffset);
  const out: string[] = [];
  const vector = b.getUint32(RECORD.VECTOR, true);
  const rip = b.getBigUint64(RECORD.RIP, true);
  if (vector !== INT3_VECTOR) {
    const error = b.getUint32(RECORD.ERROR, true);
    const cr2 = b.getBigUint64(RECORD.CR2, true);
    out.push(`#${vector}${error ? `/${error.toString(16)}` : ""}${cr2 ? `@${cr2.toString(16)}` : ""}`);
  }
  // A fault's RIP is the instruction's, a trap's is behind the INT3.
  const start = a.getBigUint64(RECORD.RIP, true);
  const usual = vector === INT3_VECTOR ? start + BigInt(length + 1) : start;
  if (rip !== usual) out.push(`rip=${rip.toString(16)}`);
  const flags = b.getBigUint64(RECORD.RFLAGS, true) & ~RESUME;
  if (flags !== (a.getBigUint64(RECORD.RFLAGS, true) & ~RESUME)) out.push(`fl=${flags.toString(16)}`);
  for (const { name, at, bytes } of FIELDS) {
    if (!SELECTOR_FIELDS.has(name)) {
      if (differs(before, after, at, bytes)) out.push(`${name}=${number(after, at, bytes)}`);
      continue;
    }
    // A null selector loses its RPL on the recorder's way back to user mode (SDM vol. 2, IRET).
    const [from, to] = [a, b].map((view) => view.getUint16(at, true)).map((value) => (value < 4 ? 0 : value));
    if (from !== to) out.push(`${name}=${to!.toString(16)}`);
  }
  for (const { name, at, bytes } of LONG_FIELDS) {
    if (differs(before, after, at, bytes)) out.push(`${name}=${number(after, at, bytes)}`);
  }
  memory("m", before, after, RECORD.DATA_WINDOW, WINDOW_BYTES, out);
  memory("s", before, after, RECORD.STACK_PART, STACK_WINDOW_BYTES, out);
  return out.join(" ") || "-";
}

/** A starting state for people: general registers, and those that instructions with these attributes work on. */
export function describeInput(record: Uint8Array, attributes: ReadonlySet<string>): string {
  const view = new DataView(record.buffer, record.byteOffset);
  const out = [`fl=${view.getUint32(RECORD.RFLAGS, true).toString(16)}`];
  for (const { name, at, bytes } of [...FIELDS, ...LONG_FIELDS]) {
    if (/^[xy]mm/.test(name) && !attributes.has("sse")) continue;
    if (name.startsWith("st") && !attributes.has("fpu") && !attributes.has("mmx")) continue;
    out.push(`${name}=${number(record, at, bytes)}`);
  }
  return out.join(" ");
}

/** The number after `name=` in an outcome, if it changed. */
function changed(outcome: string, name: string): string | undefined {
  return outcome
    .split(" ")
    .find((part) => part.startsWith(`${name}=`))
    ?.slice(name.length + 1);
}

/** Are two outcomes the same, but for what may differ? */
export function sameOutcome(got: string, expected: string, before: Uint8Array, may: Difference): boolean {
  if (got === expected) return true;
  if (!may.flags && !may.ulps && !may.fields && !may.anyByte && !may.belowStack && !may.upperHalves) return false;
  const start = new DataView(before.buffer).getUint32(RECORD.RFLAGS, true);
  const startStatus = new DataView(before.buffer).getUint16(RECORD.FX + FX.FSW, true);
  const masked = (outcome: string) => {
    const flags = changed(outcome, "fl");
    const rest = outcome.split(" ").filter((part) => {
      const name = part.split("=")[0]!;
      if (may.belowStack && outcome.startsWith("#") && /^s[0-9a-f]+:/.test(part)) return false;
      return (
        name !== "fl" &&
        !(may.status && name === "fsw") &&
        name !== "-" &&
        !may.fields?.includes(name) &&
        !(may.upperHalves && outcome.startsWith("#") && name.startsWith("ymm")) &&
        !(may.ulps && /^st\d/.test(name))
      );
    });
    const word = changed(outcome, "fsw");
    const status = !may.status ? 0 : word ? Number.parseInt(word, 16) : startStatus;
    if (may.anyByte) rest[0] = rest[0]?.replace(/^(#14.*)@.*/, "$1") ?? "";
    return `${rest.join(" ")} ${(flags ? Number.parseInt(flags, 16) : start) & ~(may.flags ?? 0)} ${status & ~(may.status ?? 0)}`;
  };
  if (masked(got) !== masked(expected)) return false;
  if (!may.ulps) return true;
  return LONG_FIELDS.filter(({ name }) => name.startsWith("st")).every(({ name, at, bytes }) => {
    const value = (outcome: string) => BigInt(`0x${changed(outcome, name) ?? number(before, at, bytes)}`);
    const distance = value(got) - value(expected);
    return distance <= BigInt(may.ulps!) && -distance <= BigInt(may.ulps!);
  });
}
