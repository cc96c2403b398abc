/** What is known of the kernel that runs in a guest: the ground that every look inside stands on. */
import type { Gva } from "../base/index.ts";
import type { AddressSpace } from "./memory.ts";

/** A symbol of the kernel or of a module. */
export interface KernelSymbol {
  readonly name: string;
  readonly start: Gva;
  /** Where the next one begins, of symbols that `find` gives. */
  readonly end?: Gva;
  /** As nm writes it: T, t, D, … */
  readonly type: string;
  /** Name of the module it belongs to; absent: the kernel itself. */
  readonly module?: string;
}

export interface SymbolTable {
  /** The address of a symbol by its exact name; the first where there are many. */
  address(name: string): Gva | undefined;
  /** The text symbol that holds an address. */
  find(at: Gva): KernelSymbol | undefined;
}

/** Types of the guest's kernel by their C names, without `struct`, `union` or `enum` in front. */
export interface TypeTable {
  /** Bytes of a struct or union; undefined where there is none. */
  sizeOf(type: string): number | undefined;
  /**
   * Byte offset of a member: `comm`, or a path through nested structs as `f_path.dentry`. Anonymous structs and unions are
   * looked through. Undefined where there is none.
   */
  offsetOf(type: string, path: string): number | undefined;
  /** Value of an enumerator. */
  enumerator(enumeration: string, name: string): number | undefined;
}

/** A kernel that was found in memory, and verified by its own page tables. */
export interface Kernel {
  /** `uname -r`, the guest's claim. */
  readonly release: string;
  /** The line that begins with "Linux version", the guest's claim. */
  readonly banner: string;
  /** Hexadecimal; absent where the kernel was linked without. */
  readonly buildId: string | undefined;
  readonly symbols: SymbolTable;
  /** Absent where the kernel has no BTF. */
  readonly types: TypeTable | undefined;
  /** The kernel's own address space, for this look (see AddressSpace). */
  readonly space: AddressSpace;
}

/** What of a vCPU the search starts from. Live values: all but `cr3` and the GS bases hardly ever change. */
export interface ControlRegisters {
  /** CR3 whole, with PCID or flags in the low bits. */
  readonly cr3: number;
  /** CR4: bit 12 says five levels. */
  readonly cr4: number;
  /** IA32_LSTAR: where SYSCALL leads, sign-extended. */
  readonly lstar: Gva;
  readonly gsBase: Gva;
  readonly kernelGsBase: Gva;
  /** Current privilege level, where it is known: at 3 the kernel's GS base is the other one. */
  readonly cpl?: number;
}
