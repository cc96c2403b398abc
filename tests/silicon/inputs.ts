/** The state a run starts from: edge values of what the instruction works on, addresses that its operands need. */
import type { Row } from "../../src/isa/row.ts";
import { type Aim, type Case, FLOAT_ROWS, FS_BASE, GS_BASE, SELECTORS } from "./cases.ts";
import {
  CODE_16,
  CODE_BYTES,
  DATA_16,
  FX,
  type Mode,
  origins,
  PAGE,
  PLACES,
  RECORD,
  STACK_WINDOW_BYTES,
  USER_CODE_32,
  USER_CODE_64,
  USER_DATA,
  WINDOW_BYTES,
} from "./layout.ts";
import { Random } from "./random.ts";

const [RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI] = [0, 1, 2, 3, 4, 5, 6, 7] as const;
const ARITHMETIC = 0x8d5;
const INTERRUPTS_ON = 0x202;
const DIRECTION = 0x400;
const TRAP_FLAG = 0x100;
const ALIGNMENT_CHECK = 0x4_0000;
const MASK64 = 0xffff_ffff_ffff_ffffn;
export const STACK_TOP = PLACES.STACK_WINDOW + 256;

const SPECIAL = [
  0n,
  1n,
  2n,
  0x7fn,
  0x80n,
  0xffn,
  0x7fffn,
  0x8000n,
  0xffffn,
  0x7fff_ffffn,
  0x8000_0000n,
  0xffff_ffffn,
  0x1_0000_0000n,
  0x7fff_ffff_ffff_ffffn,
  0x8000_0000_0000_0000n,
  MASK64,
  0x5555_5555_5555_5555n,
  0xaaaa_aaaa_aaaa_aaaan,
];

function integer(random: Random): bigint {
  switch (random.below(4)) {
    case 0:
      return random.pick(SPECIAL);
    case 1:
      return random.big() >> BigInt(random.below(64));
    default:
      return random.big();
  }
}

/** A binary floating-point number of any format, its edges as likely as the rest. */
function float(random: Random, exponentBits: number, mantissaBits: number): bigint {
  const most = (1 << exponentBits) - 1;
  const bias = most >> 1;
  const all = random.big() >> BigInt(64 - mantissaBits);
  const top = 1n << BigInt(mantissaBits - 1);
  const mantissa = random.pick([
    0n,
    0n,
    1n,
    all,
    all,
    all,
    top,
    top | all,
    (top << 1n) - 1n,
    all & -(top >> 8n),
    top - 1n,
  ]);
  const near = bias + random.below(9) - 4;
  const exponent = random.pick([
    0,
    0,
    1,
    2,
    most,
    most,
    most - 1,
    near,
    near,
    near,
    bias + mantissaBits,
    bias + random.below(70),
    random.below(most),
  ]);
  return (
    (BigInt(random.below(2)) << BigInt(exponentBits + mantissaBits)) |
    (BigInt(exponent) << BigInt(mantissaBits)) |
    mantissa
  );
}

/** 80 bits; sometimes a form that the processor does not make itself (SDM vol. 1, table 8-3). */
function extended(random: Random): bigint {
  const value = float(random, 15, 63);
  const exponent = (value >> 63n) & 0xffffn;
  const mantissa = value & 0x7fff_ffff_ffff_ffffn;
  const leading = ((exponent & 0x7fffn) !== 0n) !== random.one(24);
  return (exponent << 64n) | (leading ? 1n << 63n : 0n) | mantissa;
}

function decimal(random: Random): bigint {
  let value = BigInt(random.below(2)) << 79n;
  for (let i = 0; i < 18; i++) value |= BigInt(random.one(40) ? random.below(16) : random.below(10)) << BigInt(4 * i);
  return value;
}

type Style = "bytes" | "f32" | "f64" | "extended" | "decimal" | "integer";

