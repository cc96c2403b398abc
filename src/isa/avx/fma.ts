/**
 * Fused multiply-add (SDM vol. 1, 14.5): the arithmetic is in cpu/float/fma.ts. The three orders say which operands are multiplied and
 * which is added: 132, 213, 231 number factor, factor, addend.
 */
import { i32, v128 } from "../../wasm/index.ts";
import type { Context, Half, Meaning, Operand, Vec } from "../context.ts";
import {
  DOUBLE,
  guarded,
  lane,
  type Precision,
  SINGLE,
  slowVector,
  source,
  splat,
  together,
  vector,
} from "../float/sse-guard.ts";
import { insn, type Row } from "../row.ts";
import { halvesOf } from "./lanes.ts";

/** Bits of `negate` in cpu/float/fma.ts. */
const PRODUCT = 1;
const EVEN = 2;
const ODD = 4;

interface Kind {
  readonly name: string;
  /** Low digit of the opcode, packed; the scalar form, where there is one, is the next. */
  readonly opcode: number;
  readonly negate: number;
}
const KINDS: readonly Kind[] = [
  { name: "MADDSUB", opcode: 6, negate: EVEN },
  { name: "MSUBADD", opcode: 7, negate: ODD },
  { name: "MADD", opcode: 8, negate: 0 },
  { name: "MSUB", opcode: 0xa, negate: EVEN | ODD },
  { name: "NMADD", opcode: 0xc, negate: PRODUCT },
  { name: "NMSUB", opcode: 0xe, negate: PRODUCT | EVEN | ODD },
];
const ORDERS = [
  { name: "132", opcode: 0x90 },
  { name: "213", opcode: 0xa0 },
  { name: "231", opcode: 0xb0 },
] as const;

/** The sign bits of the lanes that `negate` names. */
function signs(p: Precision, negate: number): Vec {
  const size = p.bits / 8;
  const isNegated = (lane: number) => (negate & (lane % 2 ? ODD : EVEN)) !== 0;
  return v128(
    Array.from({ length: 16 }, (_, i) => (i % size === size - 1 && isNegated(Math.floor(i / size)) ? 0x80 : 0)),
  );
}

function compute(m: Context, p: Precision, scalar: boolean, negate: number, a: Vec, b: Vec, c: Vec): Vec {
  const factor = negate & PRODUCT ? a.xor(splat(p, 1n << BigInt(p.bits - 1))) : a;
  const addend = negate & (EVEN | ODD) ? c.xor(signs(p, negate)) : c;
  const quick = m.runtimeFor("v128", `fma.quick.p${p.letter}`, factor, b, addend);
  return guarded(
    m,
    [quick.lane("i32x4", 0).eq(-1)],
    () => quick,
    () => slowVector(m, `fma.${scalar ? "s" : "p"}${p.letter}`, a, b, c, i32(negate)),
  );
}

type Order = (typeof ORDERS)[number]["name"];

/** The operands by their numbers in the order's name. */
function inOrder<T>(order: Order, operands: readonly [T, T, T]): [T, T, T] {
  return [...order].map((digit) => operands[Number(digit) - 1]!) as [T, T, T];
}

const packed =
  (p: Precision, order: Order, negate: number): Meaning =>
  (m, ...operands) => {
    const [dst] = operands as [Operand];
    const results: Vec[] = [];
    together(m, () => {
      for (const half of halvesOf(dst)) {
        const [a, b, c] = inOrder(order, operands.map((o) => o.readVec(half)) as [Vec, Vec, Vec]);
        results.push(m.f.let(compute(m, p, false, negate, a, b, c)));
      }
    });
    results.forEach((value, half) => {
      dst.writeVec(value, half as Half);
    });
  };

const scalar =
  (p: Precision, order: Order, negate: number): Meaning =>
  (m, dst, second, third) => {
    const before = dst!.readVec();
    const all = [lane(p, before), lane(p, second!.readVec()), source(third!)] as const;
    const [a, b, c] = inOrder(order, all.map((bits) => m.f.let(vector(p, bits))) as [Vec, Vec, Vec]);
    const result = compute(m, p, true, negate, a, b, c);
    dst!.writeVec(before.withLane(p.int, 0, lane(p, result)));
  };

function rows(order: (typeof ORDERS)[number], kind: Kind, p: Precision): Row[] {
  const w = p === DOUBLE ? "W1" : "W0";
  const letter = p.letter.toUpperCase();
  const name = `VF${kind.name}${order.name}`;
  const opcode = (scalar: 0 | 1) => (order.opcode + kind.opcode + scalar).toString(16).toUpperCase();
  const list = insn(
    `${name}P${letter}`,
    packed(p, order.name, kind.negate),
    `
    VEX.128.66.0F38.${w} ${opcode(0)} /r | rw:xmm, xmmv, xmmm128 | sse unaligned fma
    VEX.256.66.0F38.${w} ${opcode(0)} /r | rw:ymm, ymmv, ymmm256 | sse unaligned fma
    `,
  );
  if (/SUBADD|ADDSUB/.test(kind.name)) return list;
  return [
    ...list,
    ...insn(
      `${name}S${letter}`,
      scalar(p, order.name, kind.negate),
      `VEX.LIG.66.0F38.${w} ${opcode(1)} /r | rw:xmm, xmmv, xmmm${p.bits} | sse fma`,
    ),
  ];
}

export const FMA: readonly Row[] = ORDERS.flatMap((order) =>
  KINDS.flatMap((kind) => [SINGLE, DOUBLE].flatMap((p) => rows(order, kind, p))),
);
