/** No-operations and hints, fences, cache lines, undefined opcodes, random numbers, BOUND (SDM vol. 1, 5.1.13-5.1.15). */
import { i32 } from "../../wasm/index.ts";
import type { Context, Operand } from "../context.ts";
import { insn } from "../row.ts";
import { bits, CF, resize, signed } from "./width.ts";

/** Hints change nothing. Fences too: one vCPU sees its own accesses in order. */
const nop = () => {};

const ud = (m: Context) => m.raise(6);

/** There is no cache to write back, but the line is addressed, and faults as a byte read would. */
const flushLine = (_: Context, line: Operand) => {
  line.read();
};

/** There is always a number: CF is set. */
const random = (m: Context, dst: Operand) => {
  dst.write(m.f.let(resize(bits(dst), m.runtimeFor("i64", "random"))));
  m.flags.set(i32(CF));
};

const rdpid = (m: Context, dst: Operand) => dst.write(resize(bits(dst), m.get("tscAux", "i64")));

/** #BR where the signed index is below the first or above the second bound. */
const bound = (m: Context, index: Operand, pair: Operand) => {
  const width = bits(index);
  const low = m.load(width, pair.linear());
  const high = m.load(width, pair.linear(width / 8));
  const value = signed(width, index.read());
  m.raiseIf(m.f.let(value.ltS(signed(width, low)).or(value.gtS(signed(width, high)))), 5);
};

const hint = (opcode: number) => `0F ${opcode.toString(16).toUpperCase().padStart(2, "0")} /r | [rmv], [rv]`;

export const MISC = [
  ...insn("NOP", nop, "90"),
  ...insn("PAUSE", nop, "F3 90"),
  ...insn("NOP", nop, "0F 1F /0 | [rmv]"),
  // Hint opcodes that mean nothing yet, or belong to extensions that are not here (CET, MPX, CLDEMOTE).
  ...insn("NOP", nop, [0x0d, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f].map(hint).join("\n")),
  ...insn("PREFETCHNTA", nop, "0F 18 /0 | [m8]"),
  ...insn("PREFETCHT0", nop, "0F 18 /1 | [m8]"),
  ...insn("PREFETCHT1", nop, "0F 18 /2 | [m8]"),
  ...insn("PREFETCHT2", nop, "0F 18 /3 | [m8]"),
  ...insn("PREFETCHW", nop, "0F 0D /1 | [m8]"),
  ...insn("PREFETCHWT1", nop, "0F 0D /2 | [m8]"),
  ...insn("ENDBR64", nop, "F3 0F 1E FA"),
  ...insn("ENDBR32", nop, "F3 0F 1E FB"),
  ...insn("LFENCE", nop, "NP 0F AE E8+i"),
  ...insn("MFENCE", nop, "NP 0F AE F0+i"),
  ...insn("SFENCE", nop, "NP 0F AE F8+i"),
  ...insn("CLFLUSH", flushLine, "NP 0F AE /7 | m8 | clflush"),
  ...insn("CLFLUSHOPT", flushLine, "66 0F AE /7 | m8 | clflushopt"),
  ...insn("CLWB", flushLine, "66 0F AE /6 | m8 | clwb"),
  ...insn("UD0", ud, "0F FF /r | [rv], [rmv] | end"),
  ...insn("UD1", ud, "0F B9 /r | [rv], [rmv] | end"),
  ...insn("UD2", ud, "0F 0B | | end"),
  ...insn("RDRAND", random, "NFx 0F C7 /6 | w:rvrm | rdrand"),
  ...insn("RDSEED", random, "NFx 0F C7 /7 | w:rvrm | rdseed"),
  ...insn("RDPID", rdpid, "F3 0F C7 /7 | w:r64rm | rdpid o64\n F3 0F C7 /7 | w:r32rm | rdpid i64"),
  ...insn("BOUND", bound, "62 /r | rv, mv | i64"),
];
