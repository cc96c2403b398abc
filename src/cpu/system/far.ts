/** Far JMP and CALL in every mode, through gates and tasks (SDM vol. 2 JMP, CALL; vol. 3A, 5.8.1 to 5.8.5). */
import { CS, GP, NP, SS_SEGMENT, type SystemContext, type Width } from "./access.ts";
import { arrive, checkDirect, checkTarget, gateCode, loadCode, realCode } from "./code.ts";
import {
  type Descriptor,
  dplOf,
  is64BitCode,
  isCode,
  isConforming,
  isNull,
  isPresent,
  readDescriptor,
  systemType,
  TYPE,
  upperHalf,
} from "./descriptors.ts";
import { cplOf, generalProtection, isLongMode, isRealLike, LOW32, selectorFault } from "./mode.ts";
import { currentStack, innerStack, loadNewStack, stackOn } from "./stack.ts";
import { availableTask, switchTask } from "./tasks.ts";

export type OperandSize = 16 | 32 | 64;

export interface FarTransfer {
  readonly kind: "jump" | "call";
  readonly selector: number;
  readonly offset: bigint;
  readonly size: OperandSize;
  /** The instruction after this one: what CALL pushes and a task switch saves. */
  readonly nextRip: bigint;
}

export function farTransfer(c: SystemContext, t: FarTransfer): void {
  const target = BigInt.asUintN(t.size, t.offset);
  if (isRealLike(c)) {
    realTransfer(c, t, target);
    return;
  }
  if (isNull(t.selector)) throw generalProtection();
  const d = readDescriptor(c, t.selector);
  if (isCode(d.attributes)) {
    direct(c, t, d, target);
    return;
  }
  const type = systemType(d);
  const legacy = !isLongMode(c);
  if (type === TYPE.callGate32 || (legacy && type === TYPE.callGate16)) {
    checkGate(c, d);
    throughGate(c, t, readGate(c, d));
  } else if (legacy && (type === TYPE.taskGate || type === TYPE.tss16 || type === TYPE.tss32)) {
    toTask(c, t, d, type);
  } else throw selectorFault(GP, t.selector);
}

function realTransfer(c: SystemContext, t: FarTransfer, target: bigint): void {
  const cs = realCode(c, t.selector, target);
  const cpl = cplOf(c);
  if (t.kind === "jump") {
    arrive(c, { cs, rip: target, cpl });
    return;
  }
  const stack = currentStack(c);
  const width = (t.size / 8) as Width;
  stack.push(width, c.getSegment(CS).selector);
  stack.push(width, t.nextRip);
  stack.commit();
  arrive(c, { cs, rip: target, cpl, rsp: stack.pointer });
}

/** To a code segment of the same privilege. */
function direct(c: SystemContext, t: FarTransfer, d: Descriptor, target: bigint): void {
  checkDirect(c, d);
  checkTarget(c, d, target);
  const cpl = cplOf(c);
  if (t.kind === "jump") {
    arrive(c, { cs: loadCode(c, d, cpl), rip: target, cpl });
    return;
  }
  pushReturn(c, t, d, cpl, (t.size / 8) as Width, target);
}

/** CALL without a change of privilege. The stack is the one of the mode that is entered. */
function pushReturn(c: SystemContext, t: FarTransfer, d: Descriptor, cpl: number, width: Width, target: bigint): void {
  const stack = currentStack(c, is64BitCode(c, d.attributes));
  stack.push(width, c.getSegment(CS).selector);
  stack.push(width, t.nextRip);
  const cs = loadCode(c, d, cpl);
  stack.commit();
  arrive(c, { cs, rip: target, cpl, rsp: stack.pointer });
}

/** A gate, a TSS or a task gate may be used from its own privilege level inwards. */
function checkGate(c: SystemContext, d: Descriptor): void {
  if (Math.max(cplOf(c), d.selector & 3) > dplOf(d.attributes)) throw selectorFault(GP, d.selector);
  if (!isPresent(d)) throw selectorFault(NP, d.selector);
}

interface CallGate {
  readonly selector: number;
  readonly offset: bigint;
  readonly width: Width;
  /** Items of `width` bytes that are copied to an inner stack. */
  readonly parameters: number;
}

function readGate(c: SystemContext, d: Descriptor): CallGate {
  const selector = d.low >>> 16;
  const near = d.low & 0xffff;
  const far = ((d.high & 0xffff_0000) | near) >>> 0;
  if (isLongMode(c)) {
    const upper = upperHalf(c, d);
    if (upper === undefined) throw selectorFault(GP, d.selector);
    return { selector, offset: (BigInt(upper) << 32n) | BigInt(far), width: 8, parameters: 0 };
  }
  const narrow = systemType(d) === TYPE.callGate16;
  return { selector, offset: BigInt(narrow ? near : far), width: narrow ? 2 : 4, parameters: d.high & 31 };
}

function throughGate(c: SystemContext, t: FarTransfer, gate: CallGate): void {
  const cpl = cplOf(c);
  const code = gateCode(c, gate.selector, 0);
  const dpl = dplOf(code.attributes);
  const inner = !isConforming(code.attributes) && dpl < cpl;
  if (t.kind === "jump") {
    if (inner) throw selectorFault(GP, gate.selector);
    checkTarget(c, code, gate.offset);
    arrive(c, { cs: loadCode(c, code, cpl), rip: gate.offset, cpl });
  } else if (inner) callInner(c, t, gate, code);
  else {
    checkTarget(c, code, gate.offset);
    pushReturn(c, t, code, cpl, gate.width, gate.offset);
  }
}

/** CALL to more privileged code: on the stack the TSS names, with the parameters copied. */
function callInner(c: SystemContext, t: FarTransfer, gate: CallGate, code: Descriptor): void {
  const cpl = dplOf(code.attributes);
  const where = innerStack(c, cpl, 0);
  const stack = stackOn(c, where, 0);
  stack.push(gate.width, c.getSegment(SS_SEGMENT).selector);
  stack.push(gate.width, c.r.getBig("rsp"));
  const outer = currentStack(c);
  const parameters = Array.from({ length: gate.parameters }, () => outer.pop(gate.width));
  for (const value of parameters.reverse()) stack.push(gate.width, value);
  stack.push(gate.width, c.getSegment(CS).selector);
  stack.push(gate.width, t.nextRip);
  checkTarget(c, code, gate.offset);
  const ss = loadNewStack(c, where);
  const cs = loadCode(c, code, cpl);
  stack.commit();
  arrive(c, { cs, rip: gate.offset, cpl, ss, rsp: stack.pointer });
}

function toTask(c: SystemContext, t: FarTransfer, d: Descriptor, type: number): void {
  // A TSS named directly has to be available and present, too: availableTask looks.
  const isGate = type === TYPE.taskGate;
  if (isGate) checkGate(c, d);
  else if (Math.max(cplOf(c), d.selector & 3) > dplOf(d.attributes)) throw selectorFault(GP, d.selector);
  const tss = availableTask(c, isGate ? d.low >>> 16 : d.selector, 0);
  switchTask(c, { tss, by: t.kind, nextRip: t.nextRip & LOW32, eflags: c.getEflags(), errorCode: -1, ext: 0 });
}
