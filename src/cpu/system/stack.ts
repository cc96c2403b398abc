/**
 * The stack as far transfers and interrupts use it: a frame is pushed or popped as a whole, checked item by item, and written
 * only when nothing can fault any more (SDM vol. 3A, 5.3, 5.8.5 and 6.12.1).
 */
import {
  GuestFault,
  type Privilege,
  type SegmentCache,
  SS,
  SS_SEGMENT,
  type SystemContext,
  TR,
  TS,
  type Width,
} from "./access.ts";
import { BIG, cacheOf, type Descriptor, isNull, markAccessed, nullCache, UNUSABLE } from "./descriptors.ts";
import { cplOf, isCanonical, isLongMode, isMode64, LOW32, selectorFault } from "./mode.ts";
import { stackDescriptor } from "./segments.ts";

const ALL = 0xffff_ffff_ffff_ffffn;

export interface StackOptions {
  readonly ss: SegmentCache;
  readonly pointer: bigint;
  /** 64-bit stack: no base, no limit. */
  readonly mode64: boolean;
  /** Error code of the #SS that a missing place raises. */
  readonly faultCode: number;
  readonly privilege: Privilege;
}

export class Stack {
  readonly #c: SystemContext;
  readonly #o: StackOptions;
  readonly #mask: bigint;
  readonly #writes: { readonly linear: bigint; readonly width: Width; readonly value: bigint }[] = [];
  #pointer: bigint;

  constructor(c: SystemContext, options: StackOptions) {
    this.#c = c;
    this.#o = options;
    this.#pointer = options.pointer;
    this.#mask = options.mode64 ? ALL : options.ss.attributes & BIG ? LOW32 : 0xffffn;
  }

  /** The whole stack pointer register as it is now: bits beyond the stack's address size are the old ones. */
  get pointer(): bigint {
    return this.#pointer;
  }

  push(width: Width, value: bigint | number): void {
    this.release(-width);
    const linear = this.#linear(width);
    this.#c.memory.probeWrite(linear, width, this.#o.privilege);
    this.#writes.push({ linear, width, value: BigInt.asUintN(width * 8, BigInt(value)) });
  }

  pop(width: Width): bigint {
    const value = this.#c.memory.read(this.#linear(width), width, this.#o.privilege);
    this.release(width);
    return value;
  }

  popNumber(width: Width): number {
    return Number(this.pop(width) & LOW32);
  }

  /** Moves the pointer up. */
  release(bytes: number): void {
    const moved = (this.#pointer + BigInt(bytes)) & this.#mask;
    this.#pointer = (this.#pointer & ~this.#mask & ALL) | moved;
  }

  /** Carries out all pushes. */
  commit(): void {
    for (const { linear, width, value } of this.#writes) this.#c.memory.write(linear, width, value, this.#o.privilege);
  }

  #linear(width: Width): bigint {
    const { ss, mode64, faultCode } = this.#o;
    const offset = this.#pointer & this.#mask;
    if (mode64) {
      const last = offset + BigInt(width - 1);
      if (!isCanonical(this.#c, offset) || !isCanonical(this.#c, last)) throw new GuestFault(SS, faultCode);
      return offset;
    }
    if (!withinLimit(ss, Number(offset), width)) throw new GuestFault(SS, faultCode);
    return (ss.base + offset) & LOW32;
  }
}

/** Whether `length` bytes at `offset` lie inside a segment (SDM vol. 3A, 5.3). */
export function withinLimit(cache: SegmentCache, offset: number, length: number): boolean {
  if (cache.attributes & UNUSABLE) return false;
  const last = offset + length - 1;
  const expandDown = (cache.attributes & 0xc) === 4;
  if (!expandDown) return last <= cache.limit;
  return offset > cache.limit && last <= (cache.attributes & BIG ? 0xffff_ffff : 0xffff);
}

/** The stack in use, for the program's own pushes and pops. `mode64`: unlike now, where the transfer changes it first. */
export const currentStack = (c: SystemContext, mode64 = isMode64(c), faultCode = 0): Stack =>
  new Stack(c, {
    ss: c.getSegment(SS_SEGMENT),
    pointer: c.r.getBig("rsp"),
    mode64,
    faultCode,
    privilege: "program",
  });

/** A stack to switch to: where it is, and the descriptor that loading SS marks as accessed. */
export interface NewStack {
  readonly selector: number;
  /** Undefined: the null selector of 64-bit mode. */
  readonly descriptor: Descriptor | undefined;
  readonly pointer: bigint;
  readonly cpl: number;
}

/** Inner stacks are the CPU's own access while the program is still outside. */
const privilegeAt = (c: SystemContext, cpl: number): Privilege => (cpl === 3 || cplOf(c) < 3 ? "program" : "system");

/**
 * The stack that the current TSS names for a more privileged level (SDM vol. 3A, 5.8.5 and 7.2). What is wrong with it raises #TS,
 * a missing segment #SS.
 */
export function innerStack(c: SystemContext, cpl: number, ext: number): NewStack {
  const tr = c.getSegment(TR);
  const field = (at: number, width: Width): bigint => {
    const linear = tr.base + BigInt(at);
    return c.memory.read(isLongMode(c) ? BigInt.asUintN(64, linear) : linear & LOW32, width, "system");
  };
  const wide = (tr.attributes & 8) !== 0;
  const at = wide ? cpl * 8 + 4 : cpl * 4 + 2;
  const length = isLongMode(c) ? 8 : wide ? 6 : 4;
  if (tr.attributes & UNUSABLE || at + length - 1 > tr.limit) throw selectorFault(TS, tr.selector, ext);
  if (isLongMode(c)) return { selector: cpl, descriptor: undefined, pointer: field(at, 8), cpl };
  const pointer = field(at, wide ? 4 : 2);
  const selector = Number(field(at + (wide ? 4 : 2), 2));
  if (isNull(selector)) throw selectorFault(TS, selector, ext);
  return { selector, descriptor: stackDescriptor(c, selector, cpl, TS, ext), pointer, cpl };
}

/** SS after the switch; marks its descriptor as accessed. */
export const loadNewStack = (c: SystemContext, stack: NewStack): SegmentCache =>
  stack.descriptor ? cacheOf(markAccessed(c, stack.descriptor)) : nullCache(stack.selector, stack.cpl);

/** A stack to push on, before SS is loaded from it. `align`: interrupts in long mode start at a multiple of 16. */
export function stackOn(c: SystemContext, stack: NewStack, ext: number, align = false): Stack {
  return new Stack(c, {
    ss: stack.descriptor ? cacheOf(stack.descriptor) : nullCache(stack.selector, stack.cpl),
    pointer: align ? stack.pointer & ~15n : stack.pointer,
    mode64: stack.descriptor === undefined,
    faultCode: (stack.selector & 0xfffc) | ext,
    privilege: privilegeAt(c, stack.cpl),
  });
}
