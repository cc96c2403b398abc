/**
 * One vCPU on the software accelerator: instantiates the interpreter, and does between runs of generated code what is not an
 * instruction: delivers exceptions and interrupts, steps, halts, resets.
 */
import { Decoder } from "../isa/decode.ts";
import { DISTANCES } from "../isa/float/sse-fast.ts";
import { ROWS } from "../isa/rows.ts";
import { CodeCache, type CodeCacheExports } from "./code-cache.ts";
import { type HostWork, WORK } from "./host-work.ts";
import type { Thresholds } from "./jit/heat.ts";
import { Jit, type JitPorts } from "./jit/jit.ts";
import { LinearMemory, type LinearMemoryExports } from "./linear-memory.ts";
import {
  CODE_PAGE_INDEX,
  JUMP_CACHE,
  JUMP_CACHE_ENTRIES,
  JUMP_CACHE_ENTRY_SIZE,
  NO_TAG,
  RAM_BASE,
  STATE_BASE,
  STEP_BASE,
  TLB_NONE,
  TLB_SET_SIZE,
} from "./memory-map.ts";
import { type CpuModel, featuresOf } from "./models.ts";
import type { CpuPorts, PortSize } from "./ports.ts";
import { Registers } from "./registers.ts";
import { STEP, WATCH } from "./runtime/debug.ts";
import { ATTENTION, EXIT } from "./runtime/exits.ts";
import type { Imports } from "./runtime/imports.ts";
import { TRAP } from "./runtime/traps.ts";
import { Sampling, type SamplingPorts } from "./sampling.ts";
import { type CpuSnapshot, readFields, writeFields } from "./snapshot.ts";
import { type Software, software } from "./software.ts";
import { type CpuEntry, setEntryState, setResetState } from "./start.ts";
import { offsetOf, SEGMENT_NAMES, STATE_SIZE } from "./state.ts";
import { DF, GuestFault, PF, type SegmentCache, type SystemMemory, UD } from "./system/access.ts";
import type { CpuContext } from "./system/context.ts";
import { codeHits, endGuard, ioHits, noteDebug, watchOf } from "./system/debug.ts";
import { deliver } from "./system/interrupts.ts";
import { AVX_STATE, CR0_PE, CR0_TS, CR4_OSXSAVE, IF, RF, TF, VM } from "./system/mode.ts";
import { OPERATIONS } from "./system/operations.ts";
import { TaskFault } from "./system/tasks.ts";

export interface CpuExports extends CodeCacheExports, LinearMemoryExports {
  run(budget: number): number;
  run_step(at: number): number;
  run_steps(count: number, at: number): number;
  ram_host(physical: bigint): number;
  fetch_page(linear: bigint): number;
  flush_tlb(): void;
  flush_tlb_non_global(): void;
  flush_pcid(pcid: number): void;
  cr3_loaded(keep: number): void;
  drop_code(linear: bigint): void;
  invlpg_of(pcid: number, linear: bigint): void;
  get_eflags(): number;
  set_eflags(image: number): void;
  update_privilege(): void;
  deliver64(vector: number, error: number, kind: number): number;
}

export interface CpuOptions {
  readonly memory: WebAssembly.Memory;
  /** Bytes of guest RAM, a multiple of 4096. */
  readonly ramSize: number;
  readonly model: CpuModel;
  readonly ports: CpuPorts;
  /** Number of the vCPU, and its initial APIC id. */
  readonly id: number;
  /**
   * Code that was entered this often is compiled; 0 compiles everything before it first runs. False or absent: nothing is
   * compiled, the interpreter runs alone.
   */
  readonly jit?: (Thresholds & Pick<JitPorts, "bounds" | "copier">) | false;
  /**
   * A repeated string instruction does one element a pass. Each pass counts as an instruction retired, and how many elements
   * a longer one has depends on what the TLB holds: with this the count follows from what the guest does alone.
   */
  readonly elementwise?: boolean;
  /** Takes the place of parts that a vCPU is made of otherwise, for whoever looks on while it runs (statistics/). */
  readonly instruments?: Instruments;
}

export interface Instruments {
  readonly engine: Software;
  exports(original: CpuExports): CpuExports;
  jit(ports: JitPorts): Jit;
}