function styleOf(row: Row): Style {
  if (row.attributes.has("fpu")) {
    if (row.mnemonic.startsWith("FI")) return "integer";
    if (row.mnemonic === "FBLD") return "decimal";
    const text = row.operands[0]?.text;
    return text === "m32" ? "f32" : text === "m64" ? "f64" : text === "m80" ? "extended" : "bytes";
  }
  if (!FLOAT_ROWS.has(row)) return row.attributes.has("sse") || row.attributes.has("mmx") ? "bytes" : "integer";
  if (/^CVT(SI|DQ|PI)/.test(row.mnemonic)) return "integer";
  const source = /^CVTT?(..)2/.exec(row.mnemonic)?.[1] ?? row.mnemonic;
  return /[PS]D$|SD$/.test(source) || source.endsWith("PD") ? "f64" : "f32";
}

const EDGE_BYTES = [0, 1, 0x7f, 0x80, 0x81, 0xfe, 0xff];

/** Fills bytes in one of the ways that matter to vectors: anything, edges, sign bits, a count, text with an end. */
function bytes(random: Random, to: Uint8Array): void {
  const style = random.below(6);
  for (let i = 0; i < to.length; i++) {
    if (style < 2) to[i] = random.below(256);
    else if (style === 2) to[i] = random.pick(EDGE_BYTES);
    else if (style === 3) to[i] = i % 2 ? random.below(2) * 0x80 : 0xff * random.below(2);
    else if (style === 4) to[i] = i % 8 === 0 ? random.below(80) : 0;
    else to[i] = random.one(9) ? 0 : 0x61 + random.below(4);
  }
}

export class State {
  readonly record = new Uint8Array(RECORD.SIZE);
  readonly view = new DataView(this.record.buffer);

  reg(n: number): bigint {
    return this.view.getBigUint64(RECORD.GPR + 8 * n, true);
  }
  setReg(n: number, value: bigint | number): void {
    this.view.setBigUint64(RECORD.GPR + 8 * n, BigInt.asUintN(64, BigInt(value)), true);
  }
  /** Writes little-endian bytes at an address, where it lies in one of the two windows. */
  write(address: number, value: bigint, length: number): void {
    for (let i = 0; i < length; i++) {
      const at = recordOffset(address + i);
      if (at !== undefined) this.record[at] = Number((value >> BigInt(8 * i)) & 0xffn);
    }
  }
}

export function recordOffset(address: number): number | undefined {
  const data = address - PLACES.WINDOW;
  if (data >= 0 && data < WINDOW_BYTES) return RECORD.DATA_WINDOW + data;
  const stack = address - PLACES.STACK_WINDOW;
  return stack >= 0 && stack < STACK_WINDOW_BYTES ? RECORD.STACK_PART + stack : undefined;
}

interface Setup {
  readonly c: Case;
  readonly s: State;
  readonly random: Random;
  /** Address of the memory operand. */
  readonly target: number;
  readonly aim: Aim;
}

function typed(s: State, random: Random, style: Style, at: number, length: number): void {
  if (style === "bytes" || style === "integer") {
    const part = new Uint8Array(length);
    if (style === "bytes") bytes(random, part);
    else for (let i = 0; i < length; i += 4) new DataView(part.buffer).setUint8(i, 0);
    if (style === "integer") {
      for (let i = 0; i < length; i += 8) {
        const value = integer(random);
        for (let k = 0; k < 8 && i + k < length; k++) part[i + k] = Number((value >> BigInt(8 * k)) & 0xffn);
      }
    }
    s.record.set(part, at);
    return;
  }
  const [step, make] = (
    {
      f32: [4, () => float(random, 8, 23)],
      f64: [8, () => float(random, 11, 52)],
      extended: [10, () => extended(random)],
      decimal: [10, () => decimal(random)],
    } as const
  )[style];
  for (let i = 0; i + step <= length; i += step) {
    const value = make();
    for (let k = 0; k < step; k++) s.record[at + i + k] = Number((value >> BigInt(8 * k)) & 0xffn);
  }
}

// ---- floating-point state

