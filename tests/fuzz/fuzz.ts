/** All cases of one seed: most strings run on the bare CPU, every fifth in the whole PC. */
import { type CaseOptions, CpuFuzzer, type Verdict } from "./case.ts";
import { DeviceFuzzer, MACHINE_EVERY } from "./devices.ts";
import { LockstepFuzzer } from "./lockstep.ts";

export class Fuzzer {
  readonly #lockstep: LockstepFuzzer | undefined;
  readonly #cpu: CpuFuzzer;
  readonly #devices: DeviceFuzzer;

  /** `lockstep`: all cases run compiled code beside the interpreter. */
  constructor(seed: number, lockstep: boolean) {
    if (lockstep) this.#lockstep = new LockstepFuzzer(seed);
    this.#cpu = new CpuFuzzer(seed);
    this.#devices = new DeviceFuzzer(seed);
  }

  run(index: number, options?: CaseOptions): Verdict {
    if (this.#lockstep) return this.#lockstep.run(index, options);
    return index % MACHINE_EVERY === 0 ? this.#devices.run(index, options) : this.#cpu.run(index, options);
  }
}
