/**
 * A vCPU that checks itself: beside it a second one, interpreter alone, in a memory of its own and without a world around it. Each slice
 * runs on the first, whose dealings with devices, clocks and its local APIC are noted; then the second lives through the same, is
 * brought to the same number of retired instructions, interrupted where the first was, and must arrive at the same state.
 *
 * The second runs whole blocks as long as that cannot take it past the end of the slice, and one instruction at a time from there. What
 * the host changes between two runs (tests, boot loaders) it takes over. Not covered: devices that write RAM by themselves while the
 * guest runs, of which there are none yet; and runs of REP MOVS and STOS longer than one element, since how long they are depends on
 * what a TLB holds.
 */
import { KiB, MiB, VivError } from "../../base/index.ts";
import { Cpu, type CpuOptions, type RunOutcome } from "../cpu.ts";
import { memoryPages } from "../memory-map.ts";
import type { CpuSnapshot } from "../snapshot.ts";
import type { CpuEntry } from "../start.ts";
import { Comparison } from "./compare.ts";
import { describeAccess, describeArrival, Journal, type Place } from "./journal.ts";
import { Deviation, recordingPorts, replayingPorts } from "./ports.ts";
import { Trail } from "./trail.ts";

export interface LockstepOptions extends CpuOptions {
  /** Instructions between two comparisons, and on to the next jump: with 1 every exit of a block is one. */
  readonly slice?: number;
}

/** By how many instructions a run may exceed its budget: two blocks between two looks at it, and a pair at the end of each. */
const OVERSHOOT = 160;
/** Deliveries without an instruction retired are followed for so many more than the slice could hold. */
const PATIENCE = 16;
/** Instructions that the message's search for the same state goes on for. */
const SEARCH = 5000;
const PAGE = 4 * KiB;
/** Bits of a page table entry. */
const PRESENT = 1;
const ACCESSED = 0x20;
/**
 * All of so much RAM is compared where a run comes to rest (not where its budget is used up), and before the next one what the host
 * has changed in it is taken over: tests have less, machines have more.
 */
const SMALL_RAM = 4 * MiB;
/** RAM compared after a slice, going round: by the instructions in it, within bounds. */
const RAM_PER_INSTRUCTION = 16;
const MOST_RAM = 1 * MiB;
/** Bytes of RAM that a message shows. */
const SHOWN_BYTES = 16;

export class LockstepCpu extends Cpu {
  readonly #journal: Journal;
  readonly #other: Cpu;
  readonly #comparison: Comparison;
  readonly #trail: Trail;
  readonly #slice: number;
  readonly #sharePages: number;
  readonly #isSmall: boolean;
  #nextPage = 0;
  /** Instructions the other has not counted. */
  #ahead = 0;
  /** The other is to begin anew with what this one has. */
  #stale = true;
  #rests = true;
  #leaves = false;

