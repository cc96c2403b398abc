/**
 * FXSAVE and XSAVE: saving and restoring x87, SSE and AVX state (SDM vol. 1, 10.5 and chapter 13), components 0 to 2.
 * What processors may choose (13.6): x87 and SSE always count as in use; AVX does where a bit above an XMM register is set.
 * XSAVEOPT leaves out what is not in use, and writes what did not change (no modified optimisation). The compacted format
 * (XSAVEC, XSAVES) is not offered.
 */
import { type I32, type I64, i32, select } from "../../wasm/index.ts";
import type { Context, Operand } from "../context.ts";
import { insn } from "../row.ts";
import { operation } from "../system/operation-names.ts";
import { setMxcsr } from "./sse-guard.ts";
import { statusWord } from "./x87-control.ts";

/** State components (13.1) that XCR0 may enable. */
export const COMPONENT = { x87: 1, sse: 2, avx: 4 } as const;
const { x87: X87, sse: SSE, avx: AVX } = COMPONENT;

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
/** The area: XSAVE's own part begins behind the legacy region and the header (13.4.3; CPUID leaf 0Dh says it). */
export const SAVE_AREA = { avx: HEADER.end, end: HEADER.end + 16 * 16 } as const;
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

/** Halves of the vector registers, and where an area has them. */
const HALVES = { xmm: { upper: 0, at: AREA.xmm }, upper: { upper: 1, at: SAVE_AREA.avx } } as const;

function saveVectors(m: Context, area: Operand, half: keyof typeof HALVES): void {
  const { upper, at } = HALVES[half];
  forEach(m, xmmCount(m), (n, distance) =>
    m.storeVec(area.linearAt(distance.add(at)), m.runtimeFor("v128", "save.vector", n, i32(upper))),
  );
}

function restoreVectors(m: Context, area: Operand, half: keyof typeof HALVES): void {
  const { upper, at } = HALVES[half];
  forEach(m, xmmCount(m), (n, distance) =>
    m.runtime("save.setVector", n, i32(upper), m.loadVec(area.linearAt(distance.add(at)))),
  );
}

const clearVectors = (m: Context, half: keyof typeof HALVES): void =>
  m.runtime("save.zeroVectors", i32(xmmCount(m)), i32(HALVES[half].upper));

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
  saveVectors(m, area, "xmm");
};

const fxrstor = (wide: boolean) => (m: Context, area: Operand) => {
  checkRead(m, area, 16, AREA.end);
  const mxcsr = checkedMxcsr(m, area, i32(1));
  restoreX87(m, area, wide);
  setMxcsr(m, mxcsr);
  restoreVectors(m, area, "xmm");
};

const needsOsxsave = (m: Context) => m.raiseIf(m.get("cr4", "i64").wrap().and(OSXSAVE).eqz(), UD);

/** CR4.OSXSAVE, CR0.TS (not EM), and which components the instruction is about: XCR0 & EDX:EAX. */
function requested(m: Context): I32 {
  needsOsxsave(m);
  m.raiseIf(m.get("cr0", "i64").wrap().and(TS).nez(), NM);
  return m.f.let(m.get("xcr0", "i64").wrap().and(m.reg(0, 32).wrap()));
}

/** Components in use among those requested (XINUSE, 13.6). */
function inUse(m: Context, components: I32): I32 {
  const { f } = m;
  const unused = f.local("i32");
  unused.set(i32(0));
  f.if(components.and(AVX), () => f.if(m.runtimeFor("i32", "save.avxInUse").eqz(), () => unused.set(i32(AVX))));
  return f.let(components.and(unused.get().not()));
}

const xsave = (wide: boolean, optimised: boolean) => (m: Context, area: Operand) => {
  const { f } = m;
  const components = requested(m);
  const used = inUse(m, components);
  const written = optimised ? used : components;
  checkWrite(m, area, 64, HEADER.end);
  f.if(written.and(AVX), () => {
    area.linear(SAVE_AREA.end - 1);
    m.probeWrite(area.linear(SAVE_AREA.avx), SAVE_AREA.end - SAVE_AREA.avx);
  });
  const present = m.load(64, area.linear(HEADER.present)) as I64;
  f.if(written.and(X87), () => saveX87(m, area, wide));
  f.if(components.and(SSE | AVX), () => saveMxcsr(m, area));
  f.if(written.and(SSE), () => saveVectors(m, area, "xmm"));
  f.if(written.and(AVX), () => saveVectors(m, area, "upper"));
  const others = present.and(components.extendU().not());
  m.store(64, area.linear(HEADER.present), f.let(others.or(used.extendU())));
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
  const inArea = f.let(present.wrap());
  f.if(components.and(inArea).and(AVX), () => {
    m.load(8, area.linear(SAVE_AREA.avx));
    m.load(8, area.linear(SAVE_AREA.end - 1));
  });
  const withMxcsr = f.let(components.and(SSE | AVX).nez());
  const mxcsr = checkedMxcsr(m, area, withMxcsr);
  // MXCSR comes from the area even where its registers are set to their initial state.
  setMxcsr(m, select(withMxcsr, mxcsr, m.get("mxcsr")));
  f.if(components.and(X87), () =>
    f.if(
      inArea.and(X87),
      () => restoreX87(m, area, wide),
      () => m.runtime("save.initX87"),
    ),
  );
  for (const [component, half] of [
    [SSE, "xmm"],
    [AVX, "upper"],
  ] as const) {
    f.if(components.and(component), () =>
      f.if(
        inArea.and(component),
        () => restoreVectors(m, area, half),
        () => clearVectors(m, half),
      ),
    );
  }
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
  m.set("scratch0", m.f.let(m.reg(0, 32).extendU().or(m.reg(2, 32).extendU().shl(32))));
  m.set("scratch1", m.reg(1, 32).extendU());
  m.runtimeMayFault("system", operation("xsetbv"));
};

export const SAVE_ROWS = [
  ...insn("FXSAVE", fxsave(false), "NP W0 0F AE /0 | w:m | fpu nowait mode fxsr"),
  ...insn("FXSAVE64", fxsave(true), "NP REX.W 0F AE /0 | w:m | fpu nowait mode fxsr"),
  ...insn("FXRSTOR", fxrstor(false), "NP W0 0F AE /1 | m | fpu nowait mode fxsr"),
  ...insn("FXRSTOR64", fxrstor(true), "NP REX.W 0F AE /1 | m | fpu nowait mode fxsr"),
  ...insn("XSAVE", xsave(false, false), "NP W0 0F AE /4 | w:m | mode xsave"),
  ...insn("XSAVE64", xsave(true, false), "NP REX.W 0F AE /4 | w:m | mode xsave"),
  ...insn("XRSTOR", xrstor(false), "NP W0 0F AE /5 | m | mode xsave"),
  ...insn("XRSTOR64", xrstor(true), "NP REX.W 0F AE /5 | m | mode xsave"),
  ...insn("XSAVEOPT", xsave(false, true), "NP W0 0F AE /6 | w:m | mode xsaveopt"),
  ...insn("XSAVEOPT64", xsave(true, true), "NP REX.W 0F AE /6 | w:m | mode xsaveopt"),
  ...insn("XGETBV", xgetbv, "NP 0F 01 D0 | | xsave"),
  ...insn("XSETBV", xsetbv, "NP 0F 01 D1 | | xsave"),
];
