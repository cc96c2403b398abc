/** A vCPU that counts what it does, and says so at the end. It runs code of its own kind, which is slower; others have no part in it. */
import { Cpu, type CpuOptions, type RunOutcome } from "../cpu.ts";
import { Meter } from "./meter.ts";
import { WHERE } from "./place.ts";

export interface CountingOptions extends CpuOptions {
  /** Nanoseconds on any clock that does not go back. */
  now(): number;
}

/** Plain numbers: it goes from thread to thread. Times are nanoseconds. */
export interface CpuStatistics {
  readonly instructions: { readonly retired: number; readonly compiled: number };
  /** How often the run loop was returned to, by cause. */
  readonly exits: {
    readonly budget: number;
    /** A device, an interrupt or the host wanted something. */
    readonly attention: number;
    readonly fault: number;
    /** An instruction left something for the run loop to do. */
    readonly leave: number;
    /** One instruction was run by itself: single step, or the shadow behind STI and MOV SS. */
    readonly step: number;
    readonly halted: number;
  };
  readonly events: {
    readonly interrupts: number;
    /** Exceptions that generated code delivered by itself. */
    readonly faultsInside: number;
    readonly deviceAccesses: number;
    readonly regionsEntered: number;
  };
  readonly tlb: {
    readonly hits: number;
    /** Accesses that went the slow way: no entry, two pages, a device, or a page with decoded code. */
    readonly misses: number;
    /** Page tables were walked, for data and for code. */
    readonly walks: number;
  };
  readonly time: {
    readonly interpreter: number;
    readonly compiler: number;
    readonly compiled: number;
    readonly devices: number;
    /** The rest of the vCPU's own: events, system operations between runs. */
    readonly other: number;
    /** How often somebody looked which of both generated code's time goes to; with 0 it is divided by instructions. */
    readonly samples: number;
  };
  readonly code: {
    readonly regions: number;
    readonly regionsMade: number;
    readonly regionsDropped: number;
    /** Bytes of WebAssembly: of the regions in place, and of all modules that were made. */
    readonly bytes: number;
    readonly bytesMade: number;
    /** Bytes of decoded instructions. */
    readonly decodedBytes: number;
  };
}

export class CountingCpu extends Cpu {
  readonly #meter: Meter;
  readonly #now: () => number;
  #halted = 0;
  #ran = 0;

  constructor(options: CountingOptions) {
    const meter = new Meter(options.memory, () => options.now());
    super({ ...options, ports: meter.ports(options.ports), instruments: meter.instruments });
    this.#meter = meter;
    this.#now = () => options.now();
  }

  override run(budget: number, singly = false): RunOutcome {
    const from = this.#now();
    const outcome = super.run(budget, singly);
    this.#ran += this.#now() - from;
    if (outcome === "halted") this.#halted++;
    return outcome;
  }

  get statistics(): CpuStatistics {
    const meter = this.#meter;
    const { time, interrupts, faultsInside, deviceAccesses } = meter;
    const retired = this.instructions;
    const compiled = meter.counter("compiledInstructions");
    const misses = meter.counter("misses");
    // Devices are asked by generated code, but for a few registers of the local APIC.
    const generated = Math.max(0, time.generated - time.devices);
    const inCompiled = meter.samples(WHERE.compiled);
    const samples = inCompiled + meter.samples(WHERE.interpreter);
    const share = samples > 0 ? inCompiled / samples : Math.min(1, compiled / Math.max(1, retired));
    return {
      instructions: { retired, compiled },
      exits: { ...meter.exits, halted: this.#halted },
      events: { interrupts, faultsInside, deviceAccesses, regionsEntered: meter.counter("regionsEntered") },
      tlb: { hits: meter.counter("accesses") - misses, misses, walks: Number(this.r.getBig("walks")) },
      time: {
        interpreter: generated * (1 - share),
        compiler: time.compiler,
        compiled: generated * share,
        devices: time.devices,
        other: Math.max(0, this.#ran - time.generated - time.compiler),
        samples,
      },
      code: {
        ...meter.regions,
        decodedBytes: this.code.used,
      },
    };
  }
}
