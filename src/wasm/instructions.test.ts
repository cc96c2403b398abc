/**
 * The tables of instructions against two outside tools: wabt, which reads our binary back by name and assembles the same
 * instructions from text, and the engine, which says what opcodes there are and runs both.
 */
import { beforeAll, describe, expect, it } from "vitest";
import wabt from "wabt";
import { type Expr, type FunctionBuilder, i32, op } from "./index.ts";
import { ModuleBuilder } from "./module.ts";
import {
  ABBREVIATED,
  LANES,
  LOADS,
  type LoadName,
  OPCODES,
  type Shape,
  STORES,
  type StoreName,
  type ValType,
} from "./opcodes.ts";

const FEATURES = { simd: true, sat_float_to_int: true, sign_extension: true, threads: true, bulk_memory: true };
type Wabt = Awaited<ReturnType<typeof wabt>>;

/** wabt's validation takes features too; its types do not say so. */
const validate = (module: object) => (module as { validate(features: object): void }).validate(FEATURES);

const NAMES = Object.keys(OPCODES);
/** Operands lie 16 bytes apart from here, the result at 0. */
const OPERANDS = 16;

const operandTypes = (name: string): ValType[] => [...OPCODES[name]!.operands].map((c) => ABBREVIATED[c]!);
const resultType = (name: string): ValType => ABBREVIATED[OPCODES[name]!.result]!;

/** Function by function: operands from memory, the instruction, the result to memory. */
function ours(): Uint8Array {
  const module = new ModuleBuilder({ initial: 1, maximum: 1, shared: false });
  for (const name of NAMES) {
    const f = module.func(name, { params: [], results: [] });
    const operands: Expr[] = operandTypes(name).map((type, i) => f.load(`${type}.load`, i32(0), OPERANDS + 16 * i));
    f.store(`${resultType(name)}.store`, i32(0), op(name, ...operands));
    module.export(name, f);
  }
  // wabt reads the whole buffer that a view lies in.
  return module.encode().slice();
}

/** The same in text. */
function theirs(): string {
  const functions = NAMES.map((name) => {
    const operands = operandTypes(name).map((type, i) => `(${type}.load offset=${OPERANDS + 16 * i} (i32.const 0))`);
    return `(func (export "${name}") (${resultType(name)}.store (i32.const 0) (${name} ${operands.join(" ")})))`;
  });
  return `(module (import "env" "memory" (memory 1 1)) ${functions.join("\n")})`;
}

function instantiate(binary: Uint8Array): { memory: Uint8Array; call: (name: string) => string } {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 });
  const instance = new WebAssembly.Instance(new WebAssembly.Module(binary), { env: { memory } });
  const bytes = new Uint8Array(memory.buffer);
  const call = (name: string) => {
    bytes.fill(0xee, 0, 16);
    try {
      (instance.exports[name] as () => void)();
    } catch (e) {
      return (e as Error).message;
    }
    return Array.from(bytes.subarray(0, 16), (b) => b.toString(16).padStart(2, "0")).join(" ");
  };
  return { memory: bytes, call };
}

/** Does the engine know a numeric instruction of these bytes? Behind `unreachable` any operands are there. */
function exists(...bytes: number[]): boolean {
  const body = [0x00, 0x00, ...bytes, 0x00, 0x0b];
  const module = [
    0,
    0x61,
    0x73,
    0x6d,
    1,
    0,
    0,
    0,
    1,
    4,
    1,
    0x60,
    0,
    0,
    3,
    2,
    1,
    0,
    10,
    body.length + 2,
    1,
    body.length,
  ];
  return WebAssembly.validate(new Uint8Array([...module, ...body]));
}

