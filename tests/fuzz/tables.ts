/** Random but mostly usable descriptor tables and page tables, written into an image of RAM. */
import {
  CODE,
  CODE_SIZE,
  DATA,
  DATA_SIZE,
  GDT,
  GDT_ENTRIES,
  HANDLER_SIZE,
  HANDLERS,
  IDT,
  LDT,
  PD,
  PD32,
  PDPT,
  PML4,
  PML5,
  PT,
  PT32,
  RAM_SIZE,
  SELECTOR,
  STACK0,
  TSS,
  TSS2,
} from "./layout.ts";
import type { Random } from "./random.ts";
import { selector } from "./rows.ts";

/** Descriptor image (SDM vol. 3A, 3.4.5). */
export function descriptor(access: number, flags: number, base = 0, limit = 0xf_ffff): bigint {
  const low = ((base << 16) | (limit & 0xffff)) >>> 0;
  const high =
    ((base & 0xff00_0000) | (flags << 20) | (limit & 0xf_0000) | (access << 8) | ((base >>> 16) & 0xff)) >>> 0;
  return (BigInt(high) << 32n) | BigInt(low);
}

/** A gate to `offset` (SDM vol. 3A, 5.8.3 and 6.11). */
const gate = (type: number, target: number, offset: number, parameters = 0): bigint =>
  (BigInt(((offset & 0xffff_0000) | (type << 8) | parameters) >>> 0) << 32n) |
  BigInt(((target << 16) | (offset & 0xffff)) >>> 0);

/** Vectors that lead somewhere; those above find whatever was in memory. */
const VECTORS = 64;

export class Tables {
  readonly image: Uint8Array;
  readonly #view: DataView;
  readonly #random: Random;

  constructor(image: Uint8Array, random: Random) {
    this.image = image;
    this.#view = new DataView(image.buffer, image.byteOffset, image.byteLength);
    this.#random = random;
  }

