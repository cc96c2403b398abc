/**
 * Loading segment registers, LDTR and TR, and the instructions that look at descriptors (SDM vol. 3A, 5.6, 5.10 and 7.2.4; vol. 2
 * MOV, LLDT, LTR, LAR, LSL, VERR, VERW). Nothing changes before the last fault that is possible.
 */
import {
  CS,
  GP,
  GuestFault,
  LDTR,
  NP,
  type SegmentCache,
  SS,
  SS_SEGMENT,
  type SystemContext,
  TR,
  UD,
} from "./access.ts";
import {
  BIG,
  cacheOf,
  type Descriptor,
  dplOf,
  findDescriptor,
  GRANULAR,
  isConformingCode,
  isNull,
  isPresent,
  isReadable,
  isWritableData,
  limitOf,
  markAccessed,
  nullCache,
  readDescriptor,
  setBusy,
  systemType,
  TYPE,
  UNUSABLE,
  upperHalf,
} from "./descriptors.ts";
import {
  cplOf,
  generalProtection,
  isCanonicalBase,
  isLongMode,
  isMode64,
  isProtected,
  isRealLike,
  selectorFault,
} from "./mode.ts";

/** Present, writable, accessed data: what segments are in real mode (also CS), and with DPL 3 in virtual-8086 mode. */
const REAL_ATTRIBUTES = 0x93;
const VIRTUAL_8086_ATTRIBUTES = 0xf3;
const REAL_LIMIT = 0xffff;

/** A segment in virtual-8086 mode (SDM vol. 3B, 21.2.1). */
export const virtual8086Cache = (selector: number): SegmentCache => ({
  selector,
  attributes: VIRTUAL_8086_ATTRIBUTES,
  limit: REAL_LIMIT,
  base: BigInt(selector << 4),
});

/** A segment loaded in real mode: the limit and the size bits stay what protected mode left there. */
function realCache(old: SegmentCache, selector: number): SegmentCache {
  const unusable = (old.attributes & UNUSABLE) !== 0;
  return {
    selector,
    attributes: REAL_ATTRIBUTES | (unusable ? 0 : old.attributes & (GRANULAR | BIG)),
    limit: unusable ? REAL_LIMIT : old.limit,
    base: BigInt(selector << 4),
  };
}

/** What loading `selector` in real or virtual-8086 mode makes of a segment register. */
export const realLikeCache = (c: SystemContext, number: number, selector: number): SegmentCache =>
  isProtected(c) ? virtual8086Cache(selector) : realCache(c.getSegment(number), selector);

/** MOV, POP, LDS… to ES, SS, DS, FS or GS. */
export function loadSegment(c: SystemContext, number: number, selector: number): void {
  if (number === CS || number > 5) throw new GuestFault(UD);
  let cache: SegmentCache;
  if (isRealLike(c)) cache = realLikeCache(c, number, selector);
  else if (number === SS_SEGMENT) cache = stackSegment(c, selector);
  else if (isNull(selector)) cache = nullCache(selector);
  else cache = dataSegment(c, selector, cplOf(c), GP, 0);
  c.setSegment(number, cache);
  c.updateMode();
}

function stackSegment(c: SystemContext, selector: number): SegmentCache {
  const cpl = cplOf(c);
  if (isNull(selector)) {
    if (!isMode64(c) || cpl === 3 || (selector & 3) !== cpl) throw generalProtection();
    return nullCache(selector, cpl);
  }
  return cacheOf(markAccessed(c, stackDescriptor(c, selector, cpl, GP, 0)));
}

/** A descriptor fit for SS at a privilege level. `vector`: #GP, or #TS when a task or gate asks. A missing one is #SS. */
export function stackDescriptor(
  c: SystemContext,
  selector: number,
  cpl: number,
  vector: number,
  ext: number,
): Descriptor {
  const d = readDescriptor(c, selector, vector, ext);
  if ((selector & 3) !== cpl || !isWritableData(d.attributes) || dplOf(d.attributes) !== cpl) {
    throw selectorFault(vector, selector, ext);
  }
  if (!isPresent(d)) throw selectorFault(SS, selector, ext);
  return d;
}

/** A segment for DS, ES, FS or GS; the selector is not null. */
export function dataSegment(
  c: SystemContext,
  selector: number,
  cpl: number,
  vector: number,
  ext: number,
): SegmentCache {
  const d = readDescriptor(c, selector, vector, ext);
  const dpl = dplOf(d.attributes);
  const allowed = isConformingCode(d.attributes) || Math.max(cpl, selector & 3) <= dpl;
  if (!isReadable(d.attributes) || !allowed) throw selectorFault(vector, selector, ext);
  if (!isPresent(d)) throw selectorFault(NP, selector, ext);
  return cacheOf(markAccessed(c, d));
}