function x87(s: State, random: Random, row: Row, aim: Aim): void {
  const { view } = s;
  const fpu = row.attributes.has("fpu") || row.mnemonic === "FWAIT" || row.mnemonic.startsWith("X");
  let control = 0x37f;
  if (fpu)
    control =
      (random.below(4) << 10) | (random.pick([0, 2, 3, 3, 3]) << 8) | 0x40 | (random.one(4) ? random.below(64) : 0x3f);
  const masks = control & 0x3f;
  let status = (random.below(8) << 11) | (random.below(2) << 14) | (random.below(8) << 8) | (random.below(64) & masks);
  // A pending exception: #MF, whatever the instruction, if it waits.
  if ((fpu || row.attributes.has("mmx")) && random.one(16) && masks !== 0x3f) status |= ~masks & 0x3f;
  // The stack fault comes with an invalid operation.
  if (random.one(4) && status & 1) status |= 0x40;
  if (status & ~masks & 0x3f) status |= 0x8080;
  view.setUint16(RECORD.FX + FX.FCW, control, true);
  view.setUint16(RECORD.FX + FX.FSW, status, true);
  view.setUint8(RECORD.FX + FX.FTW, random.pick([0xff, 0xff, random.below(256), random.below(256) | 3, 0]));
  const settled = row.attributes.has("mmx") && (aim !== "inside" || row.attributes.has("sse"));
  if (settled) {
    // Where the instruction faults a processor may have changed to MMX state before (SDM vol. 3A, 12.2): it is in it here.
    view.setUint16(RECORD.FX + FX.FSW, status & ~0x3800, true);
    view.setUint8(RECORD.FX + FX.FTW, 0xff);
  }
  const style = row.attributes.has("mmx") ? "bytes" : "extended";
  for (let i = 0; i < 8; i++) {
    typed(s, random, style, RECORD.FX + FX.ST + 16 * i, 10);
    if (settled) view.setUint16(RECORD.FX + FX.ST + 16 * i + 8, 0xffff, true);
  }
  // Two neighbours: numbers of like size cancel, compare equal, divide evenly.
  if (random.one(5))
    s.record.copyWithin(RECORD.FX + FX.ST, RECORD.FX + FX.ST + 16, RECORD.FX + FX.ST + 24 + random.below(3));
}

function sse(s: State, random: Random, row: Row): void {
  const style = styleOf(row);
  const vector = FLOAT_ROWS.has(row);
  for (let i = 0; i < 16; i++) typed(s, random, vector ? style : "bytes", RECORD.FX + FX.XMM + 16 * i, 16);
  if (random.one(4)) {
    const from = RECORD.FX + FX.XMM + 16 * random.below(16);
    for (let i = 0; i < 4; i++) s.record.copyWithin(RECORD.FX + FX.XMM + 16 * random.below(16), from, from + 16);
  }
  let control = 0x1f80;
  if (vector) {
    control = (random.one(4) ? random.below(64) << 7 : 0x1f80) | (random.below(4) << 13);
    if (random.one(4)) control |= 0x8000;
    if (random.one(4)) control |= 0x40;
    if (random.one(3)) control |= random.below(64);
  }
  s.view.setUint32(RECORD.FX + FX.MXCSR, control, true);
}

// ---- what single instructions need

/** Not at the instruction itself, which would go round for ever. */
const codeTarget = (random: Random, mode: Mode) =>
  PLACES.INSTRUCTION - origins(mode).code + random.pick([-1, 1]) * (CODE_BYTES + random.below(0x200));
/** An address to jump to: mostly code, else data (not executable), nothing, or not canonical. */
function jumpTarget(random: Random, mode: Mode): bigint {
  if (random.below(6) > 0) return BigInt(codeTarget(random, mode));
  const bad = [BigInt(PLACES.WINDOW), BigInt(PLACES.ABSENT + 8)];
  if (mode === 64) bad.push(0x8000_0000_0000_0000n, 0x1234_8000_0000_0000n);
  return random.pick(bad);
}

const codeSelector = (mode: Mode) => (mode === 64 ? USER_CODE_64 : mode === 32 ? USER_CODE_32 : CODE_16);

function farPointer({ c, s, random }: Setup, at: number): void {
  const segment = c.row.mnemonic.startsWith("L");
  s.write(at, segment ? random.big() : BigInt(codeTarget(random, c.mode)), c.size / 8);
  const own = c.mode === 16 ? CODE_16 : USER_CODE_64;
  const code = [own, USER_CODE_32, own, USER_CODE_32, random.pick(SELECTORS)];
  s.write(at + c.size / 8, BigInt(random.pick(segment ? SELECTORS : code)), 2);
}

