/**
 * The decoder and the disassembler against iced-x86, an independent decoder: random byte strings in every mode, and what
 * makes them more than noise: prefixes, opcode maps, VEX. Validity, length, text and the features needed must agree, but for what the tables
 * below list with the reason.
 */
import {
  CpuidFeature,
  DecoderError,
  DecoderOptions,
  Decoder as Disassembler,
  Formatter,
  FormatterSyntax,
  MemorySizeOptions,
} from "iced-x86";
import { describe, expect, it } from "vitest";
import { Decoded, type DecodeMode, Decoder, type Outcome } from "./decode.ts";
import { disassemble } from "./disassemble.ts";
import { ROWS } from "./rows.ts";

const STRINGS_PER_MODE = 70_000;
const RIP = 0x1000n;

/** Every feature any row asks for. */
const ALL_FEATURES = new Set(ROWS.flatMap((row) => row.features));

/** The instruction sets of iced's that are declared here. What needs another is undefined to this CPU. */
const DECLARED = new Set(
  (
    "INTEL8086 INTEL8086_ONLY INTEL186 INTEL286 INTEL286_ONLY INTEL386 INTEL386_ONLY INTEL486 X64 FPU FPU287 FPU387 CPUID " +
    "TSC MSR RDPMC SEP SYSCALL CMOV CX8 CMPXCHG16B MULTIBYTENOP PAUSE FXSR MMX SSE SSE2 SSE3 SSSE3 SSE4_1 SSE4_2 POPCNT " +
    "LZCNT BMI1 BMI2 ADX MOVBE AES PCLMULQDQ SHA RDRAND RDSEED RDPID RDTSCP FSGSBASE INVPCID SMAP XSAVE XSAVEOPT CLFSH " +
    "CLFLUSHOPT CLWB PREFETCHW PREFETCHWT1 CET_IBT AVX AVX2 FMA F16C"
  ).split(" "),
);
/** What every x86-64 processor has, or executes as a NOP: rows need not ask for it. */
const EVERYWHERE = new Set(
  (
    "INTEL8086 INTEL8086_ONLY INTEL186 INTEL286 INTEL286_ONLY INTEL386 INTEL386_ONLY INTEL486 X64 FPU FPU287 FPU387 CPUID " +
    "TSC MSR RDPMC SEP SYSCALL CMOV CX8 MULTIBYTENOP PAUSE FXSR CLFSH MMX SSE SSE2 PREFETCHW PREFETCHWT1 CET_IBT VMX SVM"
  ).split(" "),
);
/** Names that CPUID's table writes otherwise. */
const FEATURE_NAMES: Readonly<Record<string, string>> = { CMPXCHG16B: "cx16" };
/** The same in our names, as far as rows ask. */
const BASELINE = new Set(["mmx", "sse", "sse2", "cmov", "fxsr", "clflush"]);

/** Instructions of sets that are not declared otherwise: the hypercalls, which reach KVM's interface. */
const HYPERCALLS = /^(vmcall|vmmcall)$/;

/** What iced says of a string. */
interface Reference {
  readonly text: string;
  readonly length: number;
  readonly outcome: "ok" | "undefined" | "truncated";
  readonly declared: boolean;
  /** Beyond what every processor has, in the names of our rows. */
  readonly features: string;
}

const formatter = new Formatter(FormatterSyntax.Intel);
formatter.spaceAfterOperandSeparator = true;
formatter.hexPrefix = "0x";
formatter.hexSuffix = "";
formatter.uppercaseHex = false;
formatter.smallHexNumbersInDecimal = false;
formatter.branchLeadingZeros = false;
formatter.displacementLeadingZeros = false;
formatter.showBranchSize = false;
formatter.usePseudoOps = false;
formatter.ripRelativeAddresses = true;
formatter.memorySizeOptions = MemorySizeOptions.Always;

function reference(bytes: Uint8Array, codeBits: number): Reference {
  const nothing = { text: "", length: 0, declared: true, features: "" };
  if (bytes.length === 0) return { ...nothing, outcome: "truncated" };
  const decoder = new Disassembler(codeBits, bytes, DecoderOptions.NoWbnoinvd);
  decoder.ip = RIP;
  const instruction = decoder.decode();
  try {
    if (instruction.isInvalid) {
      const outcome = decoder.lastError === DecoderError.NoMoreBytes ? "truncated" : "undefined";
      return { ...nothing, outcome };
    }
    const text = formatter.format(instruction);
    const features = Array.from(instruction.cpuidFeatures(), (f) => CpuidFeature[f]!);
    const declared = HYPERCALLS.test(text) || features.every((f) => DECLARED.has(f));
    const beyond = features.filter((f) => !EVERYWHERE.has(f));
    const named = beyond.map((f) => FEATURE_NAMES[f] ?? f.toLowerCase().replace("_", ""));
    return { text, length: instruction.length, outcome: "ok", declared, features: list(named) };
  } finally {
    instruction.free();
    decoder.free();
  }
}

