/**
 * Samples, on the machine's side: copies what can be told of a moment only while the vCPU rests in it, as quickly as it can. What it means
 * is found out by whoever watches, on a thread of its own: registers, the task's number and name, the stacks from their tops on.
 */
import { type Gpa, type Gva, gpa, gva } from "../../base/index.ts";
import { WORK } from "../../cpu/host-work.ts";
import type { Cpu } from "../../cpu/index.ts";
import { STATE_BASE } from "../../cpu/memory-map.ts";
import { type SamplingPorts, TICK } from "../../cpu/sampling.ts";
import { offsetOf } from "../../cpu/state.ts";
import { AddressSpace, PAGE_SIZE, PhysicalMemory } from "../../guest/memory.ts";
import { COMM_SIZE, RAW_PIECE, RAW_SAMPLE, type SampleArea } from "./area.ts";

/** THREAD_SIZE with all that has ever been configured: no kernel stack is longer. */
const KERNEL_STACK = 32 * 1024;
/** Of a stack that another one was switched to from: what lies at its end, the registers of the user's code among it. */
const OTHER_STACK = 4096;
/** Most of a user stack that is copied. */
export const MOST_USER_STACK = 64 * 1024;
/** Below a user stack: what a function has just popped is where its call frame information still says it is. */
const RED_ZONE = 128;
/** From the end of a task's stack back (x86 struct pt_regs): SS, RSP, EFLAGS, CS. */
const SAVED_RSP = -16;
const SAVED_CS = -32;
const CR4_LA57 = 1 << 12;
const USER = 3;
const MOST = RAW_SAMPLE.size + KERNEL_STACK + OTHER_STACK + MOST_USER_STACK + 3 * RAW_PIECE.size + 64;

const at = RAW_SAMPLE.offsets;
const wordOf = (field: string): number => (STATE_BASE + offsetOf(field)) >> 2;
const FROM = {
  cpl: wordOf("cpl"),
  codeBits: wordOf("codeBits"),
  cr3: wordOf("cr3"),
  cr4: wordOf("cr4"),
  gpr: wordOf("rax"),
  rsp: wordOf("rsp"),
  rip: wordOf("rip"),
  gsBase: wordOf("gs.base"),
  kernelGsBase: wordOf("kernelGsBase"),
} as const;

export interface CaptureOptions {
  readonly area: SampleArea;
  readonly memory: WebAssembly.Memory;
  readonly ram: Uint8Array;
  readonly cpu: Pick<Cpu, "instructions">;
  readonly vcpu: number;
  /** Nanoseconds of the host's monotonic clock. */
  now(): number;
  /** Number of the device at a port or an address. */
  deviceAt(work: number, detail: number): number;
}

export class Capture implements SamplingPorts {
  readonly #o: CaptureOptions;
  readonly #words: Int32Array;
  readonly #space: AddressSpace;
  #instructions = 0;
  #seed = 0x9e37_79b9;

  constructor(options: CaptureOptions) {
    this.#o = options;
    this.#words = new Int32Array(options.memory.buffer);
    this.#space = new AddressSpace(new PhysicalMemory(options.ram), gpa(0), 4);
    this.#instructions = options.cpu.instructions;
  }

  get period(): number {
    return this.#o.area.get("period");
  }

  /** xorshift: where samples are taken has to be unforeseen by the guest's program, not by its enemies. */
  random(): number {
    let x = this.#seed;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#seed = x;
    return (x >>> 0) / 2 ** 32;
  }

  tick(): number {
    const { area } = this.#o;
    const tick = area.get("tick");
    if (tick !== TICK.none) area.set("tick", TICK.none);
    return tick;
  }

