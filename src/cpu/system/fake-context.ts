/** For tests: a SystemContext over a plain byte array, where linear addresses are indices and pages can be taken away. */
import { STATE_BASE } from "../memory-map.ts";
import { Registers } from "../registers.ts";
import { SEGMENT_NAMES, STATE_SIZE } from "../state.ts";
import { CS, GuestFault, PF, type SegmentCache, SS_SEGMENT, type SystemContext, type SystemMemory } from "./access.ts";

const ARITHMETIC = 0x8d5;
const VM = 0x2_0000;
const PAGE = 4096n;
const MEMORY_SIZE = 0x2_0000;

export const GDT = 0x1000;
export const LDT = 0x2000;
export const IDT = 0x3000;

export class FakeContext implements SystemContext {
  readonly bytes = new Uint8Array(MEMORY_SIZE);
  readonly view = new DataView(this.bytes.buffer);
  readonly state = new ArrayBuffer(STATE_BASE + STATE_SIZE);
  readonly r = new Registers(this.state);
  /** Page numbers that are not there, or not writable. */
  readonly missing = new Set<bigint>();
  readonly readOnly = new Set<bigint>();
  /** Privileges that memory was accessed with, in order. */
  readonly accesses: { linear: bigint; kind: "read" | "write"; cpl: number; privilege: string }[] = [];
  readonly linearBits = 48;
  readPhysical = (gpa: bigint): bigint => this.view.getBigUint64(Number(gpa), true);
  flushes = 0;
  #arithmetic = 0;

  readonly memory: SystemMemory = {
    read: (linear, width, privilege) => {
      this.#touch(linear, width, "read", privilege);
      const image = this.view.getBigUint64(Number(linear), true);
      return BigInt.asUintN(width * 8, image);
    },
    write: (linear, width, value, privilege) => {
      this.#touch(linear, width, "write", privilege);
      for (let i = 0; i < width; i++) this.bytes[Number(linear) + i] = Number((value >> BigInt(8 * i)) & 0xffn);
    },
    probeWrite: (linear, length, privilege) => this.#touch(linear, length, "write", privilege),
  };

