/**
 * Types of a kernel or module out of its BTF. One pass finds where each record begins; the rest is read when it is asked for. All of it
 * is the guest's word: numbers lead nowhere but into these bytes, and every chain of types has an end.
 */
import type { TypeTable } from "../kernel.ts";
import { sameBytes } from "../memory.ts";
import { FIRST_FACTOR, hashOf, NameIndex, SECOND_FACTOR } from "../name-index.ts";
import {
  ARRAY,
  BTF_KINDS,
  BTF_MAGIC,
  BtfHeader,
  ENUM,
  ENUM64,
  NAMED,
  POINTER,
  SIZED,
  STRUCT,
  TRANSPARENT,
  TYPEDEF,
  UNION,
} from "./format.ts";

/** Debian's kernels have under 5 MiB. Stops a header that asks for the guest's whole memory. */
export const MAX_BTF = 64 * 1024 * 1024;
/** BTF_MAX_TYPE. */
const MAX_TYPES = 0xf_ffff;
/** Typedefs, qualifiers and arrays around a type. Stops a type that is made of itself. */
const MAX_CHAIN = 32;
/** Members looked at for one name, with those of anonymous structs. Stops structs that hold each other. */
const MAX_MEMBERS = 100_000;
/** Names of the kernel are shorter. */
const MAX_NAME = 512;
const MAX_PATH = 32;

const RECORD = 12;
/** BTF_KINDS by column, for all 32 kinds there can be. */
const column = (value: (kind: (typeof BTF_KINDS)[number]) => number): Uint8Array =>
  Uint8Array.from({ length: 32 }, (_, kind) => value(BTF_KINDS[kind]));
const KNOWN = column((kind) => (kind ? 1 : 0));
const ONCE = column((kind) => kind?.once ?? 0);
const EACH = column((kind) => kind?.each ?? 0);
const IS_NAMED = Uint8Array.from({ length: 32 }, (_, kind) => (NAMED.has(kind) ? 1 : 0));
const KIND_FLAG = 0x8000_0000;
const POINTER_SIZE = 8;
/** Names looked for one by one before all are put in order: that takes as long as these. */
const SCANS = 24;

/** A member: where it lies in the outermost struct. */
export interface Member {
  readonly bit: number;
  /** Bits of a bit field; 0 of any other. */
  readonly bits: number;
  readonly type: number;
}

export class Btf implements TypeTable {
  /** Bytes from the header's start to the end of all. */
  readonly length: number;
  /** The first type that is not the base's. */
  readonly firstType: number;
  /** Behind the last type. */
  readonly endType: number;
  readonly #base: Btf | undefined;
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  /** Offset of each record. */
  readonly #records: Uint32Array;
  readonly #strings: number;
  readonly #firstString: number;
  readonly #endString: number;
  readonly #members = new Map<string, Member | undefined>();
  readonly #found = new Map<string, number | undefined>();
  #names: NameIndex | undefined;
  #scans = 0;