  take(): void {
    const { area, cpu, vcpu } = this.#o;
    const { instructions } = cpu;
    const start = area.reserve(MOST);
    if (start < 0) {
      area.set("lost", area.get("lost") + 1);
      return;
    }
    const { view } = area;
    const words = this.#words;
    const clocked = this.period === 0;
    const ticks = area.get("ticks");
    area.set("ticks", 0);
    const work = clocked ? area.get("tickWork") : WORK.guest;
    const detail =
      work === WORK.port || work === WORK.memory
        ? this.#o.deviceAt(work, area.get("tickDetail"))
        : area.get("tickDetail");
    view.setUint16(start + at.work, work, true);
    view.setUint16(start + at.vcpu, vcpu, true);
    view.setUint32(start + at.detail, detail, true);
    view.setUint32(start + at.weight, clocked ? Math.max(1, ticks) : instructions - this.#instructions, true);
    this.#instructions = instructions;
    this.#number(start + at.time, this.#o.now());
    this.#number(start + at.instructions, instructions);
    view.setUint8(start + at.cpl, words[FROM.cpl]!);
    view.setUint8(start + at.codeBits, words[FROM.codeBits]!);
    for (let i = 0; i < 32; i++) view.setInt32(start + at.gpr + 4 * i, words[FROM.gpr + i]!, true);
    this.#copy(start + at.rip, FROM.rip);
    this.#copy(start + at.cr3, FROM.cr3);
    this.#copy(start + at.gsBase, FROM.gsBase);
    this.#copy(start + at.kernelGsBase, FROM.kernelGsBase);
    this.#memory(start);
  }

  /** The task and the stacks. */
  #memory(start: number): void {
    const { area } = this.#o;
    const { view } = area;
    const words = this.#words;
    const levels = (words[FROM.cr4]! & CR4_LA57) !== 0 ? 5 : 4;
    const user = words[FROM.cpl]! === USER;
    const cr3 = (words[FROM.cr3 + 1]! & 0xf_ffff) * 2 ** 32 + (words[FROM.cr3]! >>> 0);
    const rsp = this.#address(FROM.rsp);
    const space = this.#space;
    let end = start + RAW_SAMPLE.size;
    let pieces = 0;
    const piece = (from: number, to: number) => {
      const length = this.#piece(end, from, to);
      if (length === 0) return;
      end += RAW_PIECE.size + length;
      pieces++;
    };

    space.moveTo(rootOf(cr3, area.get("rootBits")), levels);
    const task = this.#pointer(gva(area.number("currentTask")));
    const top = this.#pointer(gva(area.number("topOfStack")));
    const known = task < 0;
    view.setUint32(start + at.hasTask, known ? 1 : 0, true);
    if (known) this.#task(start, gva(task));
    let userStack = user ? rsp : 0;
    if (!user) {
      if (top < 0 && rsp > top - KERNEL_STACK && rsp <= top) piece(rsp, top);
      else {
        piece(rsp, rsp - (rsp - Math.floor(rsp / KERNEL_STACK) * KERNEL_STACK) + KERNEL_STACK);
        if (top < 0) piece(top - OTHER_STACK, top);
      }
      if (top < 0 && (this.#pointer(gva(top), SAVED_CS) & 3) === USER) userStack = this.#pointer(gva(top), SAVED_RSP);
    }
    if (userStack > 0) {
      const least = userStack - (userStack % 8) - RED_ZONE;
      // The user's own half of the page tables is in the kernel's as well.
      piece(least, least + Math.min(MOST_USER_STACK, area.get("userStack")));
    }
    view.setUint16(start + at.pieces, pieces, true);
    view.setUint32(start + at.length, end - start, true);
    area.commit(end - start);
  }

  #task(start: number, task: Gva): void {
    const { area } = this.#o;
    const { view } = area;
    this.#number(start + at.task, task);
    view.setUint32(start + at.pid, this.#word(task, area.get("taskPid")), true);
    view.setUint32(start + at.tgid, this.#word(task, area.get("taskTgid")), true);
    for (let i = 0; i < COMM_SIZE; i += 4) {
      view.setUint32(start + at.comm + i, this.#word(task, area.get("taskComm") + i), true);
    }
  }

  /** Copies guest memory as far as it is mapped into a piece at `place` of the ring; its bytes. */
  #piece(place: number, from: number, to: number): number {
    const { ring, view } = this.#o.area;
    const space = this.#space;
    const bytes = place + RAW_PIECE.size;
    let length = 0;
    for (let page = from; page < to; ) {
      const found = space.translate(gva(page));
      const part = Math.min(to - page, PAGE_SIZE - (page - Math.floor(page / PAGE_SIZE) * PAGE_SIZE));
      if (found < 0 || !space.memory.has(gpa(found), part)) break;
      space.memory.read(gpa(found), ring.subarray(bytes + length, bytes + length + part));
      length += part;
      page += part;
    }
    if (length === 0) return 0;
    this.#number(place, from);
    view.setUint32(place + RAW_PIECE.offsets.length, length, true);
    return Math.ceil(length / 8) * 8;
  }

  /** A word of the kernel's, 0 where it is not mapped. */
  #word(address: Gva, offset = 0): number {
    const found = this.#space.translate(address, offset);
    return found >= 0 && this.#space.memory.has(gpa(found), 4) ? this.#space.memory.u32(gpa(found)) : 0;
  }
  #pointer(address: Gva, offset = 0): number {
    return address === 0 ? 0 : (this.#word(address, offset + 4) | 0) * 2 ** 32 + this.#word(address, offset);
  }
  #address(word: number): number {
    return this.#words[word + 1]! * 2 ** 32 + (this.#words[word]! >>> 0);
  }
  #copy(to: number, from: number): void {
    const { view } = this.#o.area;
    view.setInt32(to, this.#words[from]!, true);
    view.setInt32(to + 4, this.#words[from + 1]!, true);
  }
  #number(to: number, value: number): void {
    const { view } = this.#o.area;
    view.setUint32(to, value >>> 0, true);
    view.setInt32(to + 4, Math.floor(value / 2 ** 32), true);
  }
}

/** The top table of the kernel: CR3 without its low bits. */
const rootOf = (cr3: number, bits: number): Gpa => gpa(cr3 - (cr3 % 2 ** Math.max(12, bits)));
