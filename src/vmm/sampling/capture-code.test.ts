import { describe, expect, it } from "vitest";
import { gpa, gva } from "../../base/index.ts";
import { memoryPages, RAM_BASE, STATE_BASE } from "../../cpu/memory-map.ts";
import { offsetOf } from "../../cpu/state.ts";
import { AddressSpace, PhysicalMemory } from "../../guest/memory.ts";
import { RAW_PIECE, RAW_SAMPLE, RING_SIZE, SampleArea } from "./area.ts";
import { type CaptureFunctions, captureModule, MOST_USER_STACK } from "./capture-code.ts";

const PAGE = 4096;
const PAGES = 64;
const RAM = PAGES * PAGE;
const KERNEL = -(2 ** 47);
const TASK = KERNEL + 0x1230;
const STACK = KERNEL + 16 * PAGE;
const USER_STACK = 0x7000;

class Moment {
  readonly memory = new WebAssembly.Memory({ initial: memoryPages(RAM), maximum: 65_536, shared: true });
  readonly area = new SampleArea(this.memory);
  readonly ram = new Uint8Array(this.memory.buffer, RAM_BASE, RAM);
  readonly #state = new DataView(this.memory.buffer, STATE_BASE);
  readonly #words = new DataView(this.memory.buffer, RAM_BASE, RAM);
  readonly #code = new WebAssembly.Instance(new WebAssembly.Module(captureModule(3)), { env: { memory: this.memory } })
    .exports as unknown as CaptureFunctions;

  constructor() {
    this.set("ramLow", RAM).set("cr3", PAGE).set("cpl", 3).set("codeBits", 64).set("rsp", USER_STACK);
    this.area.set("rootBits", 12);
    this.area.set("userStack", 256);
  }
  /** A field of the vCPU's. */
  set(field: string, value: number): this {
    const wide = field !== "cpl" && field !== "codeBits";
    if (wide) this.#state.setBigInt64(offsetOf(field), BigInt(value), true);
    else this.#state.setInt32(offsetOf(field), value, true);
    return this;
  }
  entry(table: number, index: number, value: number): this {
    return this.put(table * PAGE + index * 8, value);
  }
  put(physical: number, value: number): this {
    this.#words.setBigInt64(physical, BigInt(value), true);
    return this;
  }
  /** A page for kernel and user addresses each: those from page 16 of RAM on. */
  mapped(): this {
    this.entry(1, 256, 2 * PAGE + 1)
      .entry(2, 0, 3 * PAGE + 1)
      .entry(3, 0, 4 * PAGE + 1);
    this.entry(1, 0, 5 * PAGE + 1)
      .entry(5, 0, 6 * PAGE + 1)
      .entry(6, 0, 7 * PAGE + 1);
    for (let i = 0; i < 24; i++) this.entry(4, i, (16 + i) * PAGE + 1);
    for (let i = 6; i < 9; i++) this.entry(7, i, (40 + i) * PAGE + 1);
    for (let i = 16 * PAGE; i < RAM; i++) this.ram[i] = (i * 7) ^ (i >>> 8);
    return this;
  }
  take(): number {
    return this.#code.take(5, 77, 2, 123_456_789_012, 2 ** 40 + 1);
  }
  /** Samples that were taken, with their pieces. */
  drained() {
    const found: { sample: ReturnType<typeof RAW_SAMPLE.read>; pieces: { start: number; bytes: Uint8Array }[] }[] = [];
    const { view } = this.area;
    this.area.drain((at) => {
      const sample = RAW_SAMPLE.read(view, at);
      let place = at + RAW_SAMPLE.size;
      const pieces = Array.from({ length: sample.pieces }, () => {
        const { start, length } = RAW_PIECE.read(view, place);
        const bytes = new Uint8Array(view.buffer, view.byteOffset + place + RAW_PIECE.size, length).slice();
        place += RAW_PIECE.size + Math.ceil(length / 8) * 8;
        return { start, bytes };
      });
      expect(place - at).toBe(sample.length);
      found.push({ sample, pieces });
    });
    return found;
  }
  one() {
    expect(this.take()).toBe(1);
    const [found, ...more] = this.drained();
    expect(more).toEqual([]);
    return found!;
  }
}