  #touch(linear: bigint, length: number, kind: "read" | "write", privilege: string): void {
    if (linear < 0n || linear >> 64n !== 0n) throw new Error(`no linear address: ${linear}`);
    for (let page = linear / PAGE; page <= (linear + BigInt(length) - 1n) / PAGE; page++) {
      const absent = page >= BigInt(MEMORY_SIZE) / PAGE || this.missing.has(page);
      if (absent || (kind === "write" && this.readOnly.has(page))) throw new GuestFault(PF, kind === "write" ? 2 : 0);
    }
    this.accesses.push({ linear, kind, cpl: this.r.get("cpl"), privilege });
  }

  getSegment(number: number): SegmentCache {
    const name = SEGMENT_NAMES[number]!;
    return {
      selector: this.r.get(`${name}.selector`),
      attributes: this.r.get(`${name}.attributes`),
      limit: this.r.get(`${name}.limit`),
      base: this.r.getBig(`${name}.base`),
    };
  }
  setSegment(number: number, cache: SegmentCache): void {
    const name = SEGMENT_NAMES[number]!;
    this.r.set(`${name}.selector`, cache.selector);
    this.r.set(`${name}.attributes`, cache.attributes);
    this.r.set(`${name}.limit`, cache.limit);
    this.r.setBig(`${name}.base`, cache.base);
  }
  getEflags(): number {
    return this.r.get("eflags") | this.#arithmetic;
  }
  setEflags(value: number): void {
    this.#arithmetic = value & ARITHMETIC;
    this.r.set("eflags", (value & ~ARITHMETIC) | 2);
  }
  setCpl(cpl: number): void {
    this.r.set("cpl", cpl);
  }
  updateMode(): void {
    const cs = this.getSegment(CS).attributes;
    const real = (this.r.get("cr0") & 1) === 0 || (this.r.get("eflags") & VM) !== 0;
    const long = (this.r.get("efer") & 0x400) !== 0 && (cs & 0x2000) !== 0;
    this.r.set("codeBits", long ? 64 : !real && cs & 0x4000 ? 32 : 16);
  }
  flushTlb(): void {
    this.flushes++;
  }
  flushPcid(): void {
    this.flushes++;
  }
  flushPage(): void {
    this.flushes++;
  }
  addressSpaceLoaded(): void {
    this.flushes++;
  }

  // ---- building a guest

  /** Writes a descriptor of 8 bytes into the GDT, or with bit 2 of the selector into the LDT. `flags`: G D L AVL. */
  describe(selector: number, access: number, flags = 0, base = 0, limit = 0xf_ffff): void {
    const at = (selector & 4 ? LDT : GDT) + (selector & 0xfff8);
    this.view.setUint32(at, ((base << 16) | (limit & 0xffff)) >>> 0, true);
    const high = (base & 0xff00_0000) | (flags << 20) | (limit & 0xf_0000) | (access << 8) | ((base >>> 16) & 0xff);
    this.view.setUint32(at + 4, high >>> 0, true);
  }
  /** A call or task gate in the GDT. */
  gate(selector: number, access: number, target: number, offset: number, parameters = 0, upper?: number): void {
    this.#gate(GDT + selector, access, target, offset, parameters, upper);
  }
  /** A gate in the IDT; `upper`: bits 32-63 of the offset, which make it one of 16 bytes. */
  interruptGate(vector: number, access: number, target: number, offset: number, ist = 0, upper?: number): void {
    this.#gate(IDT + vector * (upper === undefined ? 8 : 16), access, target, offset, ist, upper);
  }
  #gate(at: number, access: number, target: number, offset: number, low: number, upper?: number): void {
    this.view.setUint32(at, ((target << 16) | (offset & 0xffff)) >>> 0, true);
    this.view.setUint32(at + 4, ((offset & 0xffff_0000) | (access << 8) | low) >>> 0, true);
    if (upper !== undefined) {
      this.view.setUint32(at + 8, upper, true);
      this.view.setUint32(at + 12, 0, true);
    }
  }
  /** Puts a descriptor that is in its table into a segment register's hidden part. */
  use(number: number, selector: number): void {
    const at = (selector & 4 ? LDT : GDT) + (selector & 0xfff8);
    const low = this.view.getUint32(at, true);
    const high = this.view.getUint32(at + 4, true);
    const attributes = (high >>> 8) & 0xf0ff;
    const limit = (high & 0xf_0000) | (low & 0xffff);
    this.setSegment(number, {
      selector,
      attributes,
      limit: attributes & 0x8000 ? limit * 4096 + 4095 : limit,
      base: BigInt(((high & 0xff00_0000) | ((high & 0xff) << 16) | (low >>> 16)) >>> 0),
    });
  }
  access(selector: number): number {
    return this.bytes[(selector & 4 ? LDT : GDT) + (selector & 0xfff8) + 5]!;
  }
  put(at: number, width: 2 | 4 | 8, ...values: (number | bigint)[]): void {
    values.forEach((value, i) => {
      for (let b = 0; b < width; b++) {
        this.bytes[at + i * width + b] = Number((BigInt(value) >> BigInt(8 * b)) & 0xffn);
      }
    });
  }
  /** `count` items of `width` bytes from `at` on. */
  items(at: number | bigint, width: 2 | 4 | 8, count: number): number[] {
    return Array.from({ length: count }, (_, i) => {
      const where = Number(at) + i * width;
      return Number(BigInt.asUintN(width * 8, this.view.getBigUint64(where, true)));
    });
  }

  /**
   * The exception that `action` throws, as "vector(error code)"; checks that neither registers nor memory changed but for `except` (fields)
   * and the accessed bits of descriptors.
   */
  faultOf(action: () => void, ...except: string[]): string {
    const image = () => {
      const tables = this.bytes.slice();
      for (let at = GDT + 5; at < IDT; at += 8) if (tables[at]! & 0x10) tables[at]! |= 1;
      const registers = new Uint8Array(this.state.slice(0));
      for (const name of except) registers.fill(0, this.r.address(name), this.r.address(name) + 4);
      return `${tables.join()} ${registers.join()} ${this.getEflags()}`;
    };
    const before = image();
    try {
      action();
    } catch (fault) {
      if (!(fault instanceof GuestFault)) throw fault;
      if (image() !== before) throw new Error(`${fault.message} left a change`);
      return `${fault.vector}(${fault.errorCode})`;
    }
    return "none";
  }
}

