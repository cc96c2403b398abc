/**
 * SSE floating point against the processor this runs on: a C program executes the very instructions on random and edge
 * operands under all kinds of MXCSR, and the rows, compiled into a module of their own, must give the same
 * registers, flags and exceptions. The processor must be an Intel one for RCP and RSQRT.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { FLOAT_FUNCTIONS } from "../../cpu/float/index.ts";
import type { RuntimeEnv } from "../../cpu/runtime/define.ts";
import { offsetOf } from "../../cpu/state.ts";
import {
  type Callable,
  type ExprOf,
  type F64,
  type FunctionBuilder,
  type I32,
  type I64,
  i32,
  ModuleBuilder,
  select,
  type ValType,
} from "../../wasm/index.ts";
import type { AnyInt, Context, Operand } from "../context.ts";
import type { Row } from "../row.ts";
import { SSE_FLOAT_ROWS } from "./sse.ts";
import { DISTANCES } from "./sse-fast.ts";

const VECTORS = Number(process.env["VIVARIUM_FLOAT_VECTORS"] ?? 60);
/** A vector in and out: MXCSR, integer register, two 16-byte operands; result flags, integer, fault. */
const RECORD = 64;
/** A state field that nothing here uses counts the ways to the slow path. */
const SLOW_CALLS = "budget";

interface Case {
  readonly name: string;
  /** Its bytes, from the row's encoding: register 0 is the destination, 1 the source (xmm, mm, eax and ecx). */
  readonly code: string;
  readonly row: Row;
  readonly size: 32 | 64;
  readonly imm: number | undefined;
  /** The immediate is known while the code is written. */
  readonly known: boolean;
}

function bytesOf(row: Row, size: 32 | 64, imm: number | undefined): string {
  const prefix = row.prefix === undefined || row.prefix === "NP" ? [] : [Number.parseInt(row.prefix, 16)];
  const rex = size === 64 ? [0x48] : [];
  const map = [[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]][row.map]!;
  const bytes = [...prefix, ...rex, ...map, row.opcode, 0xc1, ...(imm === undefined ? [] : [imm])];
  return `.byte ${bytes.join(", ")}`;
}

function immediatesOf(row: Row): readonly (number | undefined)[] {
  if (row.operands[2] === undefined) return [undefined];
  if (row.mnemonic.startsWith("CMP")) return range(8);
  return row.mnemonic.startsWith("DP") ? [0xff, 0x71, 0x38, 0x31, 0x05, 0xf0] : range(16);
}

function cases(): Case[] {
  const out: Case[] = [];
  for (const row of SSE_FLOAT_ROWS) {
    const kinds = row.operands.map((o) => o.text);
    if (kinds.some((k) => k === "m32" || k === "m64")) continue;
    const sizes = kinds.some((k) => k === "ry" || k === "rmy") ? ([32, 64] as const) : ([32] as const);
    for (const size of sizes) {
      for (const imm of immediatesOf(row)) {
        for (const known of imm === undefined ? [false] : [false, true]) {
          const name = [
            row.mnemonic,
            ...kinds.slice(0, 2),
            imm ?? "",
            sizes.length > 1 ? size : "",
            known ? "known" : "",
          ];
          out.push({
            name: name.filter((w) => w !== "").join(" "),
            code: bytesOf(row, size, imm),
            row,
            size,
            imm,
            known,
          });
        }
      }
    }
  }
  return out;
}
const range = (n: number) => Array.from({ length: n }, (_, i) => i);

// ---- the rows as functions of a record in memory

function build(all: readonly Case[]): Uint8Array {
  const module = new ModuleBuilder({ initial: 1, maximum: 1, shared: false });
  const callables = new Map<string, Callable>();
  const bodies = FLOAT_FUNCTIONS.map((r) => {
    const f = module.func(r.name, r);
    callables.set(r.name, f);
    return { f, r };
  });
  const mmxWritten = module.func("mmxWritten", { params: ["i32"], results: [] });
  callables.set("mmxWritten", mmxWritten);
  const env = (f: FunctionBuilder): RuntimeEnv => ({
    get: <T extends ValType = "i32">(field: string, type?: T) => load(f, field, type ?? ("i32" as T)),
    set: (field, value) => f.store(`${value.type}.store` as "i32.store", i32(0), value, offsetOf(field)),
    address: offsetOf,
    fn: (name) => callables.get(name)!,
  });
  for (const { f, r } of bodies) r.build(f, env(f));
  all.forEach((c, i) => {
    const f = module.func(`case${i}`, { params: [], results: ["i32"] });
    module.export(`case${i}`, f);
    write(c, f, env(f), callables);
    f.return(i32(0));
  });
  return module.encode();
}

