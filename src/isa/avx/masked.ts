/**
 * Conditional moves and gathers (SDM vol. 1, 14.1 and 14.6.4): elements whose mask has its sign bit set, the others not being
 * touched and not faulting. Not modelled: outside 64-bit mode the segment limit is held against all of a conditional move's operand.
 */
import { type I32, type I64, i32, i64 } from "../../wasm/index.ts";
import type { Context, Half, Meaning, Operand, Vec } from "../context.ts";
import { insn, type Row } from "../row.ts";
import { laneToFront, low64, lowOf, withLaneAt, ZERO } from "../vector/value.ts";
import { halvesOf, unaligned } from "./lanes.ts";

type Shape = "i32x4" | "i64x2";
const BITS = { i32x4: 32, i64x2: 64 } as const;
const COUNT = { i32x4: 4, i64x2: 2 } as const;
const HALF_BYTES = 16;

/** Runs `body` for each element of a half whose mask is set, lowest first; `at` is its address. */
function forSet(
  m: Context,
  shape: Shape,
  mask: Operand,
  memory: Operand,
  half: Half,
  body: (index: I32, at: I64) => void,
): void {
  const { f } = m;
  const start = memory.linear();
  const rest = f.variable(mask.readVec(half).test(`${shape}.bitmask`));
  f.while(
    () => rest.get(),
    () => {
      const index = f.let(rest.get().ctz());
      body(index, f.let(start.add(index.mul(BITS[shape] / 8).extendU()).add(HALF_BYTES * half)));
      rest.set(rest.get().and(rest.get().sub(1)));
    },
  );
}

const load =
  (shape: Shape): Meaning =>
  (m, dst, mask, memory) => {
    const values = halvesOf(dst!).map((half) => {
      const value = m.f.variable(ZERO);
      forSet(m, shape, mask!, memory!, half, (index, at) =>
        value.set(withLaneAt(m.f, shape, value.get(), index, m.load(BITS[shape], at) as I32 | I64)),
      );
      return m.f.let(value.get());
    });
    values.forEach((value, half) => {
      dst!.writeVec(value, half as Half);
    });
  };

/** All elements are looked at before the first is written. */
const store =
  (shape: Shape): Meaning =>
  (m, memory, mask, src) => {
    for (const half of halvesOf(src!)) {
      forSet(m, shape, mask!, memory!, half, (_, at) => m.probeWrite(at, BITS[shape] / 8));
    }
    for (const half of halvesOf(src!)) {
      const value = src!.readVec(half);
      forSet(m, shape, mask!, memory!, half, (index, at) => {
        const lane = laneToFront(shape, value, index);
        m.store(BITS[shape], at, shape === "i64x2" ? lane.lane("i64x2", 0) : lane.lane("i32x4", 0));
      });
    }
  };

/** Element `number` of a vector of one or two halves. */
const place = (shape: Shape, number: number): [Half, number] => [
  Math.floor(number / COUNT[shape]) as Half,
  number % COUNT[shape],
];
const element = (shape: Shape, vector: Vec, lane: number): I64 =>
  shape === "i64x2" ? vector.lane("i64x2", lane) : vector.lane("i32x4", lane).extendS();

/**
 * Destination and mask change with each element, so that a fault leaves what is done done (SDM vol. 2, VGATHER). The mask is zero at the end.
 */
