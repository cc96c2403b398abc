/**
 * Every row of the family against the host's own processor: each is encoded with random registers and immediates, run on
 * random states by a small C program, and its meaning, written as a WebAssembly function, must leave the same state.
 * Needs an x86-64 host with gcc; a row whose CPUID feature the host lacks is left out.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Decoder as Disassembler, Mnemonic } from "iced-x86";
import { describe, expect, it } from "vitest";
import { VECTOR_RUNTIME } from "../../cpu/runtime/vector.ts";
import { GPR_NAMES, offsetOf } from "../../cpu/state.ts";
import {
  type Callable,
  type Expr,
  type ExprOf,
  type FunctionBuilder,
  type I32,
  type I64,
  i32,
  ModuleBuilder,
  type ValType,
  type Vec,
} from "../../wasm/index.ts";
import type { AnyInt, Context, Operand } from "../context.ts";
import { Decoded, Decoder } from "../decode.ts";
import type { OperandSpec, Row } from "../row.ts";
import { VECTOR_ROWS } from "./index.ts";

// One case: FXSAVE image, general registers, memory operand, code, flags; all in one record of the C program.
const GPR = 512;
const MEMORY = 640;
const CODE = 704;
const RFLAGS = 736;
const RECORD = 768;
const ARITHMETIC_FLAGS = 0x8d5;

const HARNESS = String.raw`
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
struct record { unsigned char fx[512]; unsigned long gpr[16]; unsigned char memory[64], code[32]; unsigned long flags, pad[3]; };
static struct record r __attribute__((aligned(64)));
unsigned char *page;
void run(struct record *);
__asm__(
  "run: push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15; push %rdi\n"
  "fxrstor64 (%rdi); pushq 736(%rdi); popfq\n"
  "mov 512(%rdi),%rax; mov 520(%rdi),%rcx; mov 528(%rdi),%rdx; mov 536(%rdi),%rbx; mov 560(%rdi),%rsi\n"
  "mov 576(%rdi),%r8; mov 584(%rdi),%r9; mov 592(%rdi),%r10; mov 600(%rdi),%r11; mov 568(%rdi),%rdi\n"
  "call *page(%rip)\n"
  "push %rdi; mov 8(%rsp),%rdi\n"
  "mov %rax,512(%rdi); mov %rcx,520(%rdi); mov %rdx,528(%rdi); mov %rbx,536(%rdi); mov %rsi,560(%rdi)\n"
  "mov %r8,576(%rdi); mov %r9,584(%rdi); mov %r10,592(%rdi); mov %r11,600(%rdi); popq 568(%rdi)\n"
  "pushfq; popq 736(%rdi); fxsave64 (%rdi); fninit\n"
  "pop %rdi; pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx; ret\n");
int main(int argc, char **argv) {
  FILE *in = fopen(argv[1], "rb"), *out = fopen(argv[2], "wb");
  page = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  while (fread(&r, sizeof r, 1, in) == 1) {
    memcpy(page, r.code, 32);
    r.gpr[3] = (unsigned long)r.memory; r.gpr[7] = (unsigned long)(r.memory + 16);
    run(&r);
    r.gpr[3] = r.gpr[7] = 0;
    fwrite(&r, sizeof r, 1, out);
  }
  return fclose(out);
}
`;

const HOST_FEATURE: Record<string, string> = { sse3: "pni", sse41: "sse4_1", sse42: "sse4_2", sha: "sha_ni" };

function hostFeatures(): Set<string> | undefined {
  try {
    execFileSync("gcc", ["--version"], { stdio: "ignore" });
    if (process.arch !== "x64") return undefined;
    const flags = /^flags\s*:(.*)$/m.exec(readFileSync("/proc/cpuinfo", "latin1"));
    return new Set(flags?.[1]?.trim().split(" "));
  } catch {
    return undefined;
  }
}

/** What one function of the module stands for: a row with its registers chosen. */
interface Variant {
  readonly row: Row;
  readonly memory: boolean;
  readonly reg: number;
  readonly rm: number;
  /** An immediate the meaning knows; without one it reads it from the record. */
  readonly known: number | undefined;
}

