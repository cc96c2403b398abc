/** Rows of call frame information against those that readelf works out, for whole libraries. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Elf } from "../../src/guest/elf/elf.ts";
import { SEGMENT } from "../../src/guest/elf/format.ts";
import { CallFrames, type FrameRow, RULE } from "../../src/guest/unwind/call-frames.ts";
import { bytesOf, fileOf, has, library, output, withHoles } from "./tools.ts";

const equipped = has("gcc") && has("readelf");

/** Every kind of instruction and expression that assembler sources can write. */
const ASSEMBLER = `
.text
.globl _start
.type _start, @function
_start:
  .cfi_startproc
  .cfi_undefined rip
  nop
  .cfi_endproc
.size _start, . - _start

.globl by_hand
.type by_hand, @function
by_hand:
  .cfi_startproc
  push %rbx
  .cfi_adjust_cfa_offset 8
  .cfi_rel_offset rbx, 0
  nop
  .cfi_remember_state
  .cfi_def_cfa rbp, 32
  .cfi_offset r12, -24
  .cfi_same_value rbx
  nop
  .cfi_def_cfa_register r13
  .cfi_register r14, r15
  nop
  .cfi_restore r12
  .cfi_undefined r15
  nop
  # CFA = *(rsp + 8) + 16
  .cfi_escape 0x0f, 5, 0x77, 8, 0x06, 0x23, 16
  # rbp saved where rsp + 24 says
  .cfi_escape 0x10, 6, 3, 0x77, 24, 0x06
  # r12 is rsp + 40
  .cfi_escape 0x16, 12, 2, 0x77, 40
  nop
  .cfi_restore_state
  nop
  .cfi_val_offset rbx, -8
  nop
  .cfi_escape 0x11, 3, 0x7d
  .cfi_escape 0x12, 7, 0x7c
  nop
  .cfi_escape 0x13, 0x7b
  nop
  .cfi_escape 0x05, 12, 5
  .cfi_escape 0x2e, 16
  .skip 300
  .cfi_def_cfa rsp, 16
  .skip 70000
  .cfi_def_cfa_offset 8
  ret
  .cfi_endproc
.size by_hand, . - by_hand

.globl signals
.type signals, @function
signals:
  .cfi_startproc
  .cfi_signal_frame
  .cfi_personality 0x9b, personality
  .cfi_lsda 0x1b, table
  nop
  .cfi_endproc
.size signals, . - signals
.section .rodata
table: .long 0
.data
personality: .quad 0
.section .note.GNU-stack,"",@progbits
`;

let directory = "";
let byHand = "";
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "vivarium-frames-"));
  if (!equipped) return;
  byHand = join(directory, "by-hand");
  writeFileSync(`${byHand}.s`, ASSEMBLER);
  execFileSync("gcc", ["-nostdlib", "-static", "-o", byHand, `${byHand}.s`]);
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const NAMES = [
  "rax",
  "rdx",
  "rcx",
  "rbx",
  "rsi",
  "rdi",
  "rbp",
  "rsp",
  "r8",
  "r9",
  "r10",
  "r11",
  "r12",
  "r13",
  "r14",
  "r15",
  "ra",
];

interface TheirRow {
  readonly at: number;
  readonly end: number;
  /** CFA, then what readelf says of each register that it has a column for. */
  readonly cells: ReadonlyMap<string, string>;
}

function theirRows(path: string): TheirRow[] {
  const rows: { at: number; end: number; cells: Map<string, string> }[] = [];
  let end = 0;
  let columns: string[] = [];
  let inFde = false;
  for (const line of output("readelf", "--debug-dump=frames-interp", path).split("\n")) {
    const fde = / FDE cie=\w+ pc=\w+\.\.(\w+)/.exec(line);
    if (fde) [inFde, end] = [true, Number.parseInt(fde[1]!, 16)];
    else if (/ CIE /.test(line)) inFde = false;
    else if (/^ +LOC/.test(line)) columns = line.trim().split(/\s+/).slice(1);
    else if (inFde && /^[0-9a-f]{16} /.test(line) && !line.includes("ZERO")) {
      const [at, ...values] = line
        .replaceAll(/ \(r\w+\)/g, "")
        .trim()
        .split(/\s+/);
      const start = Number.parseInt(at!, 16);
      const before = rows.at(-1);
      if (before && before.end === end && start > before.at) before.end = start;
      rows.push({ at: start, end, cells: new Map(columns.map((name, i) => [name, values[i] ?? ""])) });
    }
  }
  return rows;
}

const signed = (value: number): string => (value < 0 ? `${value}` : `+${value}`);