  constructor(options: LockstepOptions) {
    const journal = new Journal();
    const self: { place?: Place } = {};
    super({ ...options, ports: recordingPorts(options.ports, journal, () => self.place!), elementwise: true });
    self.place = this;
    const { ramSize, model, id, slice = 1 } = options;
    const pages = memoryPages(ramSize);
    const other: Cpu = new Cpu({
      memory: new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true }),
      ramSize,
      model,
      id,
      ports: replayingPorts(journal, {
        place: () => this.#place(),
        arrived: () => other.requestReturn(),
      }),
      jit: false,
      elementwise: true,
    });
    this.#journal = journal;
    this.#other = other;
    this.#comparison = new Comparison(this, other);
    this.#trail = new Trail(other);
    this.#slice = Math.max(1, slice);
    const share = Math.max(PAGE, Math.min(MOST_RAM, this.#slice * RAM_PER_INSTRUCTION));
    this.#sharePages = Math.floor(share / PAGE);
    this.#isSmall = ramSize <= SMALL_RAM;
  }

  override start(entry: CpuEntry): void {
    super.start(entry);
    this.#stale = true;
  }
  override restore(saved: CpuSnapshot): void {
    super.restore(saved);
    this.#stale = true;
  }
  override requestReturn(): void {
    this.#leaves = true;
    super.requestReturn();
  }

  /** As Cpu's. Throws VivError `cpu.lockstep` where the two part. */
  override run(budget: number, singly = false): RunOutcome {
    this.#takeOver();
    let left = budget;
    let outcome: RunOutcome = "running";
    do {
      const length = Math.min(left, this.#slice);
      const before = this.instructions;
      this.#journal.clear();
      this.#trail.clear();
      outcome = super.run(length, singly);
      this.#follow(length, outcome === "running" && this.instructions - before < length);
      left -= Math.max(length, this.instructions - before);
    } while (left > 0 && outcome === "running" && !this.#leaves);
    this.#rests = outcome !== "running";
    if ((this.#isSmall && this.#rests) || this.#leaves || outcome === "shutdown") {
      this.#compareRam(0, this.#comparison.pages);
    }
    this.#leaves = false;
    return outcome;
  }

  /** Brings the other to what the host made of this one since the last run. */
  #takeOver(): void {
    const comparison = this.#comparison;
    const other = this.#other;
    if (this.#stale) {
      other.reset();
      comparison.differingPages((at, bytes) => other.ram.set(bytes, at));
      other.restore(this.save());
      this.#stale = false;
    } else if (this.#isSmall && this.#rests)
      comparison.differingPages((page) => {
        for (const [at, byte] of comparison.differingBytes(page / PAGE))
          other.writePhysical(BigInt(at), Uint8Array.of(byte));
      });
    if (!comparison.sameState()) comparison.copyState();
    this.#ahead = this.instructions - other.instructions;
  }

  /** Takes the other through the slice that this one has just run. `length`: the slice's budget, of which events used some up. */
  #follow(length: number, events: boolean): void {
    try {
      this.#replay(length);
      this.#settle(length, events);
      const { access } = this.#journal;
      if (access) throw new Deviation(`only compiled code does: ${describeAccess(access)}`);
    } catch (deviation) {
      if (!(deviation instanceof Deviation)) throw deviation;
      throw this.#error(deviation.message);
    }
    const { pages } = this.#comparison;
    const end = Math.min(pages, this.#nextPage + this.#sharePages);
    this.#compareRam(this.#nextPage, end);
    this.#nextPage = end === pages ? 0 : end;
  }

  /** To the same number of instructions, and past all interrupts. */
  #replay(length: number): void {
    const other = this.#other;
    const journal = this.#journal;
    const target = this.instructions;
    for (let idle = 0; idle <= length + PATIENCE; ) {
      const { arrival } = journal;
      const now = other.instructions + this.#ahead;
      const left = (arrival?.instructions ?? target) - now;
      if (left === 0 && !arrival) return;
      if (left < 0) throw new Deviation(missed(arrival, now));
      const outcome =
        left > OVERSHOOT
          ? other.run(left - OVERSHOOT)
          : left === 0 && journal.isDue(this.#place())
            ? other.run(1)
            : this.#step();
      const moved = other.instructions + this.#ahead !== now;
      if (!moved && arrival === journal.arrival && outcome !== "running") {
        throw new Deviation(arrival ? missed(arrival, now) : `the interpreter is ${outcome} after ${now} instructions`);
      }
      idle = moved ? 0 : idle + 1;
    }
    throw new Deviation("the interpreter gets nowhere");
  }

  /** Through exceptions that this one has delivered after its last instruction, until both are in the same state. */
  #settle(length: number, events: boolean): void {
    const comparison = this.#comparison;
    // A handler that faults at once, on a stack of its own, comes to the same state again and again: what differs is the frame.
    const looksAtRam = events && this.#isSmall;
    const wrongPage = () => (looksAtRam ? this.#wrongPage(0, comparison.pages) : -1);
    const isSame = () => comparison.sameState() && wrongPage() < 0;
    if (isSame()) return;
    const target = this.instructions;
    // The nearest place tells most.
    const differences = () => comparison.differences().map(([name, a, b]) => `${name}: ${a}, interpreter ${b}`);
    let nearest = differences();
    if (nearest.length === 0) nearest = this.#ramLines(wrongPage());
    try {
      for (let i = 0; i <= length + PATIENCE; i++) {
        const outcome = this.#step();
        if (this.#place().instructions !== target) break;
        if (isSame()) return;
        if (outcome !== "running") break;
        const found = differences();
        if (found.length > 0 && found.length < nearest.length) nearest = found;
      }
    } catch (error) {
      // It went further than this one did.
      if (!(error instanceof Deviation)) throw error;
    }
    throw new Deviation(["they differ in", ...nearest, ...this.#miscounted()].join("\n  "));
  }

  /** Whether the interpreter gets to the same state a little later: then an instruction too few was counted. */
  #miscounted(): string[] {
    const from = this.#place().instructions;
    try {
      for (let i = 0; i < SEARCH; i++) {
        if (this.#comparison.sameState())
          return [`the interpreter is there after ${this.#place().instructions} instructions`];
        if (this.#other.run(1, true) !== "running") break;
      }
    } catch (error) {
      if (!(error instanceof Deviation)) throw error;
    }
    return [`the interpreter is not there after ${this.#place().instructions - from} more instructions either`];
  }

  #place(): Place {
    const other = this.#other;
    return { instructions: other.instructions + this.#ahead, r: other.r };
  }

  #step(): RunOutcome {
    this.#trail.note();
    return this.#other.run(1, true);
  }

  /** The first page that differs; -1: none. Accessed bits that only this one has set are set for the other. */
  #wrongPage(from: number, to: number): number {
    const comparison = this.#comparison;
    for (let page = comparison.differingPage(from, to); page >= 0; page = comparison.differingPage(page + 1, to)) {
      const bytes = comparison.differingBytes(page);
      if (!bytes.every(isAccessedBit)) return page;
      for (const [at, byte] of bytes) this.#other.ram[at] = byte;
    }
    return -1;
  }

  #compareRam(from: number, to: number): void {
    const page = this.#wrongPage(from, to);
    if (page >= 0) throw this.#error(["they differ in", ...this.#ramLines(page)].join("\n  "));
  }

  /** The bytes of a page that differ. */
  #ramLines(page: number): string[] {
    const bytes = this.#comparison.differingBytes(page);
    const lines = bytes
      .slice(0, SHOWN_BYTES)
      .map(([at, a, b]) => `RAM 0x${at.toString(16)}: 0x${a.toString(16)}, interpreter 0x${b.toString(16)}`);
    if (bytes.length > SHOWN_BYTES) lines.push(`and ${bytes.length - SHOWN_BYTES} more bytes of this page`);
    return lines;
  }

  #error(what: string): VivError {
    const ran = this.#trail.lines();
    const rip = this.r.getBig("rip").toString(16);
    const lines = [
      `compiled code and interpreter part within ${this.#slice} instructions before number ${this.instructions} at 0x${rip}: ${what}`,
      ...(ran.length === 0 ? [] : ["the interpreter's last instructions:"]),
      ...ran.map((line) => `  ${line}`),
    ];
    return new VivError("cpu.lockstep", lines.join("\n"));
  }
}

/**
 * A page table entry is marked accessed by whoever looks at the page first, and that may be a compiler: processors do so for
 * what they only expect to run, too (SDM vol. 3A, 4.8).
 */
const isAccessedBit = ([at, a, b]: readonly [at: number, a: number, b: number]): boolean =>
  at % 4 === 0 && (a ^ b) === ACCESSED && (a & (PRESENT | ACCESSED)) === (PRESENT | ACCESSED);

const missed = (arrival: Parameters<typeof describeArrival>[0] | undefined, now: number): string =>
  arrival
    ? `compiled code took ${describeArrival(arrival)}; the interpreter did not come by, and is at ${now}`
    : `the interpreter went too far, to ${now}`;
