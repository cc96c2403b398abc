/** Function bodies and modules: run by the engine, read back by wabt; and what the writer refuses. */
import { describe, expect, it } from "vitest";
import wabt from "wabt";
import {
  type Expr,
  type FunctionBuilder,
  f32,
  f64,
  i32,
  i64,
  Local,
  ModuleBuilder,
  op,
  type Signature,
  select,
  type ValType,
  v128,
} from "./index.ts";

const FEATURES = { simd: true, sign_extension: true, multi_value: true, tail_call: true, bulk_memory: true };

const TRAP = expect.objectContaining({ name: "RuntimeError" });

const newModule = () => new ModuleBuilder({ initial: 1, maximum: 1, shared: false });

type Exports = Record<string, (...values: (number | bigint)[]) => unknown>;

function instantiate(module: ModuleBuilder, host: Record<string, unknown> = {}, slots = 0) {
  const bytes = module.encode().slice();
  expect(WebAssembly.validate(bytes)).toBe(true);
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 });
  const table = new WebAssembly.Table({ element: "anyfunc", initial: slots });
  const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), { env: { memory, table }, host });
  return { exports: instance.exports as Exports, memory: new Uint8Array(memory.buffer) };
}

/** A module of one exported function, called. */
function run(
  params: readonly ValType[],
  result: ValType,
  build: (f: FunctionBuilder) => void,
): (...values: (number | bigint)[]) => unknown {
  const module = newModule();
  const f = module.func("f", { params, results: [result] });
  build(f);
  f.unreachable();
  module.export("f", f);
  return instantiate(module).exports["f"]!;
}

const int = (f: FunctionBuilder, i = 0) => f.param(i, "i32").get();

describe("control flow", () => {
  it("takes one side of if and else", () => {
    const f = run(["i32"], "i32", (b) => {
      b.if(
        int(b).gtS(5),
        () => b.return(i32(1)),
        () => b.return(i32(2)),
      );
    });
    expect([f(6), f(5)]).toEqual([1, 2]);
  });

  it("writes only one side where the condition is known", () => {
    const f = run([], "i32", (b) => {
      b.if(i32(0), () => b.unreachable());
      b.return(
        b.choose(
          i32(1),
          () => i32(7),
          (): typeof result => {
            throw new Error("not to be written");
          },
        ),
      );
    });
    const result = i32(7);
    expect(f()).toBe(7);
  });

  it("computes only the chosen value", () => {
    const f = run(["i32"], "i32", (b) => {
      // The other side would trap.
      b.return(
        b.choose(
          int(b).eqz(),
          () => i32(-1),
          () => b.let(i32(100).divS(int(b))),
        ),
      );
    });
    expect([f(0), f(7)]).toEqual([-1, 14]);
  });

  it("selects without a branch", () => {
    const f = run(["i32"], "i64", (b) => b.return(select(int(b), i64(-1), i64(5n << 40n))));
    expect([f(1), f(0)]).toEqual([-1n, 5n << 40n]);
  });

  it("leaves blocks and repeats loops at any depth", () => {
    const f = run(["i32"], "i32", (b) => {
      const sum = b.variable(i32(0));
      const n = b.variable(int(b));
      b.block((end) => {
        b.loop((again) => {
          b.block((next) => {
            b.brIf(end, n.get().eqz());
            b.brIf(next, n.get().and(1));
            sum.set(sum.get().add(n.get()));
            b.br(next);
          });
          n.set(n.get().sub(1));
          b.br(again);
        });
      });
      b.return(sum.get());
    });
    // The even numbers up to ten.
    expect([f(10), f(0)]).toEqual([30, 0]);
  });

  it("repeats while a condition holds", () => {
    const f = run(["i32"], "i32", (b) => {
      const n = b.variable(int(b));
      const steps = b.variable(i32(0));
      b.while(
        () => n.get().ne(1),
        (leave) => {
          b.brIf(leave, steps.get().eq(1000));
          const half = b.let(n.get().shrU(1));
          n.set(select(n.get().and(1), n.get().mul(3).add(1), half));
          steps.set(steps.get().add(1));
        },
      );
      b.return(steps.get());
    });
    expect([f(1), f(27), f(0)]).toEqual([0, 111, 1000]);
  });

  it.each([0, 1, 5])("switches between %i cases", (count) => {
    const f = run(["i32"], "i32", (b) => {
      const result = b.local("i32");
      b.switch(
        int(b),
        Array.from({ length: count }, (_, i) => () => result.set(result.get().add(10 + i))),
        () => result.set(i32(99)),
      );
      b.return(result.get());
    });
    for (let i = 0; i < count; i++) expect(f(i)).toBe(10 + i);
    expect([f(count), f(-1)]).toEqual([99, 99]);
  });
});

