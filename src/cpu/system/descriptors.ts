/** Segment and system descriptors, and the tables they lie in (SDM vol. 3A, 3.4.5, 3.5, 7.2). */
import { GP, type GuestFault, LDTR, type SegmentCache, type SystemContext } from "./access.ts";
import { isLongMode, LOW32, selectorFault } from "./mode.ts";

/** Attribute bits, as state.ts keeps them: descriptor bits 40-55. */
export const ACCESSED = 0x1;
/** Of data segments: writable. Of code segments: readable. */
export const WRITABLE = 0x2;
/** Of data segments: expand-down. Of code segments: conforming. */
export const CONFORMING = 0x4;
export const EXECUTABLE = 0x8;
/** Code or data, not a system descriptor. */
export const ORDINARY = 0x10;
export const PRESENT = 0x80;
export const LONG = 0x2000;
/** D/B: 32-bit code or stack. */
export const BIG = 0x4000;
export const GRANULAR = 0x8000;
export const UNUSABLE = 0x1_0000;
/** All of a descriptor's second word but base and limit. */
const ATTRIBUTE_MASK = 0xf0ff;
const BUSY = 2;

/** System descriptor types (SDM vol. 3A, table 3-2). In long mode the 32-bit ones are 64 bits wide. */
export const TYPE = {
  tss16: 1,
  ldt: 2,
  busyTss16: 3,
  callGate16: 4,
  taskGate: 5,
  interruptGate16: 6,
  trapGate16: 7,
  tss32: 9,
  busyTss32: 11,
  callGate32: 12,
  interruptGate32: 14,
  trapGate32: 15,
} as const;

export interface Descriptor {
  readonly selector: number;
  /** Linear address of its first byte. */
  readonly linear: bigint;
  readonly low: number;
  readonly high: number;
  readonly attributes: number;
}

/** The four type bits of a system descriptor; -1 of code and data. */
export const systemType = (d: Descriptor): number => (d.attributes & ORDINARY ? -1 : d.attributes & 15);
export const dplOf = (attributes: number): number => (attributes >> 5) & 3;
export const isNull = (selector: number): boolean => (selector & 0xfffc) === 0;
export const isPresent = (d: { readonly attributes: number }): boolean => (d.attributes & PRESENT) !== 0;
export const isCode = (attributes: number): boolean =>
  (attributes & (ORDINARY | EXECUTABLE)) === (ORDINARY | EXECUTABLE);
export const isConforming = (attributes: number): boolean => (attributes & CONFORMING) !== 0;
export const isWritableData = (attributes: number): boolean =>
  (attributes & (ORDINARY | EXECUTABLE | WRITABLE)) === (ORDINARY | WRITABLE);
/** Data, or code that may be read. */
export const isReadable = (attributes: number): boolean =>
  (attributes & ORDINARY) !== 0 && ((attributes & EXECUTABLE) === 0 || (attributes & WRITABLE) !== 0);
/** Privilege rules apply to data and non-conforming code only. */
export const isConformingCode = (attributes: number): boolean => isCode(attributes) && isConforming(attributes);
export const is64BitCode = (c: SystemContext, attributes: number): boolean =>
  isLongMode(c) && (attributes & LONG) !== 0;

/** Linear address of the descriptor a selector names, or undefined where its table ends before it or is missing. */
function locate(c: SystemContext, selector: number, length: number): bigint | undefined {
  const offset = selector & 0xfff8;
  let base: bigint;
  let limit: number;
  if (selector & 4) {
    const ldt = c.getSegment(LDTR);
    if (ldt.attributes & UNUSABLE) return undefined;
    ({ base, limit } = ldt);
  } else {
    base = c.r.getBig("gdtr.base");
    limit = c.r.get("gdtr.limit");
  }
  if (offset + length - 1 > limit) return undefined;
  const linear = base + BigInt(offset);
  return isLongMode(c) ? BigInt.asUintN(64, linear) : linear & LOW32;
}

/** The descriptor a selector names, or undefined where there is none. The caller has dealt with null selectors. */
export function findDescriptor(c: SystemContext, selector: number): Descriptor | undefined {
  const linear = locate(c, selector, 8);
  if (linear === undefined) return undefined;
  const image = c.memory.read(linear, 8, "system");
  const high = Number(image >> 32n);
  return { selector, linear, low: Number(image & LOW32), high, attributes: (high >>> 8) & ATTRIBUTE_MASK };
}

/** The same, throwing where there is none: #GP(selector) unless told otherwise. */
export function readDescriptor(c: SystemContext, selector: number, vector = GP, ext = 0): Descriptor {
  const found = findDescriptor(c, selector);
  if (!found) throw selectorFault(vector, selector, ext);
  return found;
}

/**
 * The upper half of a 16-byte system descriptor of long mode, the low 32 bits of which extend a base or an offset. Undefined where the
 * table ends before it or its type field is not zero, so that no upper half can pass for a descriptor (SDM vol. 3A, 3.5.2).
 */
export function upperHalf(c: SystemContext, d: Descriptor): number | undefined {
  if (locate(c, d.selector, 16) === undefined) return undefined;
  const image = c.memory.read(BigInt.asUintN(64, d.linear + 8n), 8, "system");
  return (Number(image >> 32n) & 0x1f00) === 0 ? Number(image & LOW32) : undefined;
}

export const baseOf = (d: Descriptor): number =>
  (((d.high & 0xff00_0000) | ((d.high & 0xff) << 16)) >>> 0) + (d.low >>> 16);

/** In bytes. */
export function limitOf(d: Descriptor): number {
  const limit = (d.high & 0xf_0000) | (d.low & 0xffff);
  return d.attributes & GRANULAR ? ((limit << 12) | 0xfff) >>> 0 : limit;
}

/** What a segment register holds after loading this descriptor. */
export const cacheOf = (d: Descriptor, selector = d.selector, baseHigh = 0): SegmentCache => ({
  selector,
  attributes: d.attributes,
  limit: limitOf(d),
  base: (BigInt(baseHigh) << 32n) | BigInt(baseOf(d)),
});

/** After loading a null selector. `dpl` matters for SS, whose DPL is always CPL. */
export const nullCache = (selector: number, dpl = 0): SegmentCache => ({
  selector,
  attributes: UNUSABLE | (dpl << 5),
  limit: 0,
  base: 0n,
});

/** Sets the accessed bit in the table, where it is not set yet, and returns the descriptor as it then is. */
export function markAccessed(c: SystemContext, d: Descriptor): Descriptor {
  if (d.attributes & ACCESSED) return d;
  const attributes = d.attributes | ACCESSED;
  c.memory.write(d.linear + 5n, 1, BigInt(attributes & 0xff), "system");
  return { ...d, high: d.high | (ACCESSED << 8), attributes };
}

/** Sets or clears the busy bit of a TSS descriptor. */
export function setBusy(c: SystemContext, linear: bigint, attributes: number, busy: boolean): number {
  const changed = busy ? attributes | BUSY : attributes & ~BUSY;
  c.memory.write(linear + 5n, 1, BigInt(changed & 0xff), "system");
  return changed;
}

/** Throws unless a code segment may be entered: 64-bit and 32-bit at once is no mode (SDM vol. 3A, 5.2.1). */
export function checkCodeMode(c: SystemContext, d: Descriptor, fault: () => GuestFault): void {
  if (is64BitCode(c, d.attributes) && d.attributes & BIG) throw fault();
}
