/** A record (layout.ts) to start from, while it is filled. */
import { PLACES, RECORD, STACK_WINDOW_BYTES, WINDOW_BYTES } from "./layout.ts";

export const STACK_TOP = PLACES.STACK_WINDOW + 256;

export class State {
  readonly record = new Uint8Array(RECORD.SIZE);
  readonly view = new DataView(this.record.buffer);

  reg(n: number): bigint {
    return this.view.getBigUint64(RECORD.GPR + 8 * n, true);
  }
  setReg(n: number, value: bigint | number): void {
    this.view.setBigUint64(RECORD.GPR + 8 * n, BigInt.asUintN(64, BigInt(value)), true);
  }
  /** Writes little-endian bytes at an address, where it lies in one of the two windows. */
  write(address: number, value: bigint, length: number): void {
    for (let i = 0; i < length; i++) {
      const at = recordOffset(address + i);
      if (at !== undefined) this.record[at] = Number((value >> BigInt(8 * i)) & 0xffn);
    }
  }
}

export function recordOffset(address: number): number | undefined {
  const data = address - PLACES.WINDOW;
  if (data >= 0 && data < WINDOW_BYTES) return RECORD.DATA_WINDOW + data;
  const stack = address - PLACES.STACK_WINDOW;
  return stack >= 0 && stack < STACK_WINDOW_BYTES ? RECORD.STACK_PART + stack : undefined;
}