  private constructor(bytes: Uint8Array, header: Header, base: Btf | undefined) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#base = base;
    this.length = header.end;
    this.#strings = header.strings;
    this.#firstString = base ? base.#endString : 0;
    this.#endString = this.#firstString + header.stringLength;
    this.firstType = base ? base.endType : 1;
    this.#records = this.#index(header.types, header.typesEnd);
    this.endType = this.firstType + this.#records.length;
  }

  /**
   * Undefined where the bytes are no BTF. They are kept, not copied: pass a copy of what may change. `base`: of a module, the kernel's,
   * in whose types and strings it goes on.
   */
  static read(bytes: Uint8Array, base?: Btf): Btf | undefined {
    const header = btfHeader(bytes);
    return header && header.end <= bytes.length ? new Btf(bytes, header, base) : undefined;
  }

  /** These are the bytes that it was read from. */
  isOf(bytes: Uint8Array): boolean {
    return sameBytes(this.#bytes, bytes);
  }

  sizeOf(type: string): number | undefined {
    const id = this.#find(type);
    return id === undefined ? undefined : this.#sizeOf(id);
  }

  offsetOf(type: string, path: string): number | undefined {
    const member = this.member(type, path);
    return member && Math.floor(member.bit / 8);
  }

  /** Bytes of a member; undefined where there is none, of a bit field too. */
  memberSize(type: string, path: string): number | undefined {
    const member = this.member(type, path);
    return member && member.bits === 0 ? this.#sizeOf(member.type) : undefined;
  }

  /** Elements of a member that is an array. */
  memberCount(type: string, path: string): number | undefined {
    const member = this.member(type, path);
    return member && this.#array(member.type)?.count;
  }

  /** A member by its path, as `offsetOf` has it; a component may be an element of an array: `mem[2].base`. */
  member(type: string, path: string): Member | undefined {
    const key = `${type} ${path}`;
    if (this.#members.has(key)) return this.#members.get(key);
    const found = this.#resolvePath(type, path);
    this.#members.set(key, found);
    return found;
  }

  enumerator(enumeration: string, name: string): number | undefined {
    const id = this.#find(enumeration);
    const record = id === undefined ? undefined : this.#resolve(id);
    return record && this.#enumerator(record, name);
  }

  #enumerator({ table, at }: Located, name: string): number | undefined {
    const view = table.#view;
    const kind = table.#kind(at);
    if (kind !== ENUM && kind !== ENUM64) return undefined;
    const size = BTF_KINDS[kind]!.each!;
    const signed = table.#flag(at);
    for (let i = 0; i < table.#count(at); i++) {
      const entry = at + RECORD + i * size;
      if (!this.#nameIs(view.getUint32(entry, true), name)) continue;
      if (kind === ENUM) return signed ? view.getInt32(entry + 4, true) : view.getUint32(entry + 4, true);
      const high = signed ? view.getInt32(entry + 8, true) : view.getUint32(entry + 8, true);
      return view.getUint32(entry + 4, true) + high * 2 ** 32;
    }
    return undefined;
  }

  #resolvePath(type: string, path: string): Member | undefined {
    const parts = path.split(".");
    let id = this.#find(type);
    let bit = 0;
    let bits = 0;
    if (parts.length > MAX_PATH) return undefined;
    for (const part of parts) {
      if (id === undefined || bits !== 0) return undefined;
      const [, name, element] = /^(\w+)(?:\[(\d+)\])?$/.exec(part) ?? [];
      const found: Member | undefined = name === undefined ? undefined : this.#member(id, name);
      if (!found) return undefined;
      bit += found.bit;
      bits = found.bits;
      id = found.type;
      if (element !== undefined) {
        const array = this.#array(id);
        const size: number | undefined = array && this.#sizeOf(array.type);
        if (!array || size === undefined || Number(element) >= array.count) return undefined;
        bit += Number(element) * size * 8;
        id = array.type;
      }
    }
    return id === undefined ? undefined : { bit, bits, type: id };
  }

  /** A member of a struct or union, or of an anonymous one in it. */
  #member(id: number, name: string): Member | undefined {
    const waiting = [{ id, bit: 0 }];
    let looked = 0;
    for (let next = waiting.pop(); next; next = waiting.pop()) {
      const record = this.#resolve(next.id);
      if (!record) continue;
      const { table, at } = record;
      const kind = table.#kind(at);
      if (kind !== STRUCT && kind !== UNION) continue;
      const fields = table.#flag(at);
      const view = table.#view;
      const inside: typeof waiting = [];
      for (let i = 0; i < table.#count(at); i++) {
        if (++looked > MAX_MEMBERS) return undefined;
        const entry = at + RECORD + 12 * i;
        const nameAt = view.getUint32(entry, true);
        const place = view.getUint32(entry + 8, true);
        const type = view.getUint32(entry + 4, true);
        const bit = next.bit + (fields ? place & 0xff_ffff : place);
        if (nameAt === 0) inside.push({ id: type, bit });
        else if (this.#nameIs(nameAt, name)) return { bit, bits: fields ? place >>> 24 : 0, type };
      }
      // In the order of declaration.
      for (const one of inside.reverse()) waiting.push(one);
      if (waiting.length > MAX_MEMBERS) return undefined;
    }
    return undefined;
  }

  #sizeOf(id: number): number | undefined {
    let count = 1;
    let next = id;
    for (let step = 0; step < MAX_CHAIN; step++) {
      const record = this.#resolve(next);
      if (!record) return undefined;
      const { table, at } = record;
      const kind = table.#kind(at);
      if (kind === POINTER) return count * POINTER_SIZE;
      if (SIZED.has(kind)) return count * table.#view.getUint32(at + 8, true);
      const array = this.#array(next);
      if (!array) return undefined;
      count *= array.count;
      next = array.type;
    }
    return undefined;
  }

  #array(id: number): { readonly type: number; readonly count: number } | undefined {
    const record = this.#resolve(id);
    if (!record || record.table.#kind(record.at) !== ARRAY) return undefined;
    const { table, at } = record;
    return {
      type: table.#view.getUint32(at + RECORD, true),
      count: table.#view.getUint32(at + RECORD + 8, true),
    };
  }

  /** The record of a type behind its typedefs and qualifiers. */
  #resolve(id: number): Located | undefined {
    let next = id;
    for (let step = 0; step < MAX_CHAIN; step++) {
      const record = this.#record(next);
      if (!record) return undefined;
      if (!TRANSPARENT.has(record.table.#kind(record.at))) return record;
      next = record.table.#view.getUint32(record.at + 8, true);
    }
    return undefined;
  }

  #record(id: number): Located | undefined {
    if (this.#base && id < this.firstType) return this.#base.#record(id);
    const at = this.#records[id - this.firstType];
    return at === undefined ? undefined : { table: this, at };
  }

  /** A struct, union, enum or, where there is none, a typedef of this name. */
  #find(name: string): number | undefined {
    let found = this.#found.get(name);
    if (found === undefined && !this.#found.has(name)) {
      found = this.#lookUp(name);
      this.#found.set(name, found);
    }
    return found;
  }

  #lookUp(name: string): number | undefined {
    if (!this.#names && this.#scans < SCANS) {
      this.#scans++;
      return this.#scan(name) ?? (this.#base ? this.#base.#find(name) : undefined);
    }
    this.#names ??= this.#hashNames();
    const index = this.#names.find(hashOf(name));
    if (index >= 0 && this.#nameIs(this.#view.getUint32(this.#records[index]!, true), name)) {
      return this.firstType + index;
    }
    return this.#base ? this.#base.#find(name) : undefined;
  }

  #scan(name: string): number | undefined {
    let typedef: number | undefined;
    for (let i = 0; i < this.#records.length; i++) {
      const at = this.#records[i]!;
      const kind = this.#kind(at);
      if (IS_NAMED[kind] === 0 || !this.#nameIs(this.#view.getUint32(at, true), name)) continue;
      if (kind !== TYPEDEF) return this.firstType + i;
      typedef ??= this.firstType + i;
    }
    return typedef;
  }

  #hashNames(): NameIndex {
    const index = new NameIndex(this.#records.length);
    const add = (typedefs: boolean): void => {
      for (let i = 0; i < this.#records.length; i++) {
        const at = this.#records[i]!;
        const kind = this.#kind(at);
        if (IS_NAMED[kind] === 1 && (kind === TYPEDEF) === typedefs)
          this.#addName(index, i, this.#view.getUint32(at, true));
      }
    };
    add(false);
    add(true);
    return index;
  }

  /** A module's name may be one of the kernel's strings. */
  #addName(index: NameIndex, type: number, offset: number): void {
    const table = this.#base && offset < this.#firstString ? this.#base : this;
    const end = Math.min(table.#endString, offset + MAX_NAME) - table.#firstString + table.#strings;
    const bytes = table.#bytes;
    let first = 0;
    let second = 0;
    for (let at = table.#strings + offset - table.#firstString; at < end && bytes[at] !== 0; at++) {
      const code = bytes[at]!;
      first = (Math.imul(first, FIRST_FACTOR) + code) | 0;
      second = (Math.imul(second, SECOND_FACTOR) + code) | 0;
    }
    if (offset !== 0) index.add(type, first, second);
  }

  #index(from: number, end: number): Uint32Array {
    const records = new Uint32Array(Math.min(MAX_TYPES, Math.floor((end - from) / RECORD)));
    let count = 0;
    for (let at = from; at + RECORD <= end && count < records.length; ) {
      const kind = this.#kind(at);
      if (KNOWN[kind] === 0) break;
      const next = at + RECORD + ONCE[kind]! + EACH[kind]! * this.#count(at);
      if (next > end) break;
      records[count++] = at;
      at = next;
    }
    return records.subarray(0, count);
  }

  #kind(at: number): number {
    return (this.#view.getUint32(at + 4, true) >>> 24) & 0x1f;
  }
  #count(at: number): number {
    return this.#view.getUint16(at + 4, true);
  }
  #flag(at: number): boolean {
    return (this.#view.getUint32(at + 4, true) & KIND_FLAG) !== 0;
  }

  #nameIs(offset: number, name: string): boolean {
    if (this.#base && offset < this.#firstString) return this.#base.#nameIs(offset, name);
    const at = this.#strings + offset - this.#firstString;
    if (offset + name.length >= this.#endString || this.#bytes[at + name.length] !== 0) return false;
    for (let i = 0; i < name.length; i++) if (this.#bytes[at + i] !== name.charCodeAt(i)) return false;
    return true;
  }
}

interface Located {
  readonly table: Btf;
  readonly at: number;
}

interface Header {
  readonly types: number;
  readonly typesEnd: number;
  readonly strings: number;
  readonly stringLength: number;
  readonly end: number;
}

/** What a header says of the bytes behind it, which may be fewer; undefined where it is none. */
export function btfHeader(bytes: Uint8Array): Header | undefined {
  if (bytes.length < BtfHeader.size) return undefined;
  const header = BtfHeader.decode(bytes);
  if (header.magic !== BTF_MAGIC || header.version !== 1) return undefined;
  const types = header.headerLength + header.typeOffset;
  const strings = header.headerLength + header.stringOffset;
  const end = Math.max(types + header.typeLength, strings + header.stringLength);
  if (header.headerLength < BtfHeader.size || end > MAX_BTF) return undefined;
  return { types, typesEnd: types + header.typeLength, strings, stringLength: header.stringLength, end };
}