  #set(at: number, value: bigint): void {
    this.#view.setBigUint64(at, BigInt.asUintN(64, value), true);
  }
  #set32(at: number, value: number): void {
    this.#view.setUint32(at, value, true);
  }

  /** The GDT. `odd`: segments with bases, short limits and strange types. */
  gdt(long: boolean, odd: boolean): void {
    const random = this.#random;
    const base = () => (odd && random.once(3) ? random.below(RAM_SIZE) & (random.once(2) ? ~0 : ~15) : 0);
    const limit = () => (odd && random.once(3) ? random.below(0x10_0000) : 0xf_ffff);
    const big = () => (odd && random.once(3) ? random.below(16) : 0xc);
    const fixed: [number, bigint][] = [
      [SELECTOR.code64, descriptor(0x9b, 0xa)],
      [SELECTOR.data, descriptor(0x93, big(), base(), limit())],
      [SELECTOR.code32User, descriptor(0xfb, 0xc, base(), limit())],
      [SELECTOR.dataUser, descriptor(0xf3, big(), base(), limit())],
      [SELECTOR.code64User, descriptor(0xfb, 0xa)],
      [SELECTOR.code32, descriptor(0x9b, 0xc, base(), limit())],
      [SELECTOR.code16, descriptor(0x9b, 0x0, base(), 0xffff)],
      [SELECTOR.data16, descriptor(0x93, 0x0, base(), 0xffff)],
      [SELECTOR.tss, descriptor(random.once(8) ? 0x89 : 0x8b, 0, TSS, random.once(8) ? random.below(0x200) : 0x1ff)],
      [SELECTOR.tss + 1, 0n],
      [SELECTOR.ldt, descriptor(0x82, 0, LDT, 0x7f)],
      [SELECTOR.ldt + 1, 0n],
      [SELECTOR.tss2, descriptor(random.pick([0x89, 0x8b, 0xe9]), 0, TSS2, 0x67)],
      [SELECTOR.tss16, descriptor(random.pick([0x81, 0x83, 0xe1]), 0, TSS2 + 0x80, 0x2b)],
      [
        SELECTOR.callGate,
        gate(random.pick([0xec, 0xe4, 0x8c]), this.#target(long), CODE + random.below(256), random.below(32)),
      ],
      [SELECTOR.callGate64, gate(0xec, SELECTOR.code64 << 3, CODE + random.below(256))],
      [SELECTOR.callGate64 + 1, 0n],
      [SELECTOR.taskGate, gate(0xe5, random.pick([SELECTOR.tss2, SELECTOR.tss16, SELECTOR.tss]) << 3, 0)],
      [SELECTOR.conforming, descriptor(0x9f, long ? 0xa : 0xc)],
    ];
    for (let i = 0; i < GDT_ENTRIES; i++) {
      this.#set(GDT + 8 * i, random.big());
      // Half of the others are present at least.
      if (random.once(2)) this.image[GDT + 8 * i + 5]! |= 0x80;
    }
    this.#set(GDT, 0n);
    for (const [index, value] of fixed) this.#set(GDT + 8 * index, value);
    for (let i = 0; i < 16; i++)
      this.#set(LDT + 8 * i, descriptor(random.below(256), random.below(16), base(), limit()));
  }

  #target(long: boolean): number {
    const { code64, code32, code16, conforming } = SELECTOR;
    return (long ? code64 : this.#random.pick([code32, code32, code32, code16, conforming])) << 3;
  }

  /** Interrupt descriptors for every vector, and handlers that go on one byte after the fault. */
  idt(mode: "real" | "protected" | "long"): void {
    const random = this.#random;
    const long = mode === "long";
    for (let vector = 0; vector < VECTORS; vector++) {
      const offset = HANDLERS + (vector & 31) * HANDLER_SIZE;
      if (mode === "real") {
        this.#set32(4 * vector, ((HANDLERS >> 4) << 16) | ((vector & 31) * HANDLER_SIZE));
        continue;
      }
      const dpl = random.once(2) ? 0xe0 : 0x80;
      const strange = random.once(24);
      const type = strange ? random.below(256) : dpl | random.pick([14, 14, 15]);
      const code = random.once(48)
        ? selector(random)
        : long || !random.once(32)
          ? (long ? SELECTOR.code64 : SELECTOR.code32) << 3
          : this.#target(false);
      const at = IDT + vector * (long ? 16 : 8);
      if (!long && random.once(64)) this.#set(at, gate(0xe5, SELECTOR.taskGate << 3, 0));
      else this.#set(at, gate(type, code, offset, long && random.once(8) ? random.below(8) : 0));
      if (long) this.#set(at + 8, 0n);
    }
    for (let vector = 0; vector < 32; vector++) this.#handler(vector, mode);
  }

  #handler(vector: number, mode: "real" | "protected" | "long"): void {
    const random = this.#random;
    const at = HANDLERS + vector * HANDLER_SIZE;
    const hasError = mode !== "real" && [8, 10, 11, 12, 13, 14, 17].includes(vector);
    let code: number[];
    if (random.once(64)) code = Array.from({ length: HANDLER_SIZE }, () => random.next() & 0xff);
    else if (random.once(48)) code = [0xf4];
    // Push BP; its saved IP is one up; back.
    else if (mode === "real") code = [0x55, 0x89, 0xe5, 0xff, 0x46, 0x02, 0x5d, 0xcf];
    else if (mode === "protected") code = [...(hasError ? [0x83, 0xc4, 0x04] : []), 0xff, 0x04, 0x24, 0xcf];
    else code = [...(hasError ? [0x48, 0x83, 0xc4, 0x08] : []), 0x48, 0xff, 0x04, 0x24, 0x48, 0xcf];
    this.image.fill(0xf4, at, at + HANDLER_SIZE);
    this.image.set(code, at);
  }

  tss(long: boolean): void {
    const random = this.#random;
    this.image.fill(0, TSS, TSS + 0x200);
    if (long) for (let i = 0; i < 10; i++) this.#set(TSS + 4 + 8 * i, BigInt(STACK0 - 0x200 * (i & 3)));
    else {
      for (let i = 0; i < 3; i++) {
        this.#set32(TSS + 4 + 8 * i, STACK0 - 0x200 * i);
        this.#set32(TSS + 8 + 8 * i, (SELECTOR.data << 3) | i);
      }
    }
    this.#set32(TSS + 0x64, random.once(4) ? random.next() : 0x68 << 16);
    random.fill(this.image, TSS + 0x68, TSS + 0x1ff);
    if (random.once(2)) this.image.fill(0, TSS + 0x68, TSS + 0x200);
    // A second task: 32-bit, with a 16-bit one behind it.
    for (let at = TSS2; at < TSS2 + 0x100; at += 4)
      this.#set32(at, random.once(2) ? random.below(RAM_SIZE) : random.next());
    const set = (at: number, value: number) => this.#set32(TSS2 + at, value);
    if (random.once(8)) return;
    set(0x1c, random.once(4) ? PD32 : PDPT);
    set(0x20, CODE + random.below(CODE_SIZE));
    set(0x24, random.next() & 0x3_7fd7 & ~(random.once(8) ? 0 : 0x2_0000));
    set(0x38, STACK0);
    const { data, code32 } = SELECTOR;
    for (const [i, index] of [data, code32, data, data, 0, 0].entries()) set(0x48 + 4 * i, index << 3);
    set(0x60, random.once(2) ? 0 : SELECTOR.ldt << 3);
    set(0x64, random.next() & 1);
  }

  /** All page tables at once: 32-bit ones in their own place, PAE and long ones share theirs. */
  paging(long: boolean, user: boolean): void {
    const random = this.#random;
    const flags = user ? 7 : 3;
    const table = (at: number, from: number, to: number) => {
      this.image.fill(0, at, at + 0x1000);
      this.#set(at, BigInt(to | 7));
      if (from >= 0) this.#set(at + 8 * from, BigInt(to | 7));
    };
    table(PML5, 256, PML4);
    table(PML4, 256, PDPT);
    if (long) {
      this.image.fill(0, PDPT, PDPT + 0x1000);
      this.#set(PDPT, BigInt(PD | 7));
      // One-GiB pages up to the device area.
      if (random.once(2))
        for (let i = 1; i < 4; i++) this.#set(PDPT + 8 * i, (BigInt(i) << 30n) | BigInt(0x80 | flags));
    } else {
      this.image.fill(0, PDPT, PDPT + 0x1000);
      this.#set(PDPT, BigInt(PD | 1));
    }
    this.image.fill(0, PD, PD + 0x1000);
    this.#set(PD, random.once(3) ? BigInt(0x80 | flags) : BigInt(PT | 7));
    for (let i = 1; i < 8; i++)
      this.#set(PD + 8 * i, random.once(2) ? BigInt(PT | 7) : (BigInt(i) << 21n) | BigInt(0x80 | flags));
    this.image.fill(0, PD32, PD32 + 0x1000);
    this.#set32(PD32, random.once(3) ? 0x80 | flags : PT32 | 7);
    for (let i = 1; i < 8; i++) this.#set32(PD32 + 4 * i, random.once(2) ? PT32 | 7 : random.next());
    this.image.fill(0, PT, PT + 0x1000);
    this.image.fill(0, PT32, PT32 + 0x1000);
    const hostile = !random.once(3);
    for (let page = 0; page < RAM_SIZE >> 12; page++) {
      let entry = (page << 12) | flags | (random.next() & 0x160);
      let high = 0;
      const inCode = page >= CODE >> 12 && page < (CODE + CODE_SIZE) >> 12;
      const inData = page >= DATA >> 12 && page < (DATA + DATA_SIZE) >> 12;
      if (hostile && (inData || inCode) && random.once(inCode ? 24 : 6)) {
        const kind = random.below(7);
        if (kind === 0) entry &= ~1;
        else if (kind === 1) entry &= ~2;
        else if (kind === 2) entry ^= 4;
        else if (kind === 3) high = 0x8000_0000;
        else if (kind === 4) entry = CODE | (random.below(3) << 12) | flags;
        else if (kind === 5) high = random.next();
        else entry = random.next();
      }
      this.#set(PT + 8 * page, (BigInt(high) << 32n) | BigInt(entry >>> 0));
      this.#set32(PT32 + 4 * page, entry);
    }
  }
}
