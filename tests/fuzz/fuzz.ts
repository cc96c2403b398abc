/** All cases of one seed: most strings run on the bare CPU, every fifth in the whole PC. */
import { type CaseOptions, CpuFuzzer, type Verdict } from "./case.ts";
import { DeviceFuzzer, MACHINE_EVERY } from "./devices.ts";

export class Fuzzer {
  readonly #cpu: CpuFuzzer;
  readonly #devices: DeviceFuzzer;

  constructor(seed: number) {
    this.#cpu = new CpuFuzzer(seed);
    this.#devices = new DeviceFuzzer(seed);
  }

  run(index: number, options?: CaseOptions): Verdict {
    return index % MACHINE_EVERY === 0 ? this.#devices.run(index, options) : this.#cpu.run(index, options);
  }
}
