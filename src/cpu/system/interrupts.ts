/**
 * Delivering interrupts and exceptions in every mode (SDM vol. 3A, 6.10 to 6.14 and 20.1.4; vol. 3B, 21.3; vol. 2 INT n). This is
 * the general way. What goes wrong on the way is thrown; whether it makes a double fault is the caller's business.
 * Not modelled: virtual-8086 mode extensions (CR4.VME), shadow stacks.
 */
import {
  CS,
  DS,
  ES,
  FS,
  GP,
  GS,
  GuestFault,
  NP,
  SS_SEGMENT,
  type SystemContext,
  TR,
  TS,
  type Width,
} from "./access.ts";
import { arrive, checkTarget, gateCode, loadCode } from "./code.ts";
import { type Descriptor, dplOf, isConforming, nullCache, PRESENT, TYPE, UNUSABLE } from "./descriptors.ts";
import {
  AC,
  cplOf,
  IF,
  iopl,
  isLongMode,
  isProtected,
  isVirtual8086,
  LOW32,
  NT,
  RF,
  selectorFault,
  TF,
  VM,
} from "./mode.ts";
import { realLikeCache } from "./segments.ts";
import { currentStack, innerStack, loadNewStack, type NewStack, stackOn } from "./stack.ts";
import { availableTask, switchTask } from "./tasks.ts";

export interface TrapEvent {
  readonly vector: number;
  /** -1: this event pushes none. */
  readonly errorCode: number;
  /** "software": INT n, INT3 and INTO, which the gate's DPL guards. "icebp": INT1. */
  readonly kind: "external" | "exception" | "software" | "icebp";
  /** Where the program goes on: the instruction pointer that is pushed. For a fault the faulting instruction itself. */
  readonly nextRip: bigint;
  /** RF in the pushed EFLAGS; when left out it follows from the kind (a fault sets it). */
  readonly resumeFlag?: boolean;
}

/** Exceptions that are not faults: #DB, NMI, #BP, #OF are traps, #DF and #MC aborts (SDM vol. 3A, table 6-1). */
const NOT_FAULTS: ReadonlySet<number> = new Set([1, 2, 3, 4, 8, 18]);
const ERROR_IN_IDT = 2;

export function deliver(c: SystemContext, e: TrapEvent): void {
  if (!isProtected(c)) deliverReal(c, e);
  else if (isLongMode(c)) deliverLong(c, e);
  else deliverProtected(c, e);
}

/** INT n in virtual-8086 mode needs IOPL 3; INT3, INTO and INT1 do not (SDM vol. 3B, table 21-2). */
export function softwareInterrupt(c: SystemContext, vector: number, nextRip: bigint): void {
  if (isVirtual8086(c) && iopl(c) !== 3) throw new GuestFault(GP, 0);
  deliver(c, { vector, errorCode: -1, kind: "software", nextRip });
}

/** EXT: the event was not one the program asked for. */
const externalBit = (e: TrapEvent): number => (e.kind === "software" ? 0 : 1);

function idtFault(vector: number, e: TrapEvent): GuestFault {
  return new GuestFault(vector, (e.vector << 3) | ERROR_IN_IDT | externalBit(e));
}

/** EFLAGS as they are pushed (SDM vol. 3B, 18.3.1.1 on RF). */
function savedFlags(c: SystemContext, e: TrapEvent): number {
  const resume = e.resumeFlag ?? (e.kind === "exception" && !NOT_FAULTS.has(e.vector));
  return resume ? c.getEflags() | RF : c.getEflags();
}

const handlerFlags = (c: SystemContext, maskInterrupts: boolean): number =>
  c.getEflags() & ~(TF | NT | RF | VM | (maskInterrupts ? IF : 0));

/** An IDT entry of 4, 8 or 16 bytes at a linear address; throws #GP where the IDT ends before it. */
function entryAddress(c: SystemContext, e: TrapEvent, length: number): bigint {
  const at = e.vector * length;
  if (at + length - 1 > c.r.get("idtr.limit")) throw idtFault(GP, e);
  const linear = c.r.getBig("idtr.base") + BigInt(at);
  return isLongMode(c) ? BigInt.asUintN(64, linear) : linear & LOW32;
}

function deliverReal(c: SystemContext, e: TrapEvent): void {
  const entry = Number(c.memory.read(entryAddress(c, e, 4), 4, "system"));
  const stack = currentStack(c);
  stack.push(2, c.getEflags());
  stack.push(2, c.getSegment(CS).selector);
  stack.push(2, e.nextRip);
  stack.commit();
  arrive(c, {
    cs: realLikeCache(c, CS, entry >>> 16),
    rip: BigInt(entry & 0xffff),
    cpl: cplOf(c),
    rsp: stack.pointer,
    eflags: handlerFlags(c, true) & ~AC,
  });
}

interface Gate {
  readonly type: number;
  readonly selector: number;
  readonly low: number;
  readonly high: number;
}

/** Reads and checks an IDT entry that is one of `types`. */
function readGate(c: SystemContext, e: TrapEvent, linear: bigint, types: readonly number[]): Gate {
  const image = c.memory.read(linear, 8, "system");
  const low = Number(image & LOW32);
  const high = Number(image >> 32n);
  const attributes = (high >>> 8) & 0xff;
  const type = attributes & 0x1f;
  if (!types.includes(type)) throw idtFault(GP, e);
  if (e.kind === "software" && dplOf(attributes) < cplOf(c)) throw idtFault(GP, e);
  if (!(attributes & PRESENT)) throw idtFault(NP, e);
  return { type, selector: low >>> 16, low, high };
}

