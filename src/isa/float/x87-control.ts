/** x87 control and environment instructions (SDM vol. 1, 5.2.7; formats in 8.1.10). */
import { type I32, type I64, i32, select } from "../../wasm/index.ts";
import type { Context, Operand } from "../context.ts";
import { insn } from "../row.ts";

const PE = 1;
const MP = 2;
const TS = 8;
const VM = 1 << 17;
const EXCEPTION_SUMMARY = 0x80;
const ALL_MASKED = 0x3f;
/** ST(0) to ST(7) behind the environment, ten bytes each. */
const REGISTERS_BYTES = 80;

/** Status word as memory and AX see it. */
export const statusWord = (m: Context): I32 => m.f.let(m.get("fsw").or(m.get("ftop").shl(11)));

/** 1 in real and virtual-8086 mode, whose environment formats hold linear addresses. */
function realFormat(m: Context): I32 {
  const real = m.get("cr0", "i64").wrap().and(PE).eqz();
  return m.f.let(real.or(m.get("eflags").and(VM).nez()));
}

/** A pointer as the real-mode formats hold it: the linear address. */
const linearPointer = (selector: I32, offset: I64): I32 => selector.shl(4).add(offset.wrap());

/** Bytes of the environment at this operand size. */
const environmentBytes = (m: Context) => (m.size === 16 ? 14 : 28);

/** Faults before anything changes: by the segment limit at its last byte, by paging all over. */
function checkWrite(m: Context, area: Operand, bytes: number): void {
  area.linear(bytes - 1);
  m.probeWrite(area.linear(), bytes);
}

/** Stores the environment; the area was checked. */
function storeEnvironment(m: Context, area: Operand): void {
  const { f } = m;
  const real = realFormat(m);
  const [fip, fdp] = [m.get("fip", "i64"), m.get("fdp", "i64")];
  const [fcs, fds, fop] = [m.get("fcs"), m.get("fds"), m.get("fop")];
  const ip = f.let(select(real, linearPointer(fcs, fip), fip.wrap()));
  const dp = f.let(select(real, linearPointer(fds, fdp), fdp.wrap()));
  const words = [m.get("fcw"), statusWord(m), m.runtimeFor("i32", "x87.tags")];
  if (m.size === 16) {
    // IP, CS or IP 19-16 with the opcode, DP, DS or DP 19-16.
    const above = (pointer: I32) => pointer.shrU(4).and(0xf000);
    words.push(ip, select(real, above(ip).or(fop), fcs), dp, select(real, above(dp), fds));
    words.forEach((word, i) => {
      m.store(16, area.linear(2 * i), word);
    });
    return;
  }
  const above = (pointer: I32) => pointer.shrU(16).shl(12);
  const reserved = 0xffff << 16;
  for (let i = 0; i < 3; i++) words[i] = words[i]!.and(0xffff).or(reserved);
  words.push(
    select(real, ip.or(reserved), ip),
    select(real, above(ip).or(fop), fcs.and(0xffff).or(fop.shl(16))),
    select(real, dp.or(reserved), dp),
    select(real, above(dp), fds.or(reserved)),
  );
  words.forEach((word, i) => {
    m.store(32, area.linear(4 * i), word);
  });
}

/** Reads an environment, and returns what writes it to the registers once all reading is done. */
function loadEnvironment(m: Context, area: Operand): () => void {
  const { f } = m;
  const real = realFormat(m);
  const bits = m.size === 16 ? 16 : 32;
  const at = (i: number) => m.load(bits, area.linear((i * bits) / 8)).wrap();
  const [control, status, tags] = [at(0), at(1), at(2)];
  const [ip, second, dp, fourth] = [at(3), at(4), at(5), at(6)];
  const above = (word: I32) => (bits === 16 ? word.and(0xf000).shl(4) : word.and(0xfff_f000).shl(4));
  const low = (word: I32) => word.and(0xffff);
  return () => {
    m.runtime("x87.setControl", control);
    m.runtime("x87.setStatus", status);
    m.runtime("x87.setTags", tags);
    m.set("fip", f.let(select(real, low(ip).or(above(second)), ip)).extendU());
    m.set("fdp", f.let(select(real, low(dp).or(above(fourth)), dp)).extendU());
    m.set("fcs", select(real, i32(0), low(second)));
    m.set("fds", select(real, i32(0), low(fourth)));
    // The 16-bit protected format has no opcode.
    const opcode = bits === 16 ? select(real, second, i32(0)) : select(real, second, second.shrU(16));
    m.set("fop", opcode.and(0x7ff));
  };
}

