/**
 * The x87 against the processor the tests run on: every row is executed there and by its meaning, over a context
 * that knows no more than the x87 needs.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Context, Operand } from "../../isa/context.ts";
import { X87_ROWS } from "../../isa/float/x87.ts";
import type { OperandSpec, Row } from "../../isa/row.ts";
import {
  type Callable,
  type Expr,
  type ExprOf,
  type FunctionBuilder,
  type I32,
  type I64,
  i32,
  i64,
  type LoadName,
  ModuleBuilder,
  type StoreName,
  type ValType,
} from "../../wasm/index.ts";
import type { RuntimeEnv } from "../runtime/define.ts";
import { offsetOf } from "../state.ts";
import { X87_FUNCTIONS } from "./x87.ts";

const MEMORY_OPERAND = 0x4000;
const MEMORY_BYTES = 512;
const EFLAGS = 0x5000;
const RAX = 0x5008;

function access(f: FunctionBuilder) {
  const long = (field: string) => LONG.has(field);
  return {
    get: (field: string): Expr =>
      long(field) ? f.load("i64.load", i32(offsetOf(field))) : f.load("i32.load", i32(offsetOf(field))),
    set: (field: string, value: Expr): void =>
      f.store(value.type === "i64" ? "i64.store" : "i32.store", i32(offsetOf(field)), value),
  };
}
const LONG = new Set(["fip", "fdp", "cr0", "scratch0", "scratch1"]);

/** Only what x87 rows ask for; anything else is missing, and fails. */
function context(f: FunctionBuilder, functions: ReadonlyMap<string, Callable>, size: 16 | 32): Context {
  const load = (bits: number, at: I64) =>
    bits === 64 ? f.load("i64.load", at.wrap()) : f.load(`i32.load${bits === 32 ? "" : "16_u"}` as LoadName, at.wrap());
  const store = (bits: number, at: I64, value: Expr) =>
    f.store((bits === 64 ? "i64.store" : `i32.store${bits === 32 ? "" : "16"}`) as StoreName, at.wrap(), value);
  const flags = () => f.load("i32.load", i32(EFLAGS));
  const test = (code: number): I32 => {
    const bit = (n: number) => flags().shrU(n).and(1);
    const base = [bit(11), bit(0), bit(6), bit(0).or(bit(6)), bit(7), bit(2)][code >> 1]!;
    return f.let(code & 1 ? base.eqz() : base);
  };
  const made = {
    f,
    size,
    addressSize: 64,
    mode64: true,
    rep: "none",
    flags: {
      get: () => flags().and(0x8d5),
      set: (image: I32) => f.store("i32.store", i32(EFLAGS), image.and(0x8d5)),
      condition: test,
    },
    ...access(f),
    load,
    store,
    probeWrite: () => {},
    dataSegment: () => i32(3),
    rip: () => i64(0x1234),
    raiseIf: () => {},
    runtime: (name: string, ...operands: Expr[]) => f.call(functions.get(name)!, ...operands),
    runtimeFor: <T extends ValType>(type: T, name: string, ...operands: Expr[]): ExprOf<T> =>
      f.callFor(type, functions.get(name)!, ...operands),
  };
  return made as unknown as Context;
}

function operand(m: Context, spec: OperandSpec, number: number): Operand {
  const linear = (displacement = 0) => i64(MEMORY_OPERAND + displacement);
  const bits = spec.width as number;
  const made = {
    bits,
    isMemory: spec.kind === "mem",
    known: undefined,
    number: () => i32(number),
    linear,
    offset: linear,
    read: () => m.load(bits as 16, linear()),
    write: (value: Expr) =>
      spec.kind === "mem"
        ? m.store(bits as 16, linear(), value as I32)
        : m.f.store("i64.store", i32(RAX), (value as I32).extendU()),
  };
  return made as unknown as Operand;
}

interface Instruction {
  readonly row: Row;
  readonly name: string;
  readonly code: readonly number[];
  readonly number: number;
}

function instructions(): Instruction[] {
  const out: Instruction[] = [];
  for (const row of X87_ROWS) {
    const registers = row.plusI ? [0, 1, 5] : [0];
    for (const number of registers) {
      const modrm =
        row.fixed !== undefined ? row.fixed + number : row.digit !== undefined ? (row.digit << 3) | 6 : undefined;
      const code = modrm === undefined ? [row.opcode] : [row.opcode, modrm];
      out.push({ row, name: `${row.mnemonic} ${row.encoding} ${number}`, code, number });
    }
  }
  return out;
}

interface Machine {
  readonly view: DataView;
  readonly bytes: Uint8Array;
  readonly run: (i: Instruction) => void;
  readonly call: (name: string, ...values: (number | bigint)[]) => unknown;
}

function machine(list: readonly Instruction[]): Machine {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 });
  const module = new ModuleBuilder({ initial: 1, maximum: 1, shared: false });
  const functions = new Map<string, Callable>();
  const builders = X87_FUNCTIONS.map((r) => {
    const f = module.func(r.name, r);
    functions.set(r.name, f);
    module.export(r.name, f);
    return f;
  });
  X87_FUNCTIONS.forEach((r, i) => {
    const f = builders[i]!;
    const env = { ...access(f), address: offsetOf, fn: (name: string) => functions.get(name)! };
    r.build(f, env as unknown as RuntimeEnv);
    if (r.results.length > 0) f.unreachable();
  });
  for (const { row, name, number } of list) {
    const f = module.func(name, { params: [], results: [] });
    const m = context(f, functions, 32);
    row.meaning(m, ...row.operands.map((spec) => operand(m, spec, number)));
    module.export(name, f);
  }
  const compiled = new WebAssembly.Module(module.encode() as Uint8Array<ArrayBuffer>);
  const { exports } = new WebAssembly.Instance(compiled, { env: { memory } });
  const call = exports as Record<string, (...values: (number | bigint)[]) => unknown>;
  return {
    view: new DataView(memory.buffer),
    bytes: new Uint8Array(memory.buffer),
    run: (i) => call[i.name]!(),
    call: (name, ...values) => call[name]!(...values),
  };
}