function frame({ c, s, random }: Setup, kind: "near" | "far" | "iret"): void {
  const bytes = c.size / 8;
  let at = STACK_TOP;
  const push = (value: bigint) => {
    s.write(at, value, bytes);
    at += bytes;
  };
  push(kind === "near" ? jumpTarget(random, c.mode) : BigInt(codeTarget(random, c.mode)));
  if (kind === "near") return;
  push(
    BigInt(
      random.pick([codeSelector(c.mode), codeSelector(c.mode), USER_CODE_32, USER_CODE_64, random.pick(SELECTORS)]),
    ),
  );
  if (kind === "far") return;
  push(random.big() & 0x24_4ed5n & ~BigInt(TRAP_FLAG));
  push(BigInt(PLACES.STACK_WINDOW - origins(c.mode).data + 8 * random.below(32)));
  push(BigInt(random.one(6) ? random.pick(SELECTORS) : c.mode === 16 ? DATA_16 : USER_DATA));
}

function strings({ c, s, random, aim }: Setup): void {
  const origin = origins(c.mode).data;
  const at = () => PLACES.WINDOW - origin + 512 + random.below(80) - 40;
  const base = c.choice.prefixes.includes(0x64) ? FS_BASE : c.choice.prefixes.includes(0x65) ? GS_BASE : 0;
  // No upper halves with 32-bit addresses: processors clear them in ways of their own where no element was moved.
  s.setReg(RSI, at() - base);
  s.setReg(RDI, at());
  s.setReg(RCX, random.below(9));
  // Towards a page that is not there, or is read-only: some elements are done, then the fault.
  if (aim === "inside" && random.one(6)) s.setReg(random.pick([RSI, RDI]), PLACES.ABSENT - origin - random.below(40));
  if (aim === "inside" && random.one(8)) s.setReg(RDI, PLACES.READ_ONLY - origin - random.below(20));
  // Equal runs, for the compares.
  if (random.one(2)) {
    const window = RECORD.DATA_WINDOW;
    for (let i = 400; i < 640; i++) s.record[window + i] = 0x40 + (i & 1);
    if (random.one(2)) s.setReg(RAX, 0x4140_4140_4140_4140n);
  }
  const flags = s.view.getUint32(RECORD.RFLAGS, true);
  s.view.setUint32(RECORD.RFLAGS, random.one(3) ? flags | DIRECTION : flags & ~DIRECTION, true);
}

function bitOffset({ c, s, random }: Setup): void {
  if (!c.memory || c.row.operands[1]!.kind !== "reg") return;
  const { reg } = c.choice;
  const { base, index } = c.memory.address;
  const value = BigInt(random.below(1024) - 512);
  // As an address the register stays near: both roles at once reach as far as the page does.
  if (reg === base || reg === index) return;
  const junk = c.size < 64 ? (s.reg(reg) >> BigInt(c.size)) << BigInt(c.size) : 0n;
  s.setReg(reg, junk | BigInt.asUintN(c.size, value));
}

function selector(setup: Setup): void {
  const { c, s, random, target } = setup;
  const value = BigInt(random.pick(SELECTORS));
  if (c.memory) s.write(target, value, 2);
  else if (typeof c.choice.rm === "number") s.setReg(c.choice.rm, (s.reg(c.choice.rm) & ~0xffffn) | value);
}

function branch({ c, s, random, target }: Setup): void {
  const rm = c.row.operands[0];
  if (rm?.kind === "farmem") return;
  if (rm?.kind !== "rm") return;
  const to = jumpTarget(random, c.mode);
  if (c.memory) s.write(target, to, c.size / 8);
  else s.setReg(c.choice.rm as number, to);
}

function division({ c, s, random }: Setup): void {
  const bits = BigInt(c.row.operands[0]!.width === 8 ? 8 : c.size);
  const signed = c.row.mnemonic === "IDIV";
  if (random.one(3)) return;
  if (bits === 8n) {
    const value = signed ? BigInt.asIntN(8, s.reg(RAX)) : s.reg(RAX) & 0xffn;
    s.setReg(RAX, (s.reg(RAX) & ~0xffffn) | BigInt.asUintN(16, value));
    return;
  }
  const high = signed && (s.reg(RAX) >> (bits - 1n)) & 1n ? -1n : 0n;
  const small = random.one(2) ? high : high ^ BigInt(random.below(3));
  s.setReg(RDX, ((s.reg(RDX) >> bits) << bits) | BigInt.asUintN(Number(bits), small));
}

