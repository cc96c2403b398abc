/**
 * The comparison of PCMPxSTRx (SDM vol. 2, 4.1): up to 16 bytes or 8 words against as many, in one of four ways, with a bit
 * for each element of the second string as its result. Invalid elements, those past a string's end, are overridden as 4.1.6 says.
 */
import { type FunctionBuilder, type I32, i32, type Local, op, select, type Vec, v128 } from "../../wasm/index.ts";
import { runtime } from "./define.ts";

/** Immediate: bit 0 words, bit 1 signed, bits 3:2 the way, bits 5:4 polarity. */
const WORDS = 1;
const SIGNED = 2;

interface Shape {
  readonly shape: "i8x16" | "i16x8";
  readonly count: number;
}
const BYTES: Shape = { shape: "i8x16", count: 16 };
const WIDE: Shape = { shape: "i16x8", count: 8 };

const ones = (count: I32): I32 => i32(1).shl(count).sub(1);

/** Element `index` of `a` in every lane. */
function broadcast({ shape }: Shape, a: Vec, index: I32): Vec {
  const splat = (value: I32) => op(`${shape}.splat`, value) as Vec;
  if (shape === "i8x16") return a.op("i8x16.swizzle", splat(index));
  return a.op("i8x16.swizzle", splat(index.mul(0x0202).add(0x0100)));
}

const ZEROS = v128(new Uint8Array(16));

export const VECTOR_STRING = [
  /** Elements in front of the first that is zero. */
  runtime("stringLength", "v128 i32", "i32", (f) => {
    const a = f.param(0, "v128").get();
    const zeros = ({ shape }: Shape) => a.op(`${shape}.eq`, ZEROS).test(`${shape}.bitmask`);
    const words = f.param(1, "i32").get().and(WORDS);
    const found = f.let(select(words, zeros(WIDE).or(0x100), zeros(BYTES).or(0x1_0000)));
    f.return(found.ctz());
  }),

  /** first, second, their lengths, immediate → the bits after polarity (IntRes2). */
  runtime("stringCompare", "v128 v128 i32 i32 i32", "i32", (f) => {
    const imm = f.param(4, "i32").get();
    f.if(
      imm.and(WORDS),
      () => f.return(compare(f, WIDE)),
      () => f.return(compare(f, BYTES)),
    );
    f.unreachable();
  }),
];

function compare(f: FunctionBuilder, shape: Shape): I32 {
  const a = f.param(0, "v128").get();
  const b = f.param(1, "v128").get();
  const aLength = f.param(2, "i32").get();
  const bLength = f.param(3, "i32").get();
  const imm = f.param(4, "i32").get();
  const all = (1 << shape.count) - 1;
  const bits = f.variable(i32(0));
  const valid = f.let(ones(bLength));
  const i = f.variable(i32(0));
  const equal = (index: I32) => b.op(`${shape.shape}.eq`, broadcast(shape, a, index)).test(`${shape.shape}.bitmask`);
  const each = (step: number, end: I32, body: (index: I32) => void) =>
    f.while(
      () => i.get().ltS(end),
      () => {
        body(i.get());
        i.set(i.get().add(step));
      },
    );
  const gather = (found: I32) => bits.set(bits.get().or(found));

  f.switch(
    imm.shrU(2).and(3),
    [
      // Equal any: elements of the second that occur in the first.
      () => each(1, aLength, (at) => gather(equal(at).and(valid))),
      // Ranges: elements between an even one of the first and the odd one after it.
      () => {
        const within = (sign: "s" | "u") => (at: I32) => {
          const from = b.op(`${shape.shape}.ge_${sign}`, broadcast(shape, a, at));
          const to = b.op(`${shape.shape}.le_${sign}`, broadcast(shape, a, at.add(1)));
          gather(from.and(to).test(`${shape.shape}.bitmask`).and(valid));
        };
        const pairs = f.let(aLength.and(-2));
        f.if(
          imm.and(SIGNED),
          () => each(2, pairs, within("s")),
          () => each(2, pairs, within("u")),
        );
      },
      // Equal each: same position; two invalid elements are equal, one is not.
      () => {
        const same = b.op(`${shape.shape}.eq`, a).test(`${shape.shape}.bitmask`);
        const both = f.let(ones(aLength));
        const neither = both.or(valid).xor(all);
        gather(same.and(both).and(valid).or(neither));
      },
      // Equal ordered: positions at which the first string, or as much of it as fits, occurs in the second.
      () => {
        bits.set(i32(all));
        each(1, aLength, (at) => {
          const beyond = i32(all).xor(i32(all).shrU(at));
          bits.set(bits.get().and(equal(at).and(valid).shrU(at).or(beyond)));
        });
      },
    ],
    () => f.unreachable(),
  );
  return polarity(f, bits, imm, valid, all);
}

/** Bits 5:4: as they are, negated, as they are, negated where the second string is valid. */
function polarity(f: FunctionBuilder, bits: Local<"i32">, imm: I32, valid: I32, all: number): I32 {
  const inverted = select(imm.and(0x20), valid, i32(all));
  return f.let(bits.get().xor(select(imm.and(0x10), inverted, i32(0))));
}
