/** Runs records (layout.ts) on the software CPU as the recorder runs them on the host's: in user mode, under an operating system's tables. */
import { type Cpu, memoryPages } from "../../src/cpu/index.ts";
import { STATE_BASE } from "../../src/cpu/memory-map.ts";
import { GPR_NAMES, offsetOf } from "../../src/cpu/state.ts";
import { createCpu, ENGINE } from "../lockstep/engines.ts";
import { noDevices } from "../no-devices.ts";
import {
  CODE_16,
  CODE_BYTES,
  DATA_16,
  FX,
  LDT,
  PAGE,
  PLACES,
  RECORD,
  readOnlyByte,
  SELECTOR_NAMES,
  STACK_WINDOW_BYTES,
  USER_CODE_32,
  USER_CODE_64,
  USER_DATA,
  WINDOW_BYTES,
} from "./layout.ts";

const RAM = 0x12_0000;
/** Supervisor pages, physical; they are mapped in the upper half, so that user mode finds nothing where the host has nothing. */
const GDT = 0x1000;
const IDT = 0x2000;
const HANDLERS = 0x3000;
const TSS = 0x4000;
const KERNEL_STACK = 0x6000;
const LDT_AT = 0x7000;
const PAGE_TABLES = 0x8000;
const UPPER = 0xffff_8000_0000_0000n;
const HLT = 0xf4;
const INT3 = 0xcc;
const NO_EXECUTE = 1n << 63n;
const PRESENT = 1n;
const WRITABLE = 2n;
const USER = 4n;

/** Descriptors of Linux on x86-64, by index; the rest is empty. */
const DESCRIPTORS: Readonly<Record<number, bigint>> = {
  1: 0x00cf_9b00_0000_ffffn,
  2: 0x00af_9b00_0000_ffffn,
  3: 0x00cf_9300_0000_ffffn,
  4: 0x00cf_fb00_0000_ffffn,
  5: 0x00cf_f300_0000_ffffn,
  6: 0x00af_fb00_0000_ffffn,
};
const GDT_LIMIT = 0x7f;
/** INT3 and INTO are for user mode too. */
const USER_GATES = new Set([3, 4]);
const VECTORS = 256;
const WITH_ERROR_CODE = new Set([8, 10, 11, 12, 13, 14, 17, 21]);

const NUMBERS: Record<string, number> = { es: 0, cs: 1, ss: 2, ds: 3, fs: 4, gs: 5 };
/** The segments that a run may start with. */
const SEGMENTS: Readonly<Record<number, { readonly attributes: number; readonly start: number }>> = {
  0: { attributes: 0x1_0000, start: 0 },
  [USER_CODE_64]: { attributes: 0xa0fb, start: 0 },
  [USER_CODE_32]: { attributes: 0xc0fb, start: 0 },
  [USER_DATA]: { attributes: 0xc0f3, start: 0 },
  [CODE_16]: { attributes: 0x00fb, start: PLACES.CODE },
  [DATA_16]: { attributes: 0x00f3, start: PLACES.DATA },
};
/** XMM registers are 32 bytes apart, x87 ones 16. */
const YMM_STRIDE = 32;
const FPR_STRIDE = 16;

/** Where a compiling engine begins: a jump to the instruction. No instruction's target lies there. */
const JUMP = PLACES.CODE + 0x100;
const TF = 0x100;
const littleEndian = (value: number) => [0, 8, 16, 24].map((shift) => (value >> shift) & 0xff);
/** 16-bit code is not compiled, and a single step would stop at the jump. */
function mayJump(record: Uint8Array): boolean {
  const view = new DataView(record.buffer, record.byteOffset);
  const cs = view.getUint16(RECORD.SELECTORS + 2 * SELECTOR_NAMES.indexOf("cs"), true);
  return cs !== CODE_16 && (view.getUint32(RECORD.RFLAGS, true) & TF) === 0;
}

export class Processor {
  readonly #cpu: Cpu;
  readonly #bytes: Uint8Array;

