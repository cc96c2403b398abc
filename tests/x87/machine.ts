/**
 * Runs x87 and save rows by their meanings alone, over a context that knows no more than they need: no paging, no
 * segments, one memory operand.
 */
import { SAVE_FUNCTIONS } from "../../src/cpu/float/save.ts";
import { X87_FUNCTIONS } from "../../src/cpu/float/x87.ts";
import type { RuntimeEnv } from "../../src/cpu/runtime/define.ts";
import { offsetOf } from "../../src/cpu/state.ts";
import type { Context, Operand } from "../../src/isa/context.ts";
import type { OperandSpec, Row } from "../../src/isa/row.ts";
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
} from "../../src/wasm/index.ts";

const FUNCTIONS = [...X87_FUNCTIONS, ...SAVE_FUNCTIONS];

/** Where things lie in the machine's memory; the CPU state is at 0. */
export const MEMORY_OPERAND = 0x4000;
export const MEMORY_BYTES = 640;
export const EFLAGS = 0x5000;
/** Vector of the exception an instruction raised, else 0. */
export const RAISED = 0x5008;
const RIP = 0x1234;

function access(f: FunctionBuilder) {
  const long = (field: string) => LONG.has(field);
  return {
    get: (field: string): Expr =>
      long(field) ? f.load("i64.load", i32(offsetOf(field))) : f.load("i32.load", i32(offsetOf(field))),
    set: (field: string, value: Expr): void =>
      f.store(value.type === "i64" ? "i64.store" : "i32.store", i32(offsetOf(field)), value),
  };
}
const LONG = new Set(["rax", "rcx", "rdx", "fip", "fdp", "cr0", "cr4", "xcr0", "scratch0", "scratch1"]);

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
    rip: () => i64(RIP),
    raiseIf: (condition: I32, vector: number) =>
      f.if(condition, () => {
        f.store("i32.store", i32(RAISED), i32(vector));
        f.return();
      }),
    reg: (number: number) => f.load("i32.load", i32(offsetOf("rax") + 8 * number)),
    setReg: (number: number, _bits: number, value: I32) =>
      f.store("i64.store", i32(offsetOf("rax") + 8 * number), value.extendU()),
    loadVec: (at: I64) => f.load("v128.load", at.wrap()),
    storeVec: (at: I64, value: Expr) => f.store("v128.store", at.wrap(), value),
    // XSETBV's own part is not here.
    runtimeMayFault: () => {},
    runtime: (name: string, ...operands: Expr[]) => f.call(functions.get(name)!, ...operands),
    runtimeFor: <T extends ValType>(type: T, name: string, ...operands: Expr[]): ExprOf<T> =>
      f.callFor(type, functions.get(name)!, ...operands),
  };
  return made as unknown as Context;
}

function operand(m: Context, spec: OperandSpec, number: number): Operand {
  const linear = (displacement = 0) => i64(MEMORY_OPERAND + displacement);
  const linearAt = (displacement: I64) => displacement.add(MEMORY_OPERAND);
  const bits = spec.width as number;
  const made = {
    bits,
    isMemory: spec.kind === "mem",
    known: undefined,
    number: () => i32(number),
    linear,
    linearAt,
    offset: linear,
    read: () => m.load(bits as 16, linear()),
    write: (value: Expr) =>
      spec.kind === "mem"
        ? m.store(bits as 16, linear(), value as I32)
        : m.f.store("i32.store16", i32(offsetOf("rax")), value),
  };
  return made as unknown as Operand;
}

export interface Instruction {
  readonly row: Row;
  readonly name: string;
  readonly code: readonly number[];
  readonly number: number;
  /** Operand size: 16 with a prefix. */
  readonly size: 16 | 32;
}

export function instructions(rows: readonly Row[], size: 16 | 32 = 32): Instruction[] {
  const out: Instruction[] = [];
  for (const row of rows) {
    const registers = row.plusI ? [0, 1, 5] : [0];
    for (const number of registers) {
      const modrm =
        row.fixed !== undefined ? row.fixed + number : row.digit !== undefined ? (row.digit << 3) | 6 : undefined;
      const prefix = size === 16 ? [0x66] : [];
      const code = modrm === undefined ? [...prefix, row.opcode] : [...prefix, row.opcode, modrm];
      out.push({ row, name: `${row.mnemonic} ${row.encoding} ${number} ${size}`, code, number, size });
    }
  }
  return out;
}

export interface Machine {
  readonly view: DataView;
  readonly bytes: Uint8Array;
  readonly run: (i: Instruction) => void;
  readonly call: (name: string, ...values: (number | bigint)[]) => unknown;
}

export function machine(list: readonly Instruction[]): Machine {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 });
  const module = new ModuleBuilder({ initial: 1, maximum: 1, shared: false });
  const functions = new Map<string, Callable>();
  const builders = FUNCTIONS.map((r) => {
    const f = module.func(r.name, r);
    functions.set(r.name, f);
    module.export(r.name, f);
    return f;
  });
  FUNCTIONS.forEach((r, i) => {
    const f = builders[i]!;
    const env = { ...access(f), address: offsetOf, fn: (name: string) => functions.get(name)! };
    r.build(f, env as unknown as RuntimeEnv);
    if (r.results.length > 0) f.unreachable();
  });
  for (const { row, name, number, size } of list) {
    const f = module.func(name, { params: [], results: [] });
    const m = context(f, functions, size);
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
