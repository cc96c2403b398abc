/** Keeps what kernels have in common wherever they run, by build-id: names and types. Addresses and memory are each guest's own. */
import type { Btf } from "./btf/btf.ts";
import type { CompressedNames } from "./kallsyms/names.ts";

export interface KnownKernel {
  readonly names: CompressedNames;
  readonly types: Btf | undefined;
  /** Where its token table lies in the image, and how long it is. */
  readonly tokenOffset: number;
  readonly tokenLength: number;
}

/** The port. What is kept is never trusted: whoever takes it compares it with the guest's memory. */
export interface KernelCache {
  kernels(): Iterable<KnownKernel>;
  keep(buildId: string, kernel: KnownKernel): void;
}

/** Kernels of one host's guests are few; each takes some 10 MiB. */
const KEPT = 4;

/** In memory: the kernels found last. */
export class RecentKernels implements KernelCache {
  readonly #kernels = new Map<string, KnownKernel>();

  /** The last one first. */
  kernels(): readonly KnownKernel[] {
    return [...this.#kernels.values()].reverse();
  }

  keep(buildId: string, kernel: KnownKernel): void {
    this.#kernels.delete(buildId);
    this.#kernels.set(buildId, kernel);
    for (const oldest of this.#kernels.keys()) {
      if (this.#kernels.size <= KEPT) break;
      this.#kernels.delete(oldest);
    }
  }
}