function instantiate(all: readonly Case[], memory: WebAssembly.Memory): WebAssembly.Instance {
  for (const [field, bytes] of DISTANCES) new Uint8Array(memory.buffer).set(bytes, offsetOf(field));
  return new WebAssembly.Instance(new WebAssembly.Module(build(all) as Uint8Array<ArrayBuffer>), { env: { memory } });
}

function load<T extends ValType>(f: FunctionBuilder, field: string, type: T): ExprOf<T> {
  return f.load(`${type}.load` as "i32.load", i32(0), offsetOf(field)) as unknown as ExprOf<T>;
}

/** Just enough of an engine for these rows. Operands: ymm0, ymm1, fpr0, fpr1, rax, rcx. */
function write(c: Case, f: FunctionBuilder, env: RuntimeEnv, callables: ReadonlyMap<string, Callable>): void {
  const operand = (kind: string, index: number): Operand => {
    const field = kind.startsWith("xmm")
      ? `ymm${index}`
      : kind.startsWith("mm")
        ? `fpr${index}`
        : kind === "ry"
          ? "rax"
          : "rcx";
    const bits =
      kind === "ry" || kind === "rmy" ? c.size : Number(/\d+$/.exec(kind)?.[0] ?? (kind.startsWith("mm") ? 64 : 128));
    const found: Partial<Operand> = {
      bits,
      isMemory: false,
      known: kind === "imm8" && c.known ? BigInt(c.imm!) : undefined,
      read: () =>
        kind === "imm8"
          ? c.known
            ? i32(c.imm!)
            : f.let(i32(c.imm!).add(env.get("activity")))
          : (load(f, field, bits === 64 ? "i64" : "i32") as AnyInt),
      write: (value) => env.set(field, (bits === 32 ? value.extendU() : value) as I64),
      readVec: () => load(f, field, "v128"),
      writeVec: (value) => env.set(field, value),
      number: () => i32(index),
    };
    return found as Operand;
  };
  const call = (type: ValType | undefined, name: string, values: ExprOf<ValType>[]) =>
    type ? f.callFor(type, callables.get(name)!, ...values) : f.call(callables.get(name)!, ...values);
  const context: Partial<Context> = {
    f,
    get: env.get,
    set: env.set,
    flags: {
      compare: (x: F64, y: F64) => {
        const unordered = f.let(x.compare("ne", x).or(y.compare("ne", y)));
        const [below, equal] = [x.compare("lt", y), x.compare("eq", y).shl(6)];
        env.set("eflags", select(unordered, i32(0x45), below.or(equal)));
      },
    } as Context["flags"],
    runtime: (name, ...values) => void call(undefined, name, values),
    runtimeFor: <T extends ValType>(type: T, name: string, ...values: ExprOf<ValType>[]) =>
      call(type, name, values) as ExprOf<T>,
    runtimeMayFault: (name, ...values) => {
      env.set(SLOW_CALLS, env.get(SLOW_CALLS).add(1));
      f.if(call("i32", name, values) as I32, () => f.return(i32(1)));
    },
    raiseIf: (condition, vector) => f.if(condition, () => f.return(i32(vector))),
  };
  c.row.meaning(context as Context, ...c.row.operands.map((o, i) => operand(o.text, i)));
}

// ---- the processor

