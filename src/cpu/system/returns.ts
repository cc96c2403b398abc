/** Far RET and IRET in every mode (SDM vol. 2 RET, IRET; vol. 3A, 5.8.6, 6.12.1, 6.14.3; vol. 3B, 21.2.5). */
import { ATTENTION } from "../runtime/exits.ts";
import { DS, ES, FS, GP, GS, GuestFault, type SegmentCache, type SystemContext, type Width } from "./access.ts";
import { type Arrival, arrive, checkTarget, loadCode, realCode, returnCode } from "./code.ts";
import {
  BIG,
  cacheOf,
  type Descriptor,
  dplOf,
  is64BitCode,
  isConformingCode,
  isNull,
  markAccessed,
  nullCache,
  UNUSABLE,
} from "./descriptors.ts";
import type { OperandSize } from "./far.ts";
import {
  AC,
  cplOf,
  generalProtection,
  ID,
  IF,
  IOPL,
  iopl,
  isLongMode,
  isMode64,
  isProtected,
  isRealLike,
  isVirtual8086,
  LOW32,
  NT,
  RETURN_FLAGS,
  RF,
  VIF,
  VIP,
  VM,
} from "./mode.ts";
import { stackDescriptor, virtual8086Cache } from "./segments.ts";
import { currentStack, type Stack } from "./stack.ts";
import { returnToTask } from "./tasks.ts";

/** `release`: bytes of parameters to drop. */
export function farReturn(c: SystemContext, size: OperandSize, release: number): void {
  const width = (size / 8) as Width;
  const stack = currentStack(c);
  const rip = stack.pop(width);
  const selector = stack.popNumber(width) & 0xffff;
  if (isRealLike(c)) {
    const cs = realCode(c, selector, rip);
    stack.release(release);
    arrive(c, { cs, rip, cpl: cplOf(c), rsp: stack.pointer });
    return;
  }
  const code = returnCode(c, selector);
  stack.release(release);
  if ((selector & 3) > cplOf(c)) {
    returnOuter(c, { code, rip, stack, width, release });
    return;
  }
  checkTarget(c, code, rip);
  arrive(c, { cs: loadCode(c, code, cplOf(c)), rip, cpl: cplOf(c), rsp: stack.pointer });
}

interface Return {
  readonly code: Descriptor;
  readonly rip: bigint;
  /** The stack that holds the outer stack pointer next. */
  readonly stack: Stack;
  readonly width: Width;
  /** Bytes to drop from the outer stack too. */
  readonly release: number;
  readonly eflags?: number;
}

/** Goes back with a new stack: to a less privileged level, and with IRET in 64-bit mode always. */
function returnOuter(c: SystemContext, r: Return): void {
  const { code, rip, stack, width } = r;
  const cpl = code.selector & 3;
  const pointer = stack.pop(width);
  const selector = stack.popNumber(width) & 0xffff;
  const wide = is64BitCode(c, code.attributes);
  const outer = outerStack(c, selector, cpl, wide);
  checkTarget(c, code, rip);
  const cs = loadCode(c, code, cpl);
  const ss = outer ? cacheOf(markAccessed(c, outer)) : nullCache(selector, cpl);
  const mask = wide ? (1n << 64n) - 1n : ss.attributes & BIG ? LOW32 : 0xffffn;
  // Of the stack pointer only what the outer stack addresses is loaded: with a 16-bit stack the rest stays.
  const kept = mask === 0xffffn ? stack.pointer & ~mask : 0n;
  const rsp = kept | ((pointer + BigInt(r.release)) & mask);
  const inner = cplOf(c);
  const to: Arrival = { cs, rip, cpl, ss, rsp };
  arrive(c, r.eflags === undefined ? to : { ...to, eflags: r.eflags });
  if (cpl > inner) dropInnerSegments(c, cpl);
}

/** SS to go back to; undefined: null, which 64-bit code above CPL 3 may have. */
function outerStack(c: SystemContext, selector: number, cpl: number, wide: boolean): Descriptor | undefined {
  if (!isNull(selector)) return stackDescriptor(c, selector, cpl, GP, 0);
  if (!wide || cpl === 3 || (selector & 3) !== cpl) throw generalProtection();
  return undefined;
}

