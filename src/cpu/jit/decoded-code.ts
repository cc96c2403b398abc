/** The compiler's view of decoded code in linear memory: code TLB, code pages, records. */
import { CODE_MAP, CODE_PAGE, RECORD } from "../interpreter/record.ts";
import { CODE_TLB_ENTRIES, CODE_TLB_ENTRY_SIZE, RAM_BASE } from "../memory-map.ts";

/** An instruction by its code page and its offset there. */
export interface CodeOffset {
  readonly codePage: number;
  readonly offset: number;
}

/** The same, and where its page lies in linear memory, by a set of the code TLB. */
export interface CodePlace extends CodeOffset {
  readonly linear: bigint;
  readonly codeTlb: number;
}

const PAGE = 4096;
/** A page of compiled code may be this many pages from its root's: as far as an entry word can say. */
const MAX_DISTANCE = 100;
/** Mode of 64-bit code (code-cache.ts, CODE_KEYS). */
export const LONG_64 = 3;

/** A position, counted from the start of the root's page, in code pages by their distance from that. */
export function placeIn(pages: ReadonlyMap<number, number>, pos: number): CodeOffset {
  const distance = Math.floor(pos / PAGE);
  return { codePage: pages.get(distance)!, offset: pos - distance * PAGE };
}

export class DecodedCode {
  readonly words: Int32Array;
  readonly view: DataView;

  constructor(memory: ArrayBufferLike) {
    this.words = new Int32Array(memory);
    this.view = new DataView(memory);
  }

  /** The code page that a linear address translates to, by the code TLB set at `codeTlb` alone; else 0. */
  pageAt(codeTlb: number, linear: bigint): number {
    const low = Number(linear & 0xffff_ffffn) & ~4095;
    const high = Number((linear >> 32n) & 0xffff_ffffn);
    const at = (codeTlb + ((low >>> 12) & (CODE_TLB_ENTRIES - 1)) * CODE_TLB_ENTRY_SIZE) >> 2;
    if (this.words[at] !== (low | 0) || this.words[at + 1]! >>> 0 !== high) return 0;
    return this.words[at + 2]!;
  }
  /** The code page so many pages from that of a place, if code of the same mode has run there; else 0. */
  pageNear({ codePage, linear, codeTlb }: CodePlace, distance: number): number {
    if (distance === 0) return codePage;
    if (Math.abs(distance) > MAX_DISTANCE) return 0;
    const mode = this.modeOf(codePage);
    const page = this.pageAt(codeTlb, BigInt.asUintN(mode === LONG_64 ? 64 : 32, linear + BigInt(distance * PAGE)));
    return page !== 0 && this.modeOf(page) === mode ? page : 0;
  }
  /** Host address of the bytes of a code page. */
  hostOf(codePage: number): number {
    return RAM_BASE + (this.words[(codePage + CODE_PAGE.ramOffset) >> 2]! >>> 0);
  }
  modeOf(codePage: number): number {
    return this.words[(codePage + CODE_PAGE.mode) >> 2]!;
  }
  /** The record of a decoded instruction, or 0. */
  recordAt({ codePage, offset }: CodeOffset): number {
    const map = this.words[(codePage + CODE_PAGE.maps + Math.floor(offset / CODE_MAP.covers) * 4) >> 2]!;
    return this.words[(map >> 2) + (offset % CODE_MAP.covers)]!;
  }
  /** Blocks that were decoded in some pages so far. */
  decodesOf(codePages: readonly number[]): number {
    let sum = 0;
    for (const page of codePages) sum += this.words[(page + CODE_PAGE.decodes) >> 2]!;
    return sum;
  }
  /** Whether compiled regions hold code of the page: its invalidation tells of it then. */
  setHasRegions(codePage: number, has: boolean): void {
    this.words[(codePage + CODE_PAGE.regions) >> 2] = has ? 1 : 0;
  }

  handlerOf(record: number): number {
    return this.view.getUint16(record + RECORD.handler, true);
  }
  setHandler(record: number, slot: number): void {
    this.view.setUint16(record + RECORD.handler, slot, true);
  }
  /** Slot of the handler of the record's instruction alone. */
  singleOf(record: number): number {
    return this.view.getUint16(record + RECORD.single, true);
  }
  heatOf(record: number): number {
    return this.view.getInt32(record + RECORD.heat, true);
  }
  /** The jump of a record tells when it has been taken so often. */
  setHeat(record: number, times: number): void {
    this.view.setInt32(record + RECORD.heat, times, true);
  }
}
