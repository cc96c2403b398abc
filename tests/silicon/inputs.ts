/** The state a run starts from: edge values of what the instruction works on, addresses that its operands need. */
import type { Row } from "../../src/isa/row.ts";
import { type Aim, type Case, FLOAT_ROWS, FS_BASE, GS_BASE, SELECTORS } from "./cases.ts";
import {
  CODE_BYTES,
  DATA_16,
  FX,
  origins,
  PAGE,
  PLACES,
  RECORD,
  STACK_WINDOW_BYTES,
  USER_DATA,
  WINDOW_BYTES,
} from "./layout.ts";
import { codeSelector, farPointer, PREPARE, selector, strings } from "./prepare.ts";
import { Random } from "./random.ts";
import { recordOffset, STACK_TOP, State } from "./state.ts";
import { integer, type Style, styleOf, typed } from "./values.ts";

const RSP = 4;
const ARITHMETIC = 0x8d5;
const INTERRUPTS_ON = 0x202;
const DIRECTION = 0x400;
const TRAP_FLAG = 0x100;
/** MXCSR of a program that has lost precision before, as most soon have. */
const INEXACT_BEFORE = 0x1fa0;
const ALIGNMENT_CHECK = 0x4_0000;

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
  if ((row.vex && row.attributes.has("sse")) || /^X(SAVE|RSTOR)/.test(row.mnemonic))
    typed(s, random, vector ? style : "bytes", RECORD.YMM, 256);
}

/** Lanes of binary32 or binary64 with exponents near that of one: every other run is to be of such numbers alone. */
function ordinary(s: State, style: Style, at: number, length: number): void {
  if (style !== "f32" && style !== "f64") return;
  const [step, shift, bias] = style === "f32" ? [4, 7, 127] : [8, 4, 1023];
  for (let top = at + step - 2; top < at + length; top += step) {
    const word = s.view.getUint16(top, true);
    const exponent = (word >> shift) & (2 * bias + 1);
    const near = bias + (exponent % 9) - 4;
    s.view.setUint16(top, (word & ~((2 * bias + 1) << shift)) | (near << shift), true);
  }
}

/** The vector of indices of a gather: each a little away from the operand's address. */
function indices(s: State, random: Random, row: Row, register: number): void {
  const bytes = row.opcode & 1 ? 8 : 4;
  for (const part of [RECORD.FX + FX.XMM, RECORD.YMM]) {
    for (let i = 0; i < 16; i += bytes) {
      const index = BigInt.asUintN(8 * bytes, BigInt(random.below(64) - 32));
      for (let k = 0; k < bytes; k++) s.record[part + 16 * register + i + k] = Number((index >> BigInt(8 * k)) & 0xffn);
    }
  }
}

const isGather = (row: Row): boolean => row.operands.some((o) => o.kind === "vsib");

function aimAt(c: Case, aim: Aim, random: Random): number {
  const { bytes, alignment } = c.memory!;
  // Indices reach as far on either side.
  if (aim === "inside" && isGather(c.row)) return PLACES.WINDOW + 256 + random.below(WINDOW_BYTES - 512);
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
    if (isGather(row)) {
      indices(s, random, row, address.index!);
      s.setReg(address.base!, (BigInt.asUintN(addressBits, offset) | junk) ^ wrong);
    } else if (address.base === undefined && address.index !== undefined) {
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
  if (row.vex && FLOAT_ROWS.has(row) && n % 2 === 1) {
    const style = styleOf(row);
    ordinary(s, style, RECORD.FX + FX.XMM, 256);
    ordinary(s, style, RECORD.YMM, 256);
    const at = c.memory && recordOffset(target);
    if (at !== undefined) ordinary(s, style, at, Math.min(c.memory!.bytes, RECORD.CODE_PART - at));
    view.setUint32(RECORD.FX + FX.MXCSR, INEXACT_BEFORE, true);
  }
  if (!long) for (let i = 0; i < 16; i++) s.setReg(i, i < 8 ? s.reg(i) & 0xffff_ffffn : 0n);
  return s;
}