describe("a sample", () => {
  it("has what was said, and the registers", () => {
    const moment = new Moment()
      .set("rax", 11)
      .set("r15", -15)
      .set("rip", -4096)
      .set("gs.base", KERNEL)
      .set("kernelGsBase", 9);
    const { sample, pieces } = moment.one();
    expect(sample).toMatchObject({
      work: 5,
      vcpu: 3,
      detail: 77,
      weight: 2,
      time: 123_456_789_012,
      cpl: 3,
      codeBits: 64,
    });
    expect(sample).toMatchObject({ instructions: 2 ** 40 + 1, rip: -4096, cr3: PAGE, gsBase: KERNEL, kernelGsBase: 9 });
    expect(sample.gpr).toEqual([11, 0, 0, 0, USER_STACK, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -15]);
    expect([sample.hasTask, pieces]).toEqual([0, []]);
  });

  it("has the task, and both of its stacks in the kernel", () => {
    const moment = new Moment().mapped();
    moment.area.setAddress("currentTask", gva(KERNEL + 8));
    moment.area.setAddress("topOfStack", gva(KERNEL + 16));
    moment.put(16 * PAGE + 8, TASK).put(16 * PAGE + 16, STACK + PAGE);
    for (const [i, word] of (["taskPid", "taskTgid", "taskComm"] as const).entries()) moment.area.set(word, 8 * i);
    // TASK lies on page 17; its members are what that page holds.
    moment
      .put(17 * PAGE + 0x230, 4242)
      .put(17 * PAGE + 0x238, 4141)
      .put(17 * PAGE + 0x240, 0x6873);
    moment.put(17 * PAGE + 0x248, 0);
    // The registers of the user's code, at the stack's end: CS and RSP.
    const top = (16 + 16 + 1) * PAGE;
    moment.put(top - 32, 0x33).put(top - 16, USER_STACK + 4);
    const { sample, pieces } = moment
      .set("cpl", 0)
      .set("rsp", STACK + 100)
      .one();
    expect(sample).toMatchObject({ hasTask: 1, task: TASK, pid: 4242, tgid: 4141 });
    expect(String.fromCharCode(...sample.comm.subarray(0, 2))).toBe("sh");
    expect(pieces.map(({ start, bytes }) => [start, bytes.length])).toEqual([
      [STACK + 100, PAGE - 100],
      [USER_STACK - 128, 256],
    ]);
    expect(pieces[0]!.bytes).toEqual(moment.ram.slice(top - PAGE + 100, top));
    expect(pieces[1]!.bytes).toEqual(moment.ram.slice(47 * PAGE - 128, 47 * PAGE + 128));
  });

  it("has the stack it is on and the end of the task's where that is another one", () => {
    const moment = new Moment().mapped();
    moment.area.setAddress("topOfStack", gva(KERNEL + 16));
    moment.put(16 * PAGE + 16, STACK + PAGE).put((16 + 16 + 1) * PAGE - 32, 0x10);
    const { pieces } = moment
      .set("cpl", 0)
      .set("rsp", KERNEL + 3 * PAGE + 8)
      .one();
    // What is not mapped ends it.
    expect(pieces.map(({ start, bytes }) => [start, bytes.length])).toEqual([
      [KERNEL + 3 * PAGE + 8, 5 * PAGE - 8],
      [STACK, PAGE],
    ]);
  });

  it("has the task of a kernel with five levels, far below what a number holds to the byte", () => {
    const moment = new Moment()
      .mapped()
      .set("cr4", 1 << 12)
      .set("cr3", 8 * PAGE);
    moment.entry(8, 256, PAGE + 1).entry(8, 0, PAGE + 1);
    const kernel = -(2 ** 56);
    // Its fourth level begins where the other kernel's address space did.
    moment.entry(1, 0, 2 * PAGE + 1);
    moment.area.setAddress("currentTask", gva(kernel + 8));
    moment.put(16 * PAGE + 8, kernel + 0x1230).put(17 * PAGE + 0x230, 4242);
    expect(moment.one().sample).toMatchObject({ hasTask: 1, task: kernel + 0x1230, pid: 4242 });
  });

  it("is lost where there is no room, and never lies across the ring's end", () => {
    const moment = new Moment().mapped();
    moment.area.set("userStack", 0x7fff_ffff);
    let taken = 0;
    while (moment.take() === 1) taken++;
    expect(taken).toBeGreaterThan(100);
    expect(moment.drained()).toHaveLength(taken);
    for (let i = 0; i < 5 * taken; i++) {
      const { pieces } = moment.one();
      expect(pieces.map(({ bytes }) => bytes.length)).toEqual([2 * PAGE + 128]);
    }
    expect(moment.area.get("written") >>> 0).toBeGreaterThan(RING_SIZE);
    expect(MOST_USER_STACK).toBeLessThan(RING_SIZE);
  });
});

describe("tables of a hostile guest", () => {
  const random = (() => {
    let state = 12_345;
    return (below: number) => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
  })();

  it.each([4, 5] as const)("lead where %i levels lead", (levels) => {
    const moment = new Moment().set("cr4", levels === 5 ? 1 << 12 : 0);
    const { ram } = moment;
    let mapped = 0;
    for (let round = 0; round < 3000; round++) {
      if (round % 100 === 0) {
        // Present as a rule, large at times, and often beyond RAM.
        for (let i = 0; i < RAM / 8; i++) {
          moment.put(
            i * 8,
            random(PAGES + 4) * PAGE + (random(8) === 0 ? 0 : 1) + (random(6) === 0 ? 0x80 : 0) + random(2) * 0x60,
          );
        }
      }
      const root = random(PAGES + 2) * PAGE;
      // Some are not canonical.
      const at = random(3) * 2 ** 46 + random(512) * 2 ** 39 + random(2 ** 20) * 2 ** 16 + random(2 ** 16);
      moment.area.set("userStack", random(3 * PAGE));
      const { sample, pieces } = moment.set("cr3", root).set("rsp", at).one();
      const space = new AddressSpace(new PhysicalMemory(ram), gpa(root), levels);
      const start = at - (at % 8) - 128;
      const expected: number[] = [];
      for (let i = 0; at > 0 && i < moment.area.get("userStack"); i++) {
        const physical = space.translate(gva(start + i));
        if (physical < 0 || physical >= RAM) break;
        expected.push(ram[physical]!);
      }
      if (expected.length > 0) mapped++;
      expect(pieces.map(({ bytes }) => [...bytes])).toEqual(expected.length > 0 ? [expected] : []);
      expect(sample.gpr[4]).toBe(at);
    }
    expect(mapped).toBeGreaterThan(100);
  });
});