  constructor() {
    const pages = memoryPages(RAM);
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    this.#cpu = createCpu({ memory, ramSize: RAM, model: "max", ports: noDevices(), id: 0 });
    const cpu = this.#cpu;
    const { ram, r } = cpu;
    this.#bytes = new Uint8Array(memory.buffer, STATE_BASE);
    this.#tables(new DataView(ram.buffer, ram.byteOffset, ram.length));
    cpu.start({
      mode: "long64",
      rip: 0,
      registers: {},
      gdt: { base: 0, limit: GDT_LIMIT },
      selectors: {},
      pageTables: PAGE_TABLES,
    });
    r.setBig("gdtr.base", UPPER + BigInt(GDT));
    r.setBig("idtr.base", UPPER + BigInt(IDT));
    r.set("idtr.limit", 16 * VECTORS - 1);
    cpu.setSegment(7, { selector: 0x40, attributes: 0x8b, limit: 0x67, base: UPPER + BigInt(TSS) });
    cpu.setSegment(6, { selector: 0x50, attributes: 0x82, limit: 15, base: UPPER + BigInt(LDT_AT) });
    // PAE, PGE, OSFXSR, OSXMMEXCPT, UMIP, FSGSBASE, OSXSAVE; PG, AM, WP, NE, ET, MP, PE; NXE, LMA, LME, SCE.
    r.setPair("cr4", 0x5_0ea0, 0);
    r.setPair("cr0", 0x8005_0033, 0);
    r.setPair("efer", 0xd01, 0);
    r.setPair("xcr0", 7, 0);
    cpu.updateMode();
    cpu.flushTlb(true);
  }

