/**
 * ADD, SUB, MUL, DIV, SQRT, MIN, MAX, ADDSUB, HADD and HSUB (SDM vol. 1, 5.5.1.2, 5.6.1.2, 5.7.3, 5.7.4). The guards are explained in
 * sse-guard.ts.
 */
import { type Expr, select, v128 } from "../../wasm/index.ts";
import type { Context, I32, Meaning, Vec } from "../context.ts";
import { insn, type Row } from "../row.ts";
import {
  asBits,
  asReal,
  type Bits,
  DOUBLE,
  denormal,
  guarded,
  lane,
  notAll,
  outside,
  outsideLanes,
  type Precision,
  plainLanes,
  type Real,
  real,
  SINGLE,
  slowVector,
  smallOrNotFinite,
  source,
  unusual,
  vector,
} from "./sse-guard.ts";

type Name = "add" | "sub" | "mul" | "div" | "sqrt" | "min" | "max";

/** What the fast path of a scalar must not be given, and what it computes. */
function scalarPath(m: Context, p: Precision, name: Name, a: Bits, b: Bits): { unless: I32[]; result: Real } {
  const [x, y] = [asReal(p, a), asReal(p, b)];
  switch (name) {
    case "add":
    case "sub":
      return { unless: [unusual(m), outside(p, a, b)], result: real(name, x, y) };
    case "mul":
    case "div": {
      const result = m.f.let(real(name, x, y));
      return { unless: [unusual(m), outside(p, a, b, asBits(result))], result };
    }
    case "sqrt":
      // A negative operand gives a NaN, whose exponent is outside.
      return { unless: [unusual(m), outside(p, b).or(b.ltS(0))], result: y.sqrt() };
    default: {
      // dst < src ? dst : src: both zero, the source.
      const unordered = x.compare("ne", x as never).or(y.compare("ne", y as never));
      const take = m.f.let(x.compare(name === "min" ? "lt" : "gt", y as never));
      const chosen = select<Expr>(take, a, b) as Bits;
      return { unless: [unordered, denormal(p, a).or(denormal(p, b))], result: asReal(p, chosen) };
    }
  }
}

const scalar =
  (p: Precision, name: Name): Meaning =>
  (m, dst, src) => {
    const b = source(src!);
    const before = dst!.readVec();
    const a = m.f.let(lane(p, before));
    const { unless, result } = scalarPath(m, p, name, a, b);
    dst!.writeVec(
      guarded(
        m,
        unless,
        () => before.withLane(p.float, 0, result),
        () => slowVector(m, `sse.${name}s${p.letter}`, before, vector(p, b)),
      ),
    );
  };

/** a op b on all lanes. */
function packedResult(m: Context, p: Precision, name: Name, a: Vec, b: Vec): Vec {
  const slow = () => slowVector(m, `sse.${name}p${p.letter}`, a, b);
  const { f } = m;
  switch (name) {
    case "add":
    case "sub":
    case "mul": {
      const result = f.let(a.op(`${p.float}.${name}`, b));
      return guarded(m, [unusual(m), smallOrNotFinite(p, a, b, result)], () => result, slow);
    }
    case "div": {
      const result = f.let(a.op(`${p.float}.div`, b));
      return guarded(m, [unusual(m), outsideLanes(p, a, b, result)], () => result, slow);
    }
    case "sqrt": {
      const result = f.let(b.op(`${p.float}.sqrt`));
      const negative = b.test(`${p.int}.bitmask`);
      return guarded(m, [unusual(m), outsideLanes(p, b).or(negative)], () => result, slow);
    }
    default: {
      const fit = plainLanes(p, a).and(plainLanes(p, b));
      // pmin(b, a) is a < b ? a : b.
      const fast = () => (name === "min" ? b.op(`${p.float}.pmin`, a) : b.op(`${p.float}.pmax`, a));
      return guarded(m, [notAll(p, fit)], fast, slow);
    }
  }
}

