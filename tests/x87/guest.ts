/** Does what recorder.c does, as a 64-bit guest on the software CPU: the same records in, the same out. */

import { Cpu, memoryPages } from "../../src/cpu/index.ts";
import { noDevices } from "../no-devices.ts";
import { MEMORY_BYTES } from "./machine.ts";
import { RECORD } from "./recorder.ts";

const RAM = 4 << 20;
const GDT = 0x1000;
const IDT = 0x2000;
const PAGE_TABLES = 0x3000;
const HANDLERS = 0x8000;
/** Where a fault's handler halts, by vector; CODE is where instructions lie, a record each 64 bytes. */
const STACK = 0xf000;
const IMAGE = 0x10000;
/** Across a page boundary, so that operands cross it too. */
export const OPERAND = 0x20000;
const CODE = 0x100000;
const CODE_BYTES = 64;
const HLT = 0xf4;

export class Guest {
  readonly cpu: Cpu;
  readonly view: DataView;

  constructor() {
    const pages = memoryPages(RAM);
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    this.cpu = new Cpu({ memory, ramSize: RAM, model: "max", ports: noDevices(), id: 0 });
    const { ram } = this.cpu;
    this.view = new DataView(ram.buffer, ram.byteOffset, ram.length);
    this.view.setBigUint64(GDT + 8, 0x00af_9b00_0000_ffffn, true);
    this.view.setBigUint64(GDT + 16, 0x00cf_9300_0000_ffffn, true);
    // 4 MiB mapped to themselves in 4 KiB pages.
    const entry = (at: number, value: number) => this.view.setBigUint64(PAGE_TABLES + at, BigInt(value), true);
    entry(0, PAGE_TABLES + 0x1003);
    entry(0x1000, PAGE_TABLES + 0x2003);
    entry(0x2000, PAGE_TABLES + 0x3003);
    entry(0x2008, PAGE_TABLES + 0x4003);
    for (let page = 0; page < 1024; page++) entry(0x3000 + 8 * page, (page << 12) | 3);
    for (let vector = 0; vector < 32; vector++) {
      const handler = HANDLERS + vector;
      ram[handler] = HLT;
      this.view.setUint16(IDT + 16 * vector, handler & 0xffff, true);
      this.view.setUint32(IDT + 16 * vector + 2, 0x8e00_0008, true);
    }
  }

  /** Unmaps or maps again the page of an address. */
  map(address: number, present: boolean): void {
    this.view.setUint8(PAGE_TABLES + 0x3000 + 8 * (address >> 12), present ? 3 : 2);
  }

  /** Runs code until a HLT; returns the vector whose handler it was, or -1. Registers as given, EFLAGS at the stack's top. */
  execute(code: readonly number[], at: number, registers: Record<string, number>, cr0 = 0x8000_0031): number {
    const { cpu } = this;
    cpu.ram.set(code, at);
    cpu.reset();
    cpu.start({
      mode: "long64",
      rip: at,
      rsp: STACK,
      registers,
      gdt: { base: GDT, limit: 0x17 },
      selectors: { cs: 8, ds: 16, es: 16, ss: 16 },
      pageTables: PAGE_TABLES,
    });
    cpu.r.setNumber("idtr.base", IDT);
    cpu.r.set("idtr.limit", 0x1ff);
    cpu.r.setPair("cr4", 0x4_0620, 0);
    cpu.r.setPair("cr0", cr0, 0);
    cpu.r.setPair("xcr0", 3, 0);
    cpu.updateMode();
    if (cpu.run(1000) !== "halted") throw new Error("the guest did not halt");
    const rip = cpu.r.getNumber("rip") - 1;
    return rip >= HANDLERS && rip < HANDLERS + 32 ? rip - HANDLERS : -1;
  }

  run(records: readonly Uint8Array[], operand = OPERAND): Uint8Array[] {
    return records.map((record, n) => {
      const view = new DataView(record.buffer, record.byteOffset, record.length);
      const { ram } = this.cpu;
      ram.set(record.subarray(24, 24 + 112), IMAGE);
      ram.set(record.subarray(24 + 112), operand);
      this.view.setBigUint64(STACK, BigInt(view.getUint32(4, true) & 0xfff), true);
      const instruction = record.subarray(8, 8 + view.getUint32(0, true));
      // FRSTOR, POPF, the instruction, PUSHF, FNSAVE, HLT.
      const code = [0xdd, 0x27, 0x9d, ...instruction, 0x9c, 0xdd, 0x37, HLT];
      const vector = this.execute(code, CODE + (n % 0x4000) * CODE_BYTES, { rax: 3, rsi: operand, rdi: IMAGE });
      if (vector >= 0) throw new Error(`exception ${vector}`);
      const out = record.slice(0, RECORD);
      const outView = new DataView(out.buffer);
      outView.setUint32(0, 0, true);
      outView.setUint32(4, this.view.getUint32(STACK, true), true);
      outView.setBigUint64(8, this.cpu.r.getBig("rax"), true);
      out.set(ram.subarray(IMAGE, IMAGE + 112), 24);
      out.set(ram.subarray(operand, operand + MEMORY_BYTES), 24 + 112);
      return out;
    });
  }
}
