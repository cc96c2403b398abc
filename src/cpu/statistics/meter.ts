/**
 * What stands between a vCPU and its parts while somebody counts: in front of generated code, the compiler and the devices, with a
 * clock in hand.
 */
import type { CpuExports, Instruments } from "../cpu.ts";
import { Jit, type JitPorts } from "../jit/jit.ts";
import { COUNTERS, STATE_BASE } from "../memory-map.ts";
import type { ApicPort, CpuPorts } from "../ports.ts";
import { EXIT } from "../runtime/exits.ts";
import { observedSoftware, type Software } from "../software.ts";
import { offsetOf } from "../state.ts";
import { countingObserver } from "./observer.ts";
import { PLACE, WHERE } from "./place.ts";

const wordOf = (field: string): number => (STATE_BASE + offsetOf(field)) >> 2;
const ATTENTION = wordOf("attention");
const FAULTS_TAKEN = wordOf("faultsTaken");

let engine: Software | undefined;

export class Meter {
  readonly instruments: Instruments;
  readonly #words: Int32Array;
  readonly #view: DataView;
  readonly #now: () => number;
  #jit: Jit | undefined;
  readonly exits = { budget: 0, attention: 0, fault: 0, leave: 0, step: 0 };
  interrupts = 0;
  /** Exceptions that were delivered without leaving generated code. */
  faultsInside = 0;
  deviceAccesses = 0;
  /** Nanoseconds. Generated code's is with the devices that it asked. */
  readonly time = { generated: 0, compiler: 0, devices: 0 };

  /** `now`: nanoseconds on any clock that does not go back. */
  constructor(memory: WebAssembly.Memory, now: () => number) {
    this.#words = new Int32Array(memory.buffer);
    this.#view = new DataView(memory.buffer);
    this.#now = now;
    this.instruments = {
      engine: (engine ??= observedSoftware(countingObserver)),
      exports: (original) => this.#exports(original),
      jit: (ports) => {
        this.#jit = new TimedJit(ports, this.time, now);
        return this.#jit;
      },
    };
  }

  counter(name: keyof typeof COUNTERS): number {
    return Number(this.#view.getBigUint64(COUNTERS[name], true));
  }
  /** How often the thread was found at a place of WHERE. */
  samples(where: number): number {
    return this.#words[(COUNTERS.samples >> 2) + where]!;
  }
  get regions() {
    const jit = this.#jit;
    if (jit === undefined) return { regions: 0, bytes: 0, regionsMade: 0, regionsDropped: 0, bytesMade: 0 };
    const { regions, bytes } = jit.held;
    // Those that went with all decoded code are in no other number.
    return {
      regions,
      bytes,
      regionsMade: jit.compiled,
      regionsDropped: jit.compiled - regions,
      bytesMade: jit.compiledBytes,
    };
  }

  #exports(original: CpuExports): CpuExports {
    const { exits, time } = this;
    const words = this.#words;
    const now = this.#now;
    return {
      ...original,
      run: (budget) => {
        words[PLACE] = WHERE.interpreter;
        const from = now();
        const code = original.run(budget);
        time.generated += now() - from;
        words[PLACE] = WHERE.outside;
        this.faultsInside += words[FAULTS_TAKEN]!;
        if (code === EXIT.fault) exits.fault++;
        else if (words[ATTENTION]! !== 0) exits.attention++;
        else if (code === EXIT.leave) exits.leave++;
        else exits.budget++;
        return code;
      },
      run_step: (at) => {
        words[PLACE] = WHERE.interpreter;
        const from = now();
        const code = original.run_step(at);
        time.generated += now() - from;
        words[PLACE] = WHERE.outside;
        if (code === EXIT.fault) exits.fault++;
        else exits.step++;
        return code;
      },
    };
  }

  /** The same ports, timed: ports of the machine, device memory, and the local APIC's registers. */
  ports(ports: CpuPorts): CpuPorts {
    const words = this.#words;
    const timed =
      <Operands extends number[], Answer>(access: (...operands: Operands) => Answer) =>
      (...operands: Operands): Answer => {
        const place = words[PLACE]!;
        words[PLACE] = WHERE.device;
        const from = this.#now();
        const answer = access(...operands);
        this.time.devices += this.#now() - from;
        this.deviceAccesses++;
        words[PLACE] = place;
        return answer;
      };
    // The machine may exchange its local APIC: it is asked for each time.
    const apic: ApicPort = {
      pending: () => ports.apic.pending(),
      acknowledge: () => {
        this.interrupts++;
        return ports.apic.acknowledge();
      },
      takeNmi: () => {
        const taken = ports.apic.takeNmi();
        if (taken) this.interrupts++;
        return taken;
      },
      readMsr: timed((index: number) => ports.apic.readMsr(index)),
      readMsrHigh: (index) => ports.apic.readMsrHigh(index),
      writeMsr: timed((index: number, low: number, high: number) => ports.apic.writeMsr(index, low, high)),
      get apicBaseLow() {
        return ports.apic.apicBaseLow;
      },
      get apicBaseHigh() {
        return ports.apic.apicBaseHigh;
      },
      writeApicBase: (low, high) => ports.apic.writeApicBase(low, high),
      get cr8() {
        return ports.apic.cr8;
      },
      set cr8(value) {
        ports.apic.cr8 = value;
      },
      get tscDeadline() {
        return ports.apic.tscDeadline;
      },
      setTscDeadline: (deadline) => ports.apic.setTscDeadline(deadline),
    };
    return {
      portRead: timed(ports.portRead.bind(ports)),
      portWrite: timed(ports.portWrite.bind(ports)),
      mmioRead: timed(ports.mmioRead.bind(ports)),
      mmioWrite: timed(ports.mmioWrite.bind(ports)),
      tsc: () => ports.tsc(),
      wallTime: () => ports.wallTime(),
      random: (into) => ports.random(into),
      apic,
    };
  }
}

class TimedJit extends Jit {
  readonly #time: { compiler: number };
  readonly #now: () => number;

  constructor(ports: JitPorts, time: { compiler: number }, now: () => number) {
    super(ports);
    this.#time = time;
    this.#now = now;
  }
  override compile(): void {
    const from = this.#now();
    super.compile();
    this.#time.compiler += this.#now() - from;
  }
}
