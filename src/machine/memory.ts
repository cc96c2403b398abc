import { type Bytes, bytes, LOW_RAM_END, ramOffset } from "../base/index.ts";

/** Guest RAM as the host sees it: one run of bytes, in two places of the guest physical map. */
export class GuestRam {
  /** All of RAM: guest physical 0.. below the hole, then what lies above 4 GiB. */
  readonly bytes: Uint8Array;
  readonly size: Bytes;
  readonly lowSize: Bytes;

  constructor(ram: Uint8Array) {
    this.bytes = ram;
    this.size = bytes(ram.length);
    this.lowSize = bytes(Math.min(ram.length, LOW_RAM_END));
  }

  /** Offset of a guest physical address in `bytes`, or -1 where `length` bytes of RAM are not there. */
  offset(address: number, length: number): number {
    return ramOffset(this.size, address, length);
  }

  /** A view of `length` bytes at a guest physical address, or undefined where RAM does not hold them all. */
  view(address: number, length: number): Uint8Array | undefined {
    const at = this.offset(address, length);
    return at < 0 ? undefined : this.bytes.subarray(at, at + length);
  }
}
