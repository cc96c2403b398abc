/**
 * The CPU under test with canaries around all it owns: every part of its memory that nobody may write keeps what was
 * put there.
 */
import { Cpu, type CpuModel, memoryPages, software } from "../../src/cpu/index.ts";
import type { Addressing } from "../../src/cpu/instruction-writer.ts";
import {
  ARENA_BASE,
  CODE_PAGE_INDEX,
  COUNTERS,
  RAM_BASE,
  RETURN_STACK,
  STATE_BASE,
  STEP_BASE,
  TABLES_BASE,
  TLB_BASE,
  TLB_GROUP,
  TLB_GROUPS,
  TLB_GROUPS_BASE,
} from "../../src/cpu/memory-map.ts";
import type { CpuPorts } from "../../src/cpu/ports.ts";
import { FIELDS, STATE_SIZE } from "../../src/cpu/state.ts";
import { RAM_SIZE } from "./layout.ts";

const CANARY = 0xa5;
const AFTER_RAM = 0x1_0000;

/** Unused runs of the engine's part and what follows RAM. The first page is to stay zero. */
const GAPS: readonly [from: number, to: number][] = [
  [STATE_BASE + STATE_SIZE, RETURN_STACK],
  [COUNTERS.accesses, TLB_BASE],
  [STEP_BASE + 4096, TABLES_BASE],
  [RAM_BASE + RAM_SIZE, RAM_BASE + RAM_SIZE + AFTER_RAM],
];
/** Too large to be looked at each time. */
const WIDE_GAPS: readonly [from: number, to: number][] = [
  [CODE_PAGE_INDEX + (RAM_SIZE / 4096) * 4, TLB_GROUPS_BASE],
  [TLB_GROUPS_BASE + TLB_GROUPS * TLB_GROUP.size, ARENA_BASE],
];

/** The state's bytes that an outsider may see, the rest zeroed. */
export interface Snapshot {
  readonly state: Uint8Array;
  readonly msrs: string;
}

const HIDDEN = [...FIELDS.values()].filter((field) => field.part === "engine");
const SIZES = { i32: 4, i64: 8, v128: 16, v256: 32, x80: 16, bytes64: 64 } as const;

export class Subject {
  readonly cpu: Cpu;
  readonly #memory: Buffer;
  readonly #canary = Buffer.alloc(Math.max(...GAPS.map(([from, to]) => to - from)), CANARY);
  readonly #zero = Buffer.alloc(STATE_BASE);
  readonly #tables: Buffer;
  readonly #used: number;

  constructor(model: CpuModel, ports: CpuPorts) {
    const pages = memoryPages(RAM_SIZE) + AFTER_RAM / 65536;
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    this.#memory = Buffer.from(memory.buffer);
    for (const [from, to] of [...GAPS, ...WIDE_GAPS]) this.#memory.fill(CANARY, from, to);
    this.cpu = new Cpu({ memory, ramSize: RAM_SIZE, model, ports, id: 0 });
    this.#tables = Buffer.from(this.#memory.subarray(TABLES_BASE, CODE_PAGE_INDEX));
    this.#used = Math.max(...[...FIELDS.values()].map((field) => field.offset + SIZES[field.type]));
  }

  get ram(): Buffer {
    return this.#memory.subarray(RAM_BASE, RAM_BASE + RAM_SIZE);
  }