function exchange({ c, s, random, target }: Setup): void {
  if (random.one(2)) return;
  if (c.row.mnemonic === "CMPXCHG") {
    if (c.memory) s.write(target, s.reg(RAX), c.size / 8);
    else if ((c.choice.rm as number) !== RSP) s.setReg(c.choice.rm as number, s.reg(RAX));
    return;
  }
  const half = c.row.mnemonic === "CMPXCHG16B" ? 8 : 4;
  s.write(target, s.reg(RAX), half);
  s.write(target + half, s.reg(RDX), half);
}

/** An image for FXRSTOR or XRSTOR: what the registers could hold, header included; sometimes not allowed. */
function image({ c, s, random, target }: Setup): void {
  const at = recordOffset(target);
  if (at === undefined) return;
  // Pointers as code can have them: processors extend their sign on the way.
  s.view.setBigInt64(at + 8, s.view.getBigInt64(at + 8, true) >> 20n, true);
  s.view.setBigInt64(at + 16, s.view.getBigInt64(at + 16, true) >> 20n, true);
  s.view.setUint32(at + 24, random.one(6) ? random.word() : random.below(0x1_0000), true);
  for (let i = 0; i < 8; i++) typed(s, random, "extended", at + 32 + 16 * i, 10);
  if (!c.row.mnemonic.startsWith("X")) return;
  s.record.fill(0, at + 512, at + 576);
  s.record[at + 512] = random.below(4);
  // No component of any processor so far.
  if (random.one(10)) s.record[at + 512 + 3] = 1;
  if (random.one(10)) s.record[at + 512 + 8 + random.below(16)] = 1;
}

function environment({ c, s, random, target }: Setup): void {
  const word = c.size / 8;
  // Pending exceptions in the image are recorded all the same; the tags are any.
  s.write(target, BigInt(random.one(3) ? random.word() & 0xffff : 0x37f), word);
  s.write(target + word, BigInt(random.word() & 0x7fff), word);
  s.write(target + 2 * word, BigInt(random.pick([0, 0xffff, random.word() & 0xffff])), word);
}

type Prepare = (setup: Setup) => void;
const both =
  (...all: Prepare[]): Prepare =>
  (setup) => {
    for (const one of all) one(setup);
  };

const stackFrame = (setup: Setup) => {
  const far = setup.c.row.opcode === 0xcb || setup.c.row.opcode === 0xca;
  frame(setup, far ? "far" : "near");
};
const low =
  (n: number, make: (random: Random) => number | bigint): Prepare =>
  ({ s, random }) =>
    s.setReg(n, make(random));

/** Both operands alike. */
const alike: Prepare = ({ c, s, random, target }) => {
  const { reg, rm } = c.choice;
  if (c.row.operands[1]?.kind !== "reg" || !random.one(3)) return;
  if (typeof rm === "number") s.setReg(rm, s.reg(reg));
  else s.write(target, s.reg(reg), c.size / 8);
};

