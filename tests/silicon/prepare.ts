/** What single instructions need of the state they start from: addresses, targets, frames, counts, images. */
import { type Aim, type Case, FS_BASE, GS_BASE, SELECTORS } from "./cases.ts";
import {
  CODE_16,
  CODE_BYTES,
  DATA_16,
  type Mode,
  origins,
  PLACES,
  RECORD,
  USER_CODE_32,
  USER_CODE_64,
  USER_DATA,
} from "./layout.ts";
import type { Random } from "./random.ts";
import { recordOffset, STACK_TOP, type State } from "./state.ts";
import { typed } from "./values.ts";

const [RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI] = [0, 1, 2, 3, 4, 5, 6, 7] as const;
const DIRECTION = 0x400;
const TRAP_FLAG = 0x100;
const MASK64 = 0xffff_ffff_ffff_ffffn;

export interface Setup {
  readonly c: Case;
  readonly s: State;
  readonly random: Random;
  /** Address of the memory operand. */
  readonly target: number;
  readonly aim: Aim;
}

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

export const codeSelector = (mode: Mode) => (mode === 64 ? USER_CODE_64 : mode === 32 ? USER_CODE_32 : CODE_16);

export function farPointer({ c, s, random }: Setup, at: number): void {
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

export function strings({ c, s, random, aim }: Setup): void {
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

export function selector(setup: Setup): void {
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
  s.record[at + 512] = random.below(8);
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

/** By mnemonic. */
export const PREPARE: Record<string, Prepare> = {
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
PREPARE["VMASKMOVDQU"] = PREPARE["MASKMOVQ"]!;
PREPARE["VLDMXCSR"] = PREPARE["LDMXCSR"]!;
PREPARE["WRGSBASE"] = PREPARE["WRFSBASE"]!;
PREPARE["LOOPZ"] = PREPARE["LOOP"]!;
PREPARE["LOOPNZ"] = PREPARE["LOOP"]!;
for (const row of ["PCMPESTRI", "PCMPESTRM", "VPCMPESTRI", "VPCMPESTRM"]) {
  PREPARE[row] = ({ s, random }) => {
    s.setReg(RAX, BigInt(random.below(40) - 20));
    s.setReg(RDX, BigInt(random.below(40) - 20));
  };
}
for (const name of ["XSAVE", "XSAVE64", "XSAVEOPT", "XSAVEOPT64", "XRSTOR", "XRSTOR64"]) {
  const before = PREPARE[name] ?? (() => {});
  // Only x87, SSE and AVX: the recorded processor has more components.
  PREPARE[name] = both(before, ({ s, random }) => {
    s.setReg(RAX, random.below(8));
    s.setReg(RDX, 0);
  });
}