const newJit = (ports: JitPorts): Jit => new Jit(ports);

export type RunOutcome = "running" | "halted" | "shutdown";

/** Where the run loop finds what it looks at each time, in words of linear memory. */
const wordOf = (field: string): number => (STATE_BASE + offsetOf(field)) >> 2;
const AT = {
  activity: wordOf("activity"),
  budget: wordOf("budget"),
  eflags: wordOf("eflags"),
  faultError: wordOf("faultError"),
  faultsTaken: wordOf("faultsTaken"),
  faultVector: wordOf("faultVector"),
  nmiBlocked: wordOf("nmiBlocked"),
  pendingDebug: wordOf("pendingDebug"),
  pendingInterrupt: wordOf("pendingInterrupt"),
  rip: wordOf("rip"),
  shadow: wordOf("shadow"),
  sseQuick: wordOf("sseQuick"),
} as const;

/** What `activity` says. */
const ACTIVITY = { running: 0, halted: 1, shutdown: 2 } as const;

/** `shadow` after a load of SS. */
const SHADOW_SS = 2;
const DB = 1;
/** DR6.BS. */
const SINGLE_STEP = 0x4000;

/**
 * Deliveries one event may lead to. Tasks with the T flag whose state, as it is saved, clears the busy bit of their own descriptor
 * would go round for ever, and the host with them.
 */
const MAX_CHAIN = 16;

/** Exceptions that combine to #DF (SDM vol. 3A, table 6-5). */
const CONTRIBUTORY = new Set([0, 10, 11, 12, 13]);
const WITH_ERROR_CODE = new Set([8, 10, 11, 12, 13, 14, 17, 21]);

export class Cpu implements CpuContext {
  readonly r: Registers;
  readonly ports: CpuPorts;
  readonly features: ReadonlySet<string>;
  readonly brand: string;
  readonly id: number;
  readonly linearBits: number;
  readonly msrs = new Map<number, bigint>();
  /** All of guest RAM. */
  readonly ram: Uint8Array;
  readonly memory: SystemMemory;
  readonly code: CodeCache;
  readonly #jit: Jit | undefined;
  readonly #x: CpuExports;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #ramSize: number;
  readonly #attention: number;
  readonly #words: Int32Array;
  readonly #watch: number;
  readonly #elementwise: number;
  readonly #firstRegion: number;
  /** An exception of a task that an instruction has just switched to; delivered before anything else runs. */
  #taskFault: TaskFault | undefined;
  #returns = false;
  #sampling: Sampling | undefined;
  /** Told what this thread does for the guest. */
  #work: HostWork | undefined;
  /** Instructions retired before the current slice. */
  #retired = 0;