const list = (names: readonly string[]): string => [...names].sort().join(" ");

/** The 16-bit name of a general register. */
const word = (register: string) => (/^r\d/.test(register) ? register.replace(/[wd]?$/, "w") : register.slice(-2));

/** How iced writes the same thing otherwise: pattern, replacement, why. */
const SPELLINGS: readonly [RegExp, string | ((...groups: string[]) => string), string][] = [
  [/\b(xacquire|xrelease|bnd|notrack|hint-taken|hint-not-taken) /g, "", "hints of extensions that are not here"],
  [/\brepn?e? (?=ret|call|j)/, "", "REP means nothing to branches"],
  [/\bret far/, "retf", "the SDM has no RETF, assemblers do"],
  [/\b(fpuenv|fpustate)\d+ ptr /, "", "areas have no size here"],
  [/^(data\d+ )?(f\w+|lgdt|lidt) ((?:[c-gs]s:)?\[)/, "$2 $3", "a prefix is enough to tell the formats of an area"],
  [/^((?:lgdt|lidt|sgdt|sidt|invpcid|bound) .*?)\w+ ptr /, "$1", "areas have no size here"],
  [/^(f\w+) st, (?=.*\[)/, "$1 ", "the SDM leaves ST(0) out beside memory"],
  [/^(f\w+ .*\]), st$/, "$1", "the SDM leaves ST(0) out beside memory"],
  [/^(fu?comp?|fxch|fld) st, /, "$1 ", "the SDM leaves ST(0) out"],
  [/^(fst|fstp|fstpnce) (st\(\d\)), st$/, "$1 $2", "the SDM leaves ST(0) out"],
  [/^((?:p?blendv|sha256rnds2).*)$/, "$1, xmm0", "the SDM names XMM0"],
  [/^(lar|lsl) (\w+), (\w+)$/, (_, name, a, b) => `${name} ${a}, ${word(b!)}`, "the source is a selector: 16 bits"],
  [/^addr\d+ mov /, "mov ", "an absolute address needs no address size"],
  [/^(.*maskmov.*), [c-gs]s$/, "$1", "the segment of the implied operand"],
  [/^(v?pcmpestr[im])64/, "$1", "the SDM has one name"],
  [
    /^(?!.*xmm)((?:rep\w* )?(?:cmps|scas|movs|stos|ins)[bwdq] .*?ptr )es:(?=\[\w*di\])/,
    "$1",
    "the destination is always at ES",
  ],
];
/** In 64-bit mode these prefixes mean nothing. */
const MEANINGLESS = /\b(es|cs|ss|ds):(?=\[)/g;

/** Our own spelling of what SPELLINGS takes away. */
const OURS: readonly [RegExp, string][] = [
  [/^data\d+ (?=fldenv|fnstenv|fnsave|frstor|lgdt|lidt)/, ""],
  [/^(bound .*?)\w+ ptr /, "$1"],
];

interface Case {
  readonly mode: DecodeMode;
  readonly outcome: Outcome;
  readonly mnemonic: string;
  readonly length: number;
  readonly theirs: Reference;
}

const isNop = (c: Case) => c.mnemonic === "NOP" && c.length === c.theirs.length;

/** Where processors, by the SDM, are not as iced has it. Each must come up. */
const EXCEPTIONS: readonly { reason: string; applies: (c: Case) => boolean }[] = [
  {
    reason: "what is undefined whatever follows need not be read to its end",
    applies: (c) => c.outcome === "undefined" && c.theirs.outcome === "truncated",
  },
  {
    reason: "SYSCALL and SYSRET: AMD has them outside 64-bit mode, Intel does not",
    applies: (c) =>
      c.mode.codeBits !== 64 && c.outcome === "undefined" && /^(\w+ )?(syscall|sysret)/.test(c.theirs.text),
  },
  {
    reason: "hint opcodes of extensions that are not here are NOPs (SDM vol. 2, NOP and table A-3)",
    applies: (c) => isNop(c) && !c.theirs.declared,
  },
  {
    reason: "0F 0D other than /1 and /2 is a NOP to Intel processors",
    applies: (c) => isNop(c) && c.theirs.text.startsWith("prefetch"),
  },
  {
    reason: "90 is NOP at every operand size (SDM vol. 2, XCHG)",
    applies: (c) => isNop(c) && /^xchg (rax, rax|eax, eax|ax, ax)$/.test(c.theirs.text),
  },
];

/** xorshift32. */
function generator(seed: number): () => number {
  let x = seed;
  return () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 4) & 0xff_ffff;
  };
}

