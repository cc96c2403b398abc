/**
 * Guest memory by linear address, for what TypeScript does on behalf of the guest (cpu/system): translated and checked as
 * an access of the program or of the CPU itself. Where no RAM is, reads give all ones and writes are dropped.
 */
import type { Registers } from "./registers.ts";
import { ACCESS } from "./runtime/paging.ts";
import { GuestFault, type Privilege, type SystemMemory, type Width } from "./system/access.ts";

/** What it needs of the generated code. */
export interface LinearMemoryExports {
  translate(linear: bigint, access: number): number;
  code_write(host: number, length: number): void;
}

/** What `translate` answers where there is no RAM. */
const NO_RAM = 1;
const EFER_LMA = 0x400;

export class LinearMemory implements SystemMemory {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #r: Registers;
  readonly #x: LinearMemoryExports;

  constructor(memory: ArrayBufferLike, registers: Registers, exports: LinearMemoryExports) {
    this.#bytes = new Uint8Array(memory);
    this.#view = new DataView(memory);
    this.#r = registers;
    this.#x = exports;
  }

  read(linear: bigint, width: Width, privilege: Privilege): bigint {
    const access = this.#access(privilege, false);
    const at = this.#wrap(linear);
    if (Number(at & 0xfffn) + width <= 4096) {
      const host = this.#host(at, access);
      if (host === NO_RAM) return BigInt.asUintN(width * 8, -1n);
      if (width === 8) return this.#view.getBigUint64(host, true);
      if (width === 4) return BigInt(this.#view.getUint32(host, true));
      return BigInt(width === 2 ? this.#view.getUint16(host, true) : this.#view.getUint8(host));
    }
    let value = 0n;
    for (let i = 0; i < width; i++) {
      const host = this.#host(this.#wrap(linear + BigInt(i)), access);
      value |= BigInt(host === NO_RAM ? 0xff : this.#bytes[host]!) << BigInt(8 * i);
    }
    return value;
  }

  write(linear: bigint, width: Width, value: bigint, privilege: Privilege): void {
    const access = this.#access(privilege, true);
    this.probeWrite(linear, width, privilege);
    for (let i = 0; i < width; i++) {
      const host = this.#host(this.#wrap(linear + BigInt(i)), access);
      if (host === NO_RAM) continue;
      this.#bytes[host] = Number((value >> BigInt(8 * i)) & 0xffn);
      this.#x.code_write(host, 1);
    }
  }

  probeWrite(linear: bigint, length: number, privilege: Privilege): void {
    const access = this.#access(privilege, true);
    for (let i = 0; i < length; i += 4096) this.#host(this.#wrap(linear + BigInt(i)), access);
    this.#host(this.#wrap(linear + BigInt(length - 1)), access);
  }

  #access(privilege: Privilege, write: boolean): number {
    const who = privilege === "system" ? ACCESS.implicit : this.#r.get("cpl") === 3 ? ACCESS.user : 0;
    return who | (write ? ACCESS.write : 0);
  }

  /** Host address of a byte, NO_RAM where there is none. Throws the fault that translating it raises. */
  #host(linear: bigint, access: number): number {
    const host = this.#x.translate(linear, access) >>> 0;
    if (host !== 0) return host;
    const r = this.#r;
    const fault = new GuestFault(r.get("faultVector"), r.get("faultError") | 0);
    r.set("faultVector", -1);
    r.set("walkFlags", 0);
    throw fault;
  }

  #wrap(linear: bigint): bigint {
    return BigInt.asUintN((this.#r.get("efer") & EFER_LMA) !== 0 ? 64 : 32, linear);
  }
}