/** Data segments of the privileged side do not stay open to the outer one. Base and limit stay in the hidden part. */
function dropInnerSegments(c: SystemContext, cpl: number): void {
  for (const number of [ES, DS, FS, GS]) {
    const cache = c.getSegment(number);
    if (cache.attributes & UNUSABLE || isConformingCode(cache.attributes)) continue;
    if (dplOf(cache.attributes) < cpl) c.setSegment(number, { ...cache, selector: 0, attributes: UNUSABLE });
  }
}

/** `nextRip`: what a task that is left by IRET resumes at later. */
export function interruptReturn(c: SystemContext, size: OperandSize, nextRip: bigint): void {
  // Whether or not it faults, IRET ends the blocking of NMIs (SDM vol. 3A, 6.7.1).
  if (c.r.get("nmiBlocked") !== 0) c.r.set("attention", ATTENTION);
  c.r.set("nmiBlocked", 0);
  if (isRealLike(c)) {
    returnRealLike(c, size);
    return;
  }
  if (c.r.get("eflags") & NT) {
    if (isLongMode(c)) throw generalProtection();
    returnToTask(c, nextRip);
    return;
  }
  const width = (size / 8) as Width;
  const stack = currentStack(c);
  const rip = stack.pop(width);
  const selector = stack.popNumber(width) & 0xffff;
  const flags = stack.popNumber(width);
  if (flags & VM && cplOf(c) === 0 && size === 32 && !isLongMode(c)) {
    returnToVirtual8086(c, stack, rip, selector, flags);
    return;
  }
  const code = returnCode(c, selector);
  const eflags = merge(c.getEflags(), flags, returnMask(c, size));
  const cpl = selector & 3;
  if (isMode64(c) || cpl > cplOf(c)) {
    returnOuter(c, { code, rip, stack, width, release: 0, eflags });
    return;
  }
  checkTarget(c, code, rip);
  arrive(c, { cs: loadCode(c, code, cpl), rip, cpl, rsp: stack.pointer, eflags });
}

const merge = (now: number, image: number, mask: number): number => (now & ~mask) | (image & mask);

/** The flags IRET takes over, by the privilege before it. */
function returnMask(c: SystemContext, size: OperandSize): number {
  const cpl = cplOf(c);
  let mask = RETURN_FLAGS;
  if (size !== 16) mask |= RF | AC | ID;
  if (cpl <= iopl(c)) mask |= IF;
  if (cpl === 0) mask |= IOPL | (size === 16 ? 0 : VIF | VIP);
  return mask;
}

/** Virtual-8086 mode needs IOPL 3, and keeps IOPL. VM, VIF and VIP stay in either mode. */
function returnRealLike(c: SystemContext, size: OperandSize): void {
  if (isVirtual8086(c) && iopl(c) !== 3) throw generalProtection();
  const width = (size / 8) as Width;
  const stack = currentStack(c);
  const rip = stack.pop(width);
  const selector = stack.popNumber(width) & 0xffff;
  const flags = stack.popNumber(width);
  const cs = realCode(c, selector, rip);
  let mask = RETURN_FLAGS | IF;
  if (!isProtected(c)) mask |= IOPL;
  if (size !== 16) mask |= RF | AC | ID;
  arrive(c, { cs, rip, cpl: cplOf(c), rsp: stack.pointer, eflags: merge(c.getEflags(), flags, mask) });
}

function returnToVirtual8086(c: SystemContext, stack: Stack, rip: bigint, selector: number, flags: number): void {
  const rsp = stack.pop(4);
  const [ss, es, ds, fs, gs] = [0, 1, 2, 3, 4].map(() => virtual8086Cache(stack.popNumber(4) & 0xffff)) as [
    SegmentCache,
    SegmentCache,
    SegmentCache,
    SegmentCache,
    SegmentCache,
  ];
  const cs = virtual8086Cache(selector);
  if (rip > BigInt(cs.limit)) throw new GuestFault(GP, 0);
  c.setSegment(ES, es);
  c.setSegment(DS, ds);
  c.setSegment(FS, fs);
  c.setSegment(GS, gs);
  const mask = RETURN_FLAGS | IF | IOPL | RF | VM | AC | VIF | VIP | ID;
  arrive(c, { cs, rip, cpl: 3, ss, rsp, eflags: merge(c.getEflags(), flags, mask) });
}
