/**
 * FXSAVE and XSAVE: saving and restoring x87 and SSE state (SDM vol. 1, 10.5 and chapter 13). XCR0 may have x87 and SSE,
 * components 0 and 1; the room for AVX is kept in the state and in the area's layout.
 * Not modelled, as processors may choose: the init and modified optimisations (13.6). All components count as in use,
 * and XSAVEOPT writes what XSAVE does. The compacted format (XSAVEC, XSAVES) is not offered.
 */
import { type I32, type I64, i32, select, v128 } from "../../wasm/index.ts";
import type { Context, Operand } from "../context.ts";
import { insn } from "../row.ts";
import { statusWord } from "./x87-control.ts";

/** State components (13.1) that XCR0 may enable. */
const X87 = 1;
const SSE = 2;
const AVX = 4;
export const SUPPORTED_COMPONENTS = X87 | SSE;

/** MXCSR bits that exist: the mask FXSAVE shows (10.2.3, 11.6.6). */
export const MXCSR_MASK = 0xffff;

/** Offsets in the legacy region (table 10-2) and of the XSAVE header (13.4.2). */
const AREA = {
  control: 0,
  status: 2,
  tags: 4,
  opcode: 6,
  ip: 8,
  cs: 12,
  dp: 16,
  ds: 20,
  mxcsr: 24,
  mxcsrMask: 28,
  st: 32,
  xmm: 160,
  end: 512,
} as const;
const HEADER = { present: 512, compaction: 520, reserved: 528, end: 576 } as const;
const REGISTER_BYTES = 16;

const TS = 8;
const OSXSAVE = 1 << 18;
const UD = 6;
const NM = 7;
const GP = 13;

/** XMM registers that the mode has. */
const xmmCount = (m: Context) => (m.mode64 ? 16 : 8);

/** Runs `body` with a register's number and its distance from the first. */
function forEach(m: Context, count: number, body: (number: I32, distance: I64) => void): void {
  const { f } = m;
  const number = f.variable(i32(0));
  f.loop((again) => {
    const n = f.let(number.get());
    body(n, f.let(n.mul(REGISTER_BYTES).extendU()));
    number.set(n.add(1));
    f.brIf(again, n.ltU(count - 1));
  });
}

function saveX87(m: Context, area: Operand, wide: boolean): void {
  const word = (at: number, value: I32) => m.store(16, area.linear(at), value);
  word(AREA.control, m.get("fcw"));
  word(AREA.status, statusWord(m));
  // The abridged tag word: 1 where a register is not empty.
  word(AREA.tags, m.get("fempty").xor(0xff));
  word(AREA.opcode, m.get("fop"));
  const [ip, dp] = [m.get("fip", "i64"), m.get("fdp", "i64")];
  if (wide) {
    m.store(64, area.linear(AREA.ip), ip);
    m.store(64, area.linear(AREA.dp), dp);
  } else {
    m.store(32, area.linear(AREA.ip), ip.wrap());
    m.store(32, area.linear(AREA.cs), m.get("fcs").and(0xffff));
    m.store(32, area.linear(AREA.dp), dp.wrap());
    m.store(32, area.linear(AREA.ds), m.get("fds").and(0xffff));
  }
  forEach(m, 8, (n, distance) => {
    const at = distance.add(AREA.st);
    m.store(64, area.linearAt(at), m.runtimeFor("i64", "x87.mantissa", n));
    m.store(64, area.linearAt(at.add(8)), m.runtimeFor("i32", "x87.exponent", n).extendU());
  });
}

