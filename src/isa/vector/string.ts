/** String comparison of SSE4.2 (SDM vol. 1, 5.11.1; vol. 2, 4.1): what is compared is in cpu/runtime/vector-string.ts. */

import { type Int, type IntType, i32, select } from "../../wasm/index.ts";
import type { AnyInt, Context, I32, Meaning, Vec } from "../context.ts";
import { insn } from "../row.ts";
import { read32 } from "./forms.ts";
import { maskFromBits, ZERO } from "./value.ts";

/** Number of elements: 8 words or 16 bytes (immediate bit 0). */
const countOf = (imm: I32): I32 => i32(16).shrU(imm.and(1));

/** An explicit length: the absolute value of EAX or EDX (RAX or RDX), at most the number of elements. */
function explicitLength(m: Context, register: number, bits: 32 | 64, count: I32): I32 {
  const value: AnyInt = m.f.let(m.reg(register, bits));
  const size = m.f.let(select<AnyInt>(value.ltS(0), value.mul(-1), value));
  // The least integer has no absolute value: as an unsigned number it is still more than any count.
  const least = size.type === "i32" ? count : count.extendU();
  const small = (size as Int<IntType>).ltU(least as Int<IntType>);
  return m.f.let(select(small, size.wrap(), count));
}

type Lengths = "implicit" | 32 | 64;
type Result = "index" | "mask";

const compare =
  (lengths: Lengths, result: Result): Meaning =>
  (m, a, b, imm, mask) => {
    const { f } = m;
    const first = a!.readVec();
    const second = b!.readVec();
    const control = f.let(read32(imm!));
    const count = f.let(countOf(control));
    const length = (vector: Vec, register: number) =>
      lengths === "implicit"
        ? m.runtimeFor("i32", "stringLength", vector, control)
        : explicitLength(m, register, lengths, count);
    const firstLength = length(first, 0);
    const secondLength = length(second, 2);
    const bits = m.runtimeFor("i32", "stringCompare", first, second, firstLength, secondLength, control);
    if (result === "index") {
      // Immediate bit 6: the highest set bit, not the lowest.
      const found = select(control.and(0x40), i32(31).sub(bits.clz()), bits.ctz());
      m.setReg(1, 32, f.let(select(bits, found, count)));
    } else {
      // Immediate bit 6: a mask of elements, not of bits.
      const elements = select(control.and(1), maskFromBits(f, "i16x8", bits), maskFromBits(f, "i8x16", bits));
      mask!.writeVec(select(control.and(0x40), elements, ZERO.withLane("i32x4", 0, bits)));
    }
    // CF: something found; ZF, SF: the second or the first string ends inside; OF: bit 0; AF = PF = 0.
    const ends = (of: I32) => of.ltU(count);
    const image = bits.nez().or(ends(secondLength).shl(6)).or(ends(firstLength).shl(7)).or(bits.and(1).shl(11));
    m.flags.set(f.let(image));
  };

export const STRING_COMPARES = [
  ...insn("PCMPESTRM", compare(32, "mask"), "66 W0 0F 3A 60 /r | xmm, xmmm128, imm8, w:xmm0 | sse sse42 unaligned"),
  ...insn("PCMPESTRM", compare(64, "mask"), "66 REX.W 0F 3A 60 /r | xmm, xmmm128, imm8, w:xmm0 | sse sse42 unaligned"),
  ...insn("PCMPESTRI", compare(32, "index"), "66 W0 0F 3A 61 /r | xmm, xmmm128, imm8 | sse sse42 unaligned"),
  ...insn("PCMPESTRI", compare(64, "index"), "66 REX.W 0F 3A 61 /r | xmm, xmmm128, imm8 | sse sse42 unaligned"),
  ...insn(
    "PCMPISTRM",
    compare("implicit", "mask"),
    "66 0F 3A 62 /r | xmm, xmmm128, imm8, w:xmm0 | sse sse42 unaligned",
  ),
  ...insn("PCMPISTRI", compare("implicit", "index"), "66 0F 3A 63 /r | xmm, xmmm128, imm8 | sse sse42 unaligned"),
];