const PREFIXES = [0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65];
const GENERAL_VEX_OPCODES = [0xf0, 0xf2, 0xf3, 0xf5, 0xf6, 0xf7];
/** VEX.vvvv of no register. */
const NO_VVVV = 0x78;

/** Fills `bytes` with a string of one of several kinds, and returns how long it is. */
function fill(bytes: Uint8Array, codeBits: number, random: () => number): number {
  for (let i = 0; i < bytes.length; i++) bytes[i] = random();
  const kind = random() % 9;
  let at = 0;
  const put = (byte: number) => {
    bytes[at++] = byte;
  };
  if (kind >= 2) {
    for (let n = Math.max(0, (random() % 6) - 2); n > 0; n--) put(PREFIXES[random() % PREFIXES.length]!);
    if (codeBits === 64 && random() % 3 === 0) put(0x40 | (random() & 15));
    if (kind === 3) put(0xd8 | (random() & 7));
    else if (kind === 4 || kind === 5) put(0x0f);
    else if (kind === 6) {
      put(0x0f);
      put(random() & 1 ? 0x38 : 0x3a);
    } else if (kind === 7) {
      put(0xc4);
      put((random() & 0xe0) | (1 + (random() % 3)));
      put(random() & (random() & 7 ? ~4 : ~0));
      put(GENERAL_VEX_OPCODES[random() % GENERAL_VEX_OPCODES.length]!);
    } else if (kind === 8) {
      // No prefix here: one of them makes all of it undefined.
      at = random() & 15 ? 0 : at;
      const three = random() & 3;
      put(three ? 0xc4 : 0xc5);
      if (three) put((random() & 0xe0) | (1 + (random() % 3)));
      put(random() | (random() & 1 ? NO_VVVV : 0));
      put(random());
    }
  }
  return random() % 8 === 0 ? random() % 16 : bytes.length;
}

describe("the decoder and the disassembler", () => {
  const decoder = new Decoder(ROWS, ALL_FEATURES);
  const decoded = new Decoded();
  const met = new Set<string>();

  it.each([16, 32, 64] as const)("agree with iced-x86 on random bytes (%i bits)", (codeBits) => {
    const mode: DecodeMode = { codeBits, protectedMode: true };
    const random = generator(0x9e37_79b9 ^ codeBits);
    const bytes = new Uint8Array(20);
    const differences: string[] = [];
    let compared = 0;
    for (let n = 0; n < STRINGS_PER_MODE; n++) {
      const length = fill(bytes, codeBits, random);
      const outcome = decoder.decode(bytes, 0, length, mode, decoded);
      const theirs = reference(bytes.subarray(0, length), codeBits);
      const mnemonic = outcome === "ok" ? decoded.row.mnemonic : "";
      const exception = EXCEPTIONS.find((e) => e.applies({ mode, outcome, mnemonic, length: decoded.length, theirs }));
      if (exception) {
        met.add(exception.reason);
        continue;
      }
      compared++;
      const mine =
        outcome === "ok"
          ? `${ours(decoded)}, ${decoded.length} bytes, ${featuresOf(decoded)}`
          : outcome === "truncated"
            ? outcome
            : "undefined";
      const wanted =
        theirs.outcome === "ok" && theirs.declared
          ? `${spelled(theirs.text, codeBits)}, ${theirs.length} bytes, ${theirs.features}`
          : theirs.outcome === "truncated"
            ? "truncated"
            : "undefined";
      if (mine !== wanted && differences.length < 20) {
        const hex = Array.from(bytes.subarray(0, length), (b) => b.toString(16).padStart(2, "0")).join("");
        differences.push(`${hex}: ${mine}, iced-x86: ${wanted} (${theirs.text})`);
      }
    }
    expect(differences).toEqual([]);
    expect(compared).toBeGreaterThan(STRINGS_PER_MODE * 0.95);
  });

  // Each opcode with every length, W and prefix, from memory and register, with and without a register in VEX.vvvv.
  it.each([32, 64] as const)("agree with iced-x86 on every VEX opcode (%i bits)", (codeBits) => {
    const bytes = new Uint8Array(20);
    const differences: string[] = [];
    for (let n = 0; n < 3 << 14; n++) {
      const [map, opcode, last] = [1 + (n >> 14), (n >> 6) & 0xff, n & 15];
      const [memory, first] = [(n >> 4) & 1, (n >> 5) & 1];
      bytes.set([0xc4, 0xe0 | map, ((last & 8) << 4) | (last & 7) | (first ? 0x50 : NO_VVVV), opcode]);
      // [address + 1*index], or a register: the indices of a gather differ from its destination.
      bytes.set(memory ? [0x44, 0x1c, 0x12, 0x5a] : [0xc1, 0x5a, 0x12, 0x34], 4);
      for (const reg of memory ? [0] : [0, 1, 2, 3, 4, 5, 6, 7]) {
        if (!memory) bytes[4] = 0xc1 | (reg << 3);
        const mode: DecodeMode = { codeBits, protectedMode: true };
        const outcome = decoder.decode(bytes, 0, 15, mode, decoded);
        const theirs = reference(bytes.subarray(0, 15), codeBits);
        const mine = outcome === "ok" ? `${ours(decoded)} ${decoded.length} ${featuresOf(decoded)}` : "undefined";
        const wanted =
          theirs.outcome === "ok" && theirs.declared
            ? `${spelled(theirs.text, codeBits)} ${theirs.length} ${theirs.features}`
            : "undefined";
        if (mine !== wanted && differences.length < 60) {
          const hex = Array.from(bytes.subarray(0, 10), (b) => b.toString(16).padStart(2, "0")).join("");
          differences.push(`${hex}: ${mine}, iced-x86: ${wanted} (${theirs.text})`);
        }
      }
    }
    expect(differences).toEqual([]);
  });

  it("differ from it in each way that is listed", () => {
    expect([...met].sort()).toEqual(EXCEPTIONS.map((e) => e.reason).sort());
  });
});