function restoreX87(m: Context, area: Operand, wide: boolean): void {
  const { f } = m;
  const word = (at: number) => m.load(16, area.linear(at)).wrap();
  const double = (at: number) => m.load(32, area.linear(at));
  const [control, status, tags, opcode] = [word(AREA.control), word(AREA.status), word(AREA.tags), word(AREA.opcode)];
  if (wide) {
    m.set("fip", m.load(64, area.linear(AREA.ip)) as I64);
    m.set("fdp", m.load(64, area.linear(AREA.dp)) as I64);
    m.set("fcs", i32(0));
    m.set("fds", i32(0));
  } else {
    m.set("fip", double(AREA.ip).extendU());
    m.set("fcs", double(AREA.cs).wrap().and(0xffff));
    m.set("fdp", double(AREA.dp).extendU());
    m.set("fds", double(AREA.ds).wrap().and(0xffff));
  }
  m.runtime("x87.setControl", control);
  m.runtime("x87.setStatus", status);
  m.set("fempty", f.let(tags.and(0xff).xor(0xff)));
  m.set("fop", opcode.and(0x7ff));
  forEach(m, 8, (n, distance) => {
    const at = distance.add(AREA.st);
    const mantissa = m.load(64, area.linearAt(at)) as I64;
    const top = m.load(16, area.linearAt(at.add(8))).wrap();
    m.runtime("x87.put", n, mantissa, top);
  });
}

function saveXmm(m: Context, area: Operand): void {
  forEach(m, xmmCount(m), (n, distance) =>
    m.storeVec(area.linearAt(distance.add(AREA.xmm)), m.runtimeFor("v128", "save.xmm", n)),
  );
}

function restoreXmm(m: Context, area: Operand): void {
  forEach(m, xmmCount(m), (n, distance) =>
    m.runtime("save.setXmm", n, m.loadVec(area.linearAt(distance.add(AREA.xmm)))),
  );
}

function saveMxcsr(m: Context, area: Operand): void {
  m.store(32, area.linear(AREA.mxcsr), m.get("mxcsr"));
  m.store(32, area.linear(AREA.mxcsrMask), i32(MXCSR_MASK));
}

/** MXCSR in the area; a bit that does not exist raises #GP. */
function checkedMxcsr(m: Context, area: Operand, wanted: I32): I32 {
  const mxcsr = m.load(32, area.linear(AREA.mxcsr)).wrap();
  m.raiseIf(mxcsr.and(~MXCSR_MASK).nez().and(wanted), GP, 0);
  return mxcsr;
}

/** Alignment, and that all of the area can be read: it lies in two pages at most. */
function checkRead(m: Context, area: Operand, alignment: number, bytes: number): void {
  m.raiseIf(
    area
      .linear()
      .wrap()
      .and(alignment - 1)
      .nez(),
    GP,
    0,
  );
  m.load(8, area.linear());
  m.load(8, area.linear(bytes - 1));
}

function checkWrite(m: Context, area: Operand, alignment: number, bytes: number): void {
  m.raiseIf(
    area
      .linear()
      .wrap()
      .and(alignment - 1)
      .nez(),
    GP,
    0,
  );
  // The last byte for the segment limit.
  area.linear(bytes - 1);
  m.probeWrite(area.linear(), bytes);
}

const fxsave = (wide: boolean) => (m: Context, area: Operand) => {
  checkWrite(m, area, 16, AREA.end);
  saveX87(m, area, wide);
  saveMxcsr(m, area);
  saveXmm(m, area);
};

const fxrstor = (wide: boolean) => (m: Context, area: Operand) => {
  checkRead(m, area, 16, AREA.end);
  const mxcsr = checkedMxcsr(m, area, i32(1));
  restoreX87(m, area, wide);
  m.set("mxcsr", mxcsr);
  restoreXmm(m, area);
};

const needsOsxsave = (m: Context) => m.raiseIf(m.get("cr4", "i64").wrap().and(OSXSAVE).eqz(), UD);

/** CR4.OSXSAVE, CR0.TS (not EM), and which components the instruction is about: XCR0 & EDX:EAX. */
function requested(m: Context): I32 {
  needsOsxsave(m);
  m.raiseIf(m.get("cr0", "i64").wrap().and(TS).nez(), NM);
  return m.f.let(m.get("xcr0", "i64").wrap().and(m.reg(0, 32).wrap()));
}

const xsave = (wide: boolean) => (m: Context, area: Operand) => {
  const { f } = m;
  const components = requested(m);
  checkWrite(m, area, 64, HEADER.end);
  const present = m.load(64, area.linear(HEADER.present)) as I64;
  f.if(components.and(X87), () => saveX87(m, area, wide));
  f.if(components.and(SSE | AVX), () => saveMxcsr(m, area));
  f.if(components.and(SSE), () => saveXmm(m, area));
  m.store(64, area.linear(HEADER.present), f.let(present.or(components.extendU())));
};