// An FSAVE image of 32 bits: control, status, tags at 0, 4, 8; ST(0) to ST(7) from 28, ten bytes each.
const RECORD = 24 + 112 + MEMORY_BYTES;

/** A generator of pseudo-random numbers (xorshift), so that a failure can be repeated. */
function random(seed: number): (below: number) => number {
  let s = seed >>> 0 || 1;
  return (below) => {
    s ^= s << 13;
    s ^= s >>> 17;
    s ^= s << 5;
    s >>>= 0;
    return s % below;
  };
}

type Random = ReturnType<typeof random>;
const bits64 = (r: Random): bigint =>
  (BigInt(r(0x1_0000) * 0x1_0000 + r(0x1_0000)) << 32n) | BigInt(r(0x1_0000) * 0x1_0000 + r(0x1_0000));

function mantissa(r: Random): bigint {
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
function extended(r: Random): [bigint, number] {
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
function start(r: Random, i: Instruction, masked: boolean): Uint8Array {
  const record = new Uint8Array(RECORD);
  const view = new DataView(record.buffer);
  view.setUint32(0, i.code.length, true);
  view.setUint32(4, 0x202 | (r(0x1000) & 0x8d5), true);
  record.set(i.code, 8);
  const masks = masked ? 0x3f : r(64);
  view.setUint32(24, 0xffff_0040 | masks | (r(4) << 8) | (r(4) << 10), true);
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
function load(to: Machine, record: Uint8Array): void {
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
  to.view.setUint32(offsetOf("cr0"), 0x21, true);
  to.view.setUint32(RAX, 0x1111, true);
  to.bytes.set(record.subarray(24 + 112), MEMORY_OPERAND);
}

/** What a state shows, as text to compare. */
function shown(parts: {
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

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

function fromRecord(record: Uint8Array, memory: (m: Uint8Array) => string): string {
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

function fromState(m: Machine, memory: (m: Uint8Array) => string): string {
  return shown({
    cw: m.view.getUint32(offsetOf("fcw"), true),
    sw: m.view.getUint32(offsetOf("fsw"), true) | (m.view.getUint32(offsetOf("ftop"), true) << 11),
    tags: m.call("x87.tags") as number,
    st: Array.from({ length: 8 }, (_, i) => [
      BigInt.asUintN(64, m.call("x87.mantissa", i) as bigint),
      m.call("x87.exponent", i) as number,
    ]),
    eflags: m.view.getUint32(EFLAGS, true),
    ax: m.view.getUint16(RAX, true),
    memory: memory(m.bytes.subarray(MEMORY_OPERAND, MEMORY_OPERAND + MEMORY_BYTES)),
  });
}

/** The bytes of memory to compare: not the pointers of an environment, which newer processors keep otherwise. */
function comparable(i: Instruction): (m: Uint8Array) => string {
  return (m) => {
    if (i.row.mnemonic !== "FNSTENV" && i.row.mnemonic !== "FNSAVE") return text(m.subarray(0, 128));
    return text(m.subarray(0, 12)) + text(m.subarray(28, 128));
  };
}

const gcc = spawnSync("gcc", ["--version"]).status === 0 && process.arch === "x64";
const directory = gcc ? mkdtempSync(join(tmpdir(), "vivarium-x87-")) : "";
const recorder = join(directory, "recorder");
const COUNT = Number(process.env["X87_COUNT"] ?? 150);
const TRANSCENDENTAL = new Set("F2XM1 FYL2X FYL2XP1 FPTAN FPATAN FSIN FCOS FSINCOS".split(" "));

describe.skipIf(!gcc)("x87 against this processor (needs gcc on x86-64)", () => {
  const list = instructions();
  let ours: Machine;
  beforeAll(() => {
    execFileSync("gcc", ["-O1", "-o", recorder, fileURLToPath(new URL("x87-recorder.c", import.meta.url))]);
    ours = machine(list);
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  const names = [...new Set(list.map((i) => i.row.mnemonic))].filter((name) => !TRANSCENDENTAL.has(name));
  // A pending exception is for the engine to raise in front of the row.
  it.each(names)("%s", (mnemonic) => {
    const r = random(0x1234_5678);
    const records: Uint8Array[] = [];
    const of: Instruction[] = [];
    for (const i of list.filter((one) => one.row.mnemonic === mnemonic)) {
      for (let n = 0; n < COUNT; n++) {
        records.push(start(r, i, n % 2 === 0));
        of.push(i);
      }
    }
    const output = execFileSync(recorder, { input: Buffer.concat(records), maxBuffer: 1 << 30 });
    const wrong: string[] = [];
    of.forEach((i, n) => {
      const memory = comparable(i);
      load(ours, records[n]!);
      const before = fromState(ours, memory);
      ours.run(i);
      const got = fromState(ours, memory);
      const want = fromRecord(output.subarray(n * RECORD, (n + 1) * RECORD), memory);
      if (got !== want) wrong.push(`${i.name}\n  from ${before}\n  want ${want}\n  got  ${got}`);
    });
    if (wrong.length) throw new Error(`${wrong.length} of ${of.length} differ:\n${wrong.slice(0, 5).join("\n")}`);
    expect(of.length).toBeGreaterThan(0);
  });
});