const REG_KINDS = new Set(["reg", "mm", "xmm"]);
const mayBeMemory = (o: OperandSpec) => ["rm", "mem", "mmm", "xmmm"].includes(o.kind);
const mayBeRegister = (row: Row) => row.operands.every((o) => o.kind !== "mem");
const isGeneral = (o: OperandSpec | undefined) => o !== undefined && ["reg", "rm", "rmreg"].includes(o.kind);
const isMmx = (o: OperandSpec | undefined) => o !== undefined && ["mm", "mmm", "mmrm"].includes(o.kind);

function encode(v: Variant, imm: number): Uint8Array {
  const { row } = v;
  const out: number[] = [];
  if (row.prefix && row.prefix !== "NP") out.push(Number.parseInt(row.prefix, 16));
  const reg = row.digit ?? v.reg;
  const rex = 0x40 | (row.rexW ? 8 : 0) | (reg > 7 ? 4 : 0) | (!v.memory && v.rm > 7 ? 1 : 0);
  if (rex !== 0x40) out.push(rex);
  out.push(...[[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]][row.map]!, row.opcode);
  if (row.modrm) out.push((v.memory ? 0 : 0xc0) | ((reg & 7) << 3) | (v.memory ? 3 : v.rm & 7));
  if (row.operands.some((o) => o.kind === "imm")) out.push(imm);
  out.push(0xc3);
  return Uint8Array.from([...out, ...new Uint8Array(32 - out.length)]);
}

// The linear memory of the test: CPU state, then the record's memory operand, immediate and flags.
const MEMORY_AT = 8192;
const IMM_AT = 8256;
const FLAGS_AT = 8264;