  constructor(options: CpuOptions) {
    const { memory, ramSize, model, ports, instruments } = options;
    const engine = instruments?.engine ?? software();
    this.ports = ports;
    this.id = options.id;
    this.features = featuresOf(model);
    this.linearBits = this.features.has("la57") ? 57 : 48;
    this.brand = `Vivarium ${model} software CPU`;
    this.#ramSize = ramSize;
    this.#bytes = new Uint8Array(memory.buffer);
    this.#view = new DataView(memory.buffer);
    this.#words = new Int32Array(memory.buffer);
    this.ram = new Uint8Array(memory.buffer, RAM_BASE, ramSize);
    this.r = new Registers(memory.buffer);
    this.#attention = this.r.address("attention") >> 2;
    this.#watch = this.r.address("watch") >> 2;
    this.#elementwise = options.elementwise === true ? 1 : 0;
    this.#firstRegion = engine.handlers.size;
    const table = new WebAssembly.Table({ element: "anyfunc", initial: engine.handlers.size + 1 });
    const imports = { env: { memory, table }, host: { ...this.#imports() } };
    const instance = new WebAssembly.Instance(engine.compiled, imports);
    if (this.features.has("avx")) new WebAssembly.Instance(engine.avx(), { ...imports, engine: instance.exports });
    const exports = instance.exports as unknown as CpuExports;
    this.#x = instruments?.exports(exports) ?? exports;
    const decoder = new Decoder(ROWS, this.features);
    this.code = new CodeCache(memory.buffer, ramSize, decoder, engine.handlers.slots, this.r, this.#x);
    if (options.jit) {
      this.#jit = (instruments?.jit ?? newJit)({
        memory,
        table,
        firstSlot: engine.handlers.size,
        registers: this.r,
        decoder,
        effects: engine.effects,
        observer: engine.observer,
        functions: instance.exports,
        ...options.jit,
        slots: engine.handlers.slots,
        fetchPage: this.#x.fetch_page,
        cover: (codePage, bytes) => this.code.cover(codePage, bytes),
        slotOf: ({ row, variant }) => engine.handlers.slots.find(row, variant),
      });
      const jit = this.#jit;
      this.code.heat = Math.max(1, options.jit.templates ?? options.jit.threshold);
      this.code.onFlush = () => jit.dropAll();
    }
    this.memory = new LinearMemory(memory.buffer, this.r, this.#x);
    this.reset();
  }

  /** Instructions retired since the CPU was made. */
  get instructions(): number {
    return this.#retired;
  }

  get tscOffset(): bigint {
    return BigInt.asIntN(64, this.r.getBig("tscOffset"));
  }
  set tscOffset(offset: bigint) {
    this.r.setBig("tscOffset", offset);
  }

  /** Something became pending: generated code returns at its next jump. */
  requestAttention(): void {
    this.#words[this.#attention] = ATTENTION;
  }

  /** All that must be kept of this vCPU between two slices. The local APIC keeps its own. */
  save(): CpuSnapshot {
    const { msrs, tscOffset } = this;
    return { version: 1, fields: readFields(this.r, this.#bytes), msrs: [...msrs], tscOffset };
  }

  /** Goes on from a saved state. Throws TypeError where it is not one of this version's. */
  restore(saved: CpuSnapshot): void {
    if (saved.version !== 1) throw new TypeError(`a vCPU snapshot of version ${saved.version} cannot be restored`);
    this.reset();
    writeFields(this.r, this.#bytes, saved.fields);
    for (const [index, value] of saved.msrs) this.msrs.set(index, value);
    this.tscOffset = saved.tscOffset;
    this.#x.flush_tlb();
    this.updateMode();
  }

  /** Has samples taken from now on, or no more. Between two slices. */
  sample(ports: SamplingPorts | undefined): void {
    this.#sampling = ports && new Sampling(ports);
  }

  /** Has somebody told from now on what this thread does for the guest, or nobody. */
  watchWork(work: HostWork | undefined): void {
    this.#work = work;
  }

  /** The machine wants its thread back: `run` returns in front of one of the next instructions. */
  requestReturn(): void {
    this.#returns = true;
    this.requestAttention();
  }

  /** State after RESET# (SDM vol. 3A, table 9-1). RAM stays as it is. */
  reset(): void {
    // What generated code has compared these numbers with must not come round again.
    const codeMapLast = this.r.get("codeMapLast");
    const codeEpoch = this.r.get("codeEpoch");
    const walks = this.r.getBig("walks");
    this.#bytes.fill(0, STATE_BASE, STATE_BASE + STATE_SIZE);
    this.r.set("codeMapLast", codeMapLast);
    this.r.set("codeEpoch", codeEpoch);
    this.r.setBig("walks", walks);
    this.r.set("firstRegion", this.#firstRegion);
    for (const [name, bytes] of DISTANCES) this.#bytes.set(bytes, this.r.address(name));
    this.#words.fill(NO_TAG, TLB_NONE >> 2, (TLB_NONE + TLB_SET_SIZE) >> 2);
    this.#words.fill(-1, JUMP_CACHE >> 2, (JUMP_CACHE + JUMP_CACHE_ENTRIES * JUMP_CACHE_ENTRY_SIZE) >> 2);
    this.#words.fill(0, CODE_PAGE_INDEX >> 2, (CODE_PAGE_INDEX >> 2) + Math.ceil(this.#ramSize / 4096));
    this.msrs.clear();
    this.r.set("elementwise", this.#elementwise);
    setResetState(this, this.#ramSize);
    this.code.flush();
    this.#x.flush_tlb();
    this.updateMode();
  }

  /** Puts a reset CPU into the state a boot protocol asks for. */
  start(entry: CpuEntry): void {
    setEntryState(this, entry);
    this.updateMode();
  }

  /**
   * Executes up to about `budget` instructions. "halted": nothing to do until an interrupt; "shutdown": a triple fault.
   * Returns early after requestReturn. `singly`: records run one at a time, with the same outcome; the slow way for whoever
   * wants to look after each instruction.
   */
  run(budget: number, singly = false): RunOutcome {
    const words = this.#words;
    let left = budget;
    while (left > 0) {
      words[this.#attention] = 0;
      // MXCSR may have been changed from outside.
      words[AT.sseQuick] = 0;
      if (this.#returns) break;
      if (this.#jit?.due(this.#retired)) {
        this.#work?.begin(WORK.compile, 0);
        this.#jit.compile();
        this.#work?.end();
      }
      const activity = words[AT.activity]!;
      if (activity === ACTIVITY.shutdown) return "shutdown";
      const shadow = words[AT.shadow]!;
      const waiting = words[AT.pendingDebug]!;
      if (waiting !== 0 && shadow !== SHADOW_SS) {
        left--;
        words[AT.pendingDebug] = 0;
        this.#debug(waiting);
        continue;
      }
      if (shadow === 0) this.#takeEvents();
      const now = words[AT.activity]!;
      if (now === ACTIVITY.halted) return "halted";
      // An event that could not be delivered.
      if (now === ACTIVITY.shutdown) return "shutdown";
      words[AT.shadow] = 0;
      if (shadow !== 0 || this.#mustStep()) {
        left--;
        this.#step(shadow);
      } else {
        const sampling = singly ? undefined : this.#sampling;
        const distance = sampling === undefined ? 0 : sampling.next(this.#retired);
        const samples = sampling !== undefined && distance > 0 && distance - sampling.lead <= left;
        const given = singly ? 0 : samples ? distance : left;
        words[AT.faultsTaken] = 0;
        this.#work?.begin(WORK.guest, 0);
        const code = singly
          ? this.#x.run_step(STEP_BASE)
          : samples
            ? this.#runToSample(sampling, distance)
            : this.#x.run(given);
        this.#work?.end();
        const used = given - words[AT.budget]!;
        this.#retired += used - words[AT.faultsTaken]!;
        left -= used;
        if (samples && code === EXIT.budget) sampling.arrive(this.#retired);
        if (code === EXIT.fault) {
          // A handler that faults at once would never use its budget up otherwise, and hold the host for good.
          left--;
          if (words[AT.faultVector]! === STEP) {
            words[AT.faultVector] = -1;
            this.#step(0);
          } else this.#faulted();
        }
      }
      if (this.#taskFault) {
        const { vector, errorCode } = this.#taskFault;
        this.#taskFault = undefined;
        // The debug trap of a TSS is no fault.
        this.#event(vector, errorCode, vector === 1 ? TRAP.trap : TRAP.fault);
      }
    }
    this.#returns = false;
    return words[AT.activity]! === ACTIVITY.shutdown ? "shutdown" : "running";
  }

  /** Runs `distance` instructions, to where a sample is due; fewer where something has to be looked at in between, or some more. */
  #runToSample(sampling: Sampling, distance: number): number {
    const words = this.#words;
    let rest = distance;
    const { lead } = sampling;
    if (rest > lead) {
      const code = this.#x.run(rest - lead);
      rest = words[AT.budget]! + lead;
      words[AT.budget] = rest;
      if (code !== EXIT.budget || words[this.#attention] !== 0) return code;
      sampling.learnLead(rest);
    }
    for (;;) {
      const rip = words[AT.rip]!;
      if (rest <= sampling.way(rip)) break;
      const code = this.#x.run(1);
      const used = 1 - words[AT.budget]!;
      rest -= used;
      words[AT.budget] = rest;
      if (code !== EXIT.budget || used === 0) return code;
      sampling.learnWay(rip, used);
    }
    return rest > 0 ? this.#x.run_steps(rest, STEP_BASE) : EXIT.budget;
  }

  // ---- events

  #takeEvents(): void {
    const words = this.#words;
    const { apic } = this.ports;
    if (words[AT.nmiBlocked]! === 0 && apic.takeNmi()) {
      words[AT.activity] = ACTIVITY.running;
      words[AT.nmiBlocked] = 1;
      this.#event(2, -1, TRAP.external);
      return;
    }
    const vector = apic.pending();
    if (vector < 0) {
      words[AT.pendingInterrupt] = 0;
      return;
    }
    if ((words[AT.eflags]! & IF) === 0) {
      words[AT.pendingInterrupt] = 1;
      return;
    }
    words[AT.pendingInterrupt] = 0;
    words[AT.activity] = ACTIVITY.running;
    this.#event(apic.acknowledge(), -1, TRAP.external);
    // Another may wait behind it, for the handler's STI or IRET.
    if (apic.pending() >= 0) words[AT.pendingInterrupt] = 1;
  }

  /** With TF set instructions run one at a time; with RF set the next does, where RF means something. */
  #mustStep(): boolean {
    const eflags = this.#words[AT.eflags]!;
    if ((eflags & (TF | RF)) === 0) return false;
    return (eflags & TF) !== 0 || (this.#words[this.#watch]! & WATCH.code) !== 0;
  }

  /** Runs one instruction, and collects the debug traps that follow it (SDM vol. 3B, 18.3). `shadow`: the one it runs in. */
  #step(shadow: number): void {
    const { r } = this;
    const eflags = r.get("eflags");
    if ((this.#words[this.#watch]! & WATCH.code) !== 0 && (eflags & RF) === 0 && shadow !== SHADOW_SS) {
      const hits = codeHits(this, this.#linearRip());
      if (hits !== 0) {
        this.#debug(hits);
        return;
      }
    }
    const held = r.get("pendingDebug");
    const before = r.getBig("rip");
    r.set("stepTrap", (eflags & TF) !== 0 ? SINGLE_STEP : 0);
    // RF lasts until the end of this instruction, unless the instruction itself loads it.
    if ((eflags & RF) !== 0) r.set("eflags", eflags & ~RF);
    r.set("stepping", 1);
    r.set("elementwise", 1);
    const code = this.#x.run_step(STEP_BASE);
    r.set("stepping", 0);
    r.set("elementwise", this.#elementwise);
    if (code === EXIT.fault) {
      r.set("pendingDebug", held);
      if ((eflags & RF) !== 0) r.set("eflags", r.get("eflags") | RF);
      this.#faulted();
      return;
    }
    this.#retired++;
    // Between two passes of a repeated instruction.
    if ((eflags & RF) !== 0 && r.getBig("rip") === before) r.set("eflags", r.get("eflags") | RF);
    const trap = r.get("stepTrap");
    if (trap !== 0 && r.get("shadow") !== SHADOW_SS) r.set("pendingDebug", r.get("pendingDebug") | trap);
  }

  #linearRip(): bigint {
    const { r } = this;
    const rip = r.getBig("rip");
    return r.get("codeBits") === 64 ? rip : BigInt.asUintN(32, rip + r.getBig("cs.base"));
  }

  /** #DB of breakpoints and single steps. It never sets RF: a handler that wants to go on past a breakpoint does. */
  #debug(bits: number): void {
    noteDebug(this, bits);
    endGuard(this);
    this.r.set("activity", ACTIVITY.running);
    this.#event(DB, -1, TRAP.trap);
  }

  #faulted(): void {
    const vector = this.#words[AT.faultVector]!;
    const error = this.#words[AT.faultError]!;
    this.#words[AT.faultVector] = -1;
    if (vector === DB) endGuard(this);
    this.#event(vector, error, vector === DB ? TRAP.trap : TRAP.fault);
  }

  /** Delivers an exception or interrupt; what goes wrong on the way becomes #DF, and then a shutdown. */
  #event(vector: number, error: number, kind: number): void {
    this.#work?.begin(WORK.event, vector);
    this.#deliver(vector, error, kind);
    this.#work?.end();
  }

  #deliver(vector: number, error: number, kind: number): void {
    const { r } = this;
    let current = vector;
    let code = WITH_ERROR_CODE.has(vector) && kind === TRAP.fault ? error : -1;
    let how = kind;
    for (let chain = 0; chain < MAX_CHAIN; chain++) {
      if (current === PF && how === TRAP.fault) r.setBig("cr2", r.getBig("faultAddress"));
      if (this.#x.deliver64(current, code, how) === 0) return;
      r.set("faultVector", -1);
      try {
        deliver(this, {
          vector: current,
          errorCode: code,
          kind: how === TRAP.external ? "external" : "exception",
          nextRip: r.getBig("rip"),
          resumeFlag: how === TRAP.fault,
        });
        return;
      } catch (fault) {
        if (!(fault instanceof GuestFault)) throw fault;
        r.set("faultVector", -1);
        const second = fault.vector;
        if (current === DF) {
          r.set("activity", ACTIVITY.shutdown);
          return;
        }
        const wasException = how !== TRAP.external;
        const double =
          wasException &&
          ((CONTRIBUTORY.has(current) && CONTRIBUTORY.has(second)) ||
            (current === PF && (CONTRIBUTORY.has(second) || second === PF)));
        current = double ? DF : second;
        code = double ? 0 : WITH_ERROR_CODE.has(second) ? fault.errorCode : -1;
        how = TRAP.fault;
      }
    }
    r.set("activity", ACTIVITY.shutdown);
  }

  // ---- SystemContext

  getSegment(number: number): SegmentCache {
    const name = SEGMENT_NAMES[number]!;
    const { r } = this;
    return {
      selector: r.get(`${name}.selector`),
      attributes: r.get(`${name}.attributes`),
      limit: r.get(`${name}.limit`),
      base: r.getBig(`${name}.base`),
    };
  }
  setSegment(number: number, cache: SegmentCache): void {
    const name = SEGMENT_NAMES[number]!;
    const { r } = this;
    r.set(`${name}.selector`, cache.selector);
    r.set(`${name}.attributes`, cache.attributes);
    r.set(`${name}.limit`, cache.limit);
    r.setBig(`${name}.base`, cache.base);
  }
  getEflags(): number {
    return this.#x.get_eflags() >>> 0;
  }
  setEflags(value: number): void {
    this.#x.set_eflags(value);
  }
  setCpl(cpl: number): void {
    this.r.set("cpl", cpl);
  }
  flushTlb(global: boolean): void {
    if (global) this.#x.flush_tlb();
    else this.#x.flush_tlb_non_global();
  }
  flushPcid(pcid: number): void {
    this.#x.flush_pcid(pcid);
  }
  flushPage(pcid: number, linear: bigint): void {
    this.#x.invlpg_of(pcid, BigInt.asIntN(64, linear));
  }
  addressSpaceLoaded(keep: boolean): void {
    this.#x.cr3_loaded(keep ? 1 : 0);
  }
  updateMode(): void {
    const { r } = this;
    const cr0 = r.get("cr0");
    const attributes = r.get("cs.attributes");
    const long = (r.get("efer") & 0x400) !== 0 && (attributes & 0x2000) !== 0;
    const bits = long ? 64 : (attributes & 0x4000) !== 0 ? 32 : 16;
    const isProtected = (cr0 & CR0_PE) !== 0 && (r.get("eflags") & VM) === 0;
    const key = bits === 64 ? 3 : bits === 32 ? (isProtected ? 2 : 4) : isProtected ? 1 : 0;
    const limit = long ? -1 >>> 0 : r.get("cs.limit");
    r.set("codeLimit", limit);
    // Where a code segment ends, the limit is looked at in each instruction, which it was not while another segment with the same
    // page was in CS.
    if (limit !== -1 >>> 0) this.#x.drop_code(BigInt((r.get("cs.base") + limit + 1) >>> 0));
    r.set("codeKey", key);
    r.set("codeBits", bits);
    if (long) r.setPair("stackMask", -1, -1);
    else r.setPair("stackMask", (r.get("ss.attributes") & 0x4000) !== 0 ? 0xffff_ffff : 0xffff, 0);
    const watch = watchOf(this);
    if (r.get("watch") !== watch) this.#x.flush_tlb();
    r.set("watch", watch);
    if ((r.get("eflags") & RF) !== 0) {
      // RF means nothing without instruction breakpoints.
      if ((watch & WATCH.code) !== 0) this.requestAttention();
      else r.set("eflags", r.get("eflags") & ~RF);
    }
    const trap = (cr0 & 0xc) !== 0 ? 1 : 0;
    r.set("x87Trap", trap);
    r.set("sseTrap", trap | ((r.get("cr4") & 0x200) === 0 ? 1 : 0));
    const avx = (r.get("cr4") & CR4_OSXSAVE) !== 0 && (r.get("xcr0") & AVX_STATE) === AVX_STATE;
    r.set("avxTrap", avx && (cr0 & CR0_TS) === 0 ? 0 : 1);
    this.#x.update_privilege();
  }
  readPhysical(gpa: bigint): bigint {
    const host = this.#x.ram_host(gpa) >>> 0;
    return host === 0 ? 0n : this.#view.getBigUint64(host, true);
  }
  writePhysical(gpa: bigint, bytes: Uint8Array): boolean {
    for (let i = 0; i < bytes.length; i++) {
      const host = this.#x.ram_host(gpa + BigInt(i)) >>> 0;
      if (host === 0) return false;
      this.#bytes[host] = bytes[i]!;
      this.#x.code_write(host, 1);
    }
    return true;
  }

  // ---- what generated code calls

  #imports(): Imports {
    const { ports } = this;
    return {
      mmio_read: (gpa, size) => {
        this.#work?.begin(WORK.memory, gpa!);
        const value = ports.mmioRead(gpa!, size as PortSize);
        this.#work?.end();
        return value;
      },
      mmio_write: (gpa, size, value) => {
        this.#work?.begin(WORK.memory, gpa!);
        ports.mmioWrite(gpa!, size as PortSize, value! >>> 0);
        this.#work?.end();
        return undefined;
      },
      port_read: (port, size) => {
        this.#watchPort(port!, size!);
        this.#work?.begin(WORK.port, port!);
        const value = ports.portRead(port!, size as PortSize);
        this.#work?.end();
        return value;
      },
      port_write: (port, size, value) => {
        this.#watchPort(port!, size!);
        this.#work?.begin(WORK.port, port!);
        ports.portWrite(port!, size as PortSize, value! >>> 0);
        this.#work?.end();
        return undefined;
      },
      new_code_page: (ramOffset, key) => this.code.newPage(ramOffset! >>> 0, key!),
      decode: (page, offset) => {
        this.#work?.begin(WORK.decode, 0);
        const record = this.code.decode(page! >>> 0, offset!);
        this.#work?.end();
        return record;
      },
      decode_across: (record) => this.code.decodeAcross(record! >>> 0),
      read_tsc: () => Math.floor(ports.tsc()),
      read_random: () => {
        const bytes = new Uint8Array(8);
        ports.random(bytes);
        this.#bytes.set(bytes, this.r.address("scratch0"));
        return undefined;
      },
      hot: (jump) => {
        this.#jit?.hot(jump! >>> 0, this.r.getBig("scratch0"));
        return undefined;
      },
      left_often: (slot, why) => {
        this.#jit?.leftOften(slot!, why!, this.r.getBig("scratch0"));
        return undefined;
      },
      entered: () => {
        this.#jit?.entered(this.r.getBig("scratch0"));
        return undefined;
      },
      drop_regions: (page) => {
        this.#jit?.dropPage(page! >>> 0);
        // A region that runs now may be one of them: it leaves behind the store.
        this.requestAttention();
        return undefined;
      },
      system: (operation) => {
        this.#work?.begin(WORK.operation, operation!);
        const faulted = this.#system(operation!);
        this.#work?.end();
        return faulted;
      },
    };
  }

  #watchPort(port: number, size: number): void {
    if ((this.#words[this.#watch]! & WATCH.io) === 0) return;
    const hits = ioHits(this, port, size);
    if (hits === 0) return;
    this.r.set("pendingDebug", this.r.get("pendingDebug") | hits);
    this.requestAttention();
  }

  #system(number: number): number {
    try {
      const operation = OPERATIONS[number];
      if (!operation) throw new GuestFault(UD);
      operation(this);
      return 0;
    } catch (fault) {
      if (!(fault instanceof GuestFault)) throw fault;
      if (fault instanceof TaskFault) {
        // The instruction is done: generated code leaves where the new task begins.
        this.#taskFault = fault;
        this.requestAttention();
        return 0;
      }
      this.r.set("faultVector", fault.vector);
      this.r.set("faultError", fault.errorCode);
      return 1;
    }
  }
}
