/** ROUNDxx, DPPS and DPPD (SDM vol. 1, 5.10.2, 5.10.4). */
import { i32, op, select, v128 } from "../../wasm/index.ts";
import type { Context, I32, Meaning, Operand, Vec } from "../context.ts";
import { insn, type Row } from "../row.ts";
import {
  DOUBLE,
  guarded,
  lane,
  notAll,
  type Precision,
  plainLanes,
  precisionMatters,
  SINGLE,
  slowVector,
  smallOrNotFinite,
  source,
  unusual,
  vector,
} from "./sse-guard.ts";

const MODES = ["nearest", "floor", "ceil", "trunc"];

/** Integral values of all lanes, as imm8[2:0] and MXCSR.RC say. */
function integral(m: Context, p: Precision, imm: Operand, a: Vec): Vec {
  const rounded = (mode: number) => a.op(`${p.float}.${MODES[mode]}`);
  const known = imm.known;
  if (known !== undefined && (known & 4n) === 0n) return rounded(Number(known & 3n));
  const number = imm.read() as I32;
  const current = m.get("mxcsr").shrU(13);
  const mode = select(number.and(4), current, number).and(3);
  const out = m.f.local("v128");
  const cases = [0, 1, 2].map((n) => () => out.set(rounded(n)));
  m.f.switch(mode, cases, () => out.set(rounded(3)));
  return out.get();
}

/** Neither NaNs nor denormals; and exact, or PE not asked for, or set and masked already. */
const round =
  (p: Precision, scalar: boolean): Meaning =>
  (m, dst, src, imm) => {
    const b = scalar ? m.f.let(vector(p, source(src!))) : src!.readVec();
    const before = scalar ? dst!.readVec() : b;
    const number = imm!.read() as I32;
    const result = m.f.let(integral(m, p, imm!, b));
    const matters = number.and(8).eqz().and(precisionMatters(m));
    const inexact = notAll(p, result.op(`${p.float}.eq`, b));
    dst!.writeVec(
      guarded(
        m,
        [notAll(p, plainLanes(p, b)), matters.and(inexact)],
        () => (scalar ? before.withLane(p.int, 0, lane(p, result)) : result),
        () => slowVector(m, `sse.round${scalar ? "s" : "p"}${p.letter}`, before, b, number),
      ),
    );
  };

/** Lanes whose bit of the number is set, as masks: bit 0 lane 0. */
function lanesOf(p: Precision, number: I32): Vec {
  const bits = v128(
    Array.from({ length: 16 }, (_, i) => (i % (p.bits / 8) === 0 ? 1 << Math.floor((i * 8) / p.bits) : 0)),
  );
  const spread = op(`${p.int}.splat`, p === SINGLE ? number : number.extendU()) as Vec;
  return spread.and(bits).op(`${p.int}.eq`, bits);
}

/**
 * Dot product: products and sums are guarded as multiplication and addition are. A sum of products may be tiny, and
 * then a denormal operand of the next sum: so here small products leave the fast path too.
 */
const dot =
  (p: Precision): Meaning =>
  (m, dst, src, imm) => {
    const { f } = m;
    const number = imm!.read() as I32;
    const halves = dst!.bits === 256 ? ([0, 1] as const) : ([0] as const);
    const pairs = halves.map((half) => [dst!.readVec(half), src!.readVec(half)] as const);
    const use = f.let(lanesOf(p, number.shrU(4)));
    const swapped = (v: Vec, distance: number) =>
      v.shuffle(
        v,
        Array.from({ length: 16 }, (_, i) => i ^ distance),
      );
    const unfit: I32[] = [unusual(m)];
    const kept = pairs.map(([a, b]) => {
      const [x, y] = [f.let(a.and(use)), f.let(b.and(use))];
      // Unused lanes count as +0 whatever the signs are.
      const products = f.let(x.op(`${p.float}.mul`, y).and(use));
      const first = f.let(products.op(`${p.float}.add`, swapped(products, p.bits / 8)));
      const sum = p === SINGLE ? f.let(first.op("f32x4.add", swapped(first, 8))) : first;
      unfit.push(smallOrNotFinite(p, x, y, sum), smallOrNotFinite(p, products, products, sum));
      return f.let(sum.and(lanesOf(p, number)));
    });
    const slow = guarded(
      m,
      unfit,
      () => i32(0),
      () => {
        m.runtimeMayFault(`sse.dp${p.letter}${halves.length === 2 ? "256" : ""}`, ...pairs.flat(), number);
        return i32(1);
      },
    );
    for (const half of halves) {
      const exact = m.get(half ? "floatUpper" : "floatVector", "v128");
      dst!.writeVec(f.let(select(slow, exact, kept[half]!)), half);
    }
  };

export const SSE_ROUND: Row[] = [
  ...insn("ROUNDPS", round(SINGLE, false), "66 0F 3A 08 /r | w:xmm, xmmm128, imm8 | sse sse41"),
  ...insn("ROUNDPD", round(DOUBLE, false), "66 0F 3A 09 /r | w:xmm, xmmm128, imm8 | sse sse41"),
  ...insn("ROUNDSS", round(SINGLE, true), "66 0F 3A 0A /r | rw:xmm, xmmm32, imm8 | sse sse41"),
  ...insn("ROUNDSD", round(DOUBLE, true), "66 0F 3A 0B /r | rw:xmm, xmmm64, imm8 | sse sse41"),
  ...insn("DPPS", dot(SINGLE), "66 0F 3A 40 /r | rw:xmm, xmmm128, imm8 | sse sse41"),
  ...insn("DPPD", dot(DOUBLE), "66 0F 3A 41 /r | rw:xmm, xmmm128, imm8 | sse sse41"),
];
