/** A machine around the CPU that answers anything, the same each time: for comparing two runs of one string. */
import type { CpuPorts } from "../../src/cpu/index.ts";

export class Noise implements CpuPorts {
  #count = 0;
  /** What the guest did to the outside, folded to one number: two runs must agree on it too. */
  trace = 0;

  readonly apic = {
    pending: () => -1,
    acknowledge: () => -1,
    takeNmi: () => false,
    readMsr: (index: number) => (index & 1 ? -1 : this.#next(index)),
    readMsrHigh: (index: number) => this.#next(index),
    writeMsr: (index: number, low: number) => {
      this.#note(index ^ low);
      return (index & 2) !== 0;
    },
    apicBaseLow: 0xfee0_0900,
    apicBaseHigh: 0,
    writeApicBase: (low: number) => (low & 1) === 0,
    cr8: 0,
    tscDeadline: 0,
    setTscDeadline: (deadline: number) => this.#note(deadline & 0x7fff_ffff),
  };

  restart(): void {
    this.#count = 0;
    this.trace = 0;
    this.apic.cr8 = 0;
  }
  #next(of: number): number {
    this.#count = (this.#count + 1) | 0;
    return Math.imul(this.#count ^ of, 0x9e37_79b1) >>> 3;
  }
  #note(value: number): void {
    this.trace = (Math.imul(this.trace, 31) + value) | 0;
  }

  portRead = (port: number, size: number): number => {
    this.#note(port + size);
    const value = this.#next(port);
    return size === 4 ? value : value & (size === 2 ? 0xffff : 0xff);
  };
  portWrite = (port: number, size: number, value: number): void => this.#note(port ^ value ^ size);
  mmioRead = (gpa: number, size: number): number => {
    this.#note(((gpa % 0x1_0000_0000) | 0) + size);
    const value = this.#next(gpa | 0);
    return size === 4 ? value : value & (size === 2 ? 0xffff : 0xff);
  };
  mmioWrite = (gpa: number, size: number, value: number): void => this.#note((gpa | 0) ^ value ^ size);
  tsc = (): number => 1_000_000 + (this.#next(0) % 1000) + this.#count * 1000;
  wallTime = (): number => 1_700_000_000_000 + this.#count;
  random = (into: Uint8Array): void => {
    for (let i = 0; i < into.length; i++) into[i] = this.#next(i) >>> 8;
  };
}
