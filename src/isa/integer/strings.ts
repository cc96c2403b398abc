/**
 * String instructions (SDM vol. 1, 5.1.8; vol. 2 REP). One execution does one element, or a run of them inside a page; a repeated
 * instruction then goes round again, so that interrupts come in between. Registers change after all accesses of the
 * element, which makes every element restartable.
 */
import { i32, select } from "../../wasm/index.ts";
import type { AnyInt, Bits, Context, I32, I64 } from "../context.ts";
import { insn } from "../row.ts";
import { addressRegister, unsigned64 } from "./width.ts";

const RCX = 1;
const RSI = 6;
const RDI = 7;
const ES = 0;

const down = (m: Context): I32 => m.get("eflags").shrU(10).and(1);

/** What an element adds to its address, by the direction flag. */
const step = (m: Context, width: Bits): I32 => {
  const bytes = width / 8;
  return m.f.let(select(down(m), i32(-bytes), i32(bytes)));
};

const advance = (m: Context, number: number, by: I32) => {
  const size = m.addressSize;
  const distance = size === 64 ? by.extendS() : by;
  m.setReg(number, size, m.reg(number, size).add(distance));
};

const sourceAddress = (m: Context, width: Bits) =>
  m.address(m.dataSegment(), addressRegister(m, RSI), width / 8, false);
/** The destination is in ES, whatever the prefixes say. */
const destinationAddress = (m: Context, width: Bits, write: boolean) =>
  m.address(ES, addressRegister(m, RDI), width / 8, write);

/**
 * One element under the instruction's REP prefix. `goOn`, after the element, is the condition of REPE and REPNE; `end` is
 * done after the last element.
 */
function repeat(m: Context, element: () => void, goOn?: () => I32, end?: () => void) {
  if (m.rep === "none") {
    element();
    return;
  }
  const size = m.addressSize;
  const more = m.f.variable(i32(0));
  m.f.if(m.reg(RCX, size).eqz().eqz(), () => {
    element();
    const left = m.f.let(m.reg(RCX, size).sub(1));
    m.setReg(RCX, size, left);
    const counted = size === 16 ? left.and(0xffff).eqz().eqz() : left.eqz().eqz();
    more.set(goOn ? counted.and(goOn()) : counted);
    if (end) m.f.if(more.get().eqz(), end);
  });
  m.againIf(more.get());
}

/**
 * Repeats with runs: `run` asks the runtime for many elements at once and says how many it did; if none, one
 * element is done by `element`. Only with 64-bit addresses: there no segment limit or address wrap can end a run early.
 */
function repeatRuns(m: Context, width: Bits, registers: number[], element: () => void, run: (count: I64) => I32) {
  if (m.rep === "none" || m.addressSize !== 64) {
    repeat(m, element);
    return;
  }
  const count = m.reg(RCX, 64) as I64;
  const more = m.f.variable(i32(0));
  m.f.if(count.eqz().eqz(), () => {
    const done = m.f.variable(run(count));
    m.f.if(
      done.get(),
      () => {
        const distance = m.f.let(done.get().mul(step(m, width)));
        for (const number of registers) advance(m, number, distance);
      },
      () => {
        element();
        done.set(i32(1));
      },
    );
    const left = m.f.let(count.sub(done.get().extendU()));
    m.setReg(RCX, 64, left);
    more.set(left.eqz().eqz());
  });
  m.againIf(more.get());
}

const movs = (width: Bits | undefined) => (m: Context) => {
  const size = width ?? m.size;
  const element = () => {
    const value = m.load(size, sourceAddress(m, size));
    m.store(size, destinationAddress(m, size, true), value);
    const by = step(m, size);
    advance(m, RSI, by);
    advance(m, RDI, by);
  };
  repeatRuns(m, size, [RSI, RDI], element, (count) =>
    m.runtimeFor(
      "i32",
      "rep_movs",
      destinationAddress(m, size, true),
      sourceAddress(m, size),
      count,
      i32(size / 8),
      down(m),
    ),
  );
};

const stos = (width: Bits | undefined) => (m: Context) => {
  const size = width ?? m.size;
  const element = () => {
    m.store(size, destinationAddress(m, size, true), m.reg(0, size));
    advance(m, RDI, step(m, size));
  };
  repeatRuns(m, size, [RDI], element, (count) =>
    m.runtimeFor(
      "i32",
      "rep_stos",
      destinationAddress(m, size, true),
      unsigned64(m.reg(0, size)),
      count,
      i32(size / 8),
      down(m),
    ),
  );
};

const lods = (width: Bits | undefined) => (m: Context) => {
  const size = width ?? m.size;
  repeat(m, () => {
    const value = m.load(size, sourceAddress(m, size));
    advance(m, RSI, step(m, size));
    m.setReg(0, size, value);
  });
};

/**
 * CMPS and SCAS: `element` reads two values and moves on. REPE goes on while they are equal, REPNE while they differ; the
 * flags change with the last element alone, so that a fault on the way leaves them as they were (SDM vol. 2, REP).
 */
function compare(m: Context, width: Bits, element: () => [AnyInt, AnyInt]) {
  if (m.rep === "none") {
    m.flags.sub(width, ...element());
    return;
  }
  let last: [AnyInt, AnyInt];
  repeat(
    m,
    () => {
      last = element();
    },
    () => (m.rep === "rep" ? last[0].eq(last[1]) : last[0].ne(last[1])),
    () => m.flags.sub(width, ...last),
  );
}

const cmps = (width: Bits | undefined) => (m: Context) => {
  const size = width ?? m.size;
  compare(m, size, () => {
    const first = m.load(size, sourceAddress(m, size));
    const second = m.load(size, destinationAddress(m, size, false));
    const by = step(m, size);
    advance(m, RSI, by);
    advance(m, RDI, by);
    return [first, second];
  });
};

const scas = (width: Bits | undefined) => (m: Context) => {
  const size = width ?? m.size;
  compare(m, size, () => {
    const value = m.load(size, destinationAddress(m, size, false));
    advance(m, RDI, step(m, size));
    return [m.reg(0, size), value];
  });
};

/** A byte form, and one at the operand size. `syntax`: dst and src in the order assembly language has them. */
const pair = (
  mnemonic: string,
  opcode: number,
  syntax: string,
  meaning: (width: Bits | undefined) => (m: Context) => void,
) => {
  const hex = (n: number) => n.toString(16).toUpperCase();
  const operands = (width: string) => syntax.replace(/\w+/g, (name) => `[${name}${width}]`);
  return [
    ...insn(`${mnemonic}B`, meaning(8), `${hex(opcode)} | ${operands("8")} | rep asize mode`),
    ...insn(mnemonic, meaning(undefined), `${hex(opcode + 1)} | ${operands("v")} | rep asize size mode`),
  ];
};

export const STRINGS = [
  ...pair("MOVS", 0xa4, "dst, src", movs),
  ...pair("CMPS", 0xa6, "src, dst", cmps),
  ...pair("STOS", 0xaa, "dst", stos),
  ...pair("LODS", 0xac, "src", lods),
  ...pair("SCAS", 0xae, "dst", scas),
];