  #tables(view: DataView): void {
    const big = (at: number, value: bigint) => view.setBigUint64(at, value, true);
    for (const [index, value] of Object.entries(DESCRIPTORS)) big(GDT + 8 * Number(index), value);
    big(LDT_AT, LDT.CODE_16);
    big(LDT_AT + 8, LDT.DATA_16);
    for (let vector = 0; vector < VECTORS; vector++) {
      const handler = UPPER + BigInt(HANDLERS + vector);
      view.setUint8(HANDLERS + vector, HLT);
      const gate = USER_GATES.has(vector) ? 0xeen : 0x8en;
      big(
        IDT + 16 * vector,
        (handler & 0xffffn) | (0x10n << 16n) | (gate << 40n) | (((handler >> 16n) & 0xffffn) << 48n),
      );
      big(IDT + 16 * vector + 8, handler >> 32n);
    }
    big(TSS + 4, UPPER + BigInt(KERNEL_STACK));
    // No I/O permission bitmap.
    view.setUint16(TSS + 0x66, 0xffff, true);
    const table = (n: number) => BigInt(PAGE_TABLES + PAGE * n);
    const at = (n: number, entry: number) => PAGE_TABLES + PAGE * n + 8 * entry;
    big(at(0, 0), table(1) | PRESENT | WRITABLE | USER);
    big(at(1, 0), table(2) | PRESENT | WRITABLE | USER);
    big(at(2, 0), table(3) | PRESENT | WRITABLE | USER);
    const page = (address: number, flags: bigint) =>
      big(at(3, address / PAGE), BigInt(address) | PRESENT | USER | flags);
    page(PLACES.CODE, WRITABLE);
    page(PLACES.DATA, WRITABLE | NO_EXECUTE);
    page(PLACES.DATA + PAGE, WRITABLE | NO_EXECUTE);
    page(PLACES.READ_ONLY, NO_EXECUTE);
    page(PLACES.STACK, WRITABLE | NO_EXECUTE);
    big(at(0, 256), table(4) | PRESENT | WRITABLE);
    big(at(4, 0), table(5) | PRESENT | WRITABLE);
    // The first 2 MiB as one page.
    big(at(5, 0), 0x80n | PRESENT | WRITABLE);
    for (let i = 0; i < PAGE; i++) view.setUint8(PLACES.READ_ONLY + i, readOnlyByte(i));
  }

  /** Runs one record; returns the state it ended in. */
  run(record: Uint8Array): Uint8Array {
    const fresh = this.#code(record.subarray(RECORD.CODE_PART, RECORD.CODE_PART + CODE_BYTES));
    if (ENGINE.jit === false || !mayJump(record)) return this.#once(record, PLACES.INSTRUCTION);
    // What a jump leads to is compiled, if it was decoded before: the third time it runs compiled.
    if (fresh) {
      this.#once(record, PLACES.INSTRUCTION);
      this.#once(record, JUMP);
    }
    return this.#once(record, JUMP);
  }

  #once(record: Uint8Array, from: number): Uint8Array {
    const view = new DataView(record.buffer, record.byteOffset, record.length);
    const { ram, r } = this.#cpu;
    ram.fill(0, PLACES.DATA, PLACES.DATA + 2 * PAGE);
    ram.set(record.subarray(RECORD.DATA_WINDOW, RECORD.DATA_WINDOW + WINDOW_BYTES), PLACES.WINDOW);
    ram.fill(0, PLACES.STACK, PLACES.STACK + PAGE);
    ram.set(record.subarray(RECORD.STACK_PART, RECORD.STACK_PART + STACK_WINDOW_BYTES), PLACES.STACK_WINDOW);
    this.#load(record, view);
    r.setBig("rip", r.getBig("rip") + BigInt(from - PLACES.INSTRUCTION));
    const outcome = this.#cpu.run(10_000);
    const out = record.slice();
    if (outcome === "halted") this.#store(out, new DataView(out.buffer));
    else out.fill(0xff, RECORD.VECTOR, RECORD.VECTOR + 8);
    r.set("activity", 0);
    return out;
  }

  /** Puts an instruction where it is run; what was decoded of another goes. False where it is there already. */
  #code(code: Uint8Array): boolean {
    const { ram } = this.#cpu;
    const at = PLACES.INSTRUCTION;
    if (ram[PLACES.CODE] === INT3 && code.every((byte, i) => ram[at + i] === byte)) return false;
    ram.fill(INT3, PLACES.CODE, PLACES.CODE + PAGE);
    ram.set(code, at);
    if (ENGINE.jit !== false) ram.set([0xe9, ...littleEndian(PLACES.INSTRUCTION - JUMP - 5)], JUMP);
    this.#cpu.code.flush();
    return true;
  }

  #load(record: Uint8Array, view: DataView): void {
    const cpu = this.#cpu;
    const { r } = cpu;
    this.#bytes.set(record.subarray(RECORD.GPR, RECORD.GPR + 128), offsetOf(GPR_NAMES[0]!));
    r.setBig("rip", view.getBigUint64(RECORD.RIP, true));
    SELECTOR_NAMES.forEach((name, i) => {
      const selector = view.getUint16(RECORD.SELECTORS + 2 * i, true);
      const base = name === "fs" ? RECORD.FS_BASE : name === "gs" ? RECORD.GS_BASE : undefined;
      const { attributes, start } = SEGMENTS[selector]!;
      cpu.setSegment(NUMBERS[name]!, {
        selector,
        attributes,
        limit: selector === 0 ? 0 : start ? 0xffff : 0xffff_ffff,
        base: base === undefined ? BigInt(start) : view.getBigUint64(base, true),
      });
    });
    cpu.setCpl(3);
    cpu.setEflags(view.getUint32(RECORD.RFLAGS, true));
    this.#loadFloat(record, view);
    r.set("faultVector", -1);
    r.set("shadow", 0);
    cpu.updateMode();
  }

  #loadFloat(record: Uint8Array, view: DataView): void {
    const { r } = this.#cpu;
    const fx = RECORD.FX;
    const status = view.getUint16(fx + FX.FSW, true);
    const top = (status >> 11) & 7;
    r.set("fcw", view.getUint16(fx + FX.FCW, true));
    r.set("fsw", status & ~0x3800);
    r.set("ftop", top);
    r.set("fempty", ~view.getUint8(fx + FX.FTW) & 0xff);
    r.set("mxcsr", view.getUint32(fx + FX.MXCSR, true));
    r.set("fop", view.getUint16(fx + FX.FOP, true));
    r.setBig("fip", view.getBigUint64(fx + FX.FIP, true));
    r.setBig("fdp", view.getBigUint64(fx + FX.FDP, true));
    r.set("fcs", 0);
    r.set("fds", 0);
    for (let i = 0; i < 8; i++) {
      const from = fx + FX.ST + 16 * i;
      this.#bytes.set(record.subarray(from, from + 10), offsetOf("fpr0") + FPR_STRIDE * ((top + i) & 7));
    }
    for (let i = 0; i < 16; i++) {
      const from = fx + FX.XMM + 16 * i;
      const upper = RECORD.YMM + 16 * i;
      this.#bytes.set(record.subarray(from, from + 16), offsetOf("ymm0") + YMM_STRIDE * i);
      this.#bytes.set(record.subarray(upper, upper + 16), offsetOf("ymm0") + YMM_STRIDE * i + 16);
    }
  }

  #store(out: Uint8Array, view: DataView): void {
    const { ram, r } = this.#cpu;
    const vector = Number(r.getBig("rip") & 0xfffn) - 1;
    const stack = Number(r.getBig("rsp") - UPPER);
    const kernel = new DataView(ram.buffer, ram.byteOffset);
    const withError = WITH_ERROR_CODE.has(vector);
    const frame = stack + (withError ? 8 : 0);
    out.set(this.#bytes.subarray(offsetOf("rax"), offsetOf("rax") + 128), RECORD.GPR);
    view.setBigUint64(RECORD.RIP, kernel.getBigUint64(frame, true), true);
    view.setBigUint64(RECORD.RFLAGS, kernel.getBigUint64(frame + 16, true), true);
    view.setBigUint64(RECORD.GPR + 32, kernel.getBigUint64(frame + 24, true), true);
    SELECTOR_NAMES.forEach((name, i) => {
      view.setUint16(RECORD.SELECTORS + 2 * i, r.get(`${name}.selector`), true);
    });
    view.setUint16(RECORD.SELECTORS, kernel.getUint16(frame + 8, true), true);
    view.setUint16(RECORD.SELECTORS + 6, kernel.getUint16(frame + 32, true), true);
    view.setBigUint64(RECORD.FS_BASE, r.getBig("fs.base"), true);
    view.setBigUint64(RECORD.GS_BASE, r.getBig("gs.base"), true);
    view.setUint32(RECORD.VECTOR, vector, true);
    view.setUint32(RECORD.ERROR, withError ? kernel.getUint32(stack, true) : 0, true);
    view.setBigUint64(RECORD.CR2, vector === 14 ? r.getBig("cr2") : 0n, true);
    this.#storeFloat(out, view);
    out.set(ram.subarray(PLACES.WINDOW, PLACES.WINDOW + WINDOW_BYTES), RECORD.DATA_WINDOW);
    out.set(ram.subarray(PLACES.STACK_WINDOW, PLACES.STACK_WINDOW + STACK_WINDOW_BYTES), RECORD.STACK_PART);
  }

  #storeFloat(out: Uint8Array, view: DataView): void {
    const { r } = this.#cpu;
    const fx = RECORD.FX;
    const top = r.get("ftop");
    view.setUint16(fx + FX.FCW, r.get("fcw"), true);
    view.setUint16(fx + FX.FSW, r.get("fsw") | (top << 11), true);
    view.setUint8(fx + FX.FTW, ~r.get("fempty") & 0xff);
    view.setUint32(fx + FX.MXCSR, r.get("mxcsr"), true);
    view.setUint16(fx + FX.FOP, r.get("fop"), true);
    view.setBigUint64(fx + FX.FIP, r.getBig("fip"), true);
    view.setBigUint64(fx + FX.FDP, r.getBig("fdp"), true);
    for (let i = 0; i < 8; i++) {
      const from = offsetOf("fpr0") + FPR_STRIDE * ((top + i) & 7);
      out.set(this.#bytes.subarray(from, from + 10), fx + FX.ST + 16 * i);
    }
    for (let i = 0; i < 16; i++) {
      const from = offsetOf("ymm0") + YMM_STRIDE * i;
      out.set(this.#bytes.subarray(from, from + 16), fx + FX.XMM + 16 * i);
      out.set(this.#bytes.subarray(from + 16, from + 32), RECORD.YMM + 16 * i);
    }
  }
}
