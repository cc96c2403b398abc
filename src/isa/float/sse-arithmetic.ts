/**
 * ADD, SUB, MUL, DIV, SQRT, MIN, MAX, ADDSUB, HADD and HSUB (SDM vol. 1, 5.5.1.2, 5.6.1.2, 5.7.3, 5.7.4). The fast
 * path is in sse-fast.ts.
 */
import { type Expr, v128 } from "../../wasm/index.ts";
import type { Context, Meaning, Vec } from "../context.ts";
import { insn, type Row } from "../row.ts";
import { plainPair } from "./sse-compare.ts";
import { type Operation, packedResult, scalarResult } from "./sse-fast.ts";
import { DOUBLE, guarded, notAll, type Precision, plainLanes, SINGLE, slowVector } from "./sse-guard.ts";

type Name = Operation | "min" | "max";

/** dst < src ? dst : src, or dst > src: both zero, the source. Neither NaNs nor denormals. */
function extreme(m: Context, p: Precision, name: "min" | "max", scalar: boolean, a: Vec, b: Vec, slow: () => Vec): Vec {
  const chosen = b.op(`${p.float}.p${name}`, a);
  if (!scalar) return guarded(m, [notAll(p, plainLanes(p, a).and(plainLanes(p, b)))], () => chosen, slow);
  const lanes = (v: Vec): Expr => (p === SINGLE ? v.lane("f32x4", 0) : v.lane("f64x2", 0));
  return guarded(m, [plainPair(m, p, a, b).eqz()], () => a.withLane(p.float, 0, lanes(chosen)), slow);
}

const scalar =
  (p: Precision, name: Name): Meaning =>
  (m, dst, src) => {
    const b = src!.readVec();
    const a = dst!.readVec();
    const slow = () => slowVector(m, `sse.${name}s${p.letter}`, a, b);
    dst!.writeVec(
      name === "min" || name === "max" ? extreme(m, p, name, true, a, b, slow) : scalarResult(m, p, name, a, b, slow),
    );
  };

/** a op b on all lanes. */
function packedLanes(m: Context, p: Precision, name: Name, a: Vec, b: Vec): Vec {
  const slow = () => slowVector(m, `sse.${name}p${p.letter}`, a, b);
  return name === "min" || name === "max"
    ? extreme(m, p, name, false, a, b, slow)
    : packedResult(m, p, name, a, b, slow);
}

const packed =
  (p: Precision, name: Name): Meaning =>
  (m, dst, src) => {
    const b = src!.readVec();
    dst!.writeVec(packedLanes(m, p, name, name === "sqrt" ? b : dst!.readVec(), b));
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
    const addend = m.f.let(b.xor(evenSigns(p)));
    dst!.writeVec(packedResult(m, p, "add", a, addend, () => slowVector(m, `sse.addsubp${p.letter}`, a, b)));
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
    dst!.writeVec(packedLanes(m, p, name, pick(0), pick(1)));
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