class TestOperand {
  readonly bits: number;
  readonly isMemory: boolean;
  readonly known = undefined;
  readonly #f: FunctionBuilder;
  readonly #spec: OperandSpec;
  readonly #v: Variant;
  constructor(f: FunctionBuilder, spec: OperandSpec, v: Variant) {
    this.#f = f;
    this.#spec = spec;
    this.#v = v;
    this.bits = spec.width === "y" ? (v.row.rexW ? 64 : 32) : (spec.width as number);
    this.isMemory = v.memory && mayBeMemory(spec);
  }
  number(): I32 {
    if (this.#spec.kind === "xmm0") return i32(0);
    return i32(REG_KINDS.has(this.#spec.kind) ? this.#v.reg : this.#v.rm);
  }
  get #address(): number {
    if (this.isMemory) return MEMORY_AT;
    const n = Number(this.number().known);
    if (isGeneral(this.#spec)) return offsetOf(GPR_NAMES[n]!);
    return isMmx(this.#spec) ? offsetOf(`fpr${n}`) : offsetOf(`ymm${n}`);
  }
  read(): AnyInt {
    if (this.#spec.kind === "imm") {
      return this.#v.known === undefined ? this.#f.load("i32.load8_u", i32(IMM_AT)) : i32(this.#v.known);
    }
    if (this.bits === 64) return this.#f.load("i64.load", i32(this.#address));
    return this.#f.load(
      this.bits === 32 ? "i32.load" : this.bits === 16 ? "i32.load16_u" : "i32.load8_u",
      i32(this.#address),
    );
  }
  write(value: AnyInt): void {
    const at = i32(this.#address);
    if (isGeneral(this.#spec) && !this.isMemory) {
      this.#f.store("i64.store", at, this.bits === 64 ? value : value.extendU());
    } else if (this.bits === 64) this.#f.store("i64.store", at, value);
    else this.#f.store(this.bits === 32 ? "i32.store" : this.bits === 16 ? "i32.store16" : "i32.store8", at, value);
  }
  readVec(): Vec {
    const at = i32(this.#address);
    // Of narrower memory the rest is zero.
    if (this.bits !== 128) expect([this.isMemory, [32, 64].includes(this.bits)]).toEqual([true, true]);
    return this.#f.load(
      this.bits === 128 ? "v128.load" : this.bits === 64 ? "v128.load64_zero" : "v128.load32_zero",
      at,
    );
  }
  writeVec(value: Vec): void {
    expect(this.bits).toBe(128);
    this.#f.store("v128.store", i32(this.#address), value);
  }
}

const LOAD = { i32: "i32.load", i64: "i64.load", f32: "f32.load", f64: "f64.load", v128: "v128.load" } as const;
const STORE = { i32: "i32.store", i64: "i64.store", f32: "f32.store", f64: "f64.store", v128: "v128.store" } as const;

function fields(f: FunctionBuilder) {
  return {
    get: <T extends ValType = "i32">(name: string, type?: T): ExprOf<T> =>
      f.load(LOAD[type ?? "i32"], i32(offsetOf(name))) as unknown as ExprOf<T>,
    set: (name: string, value: Expr) => f.store(STORE[value.type], i32(offsetOf(name)), value),
  };
}

function context(f: FunctionBuilder, runtime: Map<string, Callable>): Context {
  const fn = (name: string) => runtime.get(name) ?? expect.fail(`no runtime function ${name}`);
  const state = fields(f);
  return {
    f,
    size: 32,
    addressSize: 64,
    ...state,
    reg: (n: number, bits: number) => state.get(GPR_NAMES[n]!, bits === 64 ? "i64" : "i32"),
    setReg: (n: number, bits: number, value: AnyInt) => state.set(GPR_NAMES[n]!, bits === 64 ? value : value.extendU()),
    flags: { set: (image: I32) => f.store("i32.store", i32(FLAGS_AT), image) },
    dataSegment: () => i32(3),
    address: (_: I32, offset: I64) => offset,
    store: (_: number, linear: I64, value: AnyInt) => f.store("i32.store8", linear.wrap(), value),
    runtime: (name: string, ...values: Expr[]) => f.call(fn(name), ...values),
    runtimeFor: (type: ValType, name: string, ...values: Expr[]) => f.callFor(type, fn(name), ...values),
  } as unknown as Context;
}

function compile(variants: readonly Variant[]): { memory: Uint8Array; run: (() => void)[] } {
  const module = new ModuleBuilder({ initial: 1, maximum: 1, shared: false });
  const runtime = new Map<string, FunctionBuilder>();
  for (const r of VECTOR_RUNTIME) runtime.set(r.name, module.func(r.name, r));
  for (const r of VECTOR_RUNTIME) {
    const f = runtime.get(r.name)!;
    r.build(f, { ...fields(f), address: offsetOf, fn: (name) => runtime.get(name)! });
  }
  variants.forEach((v, i) => {
    const f = module.func(`${v.row.mnemonic}${i}`, { params: [], results: [] });
    const operands = v.row.operands.map((spec) => new TestOperand(f, spec, v) as unknown as Operand);
    v.row.meaning(context(f, runtime), ...operands);
    module.export(`f${i}`, f);
  });
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 });
  const instance = new WebAssembly.Instance(new WebAssembly.Module(module.encode()), {
    env: { memory },
  });
  return {
    memory: new Uint8Array(memory.buffer),
    run: variants.map((_, i) => instance.exports[`f${i}`] as () => void),
  };
}

/** Random numbers with a fixed start, so that a failure comes again. */
function generator(): (below: number) => number {
  let x = 0x2545f491;
  return (below) => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) % below;
  };
}

type Random = (below: number) => number;
const EDGES = [0x00, 0x01, 0x7f, 0x80, 0x81, 0xfe, 0xff];

/** 16 bytes in one of the ways that matter: anything, edge values, a small count, text with an end. */
function fill(to: Uint8Array, random: Random): void {
  const style = random(6);
  for (let i = 0; i < to.length; i++) {
    if (style < 2) to[i] = random(256);
    else if (style === 2) to[i] = EDGES[random(EDGES.length)]!;
    else if (style === 3) to[i] = i % 2 ? random(2) * 0x80 : 0xff * random(2);
    else if (style === 4) to[i] = i === 0 ? random(80) : 0;
    else to[i] = random(9) === 0 ? 0 : 0x61 + random(4);
  }
}

function randomRecord(random: Random): Uint8Array {
  const record = new Uint8Array(RECORD);
  const view = new DataView(record.buffer);
  view.setUint16(0, 0x37f, true);
  view.setUint16(2, random(8) << 11, true);
  view.setUint8(4, random(256));
  view.setUint32(24, 0x1f80, true);
  for (let i = 0; i < 8; i++) fill(record.subarray(32 + 16 * i, 42 + 16 * i), random);
  for (let i = 0; i < 16; i++) fill(record.subarray(160 + 16 * i, 176 + 16 * i), random);
  // Sometimes two registers hold nearly the same.
  if (random(2)) record.copyWithin(160, 176, 190);
  for (let i = 0; i < 16; i++) {
    if (random(2)) fill(record.subarray(GPR + 8 * i, GPR + 8 * i + 8), random);
    else view.setBigInt64(GPR + 8 * i, BigInt(random(40) - 20), true);
  }
  record.fill(0, GPR + 24, GPR + 48);
  record.fill(0, GPR + 56, GPR + 64);
  record.fill(0, GPR + 96, GPR + 128);
  for (let i = 0; i < 64; i += 16) fill(record.subarray(MEMORY + i, MEMORY + i + 16), random);
  view.setUint32(RFLAGS, 2 | (random(0x1000) & ARITHMETIC_FLAGS), true);
  return record;
}

function toState(record: Uint8Array, imm: number, state: Uint8Array): void {
  const from = new DataView(record.buffer, record.byteOffset);
  const to = new DataView(state.buffer);
  const top = (from.getUint16(2, true) >> 11) & 7;
  for (let i = 0; i < 8; i++) state.set(record.subarray(32 + 16 * i, 42 + 16 * i), offsetOf(`fpr${(top + i) & 7}`));
  for (let i = 0; i < 16; i++) state.set(record.subarray(160 + 16 * i, 176 + 16 * i), offsetOf(`ymm${i}`));
  for (let i = 0; i < 16; i++) state.set(record.subarray(GPR + 8 * i, GPR + 8 * i + 8), offsetOf(GPR_NAMES[i]!));
  to.setBigInt64(offsetOf("rdi"), BigInt(MEMORY_AT + 16), true);
  to.setUint32(offsetOf("ftop"), top, true);
  to.setUint32(offsetOf("fempty"), ~from.getUint8(4) & 0xff, true);
  state.set(record.subarray(MEMORY, MEMORY + 64), MEMORY_AT);
  state[IMM_AT] = imm;
  to.setUint32(FLAGS_AT, from.getUint32(RFLAGS, true), true);
}

/** What an instruction may have changed, as text: easy to compare and to read. */
function fromState(state: Uint8Array): string {
  const view = new DataView(state.buffer);
  const top = view.getUint32(offsetOf("ftop"), true);
  const hex = (at: number, length: number) => Buffer.from(state.subarray(at, at + length)).toString("hex");
  return [
    `top ${top} valid ${(~view.getUint32(offsetOf("fempty"), true) & 0xff).toString(16)}`,
    ...Array.from({ length: 8 }, (_, i) => `fpr${i} ${hex(offsetOf(`fpr${i}`), 10)}`),
    ...Array.from({ length: 16 }, (_, i) => `xmm${i} ${hex(offsetOf(`ymm${i}`), 16)}`),
    ...GPR_NAMES.map((name) => `${name} ${name === "rdi" ? "" : hex(offsetOf(name), 8)}`),
    `memory ${hex(MEMORY_AT, 64)}`,
    `flags ${(view.getUint32(FLAGS_AT, true) & ARITHMETIC_FLAGS).toString(16)}`,
  ].join("\n");
}

function fromRecord(record: Uint8Array): string {
  const scratch = new Uint8Array(16384);
  toState(record, 0, scratch);
  return fromState(scratch);
}

function variantsOf(row: Row, random: Random): Variant[] {
  const regSpec = row.operands.find((o) => REG_KINDS.has(o.kind));
  const rmSpec = row.operands.find(
    (o) => mayBeMemory(o) || o.kind === "rmreg" || o.kind === "mmrm" || o.kind === "xmmrm",
  );
  const choose = (o: OperandSpec | undefined) =>
    isGeneral(o) ? [0, 1, 2, 8, 9, 10, 11][random(7)]! : random(isMmx(o) ? 8 : 16);
  const hasImm = row.operands.some((o) => o.kind === "imm");
  const out: Variant[] = [];
  for (const memory of [false, true]) {
    if (memory ? !row.operands.some(mayBeMemory) : !mayBeRegister(row)) continue;
    const add = (known?: number, reg = choose(regSpec), rm = choose(rmSpec)) =>
      out.push({ row, memory, reg, rm, known });
    add();
    add(undefined, 1, 1);
    add(undefined, 0, 1);
    if (hasImm) for (let i = 0; i < 6; i++) add(random(i < 3 ? 20 : 256));
  }
  return out;
}

const features = hostFeatures();
const families = new Map<string, Row[]>();
for (const row of VECTOR_ROWS) {
  const family = row.features.at(-1) ?? "base";
  families.set(family, [...(families.get(family) ?? []), row]);
}

function check(rows: readonly Row[]): void {
  const random = generator();
  const variants = rows.flatMap((row) => variantsOf(row, random));
  const { memory, run } = compile(variants);
  const cases = variants.flatMap((v, i) =>
    Array.from({ length: 16 }, () => {
      const record = randomRecord(random);
      const imm = v.known ?? random(random(2) ? 32 : 256);
      record.set(encode(v, imm), CODE);
      return { v, i, imm, record };
    }),
  );
  const directory = mkdtempSync(join(tmpdir(), "vivarium-silicon-"));
  let results: Uint8Array;
  try {
    const at = (name: string) => join(directory, name);
    writeFileSync(at("harness.c"), HARNESS);
    execFileSync("gcc", ["-O1", "-o", at("harness"), at("harness.c")]);
    writeFileSync(at("in"), Buffer.concat(cases.map((c) => c.record)));
    execFileSync(at("harness"), [at("in"), at("out")]);
    results = new Uint8Array(readFileSync(at("out")));
  } finally {
    rmSync(directory, { recursive: true });
  }
  expect(results.length).toBe(cases.length * RECORD);
  const failed = new Map<string, string>();
  cases.forEach(({ v, i, imm, record }, n) => {
    toState(record, imm, memory);
    run[i]!();
    const got = fromState(memory).split("\n");
    const wanted = fromRecord(results.slice(n * RECORD, (n + 1) * RECORD)).split("\n");
    const name = `${v.row.mnemonic} ${v.row.encoding}${v.memory ? " memory" : ""}${v.known === undefined ? "" : " known"}`;
    const before = fromRecord(record).split("\n");
    const lines = got.flatMap((line, k) =>
      line === wanted[k] ? [] : [`${line} is not ${wanted[k]}, was ${before[k]}`],
    );
    if (lines.length > 0 && !failed.has(name))
      failed.set(name, `reg ${v.reg} rm ${v.rm} imm ${imm}: ${lines.join("; ")}`);
  });
  expect([...failed].map(([name, why]) => `${name}: ${why}`)).toEqual([]);
}

describe("vector instructions", () => {
  it("are decoded as declared and called what a disassembler calls them", () => {
    const random = generator();
    const decoder = new Decoder(VECTOR_ROWS, new Set(VECTOR_ROWS.flatMap((row) => row.features)));
    const decoded = new Decoded();
    for (const v of VECTOR_ROWS.flatMap((row) => variantsOf(row, random))) {
      const code = encode(v, 0x12);
      const outcome = decoder.decode(code, 0, code.length, { codeBits: 64, protectedMode: true }, decoded);
      const name = `${v.row.mnemonic} ${v.row.encoding}`;
      expect(`${name}: ${outcome}, ${decoded.row.mnemonic} ${decoded.row.encoding}`).toBe(`${name}: ok, ${name}`);
      expect(decoded.row).toBe(v.row);
      expect(decoded.isMemory).toBe(v.memory);
      expect(code[decoded.length], name).toBe(0xc3);
      const disassembler = new Disassembler(64, code, 0);
      const instruction = disassembler.decode();
      expect(Mnemonic[instruction.mnemonic]!.toUpperCase().replace(/(?<=STR.)64$/, ""), name).toBe(v.row.mnemonic);
      instruction.free();
      disassembler.free();
    }
  });

  for (const [family, rows] of families) {
    const here = features !== undefined && (family === "base" || features.has(HOST_FEATURE[family] ?? family));
    const why = features === undefined ? "no gcc or no x86-64 host" : `the host has no ${family}`;
    it.skipIf(!here)(
      `${family}: ${rows.length} encodings do what this processor does${here ? "" : ` (${why})`}`,
      () => check(rows),
      60_000,
    );
  }
});