/** A C function per instruction; a fault leaves by longjmp with MXCSR as it was when the signal came. */
function program(texts: readonly string[], mmx: ReadonlySet<string>): string {
  const bodies = texts.map((text, i) => {
    const save = mmx.has(text) ? `"movq %%mm0, 16(%0)\\n"` : `"movdqu %%xmm0, 16(%0)\\n"`;
    return `case ${i}: __asm__ volatile(LOAD "${text}\\n" SAVE ${save} : : "r"(r) : "rax", "rcx", "memory", "xmm0", "xmm1", "cc"); break;`;
  });
  return `
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <ucontext.h>
struct record { uint32_t op, mxcsr; uint64_t integer; uint8_t a[16], b[16]; uint32_t eflags, fault; uint64_t unused; };
static sigjmp_buf back;
static struct record r0;
static void trap(int n, siginfo_t *s, void *c) {
  r0.mxcsr = ((ucontext_t *)c)->uc_mcontext.fpregs->mxcsr;
  r0.fault = 1;
  siglongjmp(back, 1);
}
#define LOAD "movdqu 16(%0), %%xmm0\\n movdqu 32(%0), %%xmm1\\n movq 16(%0), %%mm0\\n movq 32(%0), %%mm1\\n" \\
  "mov 8(%0), %%rcx\\n mov %%rcx, %%rax\\n ldmxcsr 4(%0)\\n"
#define SAVE "stmxcsr 4(%0)\\n mov %%rax, 8(%0)\\n lahf\\n seto %%al\\n mov %%eax, 48(%0)\\n"
static void run(struct record *r) {
  switch (r->op) {
  ${bodies.join("\n  ")}
  }
}
int main(void) {
  struct sigaction sa = {.sa_sigaction = trap, .sa_flags = SA_SIGINFO | SA_NODEFER};
  sigaction(SIGFPE, &sa, 0);
  uint32_t usual = 0x1f80;
  while (fread(&r0, sizeof r0, 1, stdin) == 1) {
    if (!sigsetjmp(back, 1)) run(&r0);
    __asm__ volatile("ldmxcsr %0\\n emms" : : "m"(usual));
    fwrite(&r0, sizeof r0, 1, stdout);
  }
}
`;
}

function gcc(source: string, directory: string): string {
  const [file, binary] = [join(directory, "sse.c"), join(directory, "sse")];
  writeFileSync(file, source);
  execFileSync("gcc", ["-O1", "-o", binary, file]);
  return binary;
}

const onIntel = (): boolean => {
  try {
    return /GenuineIntel/.test(readFileSync("/proc/cpuinfo", "latin1")) && spawnSync("gcc", ["--version"]).status === 0;
  } catch {
    return false;
  }
};

// ---- operands

/** xorshift32: the vectors are the same in every run. */
let seed = 0x1234_5678;
function random(below = 0x1_0000_0000): number {
  seed ^= seed << 13;
  seed ^= seed >>> 17;
  seed ^= seed << 5;
  return (seed >>> 0) % below;
}
const pick = <T>(list: readonly T[]): T => list[random(list.length)]!;

/** A number of a format as bits: zeros, denormals, limits, infinities, NaNs, small integers, neighbours of all these. */
function number(exponentBits: number, fractionBits: number): bigint {
  const sign = BigInt(random(2)) << BigInt(exponentBits + fractionBits);
  const top = (1 << exponentBits) - 1;
  const bias = top >> 1;
  const exponent = pick([
    0,
    0,
    1,
    2,
    top,
    top - 1,
    bias,
    bias + 1,
    bias - 1,
    bias + random(8),
    bias + 29 + random(5),
    bias + 61 + random(5),
    bias - fractionBits - random(3),
    bias - (bias >> 1) + random(3),
    bias + (bias >> 1) + random(3),
    fractionBits + random(4),
    random(top + 1),
    random(top + 1),
  ]);
  const bits = (BigInt(random()) << 32n) | BigInt(random());
  const all = (1n << BigInt(fractionBits)) - 1n;
  const fraction = pick([
    0n,
    0n,
    1n,
    all,
    all - 1n,
    1n << BigInt(fractionBits - 1),
    bits & all,
    bits & all,
    all ^ ((1n << BigInt(random(fractionBits))) - 1n),
    // So few bits that results are often exact.
    bits & all & ~((1n << BigInt(random(fractionBits + 1))) - 1n),
    bits & all & ~((1n << BigInt(fractionBits - random(12))) - 1n),
  ]);
  return sign | (BigInt(exponent) << BigInt(fractionBits)) | fraction;
}

function vector(view: DataView, at: number, format: Form): void {
  if (format === "double") {
    for (const i of [0, 8]) view.setBigUint64(at + i, number(11, 52), true);
    return;
  }
  for (const i of [0, 4, 8, 12]) {
    if (format === "single") view.setUint32(at + i, Number(number(8, 23)), true);
    else
      view.setInt32(
        at + i,
        pick([0, 1, -1, 0x7fff_ffff, -0x8000_0000, 0x100_0000, 0x1ff_ffff, random() >> random(32)]),
        true,
      );
  }
}

function control(): number {
  const flags = random(64);
  const modes = pick([0, 0, 0x2000, 0x4000, 0x6000]) | pick([0, 0, 0x40]) | pick([0, 0, 0x8000]);
  switch (random(5)) {
    case 0:
      return 0x1f80 | flags | 0x20;
    case 3:
      return 0x1f80 | (flags & ~0x20);
    case 1:
      return 0x1f80 | flags | modes;
    case 2:
      return 0x1f80 | modes;
    default:
      return (random(64) << 7) | modes | pick([0, flags]);
  }
}

