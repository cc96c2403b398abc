/** Records what x87 instructions do on the processor the tests run on, and compares states with the records. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { offsetOf } from "../../src/cpu/state.ts";
import { EFLAGS, type Instruction, type Machine, MEMORY_BYTES, MEMORY_OPERAND } from "./machine.ts";

/** Whether there is what recording needs: gcc, and a processor whose ways are followed where the manual leaves a choice. */
export const canRecord =
  process.platform === "linux" &&
  process.arch === "x64" &&
  readFileSync("/proc/cpuinfo", "utf8").includes("GenuineIntel") &&
  spawnSync("gcc", ["--version"]).status === 0;

/** Length, EFLAGS, code; an FSAVE image of 32 bits (control, status, tags at 0, 4, 8; registers from 28); memory. */
export const RECORD = 24 + 112 + MEMORY_BYTES;
/** RAX at the start: what XSAVE takes as the components it saves. */
const RECORDER_RAX = 3;

export class Recorder {
  readonly #directory = mkdtempSync(join(tmpdir(), "vivarium-x87-"));
  readonly #program = join(this.#directory, "recorder");

  constructor() {
    execFileSync("gcc", ["-O1", "-o", this.#program, fileURLToPath(new URL("recorder.c", import.meta.url))]);
  }
  /** Runs each record on the processor. */
  run(records: readonly Uint8Array[]): Uint8Array[] {
    const output = execFileSync(this.#program, { input: Buffer.concat(records), maxBuffer: 1 << 30 });
    return records.map((_, n) => output.subarray(n * RECORD, (n + 1) * RECORD));
  }
  dispose(): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** A generator of pseudo-random numbers (xorshift), so that a failure can be repeated. */
export function random(seed: number): (below: number) => number {
  let s = seed >>> 0 || 1;
  return (below) => {
    s ^= s << 13;
    s ^= s >>> 17;
    s ^= s << 5;
    s >>>= 0;
    return s % below;
  };
}

export type Random = ReturnType<typeof random>;
export const bits64 = (r: Random): bigint =>
  (BigInt(r(0x1_0000) * 0x1_0000 + r(0x1_0000)) << 32n) | BigInt(r(0x1_0000) * 0x1_0000 + r(0x1_0000));

export function mantissa(r: Random): bigint {
  const all = bits64(r);
  switch (r(6)) {
    case 0:
      return 0n;
    case 1:
      return all & (0xffffn << 48n);
    case 2:
      return all | 0x7fff_ffff_ffffn;
    case 3:
      return (all >> 62n) << 62n;
    case 4:
      return (1n << 63n) | BigInt(r(4));
    default:
      return all;
  }
}

/** An 80-bit number, edges as likely as the rest. */
export function extended(r: Random): [bigint, number] {
  const sign = r(2) << 15;
  const leading = 1n << 63n;
  const m = mantissa(r);
  switch (r(16)) {
    case 0:
      return [0n, sign];
    case 1:
      return [leading, sign | 0x7fff];
    case 2:
      return [m | leading, sign | 0x7fff];
    case 3:
      return [m, sign | [0, 1, 0x7fff, 0x7ffe, 0x3fff][r(5)]!];
    case 4:
      return [m | leading, sign | [0, 1, 2, 60, 0x7ffe, 0x7ffd][r(6)]!];
    case 5:
      return [m, sign];
    case 6:
      return [m | leading, sign | (0x3fff + r(66))];
    case 7:
      // Around the ends of binary32 and binary64.
      return [
        m | leading,
        sign | (0x3fff + [-150, -149, -127, -126, 127, 128, -1075, -1074, -1022, -1023, 1023, 1024][r(12)]!),
      ];
    case 8:
      return [m | leading, sign | (1 + r(0x7ffe))];
    default:
      return [m | leading, sign | (0x3fff - 8 + r(24))];
  }
}

/** What a test starts from, as the recorder takes it. */
export function start(r: Random, i: Instruction, masked: boolean): Uint8Array {
  const record = new Uint8Array(RECORD);
  const view = new DataView(record.buffer);
  view.setUint32(0, i.code.length, true);
  view.setUint32(4, 0x202 | (r(0x1000) & 0x8d5), true);
  record.set(i.code, 8);
  const masks = masked ? 0x3f : r(64);
  // Half of them as programs have it: 64 bits, to nearest.
  const modes = masked && r(2) ? 3 << 8 : (r(4) << 8) | (r(4) << 10);
  view.setUint32(24, 0xffff_0040 | masks | modes, true);
  const top = r(8);
  view.setUint32(28, 0xffff_0000 | (top << 11) | (r(2) ? r(64) & masks : 0) | (r(0x10000) & 0x4740), true);
  // All full or all but ST(7), mostly; FXCH and others also with holes.
  let tags = 0;
  for (let p = 0; p < 8; p++) {
    const st = (p - top) & 7;
    if (st === 7 ? r(8) > 0 : r(40) === 0) tags |= 3 << (2 * p);
  }
  view.setUint32(32, 0xffff_0000 | tags, true);
  for (let st = 0; st < 8; st++) {
    const [m, se] = extended(r);
    view.setBigUint64(24 + 28 + 10 * st, m, true);
    view.setUint16(24 + 28 + 10 * st + 8, se, true);
  }
  const memory = 24 + 112;
  for (let at = 0; at < 128; at += 4) view.setUint32(memory + at, r(0x1_0000) * 0x1_0000 + r(0x1_0000), true);
  const width = i.row.operands[0]?.width;
  if (width === 80) {
    const [m, se] = extended(r);
    view.setBigUint64(memory, m, true);
    view.setUint16(memory + 8, se, true);
    if (i.row.mnemonic === "FBLD")
      for (let at = 0; at < 10; at++) view.setUint8(memory + at, at === 9 ? (r(2) << 7) | r(10) : (r(10) << 4) | r(10));
  } else if (width === 32 && r(3) === 0)
    view.setUint32(
      memory,
      (r(2) << 31) | (r(4) << 29) | [0, 1, 0x7fffff, 0x3fffff, 0x7f800000, 0x7fc00001][r(6)]!,
      true,
    );
  else if (width === 64 && r(3) === 0) {
    const edge = [0n, 1n, 0xf_ffff_ffff_ffffn, 0x7ff0n << 48n, 0x7ff8n << 48n, 0x7ff4n << 48n, 0x3ffn << 52n][r(7)]!;
    view.setBigUint64(memory, (BigInt(r(2)) << 63n) | edge, true);
  }
  return record;
}

/** Loads a record into the state. */
export function load(to: Machine, record: Uint8Array): void {
  const view = new DataView(record.buffer, record.byteOffset, record.length);
  to.bytes.fill(0, 0, 0x6000);
  const status = view.getUint32(28, true);
  to.call("x87.setControl", view.getUint16(24, true));
  to.call("x87.setStatus", status & 0xffff);
  to.call("x87.setTags", view.getUint16(32, true));
  for (let st = 0; st < 8; st++) {
    const at = 24 + 28 + 10 * st;
    to.call("x87.put", st, view.getBigUint64(at, true), view.getUint16(at + 8, true));
  }
  to.view.setUint32(EFLAGS, view.getUint32(4, true) & 0x8d5, true);
  to.view.setUint32(offsetOf("cr4"), 0x40600, true);
  to.view.setUint32(offsetOf("xcr0"), 3, true);
  to.view.setUint32(offsetOf("mxcsr"), 0x1f80, true);
  to.view.setUint32(offsetOf("cr0"), 0x21, true);
  to.view.setUint32(offsetOf("rax"), RECORDER_RAX, true);
  to.bytes.set(record.subarray(24 + 112), MEMORY_OPERAND);
}

/** What a state shows, as text to compare. */
export function shown(parts: {
  cw: number;
  sw: number;
  tags: number;
  st: [bigint, number][];
  eflags: number;
  ax: number;
  memory: string;
}): string {
  const hex = (n: number | bigint) => n.toString(16);
  const st = parts.st.map(
    ([m, se], i) => `${(parts.tags >> (2 * (((parts.sw >> 11) + i) & 7))) & 3}:${hex(se)}.${hex(m)}`,
  );
  return `cw ${hex(parts.cw)} sw ${hex(parts.sw)} ${st.join(" ")} fl ${hex(parts.eflags)} ax ${hex(parts.ax)} mem ${parts.memory}`;
}

export const text = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

export function fromRecord(record: Uint8Array, memory: (m: Uint8Array) => string): string {
  const view = new DataView(record.buffer, record.byteOffset, record.length);
  return shown({
    cw: view.getUint16(24, true),
    sw: view.getUint16(28, true),
    tags: view.getUint16(32, true),
    st: Array.from({ length: 8 }, (_, i) => [view.getBigUint64(52 + 10 * i, true), view.getUint16(60 + 10 * i, true)]),
    eflags: view.getUint32(4, true) & 0x8d5,
    ax: view.getUint16(8, true),
    memory: memory(record.subarray(24 + 112)),
  });
}

export function fromState(m: Machine, memory: (m: Uint8Array) => string): string {
  return shown({
    cw: m.view.getUint32(offsetOf("fcw"), true),
    sw: m.view.getUint32(offsetOf("fsw"), true) | (m.view.getUint32(offsetOf("ftop"), true) << 11),
    tags: m.call("x87.tags") as number,
    st: Array.from({ length: 8 }, (_, i) => [
      BigInt.asUintN(64, m.call("x87.mantissa", i) as bigint),
      m.call("x87.exponent", i) as number,
    ]),
    eflags: m.view.getUint32(EFLAGS, true),
    ax: m.view.getUint16(offsetOf("rax"), true),
    memory: memory(m.bytes.subarray(MEMORY_OPERAND, MEMORY_OPERAND + MEMORY_BYTES)),
  });
}

/** The bytes of memory to compare: not the pointers of an environment, which newer processors keep otherwise. */
export function comparable(i: Instruction): (m: Uint8Array) => string {
  return (m) => {
    if (i.row.mnemonic !== "FNSTENV" && i.row.mnemonic !== "FNSAVE") return text(m.subarray(0, 128));
    const [status, end] = i.size === 16 ? [6, 14] : [12, 28];
    return text(m.subarray(0, status)) + text(m.subarray(end, 128));
  };
}

/** Overwrites a record's ST(st). */
export function putSt(record: Uint8Array, st: number, [m, se]: [bigint, number]): void {
  const view = new DataView(record.buffer, record.byteOffset, record.length);
  view.setBigUint64(24 + 28 + 10 * st, m, true);
  view.setUint16(24 + 28 + 10 * st + 8, se, true);
}

/** ST(st) of a record. */
export function stOf(record: Uint8Array, st: number): [bigint, number] {
  const view = new DataView(record.buffer, record.byteOffset, record.length);
  return [view.getBigUint64(24 + 28 + 10 * st, true), view.getUint16(24 + 28 + 10 * st + 8, true)];
}

/**
 * How far apart two shown states are: 0 if equal, 1 if only register values differ by one unit in the last place (and C1
 * with them), else 2.
 */
export function distance(a: string, b: string): 0 | 1 | 2 {
  if (a === b) return 0;
  const [as, bs] = [a.split(" "), b.split(" ")];
  for (let i = 0; i < as.length; i++) {
    const [x, y] = [as[i]!, bs[i]!];
    if (x === y) continue;
    if (as[i - 1] === "sw") {
      if ((Number.parseInt(x, 16) ^ Number.parseInt(y, 16)) !== 0x200) return 2;
      continue;
    }
    const [p, q] = [ordinal(x), ordinal(y)];
    if (p === undefined || q === undefined || p - q > 1n || q - p > 1n) return 2;
  }
  return 1;
}

/** Numbers of one sign in order: neighbours differ by 1. */
function ordinal(shownRegister: string): bigint | undefined {
  const match = /^\d:([0-9a-f]+)\.([0-9a-f]+)$/.exec(shownRegister);
  return match ? (BigInt(`0x${match[1]}`) << 63n) + BigInt.asUintN(63, BigInt(`0x${match[2]}`)) : undefined;
}
