/**
 * CMPccxx, COMIS and UCOMIS (SDM vol. 1, 5.5.1.3, 5.6.1.3). Between numbers that are neither NaNs nor denormals a comparison raises
 * nothing, whatever MXCSR says.
 */
import { type F64, f64, i32, op, select, v128 } from "../../wasm/index.ts";
import type { Context, I32, Meaning, Operand, Vec } from "../context.ts";
import { insn, type Row } from "../row.ts";
import { paired, pairInMiddle, pairPlain } from "./sse-fast.ts";
import {
  DOUBLE,
  guarded,
  lane,
  notAll,
  type Precision,
  plainLanes,
  SINGLE,
  slowInteger,
  slowVector,
  wide,
} from "./sse-guard.ts";

const ones = (condition: I32): Vec => op("i32x4.splat", i32(0).sub(condition)) as Vec;

/**
 * The mask of ordered lanes for predicate imm8[2:0]: equal, less, less or equal, never; 4 more: the opposite.
 * In the interpreter the predicate is known only when the instruction runs.
 */
function predicate(p: Precision, imm: Operand, a: Vec, b: Vec): Vec {
  const equal = a.op(`${p.float}.eq`, b);
  const less = a.op(`${p.float}.lt`, b);
  if (imm.known !== undefined) {
    const number = Number(imm.known & 7n);
    const never = v128(new Uint8Array(16));
    const mask = [equal, less, a.op(`${p.float}.le`, b), never][number & 3]!;
    return number & 4 ? mask.op("v128.not") : mask;
  }
  const number = imm.read() as I32;
  const withEqual = ones(number.and(1).xor(1));
  const withLess = ones(number.xor(number.shrU(1)).and(1));
  const opposite = ones(number.shrU(2).and(1));
  return equal.and(withEqual).or(less.and(withLess)).xor(opposite);
}

/** `predicates`: how many there are; 8, with VEX 32. They differ for NaNs alone, and in what they signal. */
export const comparePacked =
  (p: Precision, predicates: 8 | 32): Meaning =>
  (m, dst, src, imm) => {
    const b = src!.readVec();
    const a = dst!.readVec();
    const number = (imm!.read() as I32).and(predicates - 1);
    dst!.writeVec(
      guarded(
        m,
        [notAll(p, plainLanes(p, a).and(plainLanes(p, b)))],
        () => predicate(p, imm!, a, b),
        () => slowVector(m, `sse.cmpp${p.letter}`, a, b, number),
      ),
    );
  };

/** 1 where a comparison of the two has nothing to report. */
export function plainPair(m: Context, p: Precision, a: Vec, b: Vec): I32 {
  const both = m.f.let(paired(p, a, b));
  return m.f.choose(
    pairInMiddle(m, p, both),
    () => i32(1),
    () => pairPlain(p, both),
    true,
  );
}

export const compareScalar =
  (p: Precision, predicates: 8 | 32): Meaning =>
  (m, dst, src, imm) => {
    const b = src!.readVec();
    const a = dst!.readVec();
    const number = (imm!.read() as I32).and(predicates - 1);
    dst!.writeVec(
      guarded(
        m,
        [plainPair(m, p, a, b).eqz()],
        () => a.withLane(p.int, 0, lane(p, predicate(p, imm!, a, b))),
        () => slowVector(m, `sse.cmps${p.letter}`, a, b, number),
      ),
    );
  };

/** ZF, PF and CF say how the operands compare; OF, SF and AF are cleared. */
const flagsOf =
  (p: Precision, quiet: boolean): Meaning =>
  (m, first, second) => {
    const b = second!.readVec();
    const a = first!.readVec();
    const number = (v: Vec): F64 =>
      p === SINGLE ? (op("f64.promote_f32", v.lane("f32x4", 0)) as F64) : v.lane("f64x2", 0);
    const [x, y] = [m.f.variable(number(a)), m.f.variable(number(b))];
    m.f.rarely(plainPair(m, p, a, b).eqz(), () => {
      // 1 less, 2 equal, 4 greater, 8 unordered: by numbers that are so. With DAZ these are not the operands.
      const order = slowInteger(
        m,
        `sse.comis${p.letter}`,
        wide(lane(p, a)),
        wide(lane(p, b)),
        i32(quiet ? 1 : 0),
      ).wrap();
      x.set(select(order.and(8), f64(Number.NaN), select(order.and(4), f64(1), f64(0))));
      y.set(select(order.and(1), f64(1), f64(0)));
    });
    m.flags.compare(x.get(), y.get());
  };

export const SSE_COMPARE: Row[] = [
  ...insn("CMPPS", comparePacked(SINGLE, 8), "NP 0F C2 /r | rw:xmm, xmmm128, imm8 | sse"),
  ...insn("CMPPD", comparePacked(DOUBLE, 8), "66 0F C2 /r | rw:xmm, xmmm128, imm8 | sse sse2"),
  ...insn("CMPSS", compareScalar(SINGLE, 8), "F3 0F C2 /r | rw:xmm, xmmm32, imm8 | sse"),
  ...insn("CMPSD", compareScalar(DOUBLE, 8), "F2 0F C2 /r | rw:xmm, xmmm64, imm8 | sse sse2"),
  ...insn("UCOMISS", flagsOf(SINGLE, true), "NP 0F 2E /r | xmm, xmmm32 | sse"),
  ...insn("UCOMISD", flagsOf(DOUBLE, true), "66 0F 2E /r | xmm, xmmm64 | sse sse2"),
  ...insn("COMISS", flagsOf(SINGLE, false), "NP 0F 2F /r | xmm, xmmm32 | sse"),
  ...insn("COMISD", flagsOf(DOUBLE, false), "66 0F 2F /r | xmm, xmmm64 | sse sse2"),
];