type Form = "single" | "double" | "integer";

/** What the source operand of an instruction is. */
function sourceOf(c: Case): Form {
  if (/^CVT(DQ|PI)/.test(c.row.mnemonic)) return "integer";
  return /^CVTT?[PS]D|[^2][PS]D$/.test(c.row.mnemonic) ? "double" : "single";
}
const sometimesOther = (form: Form): Form => (random(16) ? form : pick(["single", "double", "integer"]));

function setMxcsr(state: DataView, value: number): void {
  state.setUint32(offsetOf("mxcsr"), value, true);
  // Rounding to nearest, PE set and masked: that may be known from the instruction before.
  state.setUint32(offsetOf("sseQuick"), (value & 0x7020) === 0x1020 && random(2) ? 15 : 0, true);
}

/** Destination and source in all lanes. */
function fill(state: DataView, form: Form, [first, second] = [3.7, 2.9]): void {
  for (const field of ["ymm0", "ymm1", "fpr0", "fpr1"]) {
    const [real, integer] = field.endsWith("1") ? [second!, 77] : [first!, 1000];
    for (let at = offsetOf(field); at < offsetOf(field) + 16; at += 4) {
      if (form === "single") state.setFloat32(at, real, true);
      else if (form === "integer") state.setInt32(at, integer, true);
      else if (at % 8 === 0) state.setFloat64(at, real, true);
    }
  }
}

const hex = (bytes: Uint8Array) => Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");

