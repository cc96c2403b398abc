/** Segment registers and the instructions that look at descriptors (SDM vol. 1, 5.1.11 and 5.20; vol. 2). MOV from one is in integer/moves.ts. */
import { i32, i64 } from "../../wasm/index.ts";
import type { AnyInt, Context, I32, I64, Operand } from "../context.ts";
import { moveStackPointer } from "../integer/stack.ts";
import { resize } from "../integer/width.ts";
import { insn } from "../row.ts";
import { type OperationName, operation } from "./operation-names.ts";

const UD = 6;
const GP = 13;
const CR0_PE = 1;
const CR4_UMIP = 0x800;
const VM = 0x2_0000;
const SS = 2;
const STACK_POINTER = 4;

/** Segment registers by number; CS can be stored, not loaded. */
const SEGMENTS = ["es", "cs", "ss", "ds", "fs", "gs"] as const;
type Segment = (typeof SEGMENTS)[number];

const call = (m: Context, name: OperationName, ...operands: I64[]) => {
  operands.forEach((value, i) => {
    m.set(`scratch${i}`, value);
  });
  m.runtimeMayFault("system", operation(name));
};
const load = (m: Context, segment: Segment, selector: AnyInt) =>
  call(m, "load_segment", m.f.let(selector.wrap().and(0xffff)).extendU(), i64(SEGMENTS.indexOf(segment)));

/** After a load of SS one more instruction runs before an interrupt or a debug trap (SDM vol. 3A, 6.8.3). */
const shadow = (m: Context) => {
  m.set("shadow", i32(2));
  m.leave();
};

const mov = (segment: Segment) => (m: Context, src: Operand) => {
  load(m, segment, src.read());
  if (segment === "ss") shadow(m);
};

/** A 32-bit push moves the stack by four bytes and writes two, as processors do (SDM vol. 2, PUSH). */
const push = (segment: Segment) => (m: Context) => {
  const selector = m.f.let(m.get(`${segment}.selector`));
  if (m.size !== 32) {
    m.push(m.size, resize(m.size, selector));
    return;
  }
  const mask = m.f.let(m.get("stackMask", "i64"));
  const top = m.f.let((m.reg(STACK_POINTER, 64) as I64).sub(4).and(mask));
  m.store(16, m.address(SS, top, 2, true), selector);
  moveStackPointer(m, -4);
};

/** The stack pointer moves by the stack size from before the load. */
const pop = (segment: Segment) => (m: Context) => {
  load(m, segment, m.pop(m.size));
  if (segment === "ss") shadow(m);
};

/** LDS and its kin: the register changes once the segment is loaded. */
const loadPointer = (segment: Segment) => (m: Context, dst: Operand, pointer: Operand) => {
  const [offset, selector] = farPointer(m, pointer);
  load(m, segment, selector);
  dst.write(offset);
};

/** Offset and selector of a far pointer in memory. */
export const farPointer = (m: Context, pointer: Operand): [offset: AnyInt, selector: AnyInt] => {
  const bytes = m.size / 8;
  const offset = m.load(m.size, pointer.linear());
  const at = pointer.linear(bytes);
  // The limit holds for the selector's second byte too.
  pointer.linear(bytes + 1);
  return [offset, m.load(16, at)];
};

/** These do not exist in real and virtual-8086 mode. */
const protectedOnly = (m: Context) => {
  const real = m.get("cr0", "i64").wrap().and(CR0_PE).eqz();
  m.raiseIf(real.or(m.get("eflags").and(VM)), UD);
};

/** SLDT and STR: under CR4.UMIP for CPL 0 only. */
const store = (register: "ldtr" | "tr") => (m: Context, dst: Operand) => {
  protectedOnly(m);
  m.raiseIf(m.get("cr4", "i64").wrap().and(CR4_UMIP).nez().and(m.get("cpl").nez()), GP, 0);
  dst.write(resize(dst.bits as 16 | 32 | 64, m.f.let(m.get(`${register}.selector`))));
};

const loadSystem = (name: "lldt" | "ltr") => (m: Context, src: Operand) => {
  // Before the selector is read.
  protectedOnly(m);
  m.raiseIf(m.get("cpl").nez(), GP, 0);
  call(m, name, m.f.let(src.read().wrap().extendU()));
};

