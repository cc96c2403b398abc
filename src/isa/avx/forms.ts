/** AVX and AVX2 as far as they are SSE in another encoding (SDM vol. 1, 14.1 and 14.6): the rules that the SSE rows do not say. */

import { SSE_FLOAT_ROWS } from "../float/sse.ts";
import { comparePacked, compareScalar } from "../float/sse-compare.ts";
import { DOUBLE, SINGLE } from "../float/sse-guard.ts";
import type { Row } from "../row.ts";
import { VECTOR_ROWS } from "../vector/index.ts";
import { type Rule, vexForms } from "./derive.ts";

/** What has no VEX form: the SHA extensions and conversions from and to MMX registers. */
const WITHOUT = /^SHA|PI2|2PI/;

const ONLY_128: Rule = { lengths: ["128"] };
const ANY_LENGTH: Rule = { lengths: ["LIG"] };
const blend = (opcode: string): Rule => ({ opcode: `0F3A ${opcode}`, w: "W0" });

const RULES: Readonly<Record<string, Rule>> = {
  // One lane, or a half of it.
  ...Object.fromEntries(
    (
      "MOVLPS MOVLPD MOVHPS MOVHPD MOVHLPS MOVLHPS MOVD MOVQ PINSRB PINSRW PINSRD PINSRQ PEXTRB PEXTRW PEXTRD PEXTRQ " +
      "EXTRACTPS INSERTPS PCMPESTRM PCMPESTRI PCMPISTRM PCMPISTRI MASKMOVDQU DPPD PCLMULQDQ LDMXCSR STMXCSR " +
      "AESENC AESENCLAST AESDEC AESDECLAST AESIMC AESKEYGENASSIST"
    )
      .split(" ")
      .map((name) => [name, ONLY_128]),
  ),
  ...Object.fromEntries("COMISS COMISD UCOMISS UCOMISD".split(" ").map((name) => [name, ANY_LENGTH])),

  // Predicates have five bits.
  CMPPS: { meaning: comparePacked(SINGLE, 32) },
  CMPPD: { meaning: comparePacked(DOUBLE, 32) },
  CMPSS: { meaning: compareScalar(SINGLE, 32) },
  CMPSD: { meaning: compareScalar(DOUBLE, 32) },

  // The mask is the fourth operand.
  BLENDVPS: blend("4A"),
  BLENDVPD: blend("4B"),
  PBLENDVB: blend("4C"),

  // Each lane has bits of the immediate of its own.
  SHUFPD: { immediateBits: 2 },
  BLENDPS: { immediateBits: 4 },
  BLENDPD: { immediateBits: 2 },
  MPSADBW: { immediateBits: 3 },

  MOVMSKPS: { lengths: ["128", "256"], maskBits: 4 },
  MOVMSKPD: { lengths: ["128", "256"], maskBits: 2 },
  PMOVMSKB: { lengths: ["128", "256"], maskBits: 16 },
  PTEST: { wide: true },
  DPPS: { wide: true },
  PABSB: { unary: true },
  PABSW: { unary: true },
  PABSD: { unary: true },
  PHMINPOSUW: { lengths: ["128"], unary: true },
};

/** Sources that are narrower or wider than the destination: operands of the 256-bit form. */
const NARROW: Readonly<Record<string, string>> = {
  MOVDDUP: "w:ymm, ymmm256",
  CVTPS2PD: "w:ymm, xmmm128",
  CVTDQ2PD: "w:ymm, xmmm128",
  CVTPD2PS: "w:xmm, ymmm256",
  CVTPD2DQ: "w:xmm, ymmm256",
  CVTTPD2DQ: "w:xmm, ymmm256",
  ...Object.fromEntries(
    ["S", "Z"].flatMap((sign) => [
      ...["BW", "WD", "DQ"].map((step) => [`PMOV${sign}X${step}`, "w:ymm, xmmm128"]),
      ...["BD", "WQ"].map((step) => [`PMOV${sign}X${step}`, "w:ymm, xmmm64"]),
      [`PMOV${sign}XBQ`, "w:ymm, xmmm32"],
    ]),
  ),
};
for (const [name, operands256] of Object.entries(NARROW)) {
  (RULES as Record<string, Rule>)[name] = { lengths: ["128", "256"], operands256 };
}
/** Shifts by a count take it from an XMM register or 128 bits of memory. */
for (const name of ["PSRLW", "PSRLD", "PSRLQ", "PSRAW", "PSRAD", "PSLLW", "PSLLD", "PSLLQ"]) {
  (RULES as Record<string, Rule>)[name] = { sharedSource: true };
}

export const AVX_FORMS: readonly Row[] = vexForms(VECTOR_ROWS, RULES, WITHOUT);
export const AVX_FLOAT_FORMS: readonly Row[] = vexForms(SSE_FLOAT_ROWS, RULES, WITHOUT);