const PREPARE: Record<string, Prepare> = {
  CMP: alike,
  SUB: alike,
  XOR: alike,
  XLAT: ({ s, random, c }) => {
    const base = c.choice.prefixes.includes(0x64) ? FS_BASE : c.choice.prefixes.includes(0x65) ? GS_BASE : 0;
    s.setReg(RBX, PLACES.WINDOW - origins(c.mode).data + random.below(512) - base);
  },
  MASKMOVQ: ({ s, random, c }) => {
    const base = c.choice.prefixes.includes(0x64) ? FS_BASE : c.choice.prefixes.includes(0x65) ? GS_BASE : 0;
    s.setReg(RDI, PLACES.WINDOW - origins(c.mode).data + random.below(900) - base);
  },
  JCXZ: low(RCX, (random) => random.pick([0n, 1n, 0x1_0000_0000n, 0x1_0000n, MASK64])),
  LOOP: low(RCX, (random) => random.pick([0n, 1n, 2n, 0x1_0000_0000n, 0x1_0000_0001n, 0x1_0001n, MASK64])),
  RET: stackFrame,
  IRET: (setup) => frame(setup, "iret"),
  POPF: ({ s, random, c }) => s.write(STACK_TOP, random.big() & ~BigInt(TRAP_FLAG) & 0x3f_feffn, c.size / 8),
  ENTER: ({ s, random, c }) => s.setReg(RBP, STACK_TOP - origins(c.mode).data + 8 * random.below(8) - 32),
  LEAVE: ({ s, random, c }) => s.setReg(RBP, STACK_TOP - origins(c.mode).data + 8 * random.below(8) - 32),
  LAR: selector,
  LSL: selector,
  VERR: selector,
  VERW: selector,
  ARPL: ({ s, random, c }) => {
    if (random.one(2)) s.setReg(c.choice.reg, (s.reg(c.choice.reg) & ~3n) | BigInt(random.below(4)));
  },
  DIV: division,
  IDIV: division,
  CMPXCHG: exchange,
  CMPXCHG8B: exchange,
  CMPXCHG16B: exchange,
  BT: bitOffset,
  BTS: bitOffset,
  BTR: bitOffset,
  BTC: bitOffset,
  JMP: branch,
  CALL: branch,
  BOUND: ({ s, random, target, c }) => {
    const b = c.size / 8;
    s.write(target, BigInt(-random.below(9)), b);
    s.write(target + b, BigInt(random.below(9)), b);
    if (c.memory && c.choice.reg !== c.memory.address.base && c.choice.reg !== c.memory.address.index) {
      s.setReg(c.choice.reg, BigInt.asUintN(32, BigInt(random.below(20) - 10)));
    }
  },
  FXRSTOR: image,
  FXRSTOR64: image,
  XRSTOR: image,
  XRSTOR64: image,
  XSAVE: () => {},
  LDMXCSR: ({ s, random, target }) =>
    s.write(target, BigInt(random.one(4) ? random.word() : random.below(0x1_0000)), 4),
  FLDENV: environment,
  FRSTOR: environment,
  WRFSBASE: ({ s, random, c }) => {
    if (!random.one(4)) s.setReg(c.choice.rm as number, random.big() >> 20n);
  },
};
PREPARE["MASKMOVDQU"] = PREPARE["MASKMOVQ"]!;
PREPARE["WRGSBASE"] = PREPARE["WRFSBASE"]!;
PREPARE["LOOPZ"] = PREPARE["LOOP"]!;
PREPARE["LOOPNZ"] = PREPARE["LOOP"]!;
for (const row of ["PCMPESTRI", "PCMPESTRM"]) {
  PREPARE[row] = ({ s, random }) => {
    s.setReg(RAX, BigInt(random.below(40) - 20));
    s.setReg(RDX, BigInt(random.below(40) - 20));
  };
}
for (const name of ["XSAVE", "XSAVE64", "XSAVEOPT", "XSAVEOPT64", "XRSTOR", "XRSTOR64"]) {
  const before = PREPARE[name] ?? (() => {});
  // Only x87 and SSE: the recorded processor has more components.
  PREPARE[name] = both(before, ({ s, random }) => {
    s.setReg(RAX, random.below(4));
    s.setReg(RDX, 0);
  });
}

function aimAt(c: Case, aim: Aim, random: Random): number {
  const { bytes, alignment } = c.memory!;
  const inside = PLACES.WINDOW + Math.floor(random.below(WINDOW_BYTES - Math.max(bytes, 128)) / alignment) * alignment;
  switch (aim) {
    case "absent":
      return PLACES.ABSENT + 64;
    case "read-only":
      return PLACES.READ_ONLY + 64;
    case "into absent":
      return PLACES.ABSENT - 1 - random.below(Math.min(bytes, PAGE) - 1);
    case "into read-only":
      return PLACES.READ_ONLY - 1 - random.below(Math.min(bytes, PAGE) - 1);
    case "off alignment":
      return inside + 1 + random.below(alignment - 1);
    case "alignment check":
      return inside | 1;
    default:
      return inside;
  }
}

