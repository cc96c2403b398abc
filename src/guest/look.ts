/**
 * One look into a guest: its kernel, where the members of its structures lie, and how its pages are found. Made anew
 * each time, as an AddressSpace is; what follows from the kernel's types alone is kept with them.
 */
import { type Gpa, type Gva, gpa, gva, MiB, VivError } from "../base/index.ts";
import { AddressMap } from "./address-map.ts";
import type { Kernel, TypeTable } from "./kernel.ts";
import { Budget } from "./lists.ts";
import { AddressSpace, PAGE_SIZE, type PhysicalMemory, Unreadable } from "./memory.ts";
import { type MemberOf, namesOf, type StructureName } from "./structures.ts";
import { decodeBytes, decodeText } from "./text.ts";

/** Offsets by structure and member, undefined: there is none. */
type Offsets = Map<string, Map<string, number | undefined>>;
const offsetsOfTypes = new WeakMap<TypeTable, Offsets>();

/**
 * Text of one look, in bytes, with what each piece costs besides. Stops names that share their bytes: a hundred
 * thousand paths of 4 KiB each fit into a few pages of a hostile guest, and not into our memory.
 */
const MOST_TEXT = 64 * MiB;
const PIECE = 16;

export class Look {
  readonly kernel: Kernel;
  readonly space: AddressSpace;
  readonly #types: TypeTable;
  readonly #offsets: Offsets;
  readonly #text = new Budget(MOST_TEXT);
  #map: AddressMap | undefined;

  /** Throws VivError where the kernel has no types: its structures can not be read. */
  constructor(kernel: Kernel) {
    if (!kernel.types) {
      throw new VivError(
        "guest.no-types",
        "the guest's kernel has no BTF (CONFIG_DEBUG_INFO_BTF), so its structures can not be read; only its symbols are known",
      );
    }
    this.kernel = kernel;
    this.space = kernel.space;
    this.#types = kernel.types;
    const known = offsetsOfTypes.get(kernel.types);
    this.#offsets = known ?? new Map();
    if (!known) offsetsOfTypes.set(kernel.types, this.#offsets);
  }

  get memory(): PhysicalMemory {
    return this.space.memory;
  }

  /** Offsets of members that `feature` can not do without. Throws VivError where the kernel has one of them not. */
  offsets<S extends StructureName, M extends MemberOf<S>>(
    feature: string,
    structure: S,
    ...members: readonly M[]
  ): Readonly<Record<M, number>> {
    const found = {} as Record<M, number>;
    for (const member of members) {
      const offset = this.optional(structure, member);
      if (offset === undefined) throw missing(feature, `struct ${structure} has no member ${member}`);
      found[member] = offset;
    }
    return found;
  }

  /** Offset of a member that not every kernel has. */
  optional<S extends StructureName>(structure: S, member: MemberOf<S>): number | undefined {
    let known = this.#offsets.get(structure);
    if (!known) this.#offsets.set(structure, (known = new Map()));
    let offset = known.get(member);
    if (offset !== undefined || known.has(member)) return offset;
    for (const name of namesOf(structure, member)) {
      offset = this.#types.offsetOf(structure, name);
      if (offset !== undefined) break;
    }
    known.set(member, offset);
    return offset;
  }

  /** Bytes of a structure. Throws VivError where there is none. */
  sizeOf(feature: string, structure: StructureName): number {
    const size = this.#types.sizeOf(structure);
    if (size === undefined || size === 0) throw missing(feature, `there is no struct ${structure}`);
    return size;
  }

  enumerator(enumeration: string, name: string): number | undefined {
    return this.#types.enumerator(enumeration, name);
  }

  symbol(name: string): Gva | undefined {
    return this.kernel.symbols.address(name);
  }

  /** Address of a variable. Throws VivError where the kernel does not tell it. */
  variable(feature: string, name: string): Gva {
    const at = this.symbol(name);
    if (at === undefined) throw missing(feature, `its symbol table has no ${name} (CONFIG_KALLSYMS_ALL)`);
    return at;
  }

  /** Text up to a NUL, at most `most` bytes, decoded (see `decodeText`). Throws Unreadable, TooMany. */
  text(at: Gva, most: number, offset = 0): string {
    const text = this.space.text(at, most, offset);
    this.#text.spend(PIECE + text.length);
    return decodeText(text);
  }

  /** Text that a pointer leads to. Throws as `text`. */
  textAt(pointer: Gva, most: number): string {
    return pointer === 0 ? "" : this.text(pointer, most);
  }

  /** Text of `length` bytes, which the caller has bounded. `space`: where, if not in the kernel's. Throws as `text`. */
  bytesAsText(at: Gva, length: number, offset = 0, space: AddressSpace = this.space): string {
    return this.decode(space.bytes(at, length, offset));
  }

  /** Bytes of the guest as text. Throws TooMany. */
  decode(bytes: Uint8Array): string {
    this.#text.spend(PIECE + bytes.length);
    return decodeBytes(bytes);
  }

  /** The frame that a `struct page` stands for. Throws Unreadable where it can be none. */
  frame(page: Gva): Gpa {
    this.#map ??= new AddressMap(this.kernel);
    const frame = this.#map.frameOf(page);
    if (frame < 0) throw new Unreadable("no struct page");
    return frame as Gpa;
  }

  /** The address space of a process, by its mm_struct. Throws Unreadable, or VivError. */
  userSpace(mm: Gva): AddressSpace {
    const { pgd } = this.offsets("user memory", "mm_struct", "pgd");
    const root = this.space.translate(this.space.pointer(mm, pgd));
    if (root < 0) throw new Unreadable("no page tables");
    return new AddressSpace(this.memory, gpa(root - (root % PAGE_SIZE)), this.space.levels);
  }
}

const missing = (feature: string, why: string): VivError =>
  new VivError("guest.not-in-kernel", `this guest's kernel is not fit for ${feature}: ${why}`);

/**
 * A pointer with flags in its low bits, taken apart before they are lost: with five levels a number holds an address to
 * a multiple of 8 only.
 */
export function taggedPointer(space: AddressSpace, at: Gva, offset: number, mask: number): { at: Gva; tag: number } {
  const low = space.u32(at, offset);
  const high = space.s32(at, offset + 4);
  return { at: gva(high * 2 ** 32 + ((low & ~mask) >>> 0)), tag: low & mask };
}
