/**
 * A small guest on the software CPU, to watch traps from outside: all of its exception handlers are HLT and IRET, and where one halts
 * the test reads (and may change) the frame that was pushed. Memory is mapped to itself in 4 KiB pages.
 */

import type { Instruments } from "../../src/cpu/cpu.ts";
import { type Cpu, type CpuModel, type CpuPorts, memoryPages } from "../../src/cpu/index.ts";
import type { Engine } from "../lockstep/engine-list.ts";
import { createCpu, ENGINE } from "../lockstep/engines.ts";

const RAM = 2 << 20;
const PAGE = 4096;
const GDT = 0x1000;
const IDT = 0x2000;
const TSS = 0x3000;
export const PAGE_TABLES = 0x4000;
/** Last level: the entry of page n at PAGE_ENTRIES + 8 n. */
export const PAGE_ENTRIES = PAGE_TABLES + 3 * PAGE;
const HANDLERS = 0x9000;
const HANDLER_BYTES = 4;
export const CODE = 0x1_0000;
export const DATA = 0x2_0000;
export const STACK = 0x3_0000;
const KERNEL_STACK = 0x4_0000;

/** Selectors, in the order SYSRET wants them. A TSS descriptor has 16 bytes in long mode. */
export const CS0 = 0x08;
export const SS0 = 0x10;
export const SS3 = 0x1b;
export const CS3 = 0x23;
const TR = 0x28;
const HLT = 0xf4;
const VECTORS = 256;
const USER_PAGE = 7;
const WITH_ERROR_CODE = new Set([8, 10, 11, 12, 13, 14, 17, 21]);

const PRESENT_CODE = 0x9b;
const PRESENT_DATA = 0x93;
const DPL3 = 0x60;

export interface Trap {
  readonly vector: number;
  /** 0 where the vector pushes none. */
  readonly error: number;
  readonly rip: number;
  readonly eflags: number;
  readonly dr6: number;
}

export interface GuestOptions {
  readonly mode?: "flat32" | "long64";
  readonly model?: CpuModel;
  readonly cpl?: 0 | 3;
  /** Instead of the one of this run. */
  readonly engine?: Engine;
  /** Low half of IA32_APIC_BASE. */
  readonly apicBase?: number;
  /** Looks on from between the vCPU and its generated code. */
  readonly instruments?: Instruments;
}

/** Bytes, nested as one likes. */
export type Bytes = (number | Bytes)[];
export const bytes = (list: Bytes): number[] => list.flatMap((one) => (typeof one === "number" ? one : bytes(one)));
/** A value in little-endian order. */
export const imm = (value: number | bigint, size = 4): number[] =>
  Array.from({ length: size }, (_, i) => Number((BigInt(value) >> BigInt(8 * i)) & 0xffn));

export class Guest {
  readonly cpu: Cpu;
  readonly view: DataView;
  readonly traps: Trap[] = [];
  /** Called with each trap, while the handler stands still. */
  onTrap: (trap: Trap) => void = () => undefined;
  /** Called with each port write. */
  onOut: () => void = () => undefined;
  /** Vector that waits at the local APIC, and whether an NMI does. */
  interrupt = -1;
  nmi = false;
  readonly apicBase: number;
  /** Port and memory accesses: what they say and answer. */
  readonly log: string[] = [];
  readonly #wide: boolean;

