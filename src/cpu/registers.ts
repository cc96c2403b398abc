/** TypeScript's view of the CPU state in linear memory: every declared field by name. */
import { STATE_BASE } from "./memory-map.ts";
import { type FieldType, fieldOf, offsetOf } from "./state.ts";

export class Registers {
  readonly #view: DataView;

  constructor(memory: ArrayBufferLike) {
    this.#view = new DataView(memory);
  }

  /** Address of a field in linear memory. */
  address(name: string): number {
    return STATE_BASE + offsetOf(name);
  }
  /** An i32 field as an unsigned number; of an i64 field the low half. */
  get(name: string): number {
    return this.#view.getUint32(this.address(name), true);
  }
  set(name: string, value: number): void {
    this.#view.setUint32(this.address(name), value, true);
  }
  /** The high half of an i64 field. */
  getHigh(name: string): number {
    return this.#view.getUint32(this.address(name) + 4, true);
  }
  /** Both halves of an i64 field. */
  setPair(name: string, low: number, high: number): void {
    this.#view.setUint32(this.address(name), low, true);
    this.#view.setUint32(this.address(name) + 4, high, true);
  }
  /** An i64 field whole. For rare operations and for people; hot code takes halves or numbers. */
  getBig(name: string): bigint {
    return this.#view.getBigUint64(this.address(name), true);
  }
  setBig(name: string, value: bigint): void {
    this.#view.setBigUint64(this.address(name), BigInt.asUintN(64, value), true);
  }
  /** An i64 field as a number: exact below 2^53. */
  getNumber(name: string): number {
    return this.getHigh(name) * 0x1_0000_0000 + this.get(name);
  }
  setNumber(name: string, value: number): void {
    this.setPair(name, value >>> 0, Math.floor(value / 0x1_0000_0000));
  }
  type(name: string): FieldType {
    return fieldOf(name).type;
  }
}