/** LLDT and LTR: protected mode, CPL 0. */
function privileged(c: SystemContext): void {
  if (isRealLike(c)) throw new GuestFault(UD);
  if (cplOf(c) !== 0) throw generalProtection();
}

/** The cache of an LDT or TSS descriptor, which has 16 bytes in long mode. */
export function systemCache(c: SystemContext, d: Descriptor, vector = GP, ext = 0): SegmentCache {
  if (!isLongMode(c)) return cacheOf(d);
  const high = upperHalf(c, d);
  if (high === undefined) throw selectorFault(vector, d.selector, ext);
  const cache = cacheOf(d, d.selector, high);
  if (!isCanonicalBase(c, cache.base)) throw selectorFault(vector, d.selector, ext);
  return cache;
}

export function loadLdtr(c: SystemContext, selector: number): void {
  privileged(c);
  if (isNull(selector)) {
    c.setSegment(LDTR, nullCache(selector));
    return;
  }
  if (selector & 4) throw selectorFault(GP, selector);
  const d = readDescriptor(c, selector);
  if (systemType(d) !== TYPE.ldt) throw selectorFault(GP, selector);
  if (!isPresent(d)) throw selectorFault(NP, selector);
  c.setSegment(LDTR, systemCache(c, d));
}

export function loadTaskRegister(c: SystemContext, selector: number): void {
  privileged(c);
  if (isNull(selector)) throw generalProtection();
  if (selector & 4) throw selectorFault(GP, selector);
  const d = readDescriptor(c, selector);
  const type = systemType(d);
  if (type !== TYPE.tss32 && (type !== TYPE.tss16 || isLongMode(c))) throw selectorFault(GP, selector);
  if (!isPresent(d)) throw selectorFault(NP, selector);
  const cache = systemCache(c, d);
  c.setSegment(TR, { ...cache, attributes: setBusy(c, d.linear, d.attributes, true) });
}

/** System descriptors LAR and LSL answer for (SDM vol. 2, tables "Segment and gate types"). */
const LAR_TYPES: ReadonlySet<number> = new Set([
  TYPE.tss16,
  TYPE.ldt,
  TYPE.busyTss16,
  TYPE.callGate16,
  TYPE.taskGate,
  TYPE.tss32,
  TYPE.busyTss32,
  TYPE.callGate32,
]);
const LSL_TYPES: ReadonlySet<number> = new Set([TYPE.tss16, TYPE.ldt, TYPE.busyTss16, TYPE.tss32, TYPE.busyTss32]);
const LONG_MODE_TYPES: ReadonlySet<number> = new Set([TYPE.ldt, TYPE.tss32, TYPE.busyTss32, TYPE.callGate32]);

/** The descriptor LAR, LSL, VERR and VERW ask about, if the program may see it. No fault but a page fault or #UD. */
function visible(c: SystemContext, selector: number, systemTypes?: ReadonlySet<number>): Descriptor | undefined {
  if (isRealLike(c)) throw new GuestFault(UD);
  if (isNull(selector)) return undefined;
  const d = findDescriptor(c, selector);
  if (!d) return undefined;
  const type = systemType(d);
  if (type >= 0) {
    if (!systemTypes?.has(type)) return undefined;
    if (isLongMode(c) && (!LONG_MODE_TYPES.has(type) || upperHalf(c, d) === undefined)) return undefined;
  }
  if (isConformingCode(d.attributes)) return d;
  return Math.max(cplOf(c), selector & 3) <= dplOf(d.attributes) ? d : undefined;
}

/** LAR: the access rights of a descriptor; undefined clears ZF. Bits 16-19 are undefined in the manual: the limit's, as on processors. */
export function accessRights(c: SystemContext, selector: number): number | undefined {
  const d = visible(c, selector, LAR_TYPES);
  return d && d.high & 0x00ff_ff00;
}

/** LSL: a segment's limit in bytes; undefined clears ZF. */
export function segmentLimit(c: SystemContext, selector: number): number | undefined {
  const d = visible(c, selector, LSL_TYPES);
  return d && limitOf(d);
}

/** VERR. */
export function mayRead(c: SystemContext, selector: number): boolean {
  const d = visible(c, selector);
  return d !== undefined && isReadable(d.attributes);
}

/** VERW. */
export function mayWrite(c: SystemContext, selector: number): boolean {
  const d = visible(c, selector);
  return d !== undefined && isWritableData(d.attributes);
}