/** What an operation answers with: its value and whether ZF is set. */
const ask = (m: Context, name: OperationName, selector: Operand): [value: I64, found: I32] => {
  // Before the selector is read: the instruction is undefined whatever its operand.
  protectedOnly(m);
  call(m, name, m.f.let(selector.read().wrap().and(0xffff).extendU()));
  const found = m.f.let(m.get("scratch1", "i64").wrap());
  const value = m.f.let(m.get("scratch0", "i64"));
  m.flags.setZf(found);
  return [value, found];
};

/** LAR and LSL leave the destination alone where there is nothing to see. */
const describe = (name: "lar" | "lsl") => (m: Context, dst: Operand, selector: Operand) => {
  const [value, found] = ask(m, name, selector);
  m.f.if(found, () => dst.write(dst.bits === 64 ? value : value.wrap()));
};
const verify = (name: "verr" | "verw") => (m: Context, selector: Operand) => {
  ask(m, name, selector);
};

/** ARPL raises the RPL of the first selector to that of the second. Memory is written where it changes only. */
const arpl = (m: Context, dst: Operand, src: Operand) => {
  protectedOnly(m);
  const value = m.f.let((dst.isMemory ? m.load(16, dst.linear()) : dst.read()).wrap());
  const rpl = m.f.let(src.read().wrap().and(3));
  const lower = m.f.let(value.and(3).ltU(rpl));
  const raised = m.f.let(value.and(0xfffc).or(rpl));
  m.f.if(lower, () => (dst.isMemory ? m.store(16, dst.linear(), raised) : dst.write(raised)));
  m.flags.setZf(lower);
};

export const SEGMENT_ROWS = [
  ...insn("MOV", mov("es"), "8E /0 | [es], rm16"),
  ...insn("MOV", mov("ss"), "8E /2 | [ss], rm16"),
  ...insn("MOV", mov("ds"), "8E /3 | [ds], rm16"),
  ...insn("MOV", mov("fs"), "8E /4 | [fs], rm16"),
  ...insn("MOV", mov("gs"), "8E /5 | [gs], rm16"),
  ...insn("PUSH", push("es"), "06 | [es] | i64 size"),
  ...insn("PUSH", push("cs"), "0E | [cs] | i64 size"),
  ...insn("PUSH", push("ss"), "16 | [ss] | i64 size"),
  ...insn("PUSH", push("ds"), "1E | [ds] | i64 size"),
  ...insn("PUSH", push("fs"), "0F A0 | [fs] | d64 size mode"),
  ...insn("PUSH", push("gs"), "0F A8 | [gs] | d64 size mode"),
  ...insn("POP", pop("es"), "07 | [es] | i64 size"),
  ...insn("POP", pop("ss"), "17 | [ss] | i64 size"),
  ...insn("POP", pop("ds"), "1F | [ds] | i64 size"),
  ...insn("POP", pop("fs"), "0F A1 | [fs] | d64 size mode"),
  ...insn("POP", pop("gs"), "0F A9 | [gs] | d64 size mode"),
  ...insn("LES", loadPointer("es"), "C4 /r | w:rv, mp | i64"),
  ...insn("LDS", loadPointer("ds"), "C5 /r | w:rv, mp | i64"),
  ...insn("LSS", loadPointer("ss"), "0F B2 /r | w:rv, mp"),
  ...insn("LFS", loadPointer("fs"), "0F B4 /r | w:rv, mp"),
  ...insn("LGS", loadPointer("gs"), "0F B5 /r | w:rv, mp"),
  ...insn("SLDT", store("ldtr"), "0F 00 /0 | w:rvrm\n 0F 00 /0 | w:m16"),
  ...insn("STR", store("tr"), "0F 00 /1 | w:rvrm\n 0F 00 /1 | w:m16"),
  ...insn("LLDT", loadSystem("lldt"), "0F 00 /2 | rm16"),
  ...insn("LTR", loadSystem("ltr"), "0F 00 /3 | rm16"),
  ...insn("VERR", verify("verr"), "0F 00 /4 | rm16"),
  ...insn("VERW", verify("verw"), "0F 00 /5 | rm16"),
  ...insn("LAR", describe("lar"), "0F 02 /r | w:rv, rm16"),
  ...insn("LSL", describe("lsl"), "0F 03 /r | w:rv, rm16"),
  ...insn("ARPL", arpl, "63 /r | rw:rm16, r16 | i64"),
];
