/**
 * What sits on the port-I/O or the memory bus. `offset` counts bytes from the start of
 * the range the device was attached at. Values are unsigned 32-bit numbers; the CPU
 * splits a 64-bit access in two, low half first.
 */
export type AccessSize = 1 | 2 | 4;

export interface IoDevice {
  readonly name: string;
  read(offset: number, size: AccessSize): number;
  write(offset: number, size: AccessSize, value: number): void;
}

interface Range {
  readonly start: number;
  readonly end: number;
  readonly device: IoDevice;
}

/** What an access that no device answers reads: the bus floats high. */
const floating = (size: AccessSize): number => (size === 4 ? 0xffffffff : size === 2 ? 0xffff : 0xff);

/**
 * An address space of devices: port I/O (64 KiB) or memory-mapped I/O (guest physical).
 * Ranges may not overlap. An access that no range covers reads all ones and its write is dropped.
 */
export class Bus {
  readonly #ranges: Range[] = [];

  /** Puts `device` at `start .. start + length`. Throws RangeError if another device is there. */
  attach(start: number, length: number, device: IoDevice): void {
    const end = start + length;
    const other = this.#ranges.find((r) => start < r.end && r.start < end);
    if (other) {
      throw new RangeError(`${device.name} at 0x${start.toString(16)} overlaps ${other.device.name}`);
    }
    this.#ranges.push({ start, end, device });
    this.#ranges.sort((a, b) => a.start - b.start);
  }

  detach(device: IoDevice): void {
    for (let i = this.#ranges.length - 1; i >= 0; i--) {
      if (this.#ranges[i]!.device === device) this.#ranges.splice(i, 1);
    }
  }

  /** All that are attached, in the order of their addresses; one with several ranges more than once. */
  get devices(): readonly IoDevice[] {
    return this.#ranges.map(({ device }) => device);
  }
  /** The device that answers at an address. */
  at(address: number): IoDevice | undefined {
    return this.#find(address)?.device;
  }

  read(address: number, size: AccessSize): number {
    const range = this.#find(address);
    return range ? range.device.read(address - range.start, size) >>> 0 : floating(size);
  }

  write(address: number, size: AccessSize, value: number): void {
    const range = this.#find(address);
    if (range) range.device.write(address - range.start, size, value);
  }

  #find(address: number): Range | undefined {
    let low = 0;
    let high = this.#ranges.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const range = this.#ranges[middle]!;
      if (address < range.start) high = middle - 1;
      else if (address >= range.end) low = middle + 1;
      else return range;
    }
    return undefined;
  }
}