describe("SSE floating point", () => {
  const all = cases();

  it("does common arithmetic without a call", () => {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 });
    const instance = instantiate(all, memory);
    const state = new DataView(memory.buffer);
    const slow: string[] = [];
    // PE set; DAZ, FTZ, the masks but that of PE, and the other flags have no part in it.
    const run = (c: Case, i: number, mxcsr: number, values?: readonly [number, number]) => {
      fill(state, sourceOf(c), values as [number, number] | undefined);
      setMxcsr(state, mxcsr);
      state.setUint32(offsetOf(SLOW_CALLS), 0, true);
      const fault = (instance.exports[`case${i}`] as () => number)();
      if (fault || state.getUint32(offsetOf(SLOW_CALLS), true) || state.getUint32(offsetOf("mxcsr"), true) !== mxcsr)
        slow.push(`${c.name} with ${mxcsr.toString(16)}, ${values ?? "inexact"}`);
    };
    for (const mxcsr of [0x1fa0, 0x1fbf, 0x9fe0, 0x1020]) {
      all.forEach((c, i) => {
        run(c, i, mxcsr);
      });
    }
    // Where PE is clear, results that are exact; zeros. A quotient and a root are exact with each pair.
    const exact = /^(ADD|SUB|MUL|DIV|SQRT|MIN|MAX|HADD|HSUB)/;
    for (const mxcsr of [0x1f80, 0x1000, 0x9fdf]) {
      for (const values of [
        [7.875, 2.25],
        [0, 2.25],
        [-78.75, 2.25],
      ] as const) {
        all.forEach((c, i) => {
          if (exact.test(c.row.mnemonic)) run(c, i, mxcsr, values);
        });
      }
    }
    expect(slow).toEqual([]);
  });

  it("loads MXCSR without its reserved bits", () => {
    const rows = SSE_FLOAT_ROWS.filter((row) => row.mnemonic === "LDMXCSR");
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 });
    const instance = instantiate(
      rows.map((row) => ({ name: "", code: "", row, size: 32, imm: undefined, known: false })),
      memory,
    );
    const state = new DataView(memory.buffer);
    const load = instance.exports["case0"] as () => number;
    for (const [value, vector] of [
      [0xffff, 0],
      [0x1_1f80, 13],
      [0x8000_1f80, 13],
      [0x1f80, 0],
    ] as const) {
      state.setUint32(offsetOf("rcx"), value, true);
      expect(load()).toBe(vector);
      expect(state.getUint32(offsetOf("mxcsr"), true)).toBe(vector ? 0xffff : value);
    }
  });

  it.skipIf(!onIntel())(`does what the processor does (needs gcc and an Intel processor)`, () => {
    const texts = [...new Set(all.map((c) => c.code))];
    const directory = mkdtempSync(join(tmpdir(), "sse-"));
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 });
    const instance = instantiate(all, memory);
    const state = new DataView(memory.buffer);
    const bytes = new Uint8Array(memory.buffer);
    const input = new Uint8Array(RECORD * VECTORS * all.length);
    const view = new DataView(input.buffer);
    all.forEach((c, i) => {
      for (let n = 0; n < VECTORS; n++) {
        const at = (i * VECTORS + n) * RECORD;
        view.setUint32(at, texts.indexOf(c.code), true);
        view.setUint32(at + 4, control(), true);
        view.setBigUint64(
          at + 8,
          pick([
            (BigInt(random()) << 32n) | BigInt(random()),
            BigInt.asUintN(64, BigInt(random() >> random(32))),
            ((BigInt(random()) << 32n) | BigInt(random())) >> BigInt(random(64)),
            1n << BigInt(random(64)),
            (1n << BigInt(random(64))) - 1n,
          ]),
          true,
        );
        vector(view, at + 16, sometimesOther(sourceOf(c)));
        vector(view, at + 32, sometimesOther(sourceOf(c)));
        // Operands that are alike cancel, compare equal and overflow together.
        if (random(8) === 0) input.copyWithin(at + 32, at + 16, at + 32);
      }
    });
    let output: Uint8Array;
    try {
      const ran = spawnSync(
        gcc(program(texts, new Set(all.filter((c) => c.row.operands[0]!.text === "mm").map((c) => c.code))), directory),
        { input, maxBuffer: input.length + 1 },
      );
      output = ran.stdout;
    } finally {
      rmSync(directory, { recursive: true });
    }
    expect(output.length).toBe(input.length);
    const wanted = new DataView(output.buffer, output.byteOffset);
    const wrong: string[] = [];
    all.forEach((c, i) => {
      const run = instance.exports[`case${i}`] as () => number;
      const toMmx = c.row.operands[0]!.text === "mm";
      for (let n = 0; n < VECTORS; n++) {
        const at = (i * VECTORS + n) * RECORD;
        const mxcsr = view.getUint32(at + 4, true);
        bytes.set(input.subarray(at + 16, at + 32), offsetOf("ymm0"));
        bytes.set(input.subarray(at + 32, at + 48), offsetOf("ymm1"));
        bytes.set(input.subarray(at + 16, at + 24), offsetOf("fpr0"));
        bytes.set(input.subarray(at + 32, at + 40), offsetOf("fpr1"));
        state.setBigUint64(offsetOf("rax"), view.getBigUint64(at + 8, true), true);
        state.setBigUint64(offsetOf("rcx"), view.getBigUint64(at + 8, true), true);
        setMxcsr(state, mxcsr);
        state.setUint32(offsetOf("eflags"), 0, true);
        state.setBigUint64(offsetOf("cr4"), 0x400n, true);
        const fault = run();
        const flags = state.getUint32(offsetOf("eflags"), true);
        const show = (o: { vector: Uint8Array; integer: bigint; mxcsr: number; flags: number; fault: number }) =>
          `${hex(o.vector)} ${o.integer.toString(16)} mxcsr ${o.mxcsr.toString(16)}${c.row.mnemonic.includes("COMI") && !o.fault ? ` flags ${o.flags.toString(16)}` : ""}${o.fault ? " fault" : ""}`;
        const size = toMmx ? 8 : 16;
        const destination = offsetOf(toMmx ? "fpr0" : "ymm0");
        const ours = show({
          vector: bytes.slice(destination, destination + size),
          integer: state.getBigUint64(offsetOf("rax"), true),
          mxcsr: state.getUint32(offsetOf("mxcsr"), true),
          flags,
          fault,
        });
        const theirs = show({
          vector: output.subarray(at + 16, at + 16 + size),
          integer: wanted.getBigUint64(at + 8, true),
          mxcsr: wanted.getUint32(at + 4, true),
          flags: (wanted.getUint32(at + 48, true) >>> 8) & 0x45,
          fault: wanted.getUint32(at + 52, true),
        });
        if (ours !== theirs && wrong.length < 40 && !(wrong.filter((w) => w.startsWith(c.name)).length > 2)) {
          wrong.push(
            `${c.name}: ${hex(input.subarray(at + 16, at + 32))}, ${hex(input.subarray(at + 32, at + 48))} ${view.getBigUint64(at + 8, true).toString(16)} mxcsr ${mxcsr.toString(16)}\n  ours ${ours}\n  CPU  ${theirs}`,
          );
        }
      }
    });
    expect(wrong.join("\n")).toBe("");
  });
});