const gather =
  (indices: Shape, elements: Shape, bits: number): Meaning =>
  (m, dst, memory, mask) => {
    const { f } = m;
    const count = bits / Math.max(BITS[indices], BITS[elements]);
    const halves = halvesOf(dst!);
    const from = ([0, 1] as const).filter((half) => half * COUNT[indices] < count).map((half) => memory!.readVec(half));
    const values = halves.map((half) => f.variable(dst!.readVec(half)));
    const left = halves.map((half) => f.variable(mask!.readVec(half).op(`${elements}.shr_s`, i32(BITS[elements] - 1))));
    // A fault finds the elements of the mask all ones or zero.
    left.forEach((rest, half) => {
      mask!.writeVec(rest.get(), half as Half);
    });
    for (let i = 0; i < count; i++) {
      const [half, lane] = place(elements, i);
      const [indexHalf, indexLane] = place(indices, i);
      const [value, rest] = [values[half]!, left[half]!];
      f.if(element(elements, rest.get(), lane).wrap(), () => {
        const at = memory!.linearAt(f.let(element(indices, from[indexHalf]!, indexLane)));
        value.set(value.get().withLane(elements, lane, m.load(BITS[elements], at)));
        rest.set(rest.get().withLane(elements, lane, elements === "i64x2" ? i64(0) : i32(0)));
        dst!.writeVec(value.get(), half);
        mask!.writeVec(rest.get(), half);
      });
    }
    // Where there are fewer elements than lanes, the rest is zero.
    const all = count * BITS[elements] >= 128;
    for (const half of halves) {
      const value = values[half]!.get();
      dst!.writeVec(all ? value : low64(lowOf(value)), half);
      mask!.writeVec(ZERO, half);
    }
  };

interface Gather {
  readonly name: string;
  readonly opcode: string;
  readonly indices: Shape;
}
const GATHERS: readonly Gather[] = [
  { name: "VPGATHERD", opcode: "90", indices: "i32x4" },
  { name: "VPGATHERQ", opcode: "91", indices: "i64x2" },
  { name: "VGATHERD", opcode: "92", indices: "i32x4" },
  { name: "VGATHERQ", opcode: "93", indices: "i64x2" },
];

function gathers({ name, opcode, indices }: Gather): Row[] {
  const integers = name.startsWith("VP");
  return (["i32x4", "i64x2"] as const).flatMap((elements) => {
    const w = elements === "i64x2" ? 1 : 0;
    const suffix = (integers ? "DQ" : "SD")[w];
    return [128, 256].flatMap((bits) => {
      const count = bits / Math.max(BITS[indices], BITS[elements]);
      const register = (shape: Shape) => (count * BITS[shape] > 128 ? "ymm" : "xmm");
      const own = register(elements);
      return insn(
        `${name}${integers ? suffix : `P${suffix}`}`,
        unaligned(gather(indices, elements, bits)),
        `VEX.${bits}.66.0F38.W${w} ${opcode} /r | rw:${own}, m${BITS[elements]}[${register(indices)}], rw:${own}v | sse avx2`,
      );
    });
  });
}

interface Move {
  readonly name: string;
  readonly shape: Shape;
  readonly w: 0 | 1;
  readonly opcodes: readonly [load: string, store: string];
  readonly feature: string;
}
const MOVES: readonly Move[] = [
  { name: "VMASKMOVPS", shape: "i32x4", w: 0, opcodes: ["2C", "2E"], feature: "avx" },
  { name: "VMASKMOVPD", shape: "i64x2", w: 0, opcodes: ["2D", "2F"], feature: "avx" },
  { name: "VPMASKMOVD", shape: "i32x4", w: 0, opcodes: ["8C", "8E"], feature: "avx2" },
  { name: "VPMASKMOVQ", shape: "i64x2", w: 1, opcodes: ["8C", "8E"], feature: "avx2" },
];

const moves = ({ name, shape, w, opcodes, feature }: Move): Row[] => [
  ...insn(
    name,
    unaligned(load(shape)),
    `
    VEX.128.66.0F38.W${w} ${opcodes[0]} /r | w:xmm, xmmv, m128 | sse unaligned ${feature}
    VEX.256.66.0F38.W${w} ${opcodes[0]} /r | w:ymm, ymmv, m256 | sse unaligned ${feature}
    `,
  ),
  ...insn(
    name,
    unaligned(store(shape)),
    `
    VEX.128.66.0F38.W${w} ${opcodes[1]} /r | w:m128, xmmv, xmm | sse unaligned ${feature}
    VEX.256.66.0F38.W${w} ${opcodes[1]} /r | w:m256, ymmv, ymm | sse unaligned ${feature}
    `,
  ),
];

export const AVX_MASKED: readonly Row[] = [...MOVES.flatMap(moves), ...GATHERS.flatMap(gathers)];