describe("values", () => {
  it("are computed once where they are bound", () => {
    const f = run(["i32"], "i32", (b) => {
      const variable = b.variable(int(b));
      const bound = b.let(variable.get().mul(2));
      variable.set(i32(1000));
      b.return(bound.add(bound).add(variable.get()));
    });
    expect(f(3)).toBe(1012);
  });

  it("that are known fold as the engine computes", () => {
    const numbers = [0n, 1n, -1n, 31n, 33n, 63n, 65n, 0x7fff_ffffn, -0x8000_0000n, (1n << 63n) - 1n, -(1n << 63n)];
    const names = ["add", "sub", "mul", "and", "or", "xor", "shl"] as const;
    const wrong: string[] = [];
    for (const type of ["i32", "i64"] as const) {
      const make = type === "i32" ? i32 : i64;
      for (const name of names) {
        const f = run([type, type], type, (b) =>
          b.return(op(`${type}.${name}`, b.param(0, type).get(), b.param(1, type).get())),
        );
        for (const x of numbers) {
          for (const y of numbers) {
            const [a, c] = [make(x), make(y)];
            const folded = (a[name] as (other: unknown) => Expr)(c).known;
            const value =
              type === "i32" ? (n: bigint) => Number(BigInt.asIntN(32, n)) : (n: bigint) => BigInt.asIntN(64, n);
            const computed = f(value(x), value(y));
            if (folded === undefined || BigInt(computed as number | bigint) !== folded) {
              wrong.push(`${type} ${x} ${name} ${y}: ${folded}, not ${String(computed)}`);
            }
          }
        }
      }
    }
    expect(wrong).toEqual([]);
  });

  it("extend, wrap and turn into truth as they say, known or not", () => {
    const cases: [ValType, ValType, (e: never) => Expr, number | bigint, number | bigint][] = [
      ["i32", "i64", (e: ReturnType<typeof i32>) => e.extendS(), -2, -2n],
      ["i32", "i64", (e: ReturnType<typeof i32>) => e.extendU(), -2, 0xffff_fffen],
      ["i64", "i64", (e: ReturnType<typeof i64>) => e.extendU(), -2n, 0xffff_fffen],
      ["i64", "i64", (e: ReturnType<typeof i64>) => e.extendS(), 0x1_8000_0000n, -0x8000_0000n],
      ["i64", "i32", (e: ReturnType<typeof i64>) => e.wrap(), 0x5_ffff_fff0n, -16],
      ["i32", "i32", (e: ReturnType<typeof i32>) => e.extend8S(), 0x1ff, -1],
      ["i32", "i32", (e: ReturnType<typeof i32>) => e.extend16S(), 0x18000, -0x8000],
      ["i32", "i32", (e: ReturnType<typeof i32>) => e.eqz(), 0, 1],
      ["i64", "i32", (e: ReturnType<typeof i64>) => e.nez(), 5n, 1],
      ["i32", "i32", (e: ReturnType<typeof i32>) => e.not(), 5, -6],
    ] as never;
    for (const [from, to, apply, value, wanted] of cases) {
      expect(run([from], to, (b) => b.return(apply(b.param(0, from).get() as never)))(value)).toBe(wanted);
      const known = from === "i32" ? i32(value) : i64(value);
      expect(run([], to, (b) => b.return(apply(known as never)))()).toBe(wanted);
    }
  });

  it("of every type are constants", () => {
    expect(run([], "f64", (b) => b.return(f64(-0.1)))()).toBe(-0.1);
    expect(run([], "f32", (b) => b.return(f32(1.5)))()).toBe(1.5);
    for (const n of [0n, -1n, 63n, 64n, -64n, -65n, (1n << 63n) - 1n, -(1n << 63n), 0x1234_5678_9abcn]) {
      expect(run([], "i64", (b) => b.return(i64(n)))()).toBe(n);
    }
    const bytes = Array.from({ length: 16 }, (_, i) => 3 * i);
    for (let i = 0; i < 16; i++) {
      expect(run([], "i32", (b) => b.return(v128(bytes).lane("i8x16", i)))()).toBe(3 * i);
    }
  });

  it("of vectors are shuffled", () => {
    const [a, b] = [0, 100].map((base) => v128(Array.from({ length: 16 }, (_, i) => base + i)));
    const lanes = [31, 0, 16, 15, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
    const picked = lanes.map((_, i) => run([], "i32", (f) => f.return(a!.shuffle(b!, lanes).lane("i8x16", i)))());
    expect(picked).toEqual([115, 0, 100, 15, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
  });
});

describe("calls", () => {
  it("pass operands and bring back one result or several", () => {
    const module = newModule();
    const host = module.import("host", "note", { params: ["i32", "i64"], results: [] });
    const divide = module.func("divide", { params: ["i32", "i32"], results: ["i32", "i32"] });
    divide.return(int(divide).divU(int(divide, 1)), int(divide).remU(int(divide, 1)));
    const sum = module.func("sum", { params: ["i32", "i32"], results: ["i32"] });
    sum.return(int(sum).add(int(sum, 1)));
    const main = module.func("main", { params: ["i32", "i32"], results: ["i32"] });
    const [quotient, rest] = main.callForAll(divide, int(main), int(main, 1));
    main.call(host, quotient!, i64(1n << 40n));
    main.return(main.callFor("i32", sum, quotient!, rest!));
    module.export("main", main);
    const noted: unknown[] = [];
    const { exports } = instantiate(module, { note: (...values: unknown[]) => noted.push(values) });
    expect(exports["main"]!(47, 10)).toBe(11);
    expect(noted).toEqual([[4, 1n << 40n]]);
  });

  it("from the tail need no stack, directly and through the table", () => {
    const module = newModule();
    const signature: Signature = { params: ["i32", "i32"], results: ["i32"] };
    const type = module.indirect(signature);
    const even = module.func("even", signature);
    const odd = module.func("odd", signature);
    // Each counts down and goes to the other, one by name, one by slot 5.
    even.if(int(even).eqz(), () => even.return(int(even, 1)));
    even.returnCallIndirect(type, i32(5), int(even).sub(1), int(even, 1).add(1));
    odd.if(int(odd).eqz(), () => odd.return(int(odd, 1).sub(1_000_000_000)));
    odd.returnCall(even, int(odd).sub(1), int(odd, 1).add(1));
    module.export("even", even);
    module.importTable({ initial: 6 });
    module.elements(4, [even, odd]);
    const { exports } = instantiate(module, {}, 6);
    expect(exports["even"]!(1_000_000, 0)).toBe(1_000_000);
    expect(exports["even"]!(1_000_001, 0)).toBe(1_000_001 - 1_000_000_000);
  });

  it("through the table trap where the slot is empty or of another type", () => {
    const module = newModule();
    const type = module.indirect({ params: [], results: ["i32"] });
    const other = module.func("other", { params: [], results: ["i64"] });
    other.return(i64(1));
    const f = module.func("f", { params: ["i32"], results: ["i32"] });
    f.returnCallIndirect(type, int(f));
    module.export("f", f);
    module.importTable({ initial: 2 });
    module.elements(1, [other]);
    const { exports } = instantiate(module, {}, 2);
    for (const slot of [0, 1, 2]) expect(() => exports["f"]!(slot)).toThrow(TRAP);
  });
});

describe("memory", () => {
  it("is copied and filled, with overlap", () => {
    const module = newModule();
    const f = module.func("f", { params: ["i32", "i32", "i32"], results: [] });
    f.fill(i32(64), i32(0xab), i32(4));
    f.copy(int(f), int(f, 1), int(f, 2));
    module.export("f", f);
    const { exports, memory } = instantiate(module);
    memory.set([1, 2, 3, 4, 5], 8);
    exports["f"]!(10, 8, 5);
    expect([...memory.subarray(8, 16)]).toEqual([1, 2, 1, 2, 3, 4, 5, 0]);
    expect([...memory.subarray(63, 69)]).toEqual([0, 0xab, 0xab, 0xab, 0xab, 0]);
  });

  it("is loaded from here and now, not where the value is used", () => {
    const f = run(["i32"], "i32", (b) => {
      const before = b.load("i32.load", int(b), 4);
      b.store("i32.store", int(b), i32(77), 4);
      b.return(before.mul(1000).add(b.load("i32.load", int(b).add(4))));
    });
    expect([f(16), f(16)]).toEqual([77, 77_077]);
  });

  it("is reached at known addresses and far offsets", () => {
    const f = run([], "i32", (b) => {
      b.store("i32.store", i32(65_528), i32(5), 4);
      b.return(b.load("i32.load", i32(65_532)));
    });
    expect(f()).toBe(5);
    // Wrapping is no way round the end of memory.
    const beyond = run(["i32"], "i32", (b) => b.return(b.load("i32.load", int(b), 8)));
    expect(() => beyond(-4)).toThrow(TRAP);
  });
});

describe("what does not fit", () => {
  const f = () => newModule().func("f", { params: ["i32", "f64"], results: ["i32"] });
  const cases: [string, (b: FunctionBuilder) => unknown][] = [
    ["operands of another width", () => i32(1).add(i64(1) as never)],
    ["an instruction with operands of other types", () => op("i64.add", i32(1), i32(1))],
    ["too few operands", () => op("i32.add", i32(1))],
    ["an instruction that does not exist", () => op("i32.frobnicate", i32(1))],
    ["a local of another type", (b) => b.local("i32").set(i64(1))],
    ["a parameter of another type", (b) => b.param(1, "i32")],
    ["a parameter that is not there", (b) => b.param(2, "i32")],
    ["a result of another type", (b) => b.return(i64(1))],
    ["no result", (b) => b.return()],
    ["a store of another type", (b) => b.store("i64.store", i32(0), i32(1))],
    ["a call with other operands", (b) => b.call({ name: "g", index: 0, params: ["i64"], results: [] }, i32(1))],
    ["a call whose result is dropped", (b) => b.call({ name: "g", index: 0, params: [], results: ["i32"] })],
    ["a call of another type", (b) => b.callFor("i64", { name: "g", index: 0, params: [], results: ["i32"] })],
    ["a tail call with other operands", (b) => b.returnCall({ name: "g", index: 0, params: ["i32"], results: [] })],
    ["a select of two types", (b) => select(b.param(0, "i32").get(), i32(1) as Expr, i64(1))],
    [
      "a choice of two types",
      (b) =>
        b.choose(
          b.param(0, "i32").get(),
          () => i32(1) as Expr,
          () => i64(1),
        ),
    ],
    ["a lane of another type", () => v128(new Uint8Array(16)).withLane("i64x2", 0, i32(1))],
    ["a vector of fifteen bytes", () => v128(new Uint8Array(15))],
  ];
  it.each(cases)("throws: %s", (_, build) => {
    expect(() => build(f())).toThrow(TypeError);
  });

  it("throws: an import after a function, a function in another place", () => {
    const module = newModule();
    module.func("f", { params: [], results: [] });
    expect(() => module.import("host", "late", { params: [], results: [] })).toThrow("late");
    expect(() => module.append(f())).toThrow("another place");
  });

  it("is not hidden: a local keeps its type", () => {
    expect(new Local(f(), "f64", 1).get().type).toBe("f64");
  });
});

describe("the binary", () => {
  /** Loops, a branch table, calls of each kind, SIMD, an import, table and export: something of everything. */
  function example(): Uint8Array {
    const module = newModule();
    const log = module.import("host", "log", { params: ["i64"], results: [] });
    const signature: Signature = { params: ["i32"], results: ["i32"] };
    const type = module.indirect(signature);
    const next = module.func("next", signature);
    next.return(int(next).add(1));
    const pick = module.func("pick", signature);
    pick.switch(int(pick), [() => pick.returnCall(next, i32(5)), () => pick.call(log, i64(-3))], () =>
      pick.unreachable(),
    );
    pick.returnCallIndirect(type, i32(1), int(pick));
    const count = module.func("count", { params: ["i32"], results: [] });
    const left = count.variable(int(count));
    count.loop((again) => {
      count.store("i64.store32", left.get(), left.get().extendU(), 16);
      left.set(left.get().sub(1));
      count.brIf(again, left.get());
    });
    const lanes = module.func("lanes", { params: [], results: [] });
    const vector = lanes.load("v128.load", i32(32));
    lanes.store("v128.store", i32(48), vector.op("i16x8.add_sat_s", v128(Array.from({ length: 16 }, (_, i) => i))));
    module.export("pick", pick);
    module.importTable({ initial: 3 });
    module.elements(1, [next]);
    return module.encode().slice();
  }

  it("is what it should be, in text", async () => {
    const module = (await wabt()).readWasm(example(), { readDebugNames: true, ...FEATURES });
    const text = module.toText({ foldExprs: false, inlineExport: false });
    module.destroy();
    expect(text).toBe(GOLDEN);
  });

  it("says which branches are seldom taken, where the branches are", async () => {
    const module = newModule();
    const f = module.func("hinted", { params: ["i32"], results: ["i32"] });
    f.local("i64");
    f.rarely(int(f), () => f.return(i32(1)));
    f.block((end) => {
      f.brIf(end, int(f).eqz(), true);
      f.unreachable();
    });
    f.return(i32(2));
    f.prepend(() => f.rarely(int(f).eq(7), () => f.return(i32(3))));
    const read = (await wabt()).readWasm(module.encode().slice(), { code_metadata: true });
    const hints = read.toText({}).matchAll(/@metadata\.code\.branch_hint "\\(\d\d)"\)\s*(\w+)/g);
    expect([...hints].map(([, likely, opcode]) => [likely, opcode])).toEqual([
      ["00", "if"],
      ["00", "if"],
      ["01", "br_if"],
    ]);
  });

  it("is byte for byte what wabt writes for it", async () => {
    const bytes = example();
    const module = (await wabt()).readWasm(bytes, { readDebugNames: false, ...FEATURES });
    // The names, a custom section that is not asked for, are passed through.
    const { buffer } = module.toBinary({ canonicalize_lebs: true, write_debug_names: false });
    module.destroy();
    expect([...buffer]).toEqual([...bytes]);
  });
});

const GOLDEN = `(module
  (type (;0;) (func (param i32) (result i32)))
  (type (;1;) (func (param i32)))
  (type (;2;) (func))
  (type (;3;) (func (param i64)))
  (import "host" "log" (func (;0;) (type 3)))
  (import "env" "memory" (memory (;0;) 1 1))
  (import "env" "table" (table (;0;) 3 funcref))
  (func $next (type 0) (param i32) (result i32)
    local.get 0
    i32.const 1
    i32.add
    return)
  (func $pick (type 0) (param i32) (result i32)
    block  ;; label = @1
      block  ;; label = @2
        block  ;; label = @3
          block  ;; label = @4
            local.get 0
            br_table 0 (;@4;) 1 (;@3;) 2 (;@2;)
          end
          i32.const 5
          return_call 1
          br 2 (;@1;)
        end
        i64.const -3
        call 0
        br 1 (;@1;)
      end
      unreachable
    end
    local.get 0
    i32.const 1
    return_call_indirect (type 0))
  (func $count (type 1) (param i32)
    (local i32)
    local.get 0
    local.set 1
    loop  ;; label = @1
      local.get 1
      local.get 1
      i64.extend_i32_u
      i64.store32 offset=16 align=1
      local.get 1
      i32.const 1
      i32.sub
      local.set 1
      local.get 1
      br_if 0 (;@1;)
    end)
  (func $lanes (type 2)
    (local v128)
    i32.const 0
    v128.load offset=32 align=1
    local.set 0
    i32.const 0
    local.get 0
    v128.const i32x4 0x03020100 0x07060504 0x0b0a0908 0x0f0e0d0c
    i16x8.add_sat_s
    v128.store offset=48 align=1)
  (export "pick" (func 2))
  (elem (;0;) (i32.const 1) func 1))
`;
