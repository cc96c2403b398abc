/**
 * Samples, on the machine's side: copies what can be told of a moment only while the vCPU rests in it, as quickly as it can. What it means
 * is found out by whoever watches, on a thread of its own: registers, the task's number and name, the stacks from their tops on.
 */
import { WORK } from "../../cpu/host-work.ts";
import type { Cpu } from "../../cpu/index.ts";
import { type SamplingPorts, TICK } from "../../cpu/sampling.ts";
import type { SampleArea } from "./area.ts";
import { type CaptureFunctions, captureModule } from "./capture-code.ts";

export interface CaptureOptions {
  readonly area: SampleArea;
  readonly memory: WebAssembly.Memory;
  readonly cpu: Pick<Cpu, "instructions">;
  readonly vcpu: number;
  /** Nanoseconds of the host's monotonic clock. */
  now(): number;
  /** Number of the device at a port or an address. */
  deviceAt(work: number, detail: number): number;
}

export class Capture implements SamplingPorts {
  readonly #o: CaptureOptions;
  readonly #code: CaptureFunctions;
  #instructions = 0;
  #seed = 0x9e37_79b9;

  constructor(options: CaptureOptions) {
    const { memory, vcpu, cpu } = options;
    this.#o = options;
    const module = new WebAssembly.Module(captureModule(vcpu));
    this.#code = new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as CaptureFunctions;
    this.#instructions = cpu.instructions;
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
    const { area, cpu } = this.#o;
    const { instructions } = cpu;
    let work: number = WORK.guest;
    let detail = 0;
    let weight = instructions - this.#instructions;
    if (this.period === 0) {
      work = area.get("tickWork");
      detail = area.get("tickDetail");
      if (work === WORK.port || work === WORK.memory) detail = this.#o.deviceAt(work, detail);
      weight = Math.max(1, area.get("ticks"));
      area.set("ticks", 0);
    }
    this.#instructions = instructions;
    const taken = this.#code.take(work, detail, weight, this.#o.now(), instructions);
    if (taken === 0) area.set("lost", area.get("lost") + 1);
  }
}
