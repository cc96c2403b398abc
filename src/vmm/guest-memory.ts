/** The memory a guest and its CPU live in: one WebAssembly memory, shared between threads. */
import { VivError } from "../base/index.ts";
import { memoryPages, RAM_BASE } from "../cpu/memory-map.ts";
import { formatSize } from "./config.ts";

/**
 * Its size is fixed: a memory that may grow has its whole maximum reserved, which browsers refuse sooner. `advice` says what
 * helps where the host has no room.
 */
export function createGuestMemory(ramSize: number, advice: string): WebAssembly.Memory {
  const pages = memoryPages(ramSize);
  try {
    return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  } catch (cause) {
    const message = `this host cannot set ${formatSize(ramSize)} of memory aside for the guest: ${advice}`;
    throw new VivError("memory.host", message, { cause });
  }
}

/** The guest's RAM in it. */
export const guestRam = (memory: WebAssembly.Memory, ramSize: number): Uint8Array =>
  new Uint8Array(memory.buffer, RAM_BASE, ramSize);
