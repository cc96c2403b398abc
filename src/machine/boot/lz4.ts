import { VivError } from "../../base/index.ts";
import { viewOf } from "./wire.ts";

/**
 * LZ4's legacy frame, as kernels are packed in (lz4 doc/lz4_Frame_format.md, "Legacy frame", and
 * lz4_Block_format.md): a magic number, then blocks, each with its packed size in front. The input is hostile:
 * every read and copy is bounded by the arrays, and the output by the size the caller expects.
 */

const MAGIC = 0x184c2102;
const MIN_MATCH = 4;

const damaged = (): VivError =>
  new VivError("kernel.damaged", "the LZ4 data inside the kernel image is damaged; fetch or copy the file again");

/** Unpacks one block into `out` from `at` on; returns where it ended. */
const unpackBlock = (block: Uint8Array, out: Uint8Array, at: number): number => {
  const start = at;
  let from = 0;
  const length = (nibble: number): number => {
    let total = nibble;
    if (nibble === 15) {
      let more: number;
      do {
        if (from >= block.length) throw damaged();
        more = block[from++]!;
        total += more;
      } while (more === 255);
    }
    return total;
  };
  while (from < block.length) {
    const token = block[from++]!;
    const literals = length(token >> 4);
    if (from + literals > block.length || at + literals > out.length) throw damaged();
    out.set(block.subarray(from, from + literals), at);
    from += literals;
    at += literals;
    // The last sequence is literals only.
    if (from === block.length) return at;
    if (from + 2 > block.length) throw damaged();
    const distance = block[from]! | (block[from + 1]! << 8);
    from += 2;
    const match = length(token & 15) + MIN_MATCH;
    if (distance === 0 || distance > at - start || at + match > out.length) throw damaged();
    // A match may overlap what it writes: then it repeats, byte for byte.
    if (distance >= match) out.copyWithin(at, at - distance, at - distance + match);
    else for (let i = 0; i < match; i++) out[at + i] = out[at + i - distance]!;
    at += match;
  }
  return at;
};

/** Unpacks a legacy frame of exactly `size` bytes. */
export const unpackLz4 = (data: Uint8Array, size: number): Uint8Array => {
  const view = viewOf(data);
  const out = new Uint8Array(size);
  let from = 0;
  let at = 0;
  while (from + 4 <= data.length) {
    const word = view.getUint32(from, true);
    from += 4;
    // Frames may follow one another; a block is never as long as the magic number.
    if (word === MAGIC) continue;
    if (word === 0 || from + word > data.length) throw damaged();
    at = unpackBlock(data.subarray(from, from + word), out, at);
    from += word;
  }
  if (at !== size || from !== data.length) throw damaged();
  return out;
};
