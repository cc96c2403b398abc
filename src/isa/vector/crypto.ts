/** AES-NI, PCLMULQDQ and SHA-NI (SDM vol. 1, 5.12 and 5.18): the arithmetic is in cpu/runtime/vector-*.ts. */
import { select } from "../../wasm/index.ts";
import type { Context, Meaning, Operand } from "../context.ts";
import { insn } from "../row.ts";
import { read32 } from "./forms.ts";
import { highOf, lowOf } from "./value.ts";

/** destination, source → destination by a runtime function. */
const call =
  (name: string): Meaning =>
  (m, dst, src) => {
    const a = dst!.readVec();
    dst!.writeVec(m.runtimeFor("v128", name, a, src!.readVec()));
  };
const unary =
  (name: string): Meaning =>
  (m, dst, src) =>
    dst!.writeVec(m.runtimeFor("v128", name, src!.readVec()));
const withImmediate =
  (name: string): Meaning =>
  (m, dst, src, imm) => {
    const a = dst!.readVec();
    dst!.writeVec(m.runtimeFor("v128", name, a, src!.readVec(), read32(imm!)));
  };
const keyAssist = (m: Context, dst: Operand, src: Operand, imm: Operand) =>
  dst.writeVec(m.runtimeFor("v128", "aesKeyAssist", src.readVec(), read32(imm)));

/** Immediate bits 0 and 4: which halves are multiplied. */
const carryless = (m: Context, dst: Operand, src: Operand, imm: Operand) => {
  const a = dst.readVec();
  const b = src.readVec();
  const by = read32(imm);
  const factor = (of: typeof a, bit: number) => select(by.and(bit), highOf(of), lowOf(of));
  dst.writeVec(m.runtimeFor("v128", "carrylessMultiply", factor(a, 1), factor(b, 0x10)));
};

const sha256Rounds = (m: Context, dst: Operand, src: Operand, keys: Operand) => {
  const state = dst.readVec();
  dst.writeVec(m.runtimeFor("v128", "sha256Rounds", state, src.readVec(), keys.readVec()));
};

export const CRYPTOGRAPHY = [
  ...insn("AESENC", call("aesEncrypt"), "66 0F 38 DC /r | rw:xmm, xmmm128 | sse aes"),
  ...insn("AESENCLAST", call("aesEncryptLast"), "66 0F 38 DD /r | rw:xmm, xmmm128 | sse aes"),
  ...insn("AESDEC", call("aesDecrypt"), "66 0F 38 DE /r | rw:xmm, xmmm128 | sse aes"),
  ...insn("AESDECLAST", call("aesDecryptLast"), "66 0F 38 DF /r | rw:xmm, xmmm128 | sse aes"),
  ...insn("AESIMC", unary("aesInverseMixColumns"), "66 0F 38 DB /r | w:xmm, xmmm128 | sse aes"),
  ...insn("AESKEYGENASSIST", keyAssist, "66 0F 3A DF /r | w:xmm, xmmm128, imm8 | sse aes"),
  ...insn("PCLMULQDQ", carryless, "66 0F 3A 44 /r | rw:xmm, xmmm128, imm8 | sse pclmulqdq"),
  ...insn("SHA1NEXTE", call("sha1NextE"), "NP 0F 38 C8 /r | rw:xmm, xmmm128 | sse sha"),
  ...insn("SHA1MSG1", call("sha1Message1"), "NP 0F 38 C9 /r | rw:xmm, xmmm128 | sse sha"),
  ...insn("SHA1MSG2", call("sha1Message2"), "NP 0F 38 CA /r | rw:xmm, xmmm128 | sse sha"),
  ...insn("SHA1RNDS4", withImmediate("sha1Rounds"), "NP 0F 3A CC /r | rw:xmm, xmmm128, imm8 | sse sha"),
  ...insn("SHA256RNDS2", sha256Rounds, "NP 0F 38 CB /r | rw:xmm, xmmm128, xmm0 | sse sha"),
  ...insn("SHA256MSG1", call("sha256Message1"), "NP 0F 38 CC /r | rw:xmm, xmmm128 | sse sha"),
  ...insn("SHA256MSG2", call("sha256Message2"), "NP 0F 38 CD /r | rw:xmm, xmmm128 | sse sha"),
];