const packed =
  (p: Precision, name: Name): Meaning =>
  (m, dst, src) => {
    const b = src!.readVec();
    dst!.writeVec(packedResult(m, p, name, name === "sqrt" ? b : dst!.readVec(), b));
  };

/** The sign bits of the even lanes. */
const evenSigns = (p: Precision): Vec => {
  const size = p.bits / 8;
  return v128(Array.from({ length: 16 }, (_, i) => (i % (2 * size) === size - 1 ? 0x80 : 0)));
};

/** ADDSUB: even lanes subtract. */
const addSub =
  (p: Precision): Meaning =>
  (m, dst, src) => {
    const b = src!.readVec();
    const a = dst!.readVec();
    const signs = evenSigns(p);
    const result = m.f.let(a.op(`${p.float}.add`, b.xor(signs)));
    dst!.writeVec(
      guarded(
        m,
        [unusual(m), smallOrNotFinite(p, a, b, result)],
        () => result,
        () => slowVector(m, `sse.addsubp${p.letter}`, a, b),
      ),
    );
  };

/** HADD and HSUB: pairs of neighbours, those of the destination first. */
const horizontal =
  (p: Precision, name: "add" | "sub"): Meaning =>
  (m, dst, src) => {
    const b = src!.readVec();
    const a = dst!.readVec();
    const size = p.bits / 8;
    const pick = (odd: 0 | 1) => {
      const bytes = Array.from({ length: 16 }, (_, i) => 2 * size * Math.floor(i / size) + odd * size + (i % size));
      return m.f.let(a.shuffle(b, bytes));
    };
    dst!.writeVec(packedResult(m, p, name, pick(0), pick(1)));
  };

const OPCODES: readonly (readonly [Name, string])[] = [
  ["sqrt", "51"],
  ["add", "58"],
  ["mul", "59"],
  ["sub", "5C"],
  ["min", "5D"],
  ["div", "5E"],
  ["max", "5F"],
];

function four(name: Name, opcode: string): Row[] {
  const upper = name.toUpperCase();
  const dst = name === "sqrt" ? "w:xmm" : "rw:xmm";
  return [
    ...insn(`${upper}PS`, packed(SINGLE, name), `NP 0F ${opcode} /r | ${dst}, xmmm128 | sse`),
    ...insn(`${upper}PD`, packed(DOUBLE, name), `66 0F ${opcode} /r | ${dst}, xmmm128 | sse sse2`),
    ...insn(`${upper}SS`, scalar(SINGLE, name), `F3 0F ${opcode} /r | rw:xmm, xmmm32 | sse`),
    ...insn(`${upper}SD`, scalar(DOUBLE, name), `F2 0F ${opcode} /r | rw:xmm, xmmm64 | sse sse2`),
  ];
}

export const SSE_ARITHMETIC: Row[] = [
  ...OPCODES.flatMap(([name, opcode]) => four(name, opcode)),
  ...insn("ADDSUBPD", addSub(DOUBLE), "66 0F D0 /r | rw:xmm, xmmm128 | sse sse3"),
  ...insn("ADDSUBPS", addSub(SINGLE), "F2 0F D0 /r | rw:xmm, xmmm128 | sse sse3"),
  ...insn("HADDPD", horizontal(DOUBLE, "add"), "66 0F 7C /r | rw:xmm, xmmm128 | sse sse3"),
  ...insn("HADDPS", horizontal(SINGLE, "add"), "F2 0F 7C /r | rw:xmm, xmmm128 | sse sse3"),
  ...insn("HSUBPD", horizontal(DOUBLE, "sub"), "66 0F 7D /r | rw:xmm, xmmm128 | sse sse3"),
  ...insn("HSUBPS", horizontal(SINGLE, "sub"), "F2 0F 7D /r | rw:xmm, xmmm128 | sse sse3"),
];