/** A row of ours in readelf's words. "u" is undefined as well as never mentioned. */
function ourCell(row: FrameRow, name: string): string {
  if (name === "CFA") return row.cfaExpression ? "exp" : `${NAMES[row.cfaRegister]}${signed(row.cfaOffset)}`;
  const index = row.registers.indexOf(NAMES.indexOf(name));
  if (index < 0) return "u";
  const value = row.values[index]!;
  switch (row.rules[index]) {
    case RULE.undefined:
      return "u";
    case RULE.offset:
      return `c${signed(value)}`;
    case RULE.valueOffset:
      return `v${signed(value)}`;
    case RULE.register:
      return `r${value}`;
    case RULE.expression:
      return "exp";
    default:
      return "vexp";
  }
}

/** How many places there are; throws where one differs. */
function compare(path: string, frames: CallFrames): number {
  const different: string[] = [];
  let count = 0;
  for (const { at, end, cells } of theirRows(path)) {
    // Two rows at one address: the last holds.
    if (end <= at) continue;
    for (const place of [at, end - 1]) {
      const row = frames.at(place);
      count++;
      for (const [name, theirs] of cells) {
        if (!NAMES.includes(name) && name !== "CFA") continue;
        const ours = row ? ourCell(row, name) : "nothing";
        if (ours !== (theirs === "s" ? "u" : theirs))
          different.push(`${name} at ${place.toString(16)}: ${ours}, not ${theirs}`);
      }
    }
  }
  expect(different).toEqual([]);
  return count;
}

describe.skipIf(!equipped)("rows", () => {
  it.each(["libc.so.6", "libstdc++.so.6", "libm.so.6"])("of %s are those of readelf", (name) => {
    const path = library(name);
    if (!path) return;
    expect(compare(path, CallFrames.of(Elf.open(fileOf(path))!)!)).toBeGreaterThan(5000);
  });
  it("of all instructions there are are those of readelf", () => {
    expect(compare(byHand, CallFrames.of(Elf.open(fileOf(byHand))!)!)).toBeGreaterThan(20);
  });
  it("of a signal's frame and of a thread's first are told apart", () => {
    const frames = CallFrames.of(Elf.open(fileOf(byHand))!)!;
    const at = (symbol: string) =>
      Number.parseInt(
        output("nm", byHand)
          .split("\n")
          .find((line) => line.endsWith(` ${symbol}`))!,
        16,
      );
    expect(frames.at(at("_start"))).toMatchObject({ outermost: true, signal: false });
    expect(frames.at(at("signals"))).toMatchObject({ outermost: false, signal: true });
    expect(frames.at(at("by_hand"))).toMatchObject({ outermost: false, signal: false });
  });

  it("are the same without a table for lookup", () => {
    const path = library("libc.so.6")!;
    const bytes = Uint8Array.from(fileOf(path).read(0, 64) ?? []);
    const view = new DataView(bytes.buffer);
    const count = view.getUint16(56, true);
    const whole = Uint8Array.from(Buffer.from(fileOf(path).read(0, 1 << 20)!));
    const all = Elf.open(fileOf(path))!;
    const headers = new DataView(whole.buffer, Number(view.getBigUint64(32, true)));
    for (let i = 0; i < count; i++) {
      if (headers.getUint32(i * 56, true) === SEGMENT.ehFrame) headers.setUint32(i * 56, 0x6fff_ffff, true);
    }
    const file = fileOf(path);
    const cut = Elf.open({
      read: (at, n) => (at + n <= whole.length ? whole.subarray(at, at + n) : file.read(at, n)),
    })!;
    expect(cut.segment(SEGMENT.ehFrame)).toBeUndefined();
    const [one, other] = [CallFrames.of(all)!, CallFrames.of(cut)!];
    for (const { at } of theirRows(path).filter((_, i) => i % 7 === 0)) expect(other.at(at)).toEqual(one.at(at));
  });

  it("that are not there cost nobody else's", () => {
    const path = library("libc.so.6")!;
    const section = Elf.open(fileOf(path))!.sectionNamed(".eh_frame")!;
    // One page of the section is missing.
    const page = Math.ceil(section.offset / 4096) * 4096 + 8192;
    const file = withHoles(fileOf(path), (from, end) => from < page + 4096 && end > page);
    const [all, some] = [CallFrames.of(Elf.open(fileOf(path))!)!, CallFrames.of(Elf.open(file)!)!];
    const rows = theirRows(path);
    const missing = rows.filter(({ at }) => some.at(at) === undefined);
    expect(missing.length).toBeGreaterThan(0);
    expect(missing.length).toBeLessThan(rows.length / 10);
    for (const { at } of rows.filter((_, i) => i % 7 === 0)) if (some.at(at)) expect(some.at(at)).toEqual(all.at(at));
  });

  it("of nothing are none", () => {
    expect(CallFrames.of(Elf.open(bytesOf(fileOf(byHand).read(0, 4096)!))!)?.at(0x40_1000)).toBeUndefined();
  });
});
