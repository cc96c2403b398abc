/** The last instructions a vCPU ran one at a time, for the message that says where two of them part. */
import { Decoded, Decoder, MAX_LENGTH } from "../../isa/decode.ts";
import { BAD, disassemble } from "../../isa/disassemble.ts";
import { ROWS } from "../../isa/rows.ts";
import { CODE_KEYS } from "../code-cache.ts";
import type { Cpu } from "../cpu.ts";
import { GuestFault } from "../system/access.ts";

/** How many are kept: a block has at most 64. */
const LENGTH = 64;

export class Trail {
  readonly #cpu: Cpu;
  readonly #rips = new BigUint64Array(LENGTH);
  readonly #keys = new Uint8Array(LENGTH);
  #count = 0;

  constructor(cpu: Cpu) {
    this.#cpu = cpu;
  }

  clear(): void {
    this.#count = 0;
  }
  /** The vCPU is about to run the instruction it stands at. */
  note(): void {
    const { r } = this.#cpu;
    const at = this.#count++ % LENGTH;
    this.#rips[at] = r.getBig("rip");
    this.#keys[at] = r.get("codeKey");
  }

  /** A line each, the oldest first. Code that has changed since is shown as it is now. */
  lines(): string[] {
    const kept = Math.min(this.#count, LENGTH);
    return Array.from({ length: kept }, (_, i) => {
      const at = (this.#count - kept + i) % LENGTH;
      const rip = this.#rips[at]!;
      return `0x${rip.toString(16)}: ${this.#instruction(rip, this.#keys[at]!)}`;
    });
  }

  #instruction(rip: bigint, key: number): string {
    const cpu = this.#cpu;
    const mode = CODE_KEYS[key]!;
    const base = mode.codeBits === 64 ? 0n : cpu.r.getBig("cs.base");
    const bytes = new Uint8Array(MAX_LENGTH);
    let length = 0;
    for (; length < MAX_LENGTH; length++) {
      const byte = this.#byte(rip + base + BigInt(length));
      if (byte === undefined) break;
      bytes[length] = byte;
    }
    const decoded = new Decoded();
    const outcome = new Decoder(ROWS, cpu.features).decode(bytes, 0, length, mode, decoded);
    return outcome === "ok" ? disassemble(decoded, rip) : BAD;
  }

  #byte(linear: bigint): number | undefined {
    for (const privilege of ["program", "system"] as const) {
      try {
        return Number(this.#cpu.memory.read(linear, 1, privilege));
      } catch (fault) {
        if (!(fault instanceof GuestFault)) throw fault;
      }
    }
    return undefined;
  }
}