  /** Which canary is dead. `thorough`: also where it takes long. */
  disturbed(thorough: boolean): string | undefined {
    const memory = this.#memory;
    if (this.#zero.compare(memory, 0, STATE_BASE) !== 0) return "the page at address 0";
    const tail = STATE_BASE + this.#used;
    if (this.#zero.compare(memory, tail, STATE_BASE + STATE_SIZE, 0, STATE_SIZE - this.#used) !== 0)
      return "the end of the state";
    for (const [from, to] of GAPS) {
      if (this.#canary.compare(memory, from, to, 0, to - from) !== 0) return `memory from 0x${from.toString(16)} on`;
    }
    if (!thorough) return undefined;
    if (this.#tables.compare(memory, TABLES_BASE, CODE_PAGE_INDEX) !== 0) return "the constant tables";
    for (const [from, to] of WIDE_GAPS) {
      for (let at = from; at < to; at += AFTER_RAM) {
        const end = Math.min(to, at + AFTER_RAM);
        if (this.#canary.compare(memory, at, end, 0, end - at) !== 0) return `memory from 0x${at.toString(16)} on`;
      }
    }
    return undefined;
  }

  /** The whole state, to start from again. */
  save(): Snapshot {
    return { state: new Uint8Array(this.#memory.subarray(STATE_BASE, STATE_BASE + STATE_SIZE)), msrs: "" };
  }
  restore(saved: Snapshot): void {
    this.#memory.set(saved.state, STATE_BASE);
    this.cpu.msrs.clear();
    this.cpu.tscOffset = 0n;
    this.cpu.flushTlb(true);
    this.cpu.updateMode();
  }

  observe(): Snapshot {
    const state = new Uint8Array(this.#used);
    state.set(this.#memory.subarray(STATE_BASE, STATE_BASE + this.#used));
    for (const { offset, type } of HIDDEN) state.fill(0, offset, offset + SIZES[type]);
    const view = new DataView(state.buffer);
    const carry = FIELDS.get("flagCarry")!.offset;
    view.setUint32(carry, view.getUint32(carry, true) & 0xc000_0000, true);
    if (this.cpu.msrs.size === 0) return { state, msrs: `${this.cpu.tscOffset}` };
    const msrs = [...this.cpu.msrs].map(([index, value]) => `${index.toString(16)}=${value.toString(16)}`).sort();
    return { state, msrs: `${this.cpu.tscOffset} ${msrs.join(" ")}` };
  }

  /** Executes one instruction, or the delivery of one exception. */
  step(): string {
    return this.cpu.run(1, true);
  }

  /** Undoes what a run did to RAM, so that decoded code is kept where its bytes did not change. */
  putBack(image: Uint8Array): void {
    const { ram, cpu } = this;
    for (let at = 0; at < RAM_SIZE; at += 4096) {
      if (ram.compare(image, at, at + 4096, at, at + 4096) === 0) continue;
      for (let run = at; run < at + 4096; run += 16) {
        if (ram.compare(image, run, run + 16, run, run + 16) !== 0)
          cpu.writePhysical(BigInt(run), image.subarray(run, run + 16));
      }
    }
  }
}

export const alike = (a: Snapshot, b: Snapshot): boolean => a.msrs === b.msrs && Buffer.compare(a.state, b.state) === 0;

/** The fields in which two states differ, and both values. */
export function difference(a: Snapshot, b: Snapshot): string | undefined {
  if (a.msrs !== b.msrs) return `MSRs: ${a.msrs} / ${b.msrs}`;
  if (alike(a, b)) return undefined;
  const found: string[] = [];
  for (const { name, offset, type } of FIELDS.values()) {
    const value = (s: Snapshot) =>
      Buffer.from(s.state.subarray(offset, offset + SIZES[type]))
        .reverse()
        .toString("hex");
    if (value(a) !== value(b)) found.push(`${name} ${value(a)} / ${value(b)}`);
  }
  return found.join(", ");
}

/** Runs `body` with every memory operand of newly decoded code taken the general way. */
export function withCheckedAddresses<T>(on: boolean, body: () => T): T {
  if (!on) return body();
  const { slots } = software().handlers;
  const find = Object.getPrototypeOf(slots).find as typeof slots.find;
  slots.find = (row, variant) => {
    const addressing: Addressing = variant.addressing === "none" ? "none" : "checked";
    return find.call(slots, row, { ...variant, addressing });
  };
  try {
    return body();
  } finally {
    slots.find = find;
  }
}