const featuresOf = (d: Decoded): string => list(d.row.features.filter((f) => !BASELINE.has(f)));

function ours(d: Decoded): string {
  return OURS.reduce((text, [pattern, by]) => text.replace(pattern, by), disassemble(d, RIP));
}

function spelled(text: string, codeBits: number): string {
  const plain = codeBits === 64 ? text.replace(MEANINGLESS, "") : text;
  return SPELLINGS.reduce((t, [pattern, by]) => t.replace(pattern, by as string), plain);
}

describe("the decoder", () => {
  const decoder = new Decoder(ROWS, ALL_FEATURES);
  const decoded = new Decoded();
  const decode = (hex: string, mode: DecodeMode) => {
    const bytes = Uint8Array.from(hex.match(/../g)!, (h) => Number.parseInt(h, 16));
    const outcome = decoder.decode(bytes, 0, bytes.length, mode, decoded);
    return outcome === "ok" ? `${decoded.row.mnemonic} ${decoded.length}` : outcome;
  };

  it("knows VEX in protected mode only (SDM vol. 2, 2.3.2)", () => {
    expect(decode("c4e278f2c1", { codeBits: 32, protectedMode: true })).toBe("ANDN 5");
    expect(decode("c4e278f2c1", { codeBits: 32, protectedMode: false })).toBe("undefined");
  });

  it("has no instruction of a feature that is switched off", () => {
    const without = new Decoder(ROWS, new Set([...ALL_FEATURES].filter((f) => f !== "bmi1" && f !== "aes")));
    const mode: DecodeMode = { codeBits: 64, protectedMode: true };
    const bytes = (hex: string) => Uint8Array.from(hex.match(/../g)!, (h) => Number.parseInt(h, 16));
    expect(without.decode(bytes("c4e278f2c1"), 0, 5, mode, decoded)).toBe("undefined");
    expect(without.decode(bytes("660f38dcc1"), 0, 5, mode, decoded)).toBe("undefined");
    // TZCNT's prefix is ignored where there is none: BSF (SDM vol. 2, TZCNT).
    expect(without.decode(bytes("f30fbcc1"), 0, 4, mode, decoded)).toBe("ok");
    expect(decoded.row.mnemonic).toBe("BSF");
  });

  it("takes fifteen bytes and no more", () => {
    const mode: DecodeMode = { codeBits: 64, protectedMode: true };
    expect(decode(`${"66".repeat(14)}90`, mode)).toBe("NOP 15");
    expect(decode(`${"66".repeat(15)}90`, mode)).toBe("too-long");
    expect(decode(`${"66".repeat(14)}`, mode)).toBe("truncated");
  });

  it("lets a prefix after REX cancel it", () => {
    const mode: DecodeMode = { codeBits: 64, protectedMode: true };
    expect(decode("4866b80100", mode)).toBe("MOV 5");
    expect(decoded.size).toBe(16);
  });
});
