import { VivError } from "../../base/index.ts";
import type { ImageSource } from "./elf.ts";
import { viewOf } from "./wire.ts";

/**
 * The addresses at which an x86-64 vmlinux has to be changed to run elsewhere than where it was linked (kernel arch/x86/tools/relocs.c; what
 * handle_relocations in arch/x86/boot/compressed/misc.c does with them). They lie behind the ELF file inside a bzImage: after a zero
 * each, where 64 bits are to be raised, where 32 bits are to be lowered (per-CPU addresses; not in kernels from 6.15 on), and where 32
 * bits are to be raised. All are virtual addresses, of which the lower half is written.
 */
export interface Relocations {
  readonly raised64: Int32Array;
  readonly lowered32: Int32Array;
  readonly raised32: Int32Array;
}

/** The kernel's text mapping (Documentation/arch/x86/x86_64/mm.rst), lower half. */
const START_KERNEL_MAP = 0x8000_0000;

/** What lies behind the ELF file that ends at `end`; undefined where these are no relocations. */
export const readRelocations = (image: ImageSource, end: number): Relocations | undefined => {
  const length = image.length - end;
  if (length < 8 || length % 4 !== 0) return undefined;
  const words = new Int32Array(Uint8Array.from(image.subarray(end)).buffer);
  const stops: number[] = [];
  for (let at = words.indexOf(0); at >= 0 && stops.length < 4; at = words.indexOf(0, at + 1)) stops.push(at);
  const [first, second, third] = stops;
  if (first !== 0 || second === undefined || stops.length > 3) return undefined;
  return {
    raised64: words.subarray(1, second),
    lowered32: third === undefined ? new Int32Array(0) : words.subarray(second + 1, third),
    raised32: words.subarray((third ?? second) + 1),
  };
};

/**
 * Makes `kernel`, whose first byte was linked at physical address `linked`, run `delta` bytes higher in virtual memory. A relocation
 * outside it is a damaged file's.
 */
export const relocate = (kernel: Uint8Array, linked: number, relocations: Relocations, delta: number): void => {
  const view = viewOf(kernel);
  const each = (addresses: Int32Array, size: number, change: (at: number) => void): void => {
    for (const address of addresses) {
      const at = (address >>> 0) - START_KERNEL_MAP - linked;
      if (at < 0 || at + size > kernel.length) {
        throw new VivError("kernel.damaged", "the kernel's relocations lead out of it; fetch or copy the file again");
      }
      change(at);
    }
  };
  each(relocations.raised32, 4, (at) => view.setUint32(at, (view.getUint32(at, true) + delta) >>> 0, true));
  each(relocations.lowered32, 4, (at) => view.setUint32(at, (view.getUint32(at, true) - delta) >>> 0, true));
  each(relocations.raised64, 8, (at) => {
    const low = view.getUint32(at, true) + delta;
    view.setUint32(at, low >>> 0, true);
    if (low >= 2 ** 32) view.setUint32(at + 4, (view.getUint32(at + 4, true) + 1) >>> 0, true);
  });
};
