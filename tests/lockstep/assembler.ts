/** Writes guest code with labels. Instructions are bytes; what refers to a label, or is needed everywhere, has a method. */
import { type Bytes, bytes, imm } from "../system/guest.ts";

export const RAX = 0;
export const RCX = 1;
export const RDX = 2;
export const RBX = 3;
export const RSI = 6;
export const RDI = 7;

/** Condition codes (SDM vol. 1, appendix B). */
export const CC = { o: 0, b: 2, ae: 3, z: 4, nz: 5, s: 8, ns: 9, l: 12, ge: 13 } as const;

type Target = string | number;

export class Assembler {
  readonly origin: number;
  readonly #wide: boolean;
  readonly #bytes: number[] = [];
  readonly #labels = new Map<string, number>();
  readonly #fixes: { at: number; size: 4 | 8; relative: boolean; target: Target }[] = [];

  /** Code that is to lie at `origin`. `wide`: 64-bit. */
  constructor(origin: number, wide = true) {
    this.origin = origin;
    this.#wide = wide;
  }

  /** Where the next byte lies. */
  get here(): number {
    return this.origin + this.#bytes.length;
  }
  db(...code: Bytes): this {
    this.#bytes.push(...bytes(code));
    return this;
  }
  label(name: string): this {
    this.#labels.set(name, this.here);
    return this;
  }
  /** NOPs up to an address. */
  align(to: number): this {
    while (this.here < to) this.#bytes.push(0x90);
    if (this.here > to) throw new Error(`code is ${this.here - to} bytes too long`);
    return this;
  }
  at(name: string): number {
    const found = this.#labels.get(name);
    if (found === undefined) throw new Error(`no label ${name}`);
    return found;
  }
  mov(register: number, value: Target | bigint): this {
    if (this.#wide) this.#bytes.push(0x48);
    this.#bytes.push(0xb8 | register);
    const size = this.#wide ? 8 : 4;
    if (typeof value === "string") this.#fixes.push({ at: this.#bytes.length, size, relative: false, target: value });
    return this.db(imm(typeof value === "string" ? 0 : value, size));
  }
  jmp(target: Target): this {
    return this.#relative([0xe9], target);
  }
  call(target: Target): this {
    return this.#relative([0xe8], target);
  }
  jcc(condition: number, target: Target): this {
    return this.#relative([0x0f, 0x80 | condition], target);
  }
  /** DEC ECX; JNZ. */
  again(target: Target): this {
    return this.db(0xff, 0xc9).jcc(CC.nz, target);
  }
  hlt(): this {
    return this.db(0xf4);
  }

  /** The code, its labels resolved. */
  code(): Uint8Array {
    const code = Uint8Array.from(this.#bytes);
    for (const { at, size, relative, target } of this.#fixes) {
      const to = typeof target === "string" ? this.at(target) : target;
      code.set(imm(relative ? to - (this.origin + at + 4) : to, size), at);
    }
    return code;
  }

  #relative(opcode: number[], target: Target): this {
    this.db(opcode);
    this.#fixes.push({ at: this.#bytes.length, size: 4, relative: true, target });
    return this.db(imm(0));
  }
}
