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

export const MISC = [
  ...insn("NOP", nop, "90"),
  ...insn("PAUSE", nop, "F3 90"),
  ...insn("NOP", nop, "0F 19 /r\n 0F 1A /r\n 0F 1B /r\n 0F 1C /r\n 0F 1D /r\n 0F 1E /r\n 0F 1F /r"),
  ...insn("PREFETCH", nop, "0F 18 /r"),
  ...insn("PREFETCHW", nop, "0F 0D /r"),
  ...insn("ENDBR64", nop, "F3 0F 1E FA"),
  ...insn("ENDBR32", nop, "F3 0F 1E FB"),
  ...insn("LFENCE", nop, "NP 0F AE E8+i"),
  ...insn("MFENCE", nop, "NP 0F AE F0+i"),
  ...insn("SFENCE", nop, "NP 0F AE F8+i"),
  ...insn("CLFLUSH", flushLine, "NP 0F AE /7 | m8 | clflush"),
  ...insn("CLFLUSHOPT", flushLine, "66 0F AE /7 | m8 | clflushopt"),
  ...insn("CLWB", flushLine, "66 0F AE /6 | m8 | clwb"),
  ...insn("UD0", ud, "0F FF /r | | end"),
  ...insn("UD1", ud, "0F B9 /r | | end"),
  ...insn("UD2", ud, "0F 0B | | end"),
  ...insn("RDRAND", random, "0F C7 /6 | w:rvrm | rdrand"),
  ...insn("RDSEED", random, "0F C7 /7 | w:rvrm | rdseed"),
  ...insn("RDPID", rdpid, "F3 0F C7 /7 | w:r64rm | rdpid o64\n F3 0F C7 /7 | w:r32rm | rdpid i64"),
  ...insn("BOUND", bound, "62 /r | rv, mv | i64"),
];
