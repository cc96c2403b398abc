import { GiB, type Gpa, gpa, LOW_RAM_END, MiB, VivError } from "../../base/index.ts";
import type { GuestRam } from "../memory.ts";
import { MEMORY_TYPE, type MemoryRegion } from "./memory-map.ts";

/**
 * Where things go in guest RAM while a kernel is loaded. The kernel claims the addresses it was linked for
 * first; what the protocol adds (initrd, tables, command line) is placed in RAM that is still free, so no
 * image can make the loader write over itself. Everything lies below 4 GiB, where all protocols can see it.
 */

/** Page 0 holds the real-mode interrupt vectors and the BIOS data area. */
const FIRST_FREE = 0x1000;

export const PAGE = 0x1000;

interface Taken {
  readonly start: number;
  readonly end: number;
}

export interface Placing {
  readonly align: number;
  /** Not before this address. */
  readonly from?: number;
  /** Ends at or before this address. */
  readonly below?: number;
  /** As high as possible, where the default is as low as possible. */
  readonly high?: boolean;
}

const up = (value: number, align: number): number => Math.ceil(value / align) * align;
const down = (value: number, align: number): number => Math.floor(value / align) * align;
export const hex = (value: number): string => `0x${value.toString(16)}`;
/** A size for a message, rounded up: a guest given that much memory has enough. */
export const mib = (value: number): string =>
  value < MiB ? `${Math.ceil(value / 1024)} KiB` : `${Math.ceil(value / MiB)} MiB`;

export class Layout {
  readonly ram: GuestRam;
  readonly map: readonly MemoryRegion[];
  readonly #taken: Taken[] = [];

  constructor(ram: GuestRam, map: readonly MemoryRegion[]) {
    this.ram = ram;
    this.map = map;
  }

  /** Takes the range an image was linked for, and returns it. Parts of one image may overlap. */
  claim(start: number, length: number): Uint8Array {
    const end = start + length;
    if (end > LOW_RAM_END) {
      throw new VivError(
        "kernel.too-big",
        `the kernel wants memory from ${hex(start)} to ${hex(end)}, but a kernel must lie below ${LOW_RAM_END / GiB} GiB; ` +
          "link it lower, or check that the file is not damaged",
      );
    }
    if (end > this.ram.lowSize) throw this.#tooSmall(end);
    const home = this.#ramRegions().find((r) => start >= r.start && end <= r.start + r.length);
    if (home === undefined) {
      throw new VivError(
        "kernel.unsupported",
        `the kernel loads at ${hex(start)} to ${hex(end)}, where memory is reserved or missing; ` +
          "link it at 1 MiB or higher",
      );
    }
    this.#taken.push({ start, end });
    return this.ram.view(start, length)!;
  }

  /** Takes free RAM and returns its address, or undefined when there is none. */
  take(length: number, placing: Placing): Gpa | undefined {
    const start = this.#find(length, placing);
    if (start === undefined) return undefined;
    this.#taken.push({ start, end: start + length });
    return gpa(start);
  }

  /** Copies `content` into free RAM, zero-filled up to `align`, and returns its address. */
  put(content: Uint8Array, align: number): Gpa {
    const length = Math.max(up(content.length, align), align);
    const start = this.take(length, { align });
    if (start === undefined) throw this.#tooSmall(this.ram.lowSize + length);
    const view = this.ram.view(start, length)!;
    view.fill(0);
    view.set(content);
    return start;
  }

  #tooSmall(needed: number): VivError {
    return new VivError(
      "memory.too-small",
      `the kernel needs at least ${mib(needed)} of memory and the guest has ${mib(this.ram.size)}; give it more`,
    );
  }

  /** Usable RAM below 4 GiB. */
  #ramRegions(): MemoryRegion[] {
    return this.map.filter((r) => r.type === MEMORY_TYPE.ram && r.start < LOW_RAM_END);
  }

  #find(length: number, { align, from = FIRST_FREE, below = LOW_RAM_END, high = false }: Placing): number | undefined {
    const regions = this.#ramRegions();
    if (high) regions.reverse();
    for (const region of regions) {
      const first = Math.max(region.start, from);
      const last = Math.min(region.start + region.length, below);
      let start = high ? down(last - length, align) : up(first, align);
      while (start >= first && start + length <= last) {
        const other = this.#taken.find((t) => start < t.end && t.start < start + length);
        if (other === undefined) return start;
        start = high ? down(other.start - length, align) : up(other.end, align);
      }
    }
    return undefined;
  }
}
