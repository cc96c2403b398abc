/** Arriving in a code segment: the checks and changes all far transfers share (SDM vol. 3A, 5.8). */
import { CS, GP, GuestFault, NP, type SegmentCache, SS_SEGMENT, type SystemContext } from "./access.ts";
import {
  BIG,
  cacheOf,
  checkCodeMode,
  type Descriptor,
  dplOf,
  is64BitCode,
  isCode,
  isConforming,
  isNull,
  isPresent,
  markAccessed,
  readDescriptor,
} from "./descriptors.ts";
import { cplOf, generalProtection, isCanonical, isLongMode, selectorFault } from "./mode.ts";
import { realLikeCache } from "./segments.ts";

/** The code segment a gate leads to: no less privileged than the program, and 64-bit code in long mode. */
export function gateCode(c: SystemContext, selector: number, ext: number): Descriptor {
  if (isNull(selector)) throw generalProtection(ext);
  const d = readDescriptor(c, selector, GP, ext);
  if (!isCode(d.attributes) || dplOf(d.attributes) > cplOf(c)) throw selectorFault(GP, selector, ext);
  if (isLongMode(c) && (!is64BitCode(c, d.attributes) || d.attributes & BIG)) throw selectorFault(GP, selector, ext);
  if (!isPresent(d)) throw selectorFault(NP, selector, ext);
  return d;
}

/** The code segment a direct far JMP or CALL names: privilege stays as it is. */
export function checkDirect(c: SystemContext, d: Descriptor): void {
  const cpl = cplOf(c);
  const dpl = dplOf(d.attributes);
  const fault = () => selectorFault(GP, d.selector);
  checkCodeMode(c, d, fault);
  if (isConforming(d.attributes) ? dpl > cpl : (d.selector & 3) > cpl || dpl !== cpl) throw fault();
  if (!isPresent(d)) throw selectorFault(NP, d.selector);
}

/** The code segment a far RET or IRET goes back to: no more privileged than the program. */
export function returnCode(c: SystemContext, selector: number): Descriptor {
  if (isNull(selector)) throw generalProtection();
  const d = readDescriptor(c, selector);
  const fault = () => selectorFault(GP, selector);
  const dpl = dplOf(d.attributes);
  const rpl = selector & 3;
  if (!isCode(d.attributes) || rpl < cplOf(c)) throw fault();
  if (isConforming(d.attributes) ? dpl > rpl : dpl !== rpl) throw fault();
  checkCodeMode(c, d, fault);
  if (!isPresent(d)) throw selectorFault(NP, selector);
  return d;
}

/** Throws unless execution may go on at `target`: canonical in 64-bit code, else within the limit. */
export function checkTarget(c: SystemContext, cache: SegmentCache | Descriptor, target: bigint, ext = 0): void {
  const limit = "limit" in cache ? cache.limit : cacheOf(cache).limit;
  const reachable = is64BitCode(c, cache.attributes) ? isCanonical(c, target) : target <= BigInt(limit);
  if (!reachable) throw new GuestFault(GP, ext);
}

/** CS after the transfer; marks the descriptor as accessed. The selector's RPL becomes the privilege level. */
export const loadCode = (c: SystemContext, d: Descriptor, cpl: number): SegmentCache =>
  cacheOf(markAccessed(c, d), (d.selector & 0xfffc) | cpl);

export interface Arrival {
  readonly cs: SegmentCache;
  readonly rip: bigint;
  readonly cpl: number;
  readonly rsp?: bigint;
  readonly ss?: SegmentCache;
  /** The whole of EFLAGS. */
  readonly eflags?: number;
}

/** Nothing can fault any more: the transfer takes effect. */
export function arrive(c: SystemContext, to: Arrival): void {
  if (to.eflags !== undefined) c.setEflags(to.eflags);
  c.setSegment(CS, to.cs);
  c.setCpl(to.cpl);
  if (to.ss) c.setSegment(SS_SEGMENT, to.ss);
  if (to.rsp !== undefined) c.r.setBig("rsp", to.rsp);
  c.r.setBig("rip", to.rip);
  c.updateMode();
}

/** A far transfer's CS in real and virtual-8086 mode. */
export function realCode(c: SystemContext, selector: number, target: bigint): SegmentCache {
  const cs = realLikeCache(c, CS, selector);
  if (target > BigInt(cs.limit)) throw generalProtection();
  return cs;
}