/** Runs `body` with the number of each register and its distance from the first. */
function forEachRegister(m: Context, body: (number: I32, distance: I64) => void): void {
  const number = m.f.variable(i32(0));
  m.f.loop((again) => {
    const n = m.f.let(number.get());
    body(n, m.f.let(n.mul(REGISTERS_BYTES / 8).extendU()));
    number.set(n.add(1));
    m.f.brIf(again, n.ltU(7));
  });
}

const fnstenv = (m: Context, area: Operand) => {
  checkWrite(m, area, environmentBytes(m));
  storeEnvironment(m, area);
  m.runtime("x87.setControl", m.get("fcw").or(ALL_MASKED));
};

const fldenv = (m: Context, area: Operand) => loadEnvironment(m, area)();

const fnsave = (m: Context, area: Operand) => {
  const start = environmentBytes(m);
  checkWrite(m, area, start + REGISTERS_BYTES);
  storeEnvironment(m, area);
  forEachRegister(m, (n, distance) => {
    const at = distance.add(start);
    m.store(64, area.linearAt(at), m.runtimeFor("i64", "x87.mantissa", n));
    m.store(16, area.linearAt(at.add(8)), m.runtimeFor("i32", "x87.exponent", n));
  });
  m.runtime("x87.init");
};

const frstor = (m: Context, area: Operand) => {
  const start = environmentBytes(m);
  const restore = loadEnvironment(m, area);
  // That the last byte can be read too: the area lies in two pages at most.
  m.load(8, area.linear(start + REGISTERS_BYTES - 1));
  restore();
  forEachRegister(m, (n, distance) => {
    const at = distance.add(start);
    const mantissa = m.load(64, area.linearAt(at)) as I64;
    const exponent = m.load(16, area.linearAt(at.add(8))).wrap();
    m.runtime("x87.put", n, mantissa, exponent);
  });
};

/** Discards the exception flags; the condition code stays as it is. */
const fnclex = (m: Context) => m.set("fsw", m.get("fsw").and(0x7f00));

/** FWAIT: CR0.TS traps only together with MP, and EM does not (SDM vol. 3A, table 2-2). */
const fwait = (m: Context) => {
  m.raiseIf(
    m
      .get("cr0", "i64")
      .wrap()
      .and(MP | TS)
      .eq(MP | TS),
    7,
  );
  m.raiseIf(m.get("fsw").and(EXCEPTION_SUMMARY).nez(), 16);
};

export const X87_CONTROL = [
  ...insn("FLDCW", (m, src) => m.runtime("x87.setControl", src.read().wrap()), "D9 /5 | m16 | fpu"),
  ...insn("FNSTCW", (m, dst) => dst.write(m.get("fcw")), "D9 /7 | w:m16 | fpu nowait"),
  ...insn("FNSTSW", (m, dst) => dst.write(statusWord(m)), "DD /7 | w:m16 | fpu nowait\n DF E0 | w:ax | fpu nowait"),
  ...insn("FNCLEX", fnclex, "DB E2 | | fpu nowait"),
  ...insn("FNINIT", (m) => m.runtime("x87.init"), "DB E3 | | fpu nowait"),
  ...insn("FLDENV", fldenv, "D9 /4 | m | fpu size"),
  ...insn("FNSTENV", fnstenv, "D9 /6 | w:m | fpu nowait size"),
  ...insn("FRSTOR", frstor, "DD /4 | m | fpu size"),
  ...insn("FNSAVE", fnsave, "DD /6 | w:m | fpu nowait size"),
  // 8087 and 80287 control instructions that later processors take and ignore.
  ...insn("FNENI", () => {}, "DB E0 | | fpu nowait"),
  ...insn("FNDISI", () => {}, "DB E1 | | fpu nowait"),
  ...insn("FNSETPM", () => {}, "DB E4 | | fpu nowait"),
  ...insn("FWAIT", fwait, "9B"),
];