/** Selectors of the guest that protectedGuest builds. */
export const SELECTOR = {
  code0: 0x08,
  data0: 0x10,
  code3: 0x18,
  data3: 0x20,
  tss: 0x28,
  ldt: 0x30,
  conforming: 0x38,
  code16: 0x40,
  data16: 0x48,
  absentData: 0x50,
  absentCode: 0x58,
  readOnlyData: 0x60,
  executeOnly: 0x68,
  code1: 0x70,
  data1: 0x78,
  free: 0x80,
} as const;
export const TSS = 0x5000;
export const STACK0 = 0x9000;
export const STACK1 = 0xa000;
export const STACK3 = 0xb000;

/** Flags of a descriptor: G and D; G and L. */
export const FLAT32 = 0xc;
export const FLAT64 = 0xa;

/** A guest in 32-bit protected mode at a privilege level: flat segments, an LDT, a TSS with stacks for levels 0 and 1. */
export function protectedGuest(cpl = 0): FakeContext {
  const c = new FakeContext();
  c.r.set("cr0", 1);
  c.r.setBig("gdtr.base", BigInt(GDT));
  c.r.set("gdtr.limit", 0xfff);
  c.r.setBig("idtr.base", BigInt(IDT));
  c.r.set("idtr.limit", 0x7ff);
  c.describe(SELECTOR.code0, 0x9a, FLAT32);
  c.describe(SELECTOR.data0, 0x92, FLAT32);
  c.describe(SELECTOR.code3, 0xfa, FLAT32);
  c.describe(SELECTOR.data3, 0xf2, FLAT32);
  c.describe(SELECTOR.tss, 0x8b, 0, TSS, 0x67);
  c.describe(SELECTOR.ldt, 0x82, 0, LDT, 0xff);
  c.describe(SELECTOR.conforming, 0x9e, FLAT32);
  c.describe(SELECTOR.code16, 0x9a, 0, 0, 0xffff);
  c.describe(SELECTOR.data16, 0x92, 0, 0, 0xffff);
  c.describe(SELECTOR.absentData, 0x12, FLAT32);
  c.describe(SELECTOR.absentCode, 0x1a, FLAT32);
  c.describe(SELECTOR.readOnlyData, 0x90, FLAT32);
  c.describe(SELECTOR.executeOnly, 0x98, FLAT32);
  c.describe(SELECTOR.code1, 0xba, FLAT32);
  c.describe(SELECTOR.data1, 0xb2, FLAT32);
  c.put(TSS + 4, 4, STACK0, SELECTOR.data0, STACK1, SELECTOR.data1 | 1);
  c.use(7, SELECTOR.tss);
  c.use(6, SELECTOR.ldt);
  const [code, data] = cpl === 0 ? [SELECTOR.code0, SELECTOR.data0] : [SELECTOR.code3 | 3, SELECTOR.data3 | 3];
  c.use(CS, code);
  for (const number of [0, SS_SEGMENT, 3, 4, 5]) c.use(number, data);
  c.setCpl(cpl);
  c.r.setBig("rsp", BigInt(cpl === 0 ? STACK0 - 0x100 : STACK3));
  c.r.setBig("rip", 0x4000n);
  c.setEflags(0x202);
  c.updateMode();
  return c;
}

/** The same in 64-bit mode; the TSS has RSP0 and IST1. */
export function longGuest(cpl = 0): FakeContext {
  const c = protectedGuest(cpl);
  c.r.set("cr0", 0x8000_0001);
  c.r.set("efer", 0x500);
  c.describe(SELECTOR.code0, 0x9a, FLAT64);
  c.describe(SELECTOR.code3, 0xfa, FLAT64);
  c.describe(SELECTOR.conforming, 0x9e, FLAT64);
  c.use(CS, cpl === 0 ? SELECTOR.code0 : SELECTOR.code3 | 3);
  c.put(TSS, 8, 0, 0);
  c.put(TSS + 4, 8, STACK0, STACK1);
  c.put(TSS + 36, 8, 0xc000);
  c.updateMode();
  return c;
}