/** The state that run `n` of a case starts from. */
export function inputOf(c: Case, n: number): State {
  const s = new State();
  const { view } = s;
  const random = new Random(`${c.key} ${c.mode} ${Buffer.from(c.code).toString("hex")} ${n}`);
  const aim = c.aims[n]!;
  const { row } = c;
  const long = c.mode === 64;
  for (let i = 0; i < 16; i++) s.setReg(i, integer(random));
  s.setReg(RSP, STACK_TOP - origins(c.mode).data);
  view.setBigUint64(RECORD.RIP, BigInt(PLACES.INSTRUCTION - origins(c.mode).code), true);
  const direction = random.one(8) ? DIRECTION : 0;
  const special = aim === "single step" ? TRAP_FLAG : aim === "alignment check" ? ALIGNMENT_CHECK : 0;
  view.setBigUint64(RECORD.RFLAGS, BigInt(INTERRUPTS_ON | (random.word() & ARITHMETIC) | direction | special), true);
  const data = c.mode === 16 ? DATA_16 : USER_DATA;
  const selectors = [codeSelector(c.mode), long ? 0 : data, long ? 0 : data, data, 0, 0];
  selectors.forEach((value, i) => {
    view.setUint16(RECORD.SELECTORS + 2 * i, value, true);
  });
  view.setBigUint64(RECORD.FS_BASE, BigInt(long ? FS_BASE : 0), true);
  view.setBigUint64(RECORD.GS_BASE, BigInt(long ? GS_BASE : 0), true);
  for (let i = 0; i < WINDOW_BYTES; i += 4) view.setUint32(RECORD.DATA_WINDOW + i, random.word(), true);
  for (let i = 0; i < STACK_WINDOW_BYTES; i += 4) view.setUint32(RECORD.STACK_PART + i, random.word(), true);
  x87(s, random, row, aim);
  sse(s, random, row);
  s.record.fill(0xcc, RECORD.CODE_PART, RECORD.CODE_PART + CODE_BYTES);
  s.record.set(c.code, RECORD.CODE_PART);

  let target = 0;
  if (c.memory) {
    const { address, segmentBase, addressBits, bytes } = c.memory;
    const fixed = address.base === undefined && address.index === undefined;
    target = fixed ? address.displacement + origins(c.mode).data : aimAt(c, aim, random);
    const at = recordOffset(target);
    if (at !== undefined && recordOffset(target + bytes - 1) !== undefined && row.mnemonic !== "LEA") {
      typed(s, random, styleOf(row), at, bytes);
    }
    PREPARE[row.mnemonic]?.({ c, s, random, target, aim });
    // The registers of the address come last: nothing may overwrite them.
    const wrong = aim === "not canonical" ? 0x8000_0000_0000_0000n : 0n;
    const offset = BigInt(target - segmentBase - (fixed ? 0 : address.displacement));
    const junk = addressBits < c.mode || addressBits === 16 ? random.big() << BigInt(addressBits) : 0n;
    if (address.base === undefined && address.index !== undefined) {
      // The scale must divide what the index gives; the rest of the way the target moves.
      const scale = 1n << BigInt(address.scale);
      s.setReg(address.index, (offset / scale) | junk);
      target = Number((offset / scale) * scale) + segmentBase + address.displacement;
    } else if (address.base !== undefined) {
      let rest = offset;
      if (address.index !== undefined) {
        const index = BigInt(random.below(32) - 16);
        s.setReg(address.index, BigInt.asUintN(addressBits, index) | junk);
        rest -= BigInt.asIntN(64, index) << BigInt(address.scale);
      }
      s.setReg(address.base, (BigInt.asUintN(addressBits, rest) | junk) ^ wrong);
    }
    if (row.operands.some((o) => o.kind === "farmem")) farPointer({ c, s, random, target, aim }, target);
  } else PREPARE[row.mnemonic]?.({ c, s, random, target, aim });
  if (row.attributes.has("rep")) strings({ c, s, random, target, aim });
  if (row.mnemonic === "MOV" && row.opcode === 0x8e) selector({ c, s, random, target, aim });
  if (row.mnemonic === "POP" && row.operands.length === 0) s.write(STACK_TOP, BigInt(random.pick(SELECTORS)), 2);
  if (!long) for (let i = 0; i < 16; i++) s.setReg(i, i < 8 ? s.reg(i) & 0xffff_ffffn : 0n);
  return s;
}