const PROTECTED_GATES = [
  TYPE.taskGate,
  TYPE.interruptGate16,
  TYPE.trapGate16,
  TYPE.interruptGate32,
  TYPE.trapGate32,
] as const;
const LONG_GATES = [TYPE.interruptGate32, TYPE.trapGate32] as const;

/** Interrupt gates have even types, trap gates odd ones. */
const masksInterrupts = (gate: Gate): boolean => (gate.type & 1) === 0;

function deliverProtected(c: SystemContext, e: TrapEvent): void {
  const ext = externalBit(e);
  const gate = readGate(c, e, entryAddress(c, e, 8), PROTECTED_GATES);
  if (gate.type === TYPE.taskGate) {
    const tss = availableTask(c, gate.selector, ext);
    const { nextRip, errorCode } = e;
    switchTask(c, { tss, by: "call", nextRip, eflags: savedFlags(c, e), errorCode, ext });
    return;
  }
  const wide = (gate.type & 8) !== 0;
  const width: Width = wide ? 4 : 2;
  const rip = BigInt(((wide ? gate.high & 0xffff_0000 : 0) | (gate.low & 0xffff)) >>> 0);
  const code = gateCode(c, gate.selector, ext);
  const dpl = dplOf(code.attributes);
  const inner = !isConforming(code.attributes) && dpl < cplOf(c);
  const wasVirtual = isVirtual8086(c);
  if (wasVirtual && (!inner || dpl !== 0)) throw selectorFault(GP, gate.selector, ext);
  const cpl = inner ? dpl : cplOf(c);
  const where = inner ? innerStack(c, cpl, ext) : undefined;
  const stack = where ? stackOn(c, where, ext) : currentStack(c, false, ext);
  if (wasVirtual) for (const number of [GS, FS, DS, ES]) stack.push(width, c.getSegment(number).selector);
  if (where) {
    stack.push(width, c.getSegment(SS_SEGMENT).selector);
    stack.push(width, c.r.getBig("rsp"));
  }
  stack.push(width, savedFlags(c, e));
  stack.push(width, c.getSegment(CS).selector);
  stack.push(width, e.nextRip);
  if (e.errorCode >= 0) stack.push(width, e.errorCode);
  checkTarget(c, code, rip, ext);
  const ss = where ? loadNewStack(c, where) : c.getSegment(SS_SEGMENT);
  const cs = loadCode(c, code, cpl);
  stack.commit();
  if (wasVirtual) for (const number of [GS, FS, DS, ES]) c.setSegment(number, nullCache(0));
  arrive(c, { cs, rip, cpl, ss, rsp: stack.pointer, eflags: handlerFlags(c, masksInterrupts(gate)) });
}

function deliverLong(c: SystemContext, e: TrapEvent): void {
  const ext = externalBit(e);
  const linear = entryAddress(c, e, 16);
  const gate = readGate(c, e, linear, LONG_GATES);
  const upper = c.memory.read(BigInt.asUintN(64, linear + 8n), 4, "system");
  const rip = (upper << 32n) | BigInt(((gate.high & 0xffff_0000) | (gate.low & 0xffff)) >>> 0);
  const code = gateCode(c, gate.selector, ext);
  const cpl = isConforming(code.attributes) ? cplOf(c) : dplOf(code.attributes);
  const stack = stackOn(c, longStack(c, code, cpl, gate.high & 7, ext), ext, true);
  stack.push(8, c.getSegment(SS_SEGMENT).selector);
  stack.push(8, c.r.getBig("rsp"));
  stack.push(8, savedFlags(c, e));
  stack.push(8, c.getSegment(CS).selector);
  stack.push(8, e.nextRip);
  if (e.errorCode >= 0) stack.push(8, e.errorCode);
  checkTarget(c, code, rip, ext);
  const ss = cpl < cplOf(c) ? nullCache(cpl, cpl) : c.getSegment(SS_SEGMENT);
  const cs = loadCode(c, code, cpl);
  stack.commit();
  arrive(c, { cs, rip, cpl, ss, rsp: stack.pointer, eflags: handlerFlags(c, masksInterrupts(gate)) });
}

/** The stack of a 64-bit handler: from the interrupt stack table, from the TSS by privilege, or the one in use. */
function longStack(c: SystemContext, code: Descriptor, cpl: number, ist: number, ext: number): NewStack {
  if (ist === 0) {
    if (cpl < cplOf(c)) return innerStack(c, dplOf(code.attributes), ext);
    return { selector: 0, descriptor: undefined, pointer: c.r.getBig("rsp"), cpl };
  }
  const tr = c.getSegment(TR);
  const at = 28 + ist * 8;
  if (tr.attributes & UNUSABLE || at + 7 > tr.limit) throw selectorFault(TS, tr.selector, ext);
  const pointer = c.memory.read(BigInt.asUintN(64, tr.base + BigInt(at)), 8, "system");
  return { selector: 0, descriptor: undefined, pointer, cpl };
}