  constructor(options: GuestOptions = {}) {
    const { mode = "long64", model = "max", cpl = 0, engine = ENGINE } = options;
    this.apicBase = options.apicBase ?? 0xfee0_0900;
    this.#wide = mode === "long64";
    const pages = memoryPages(RAM);
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    const { instruments } = options;
    const watched = instruments && { instruments };
    this.cpu = createCpu({ memory, ramSize: RAM, model, ports: this.#ports(), id: 0, ...watched }, engine);
    const { ram } = this.cpu;
    this.view = new DataView(ram.buffer, ram.byteOffset, ram.length);
    this.#tables();
    const registers = { rax: 0 };
    const selectors = { cs: CS0, ss: SS0, ds: SS0, es: SS0, fs: SS0, gs: SS0, tr: TR };
    const gdt = { base: GDT, limit: 0x3f };
    this.cpu.start({ mode, rip: CODE, rsp: STACK, registers, gdt, selectors, pageTables: PAGE_TABLES });
    const { r } = this.cpu;
    r.setNumber("idtr.base", IDT);
    r.set("idtr.limit", 0xfff);
    this.cpu.setSegment(7, { selector: TR, attributes: 0x8b, limit: 0x67, base: BigInt(TSS) });
    if (cpl === 3) this.#enterUser();
    this.cpu.updateMode();
  }

  #enterUser(): void {
    const { cpu } = this;
    const code = (this.#wide ? 0xa000 : 0xc000) | PRESENT_CODE | DPL3;
    cpu.setSegment(1, { selector: CS3, attributes: code, limit: 0xffff_ffff, base: 0n });
    for (const number of [0, 2, 3, 4, 5]) {
      cpu.setSegment(number, { selector: SS3, attributes: 0xc000 | PRESENT_DATA | DPL3, limit: 0xffff_ffff, base: 0n });
    }
    cpu.setCpl(3);
  }

  #tables(): void {
    const code = this.#wide ? 0x00af_0000_0000_ffffn : 0x00cf_0000_0000_ffffn;
    const data = 0x00cf_0000_0000_ffffn;
    const descriptor = (base: bigint, access: number) => base | (BigInt(access) << 40n);
    const gdt = [
      descriptor(code, PRESENT_CODE),
      descriptor(data, PRESENT_DATA),
      descriptor(data, PRESENT_DATA | DPL3),
      descriptor(code, PRESENT_CODE | DPL3),
      (0x8bn << 40n) | (BigInt(TSS) << 16n) | 0x67n,
      0n,
    ];
    gdt.forEach((value, i) => {
      this.view.setBigUint64(GDT + 8 * (i + 1), value, true);
    });
    // The stack of CPL 0: RSP0, or ESP0 and SS0.
    this.view.setUint32(TSS + 4, KERNEL_STACK, true);
    if (!this.#wide) this.view.setUint32(TSS + 8, SS0, true);
    for (let level = 0; level < 3; level++) {
      this.view.setUint32(PAGE_TABLES + level * PAGE, PAGE_TABLES + (level + 1) * PAGE + USER_PAGE, true);
    }
    for (let page = 0; page < RAM / PAGE; page++) this.mapPage(page * PAGE, page * PAGE + USER_PAGE);
    for (let vector = 0; vector < VECTORS; vector++) {
      const handler = HANDLERS + vector * HANDLER_BYTES;
      this.cpu.ram.set(this.#wide ? [HLT, 0x48, 0xcf] : [HLT, 0xcf], handler);
      const gate = IDT + vector * (this.#wide ? 16 : 8);
      this.view.setUint32(gate, (CS0 << 16) | handler, true);
      this.view.setUint32(gate + 4, 0xee00, true);
    }
  }

  /** Sets the last-level entry of a page; what the TLB knows of it stays. */
  mapPage(linear: number, entry: number | bigint): void {
    this.view.setBigUint64(PAGE_ENTRIES + (linear / PAGE) * 8, BigInt(entry), true);
  }

  get(name: string): number {
    return this.cpu.r.getNumber(name);
  }
  set(name: string, value: number | bigint): void {
    this.cpu.r.setBig(name, BigInt.asUintN(64, BigInt(value)));
  }
  /** Adds bits to EFLAGS, as they are between instructions. */
  addFlags(flags: number): void {
    this.cpu.setEflags(this.cpu.getEflags() | flags);
    this.cpu.updateMode();
  }

  /** Runs code at CODE to its HLT at CPL 0. Returns the traps on the way: "vector(error)@offset in the code". */
  run(...code: Bytes): string[] {
    this.load(CODE, [code, HLT]);
    return this.go();
  }
  load(at: number, code: Bytes): void {
    this.cpu.ram.set(bytes(code), at);
  }
  /** Goes on until a HLT that is no handler's, a shutdown, or too many traps. */
  go(): string[] {
    const { cpu } = this;
    const before = this.traps.length;
    for (let i = 0; i < 100; i++) {
      const outcome = cpu.run(10_000);
      if (outcome === "shutdown") return [...this.said(before), "shutdown"];
      if (outcome === "running") return [...this.said(before), "runs on"];
      const handler = this.get("rip") - 1 - HANDLERS;
      if (handler < 0 || handler >= VECTORS * HANDLER_BYTES) return this.said(before);
      this.#trapped(handler / HANDLER_BYTES);
    }
    return [...this.said(before), "traps on"];
  }
  said(from: number): string[] {
    return this.traps
      .slice(from)
      .map(({ vector, error, rip }) => `${vector}${WITH_ERROR_CODE.has(vector) ? `(${error})` : ""}@${rip - CODE}`);
  }

  /** Address of the word in the frame of the handler that stands still: 0 RIP, 1 CS, 2 EFLAGS, 3 RSP, 4 SS. */
  frame(word: number): number {
    return this.get("rsp") + word * (this.#wide ? 8 : 4);
  }

  #trapped(vector: number): void {
    const { cpu, view } = this;
    let error = 0;
    if (WITH_ERROR_CODE.has(vector)) {
      error = view.getUint32(this.get("rsp"), true);
      this.set("rsp", this.frame(1));
    }
    const rip = view.getUint32(this.frame(0), true);
    const trap = { vector, error, rip, eflags: view.getUint32(this.frame(2), true), dr6: this.get("dr6") };
    this.traps.push(trap);
    this.onTrap(trap);
    cpu.r.set("activity", 0);
  }

  #ports(): CpuPorts {
    const { log } = this;
    return {
      portRead: (port, size) => {
        log.push(`in ${port.toString(16)} ${size}`);
        return 0x55;
      },
      portWrite: (port, size, value) => {
        log.push(`out ${port.toString(16)} ${size} ${value.toString(16)}`);
        this.onOut();
      },
      mmioRead: (gpa, size) => {
        log.push(`read ${gpa.toString(16)} ${size}`);
        return 0x4433_2211;
      },
      mmioWrite: (gpa, size, value) => void log.push(`write ${gpa.toString(16)} ${size} ${value.toString(16)}`),
      tsc: () => 1000,
      wallTime: () => 0,
      random: () => undefined,
      apic: {
        pending: () => this.interrupt,
        acknowledge: () => {
          const vector = this.interrupt;
          this.interrupt = -1;
          return vector;
        },
        takeNmi: () => {
          const taken = this.nmi;
          this.nmi = false;
          return taken;
        },
        readMsr: () => -1,
        readMsrHigh: () => 0,
        writeMsr: () => false,
        apicBaseLow: this.apicBase,
        apicBaseHigh: 0,
        writeApicBase: () => true,
        cr8: 0,
        tscDeadline: 0,
        setTscDeadline: () => undefined,
      },
    };
  }
}
