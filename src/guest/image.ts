/**
 * The kernel's image as page tables map it (Documentation/arch/x86/x86_64/mm.rst): from 0xffffffff80000000 on, with or without
 * KASLR, and everywhere at one distance from physical memory.
 */
import { type Gpa, type Gva, gpa, gva, MiB } from "../base/index.ts";
import type { AddressSpace } from "./memory.ts";

/** __START_KERNEL_map. */
export const KERNEL_MAP_START = gva(-(2 ** 31));
/** Where modules begin with KASLR; without, they lie in the range too, but not at the image's distance. */
export const KERNEL_MAP_END = gva(-(2 ** 30));

/** CONFIG_PHYSICAL_ALIGN is at least this, virtual and physical: so is the distance between the two. */
const ALIGNMENT = 2 * MiB;
/** Distances that are told apart. Stops tables that map each page at a distance of its own. */
const MAX_DISTANCES = 64;
/** The smallest kernel has more. The half of page tables that user programs run on (PTI) maps less of it. */
const LEAST_IMAGE = 4 * MiB;

/** A part of the image without holes. */
export interface ImagePiece {
  readonly start: Gva;
  readonly physical: Gpa;
  readonly length: number;
}

export interface KernelImage {
  /** Virtual address less physical address. */
  readonly distance: number;
  /** By address. Between them is what the kernel has freed. */
  readonly pieces: readonly ImagePiece[];
}

/** The kernel image that an address space maps; undefined where there is none. */
export function kernelImage(space: AddressSpace): KernelImage | undefined {
  const found = new Map<number, { bytes: number; pieces: { start: Gva; physical: Gpa; length: number }[] }>();
  for (let at = KERNEL_MAP_START; at < KERNEL_MAP_END; ) {
    const { physical, length } = space.mapping(at);
    const distance = at - physical;
    if (physical >= 0 && distance % ALIGNMENT === 0 && space.memory.has(gpa(physical), length)) {
      let image = found.get(distance);
      if (!image && found.size < MAX_DISTANCES) {
        image = { bytes: 0, pieces: [] };
        found.set(distance, image);
      }
      if (image) {
        const last = image.pieces.at(-1);
        if (last && last.start + last.length === at) last.length += length;
        else image.pieces.push({ start: at, physical: gpa(physical), length });
        image.bytes += length;
      }
    }
    at = gva(at + length);
  }
  let best: KernelImage | undefined;
  let most = LEAST_IMAGE - 1;
  for (const [distance, { bytes, pieces }] of found) {
    if (bytes <= most) continue;
    most = bytes;
    best = { distance, pieces };
  }
  return best;
}

/** The physical address of a place in the image, or -1. */
export function imageAddress(image: KernelImage, at: number): Gpa | -1 {
  const piece = image.pieces.find(({ start, length }) => at >= start && at < start + length);
  return piece ? gpa(at - image.distance) : -1;
}