const xrstor = (wide: boolean) => (m: Context, area: Operand) => {
  const { f } = m;
  const components = requested(m);
  checkRead(m, area, 64, HEADER.end);
  const present = m.load(64, area.linear(HEADER.present)) as I64;
  const compaction = m.load(64, area.linear(HEADER.compaction)) as I64;
  const reserved = m.load(64, area.linear(HEADER.reserved)) as I64;
  const wrong = present.and(m.get("xcr0", "i64").not()).or(compaction).or(reserved);
  m.raiseIf(wrong.ne(0), GP, 0);
  const withMxcsr = f.let(components.and(SSE | AVX).nez());
  const mxcsr = checkedMxcsr(m, area, withMxcsr);
  // MXCSR comes from the area even where its registers are set to their initial state.
  m.set("mxcsr", select(withMxcsr, mxcsr, m.get("mxcsr")));
  const inArea = f.let(present.wrap());
  f.if(components.and(X87), () =>
    f.if(
      inArea.and(X87),
      () => restoreX87(m, area, wide),
      () => m.runtime("save.initX87"),
    ),
  );
  f.if(components.and(SSE), () =>
    f.if(
      inArea.and(SSE),
      () => restoreXmm(m, area),
      () => forEach(m, xmmCount(m), (n) => m.runtime("save.setXmm", n, v128(new Uint8Array(16)))),
    ),
  );
};

const xgetbv = (m: Context) => {
  needsOsxsave(m);
  // ECX = 1 comes with XSAVEC.
  m.raiseIf(m.reg(1, 32).ne(0), GP, 0);
  const value = m.get("xcr0", "i64");
  m.setReg(0, 32, value.wrap());
  m.setReg(2, 32, value.shrU(32).wrap());
};

const xsetbv = (m: Context) => {
  needsOsxsave(m);
  m.raiseIf(m.get("cpl").nez(), GP, 0);
  const low = m.reg(0, 32).wrap();
  const impossible = low.and(~SUPPORTED_COMPONENTS).or(m.reg(2, 32).wrap()).or(m.reg(1, 32).wrap());
  const avxWithoutSse = low.and(SSE | AVX).eq(AVX);
  m.raiseIf(impossible.nez().or(low.and(X87).eqz()).or(avxWithoutSse), GP, 0);
  m.set("xcr0", low.extendU());
};

export const SAVE_ROWS = [
  ...insn("FXSAVE", fxsave(false), "NP W0 0F AE /0 | w:m | fpu nowait mode fxsr"),
  ...insn("FXSAVE64", fxsave(true), "NP REX.W 0F AE /0 | w:m | fpu nowait mode fxsr"),
  ...insn("FXRSTOR", fxrstor(false), "NP W0 0F AE /1 | m | fpu nowait mode fxsr"),
  ...insn("FXRSTOR64", fxrstor(true), "NP REX.W 0F AE /1 | m | fpu nowait mode fxsr"),
  ...insn("XSAVE", xsave(false), "NP W0 0F AE /4 | w:m | mode xsave"),
  ...insn("XSAVE64", xsave(true), "NP REX.W 0F AE /4 | w:m | mode xsave"),
  ...insn("XRSTOR", xrstor(false), "NP W0 0F AE /5 | m | mode xsave"),
  ...insn("XRSTOR64", xrstor(true), "NP REX.W 0F AE /5 | m | mode xsave"),
  ...insn("XSAVEOPT", xsave(false), "NP W0 0F AE /6 | w:m | mode xsaveopt"),
  ...insn("XSAVEOPT64", xsave(true), "NP REX.W 0F AE /6 | w:m | mode xsaveopt"),
  ...insn("XGETBV", xgetbv, "NP 0F 01 D0 | | xsave"),
  ...insn("XSETBV", xsetbv, "NP 0F 01 D1 | | xsave"),
];