describe("the numeric instructions", () => {
  let tool: Wabt;
  beforeAll(async () => {
    tool = await wabt();
  });

  it("are all that the engine has", () => {
    const known = new Set(Object.values(OPCODES).map((row) => row.bytes.join()));
    const leb = (n: number) => (n < 0x80 ? [n] : [(n & 0x7f) | 0x80, n >> 7]);
    // Constants, lane accesses and memory accesses carry immediates: they are not in this table.
    const withImmediates = (n: number) => n <= 0x0d || (n >= 0x15 && n <= 0x22) || (n >= 0x54 && n <= 0x5d);
    const candidates = [
      ...Array.from({ length: 0x80 }, (_, i) => [0x45 + i]),
      ...Array.from({ length: 8 }, (_, i) => [0xfc, i]),
      ...Array.from({ length: 0x100 }, (_, i) => i)
        .filter((n) => !withImmediates(n))
        .map((n) => [0xfd, ...leb(n)]),
    ];
    const wrong = candidates.filter((bytes) => exists(...bytes) !== known.has(bytes.join()));
    expect(wrong).toEqual([]);
    expect(known.size).toBe(NAMES.length);
    expect(candidates.filter((bytes) => known.has(bytes.join())).length).toBe(NAMES.length);
  });

  it("have the opcodes of their names", () => {
    const module = tool.readWasm(ours(), { readDebugNames: true, ...FEATURES });
    validate(module);
    const text = module.toText({ foldExprs: false, inlineExport: false });
    module.destroy();
    // Between the loads and the last store of a function is the instruction.
    const found = [...text.matchAll(/\(func \$(\S+) .*?\n\s+(\S+)\n\s+\w+\.store\b/gs)].map((m) => [m[1], m[2]]);
    expect(found).toEqual(NAMES.map((name) => [name, name]));
  });

  it("do what the same text assembled by wabt does", () => {
    const parsed = tool.parseWat("reference.wat", theirs(), FEATURES);
    const reference = instantiate(parsed.toBinary({}).buffer);
    parsed.destroy();
    const mine = instantiate(ours());
    const random = bytesFrom(1);
    const differences: string[] = [];
    const results = new Map<string, Set<string>>();
    for (const name of NAMES) {
      const seen = new Set<string>();
      results.set(name, seen);
      for (let n = 0; n < 16; n++) {
        // A third of the bytes are zeros or ones: small numbers, equal operands, infinities.
        for (let i = OPERANDS; i < OPERANDS + 48; i++) mine.memory[i] = n < 4 ? [0, 0xff, 1, 0x7f][n]! : random();
        reference.memory.set(mine.memory.subarray(0, 64));
        const [a, b] = [mine.call(name), reference.call(name)];
        if (a !== b) differences.push(`${name}: ${a}, wabt's: ${b}`);
        seen.add(a);
      }
    }
    expect(differences).toEqual([]);
    // An instruction that never gives two results was not tried.
    expect([...results].filter(([, seen]) => seen.size < 2).map(([name]) => name)).toEqual([]);
  });
});

describe("lane accesses", () => {
  const shapes = Object.keys(LANES) as Shape[];

  it("read and write the lane they name", () => {
    const module = new ModuleBuilder({ initial: 1, maximum: 1, shared: false });
    for (const shape of shapes) {
      const [, count] = shape.split("x").map(Number) as [unknown, number];
      for (let lane = 0; lane < count; lane++) {
        const type = LANES[shape][2];
        const get = module.func("", { params: [], results: [] });
        const value = get.load("v128.load", i32(OPERANDS)).lane(shape as "i8x16", lane);
        get.store(`${type}.store` as StoreName, i32(0), value);
        module.export(`get ${shape} ${lane}`, get);
        const put = module.func("", { params: [], results: [] });
        const vector = put.load("v128.load", i32(OPERANDS));
        put.store("v128.store", i32(0), vector.withLane(shape, lane, put.load(`${type}.load` as LoadName, i32(32))));
        module.export(`put ${shape} ${lane}`, put);
      }
    }
    const { memory, call } = instantiate(module.encode());
    const before = Array.from({ length: 16 }, (_, i) => 0x80 + i);
    memory.set(before, OPERANDS);
    memory.set([1, 2, 3, 4, 5, 6, 7, 8], 32);
    const hex = (bytes: number[]) => bytes.map((b) => b.toString(16).padStart(2, "0")).join(" ");
    for (const shape of shapes) {
      const count = Number(shape.split("x")[1]);
      const bytes = 16 / count;
      for (let lane = 0; lane < count; lane++) {
        const read = before.slice(lane * bytes, (lane + 1) * bytes);
        // Narrow lanes come zero-extended to 32 bits.
        while (read.length < 4) read.push(0);
        expect(call(`get ${shape} ${lane}`).slice(0, read.length * 3 - 1)).toBe(hex(read));
        const written = [...before];
        for (let i = 0; i < bytes; i++) written[lane * bytes + i] = i + 1;
        expect(call(`put ${shape} ${lane}`)).toBe(hex(written));
      }
    }
  });
});

describe("memory accesses", () => {
  const loads = Object.keys(LOADS) as LoadName[];
  const stores = Object.keys(STORES) as StoreName[];
  const accesses = (f: FunctionBuilder, name: LoadName) => f.load(name, f.param(0, "i32").get(), 8);

  it("are valid, and are what their names say", async () => {
    const module = new ModuleBuilder({ initial: 1, maximum: 1, shared: true });
    for (const name of loads) {
      const f = module.func(name, { params: ["i32"], results: [] });
      f.store(`${LOADS[name][1]}.store`, i32(0), accesses(f, name));
    }
    for (const name of stores) {
      const type = STORES[name][1];
      const f = module.func(name, { params: ["i32", type], results: [] });
      f.store(name, f.param(0, "i32").get(), f.param(1, type).get(), 8);
    }
    const read = (await wabt()).readWasm(module.encode().slice(), { readDebugNames: true, ...FEATURES });
    validate(read);
    const text = read.toText({ foldExprs: false, inlineExport: false });
    read.destroy();
    const functions = [...text.matchAll(/\(func \$(\S+) (.*?)\)\n(?= {2}\(|\s*$)/gs)];
    const wrong = functions.filter(([, name, body]) => !new RegExp(`\n\\s+${name} offset=8([ \n)]|$)`).test(body!));
    expect(wrong.map(([, name]) => name)).toEqual([]);
    expect(functions.map(([, name]) => name)).toEqual([...loads, ...stores]);
  });

  it("load and store as many bytes, extended as they say", () => {
    const module = new ModuleBuilder({ initial: 1, maximum: 1, shared: false });
    const plain = <N extends string>(names: N[]) => names.filter((name) => !name.includes("atomic"));
    for (const name of plain(loads)) {
      const f = module.func(name, { params: [], results: [] });
      f.store(`${LOADS[name][1]}.store`, i32(0), f.load(name, i32(OPERANDS)));
      module.export(name, f);
    }
    for (const name of plain(stores)) {
      const f = module.func(name, { params: [], results: [] });
      f.store(name, i32(0), f.load(`${STORES[name][1]}.load`, i32(OPERANDS)));
      module.export(name, f);
    }
    const { memory, call } = instantiate(module.encode());
    const source = Array.from({ length: 16 }, (_, i) => 0xf0 - i);
    memory.set(source, OPERANDS);
    const hex = (bytes: number[]) => bytes.map((b) => b.toString(16).padStart(2, "0")).join(" ");
    const size = { i32: 4, i64: 8, f32: 4, f64: 8, v128: 16 };
    for (const name of plain(loads)) {
      const [, type, bytes] = LOADS[name];
      const wanted = source.slice(0, bytes);
      while (wanted.length < size[type]) wanted.push(name.endsWith("_s") ? 0xff : 0);
      while (wanted.length < 16) wanted.push(0xee);
      expect(`${name} ${call(name)}`).toBe(`${name} ${hex(wanted)}`);
    }
    for (const name of plain(stores)) {
      const wanted = source.slice(0, STORES[name][2]);
      while (wanted.length < 16) wanted.push(0xee);
      expect(`${name} ${call(name)}`).toBe(`${name} ${hex(wanted)}`);
    }
  });
});

/** Bytes by xorshift32. */
function bytesFrom(seed: number): () => number {
  let x = seed;
  return () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 8) & 0xff;
  };
}
