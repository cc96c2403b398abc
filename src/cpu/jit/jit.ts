/**
 * The compiler of hot code, as the vCPU sees it: takes notice of hot places, compiles regions around them between runs of
 * generated code, puts them in the place of their entries' handlers, and takes them out again when the code changes.
 */
import type { Decoder } from "../../isa/decode.ts";
import { type Callable, type FunctionBuilder, ModuleBuilder } from "../../wasm/index.ts";
import { CODE_KEYS } from "../code-cache.ts";
import { HANDLER, MAX_PAGES } from "../interpreter/build.ts";
import { CODE_PAGE, RECORD } from "../interpreter/record.ts";
import { ARENA_BASE, CODE_TLB_ENTRIES, CODE_TLB_ENTRY_SIZE, RAM_BASE, REGION_ENTRIES } from "../memory-map.ts";
import type { Registers } from "../registers.ts";
import { type CodeView, findBlocks, type Instruction, type Limits } from "./blocks.ts";
import { compileRegion, probe } from "./compile.ts";
import type { RuntimeEffects } from "./effects.ts";
import { ENTRY_WORD, type RegionModule } from "./region-code.ts";

const PAGE = 4096;
const PROTECTED_32 = 2;
const LONG_64 = 3;

/** Table slots are u16 in records. */
const LAST_SLOT = 0xffff;
/** Regions kept at most; beyond that the oldest go. Bounds what V8 holds for a guest that keeps making new code. */
const MAX_REGIONS = 6000;
/** A region's page may be this many pages from its root's: as far as an entry word can say. */
const MAX_DISTANCE = 100;

export const LIMITS: Limits = { instructions: 600, pages: 6, entries: 24 };

interface Region {
  readonly slot: number;
  /** Records whose handler it is. */
  readonly records: readonly number[];
  readonly pages: readonly number[];
  alive: boolean;
}

/** A place to compile: an instruction's offset in a code page, and where the page lies in linear memory. */
interface Place {
  readonly codePage: number;
  readonly offset: number;
  readonly linear: bigint;
  readonly codeTlb: number;
}

export interface JitPorts {
  readonly memory: WebAssembly.Memory;
  readonly table: WebAssembly.Table;
  /** First slot of the table that no handler has. */
  readonly firstSlot: number;
  readonly registers: Registers;
  readonly decoder: Decoder;
  readonly effects: RuntimeEffects;
  /** Runtime functions of the interpreter's instance, by name. */
  readonly functions: Readonly<Record<string, unknown>>;
  readonly slotOf: (insn: Omit<Instruction, "flags" | "movesStack">) => number;
}

export class Jit {
  readonly #p: JitPorts;
  readonly #words: Int32Array;
  readonly #halves: Uint16Array;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #queue: Place[] = [];
  readonly #queued = new Set<number>();
  readonly #free: number[] = [];
  #nextSlot: number;
  /** In order of age. */
  readonly #regions = new Set<Region>();
  readonly #bySlot = new Map<number, Region>();
  readonly #byPage = new Map<number, Set<Region>>();
  /** Slots to be used again once generated code has returned. */
  readonly #retired: number[] = [];
  readonly #probes = new Map<number, ReturnType<typeof probe>>();
  compiled = 0;
  compiledBytes = 0;
  dropped = 0;

  constructor(ports: JitPorts) {
    this.#p = ports;
    const { buffer } = ports.memory;
    this.#words = new Int32Array(buffer);
    this.#halves = new Uint16Array(buffer);
    this.#bytes = new Uint8Array(buffer);
    this.#view = new DataView(buffer);
    this.#nextSlot = ports.firstSlot;
  }

  /** The code at a linear address is hot. Called from generated code: only notes it. */
  hot(linear: bigint): void {
    const codeTlb = this.#p.registers.get("codeTlb");
    const codePage = this.#pageAt(codeTlb, linear);
    if (codePage === 0) return;
    const offset = Number(linear & 4095n);
    const record = this.#words[(codePage + CODE_PAGE.map + offset * 4) >> 2]!;
    if (record === 0 || this.#queued.has(record)) return;
    if (this.#view.getUint16(record + RECORD.handler, true) >= this.#p.firstSlot) return;
    this.#queued.add(record);
    this.#queue.push({ codePage, offset, linear: linear & ~4095n, codeTlb });
  }

  get pending(): boolean {
    return this.#queue.length > 0;
  }

  /** Compiles what is noted. Only between runs of generated code. */
  compile(): void {
    const { table } = this.#p;
    for (const slot of this.#retired) this.#free.push(slot);
    this.#retired.length = 0;
    const places = this.#queue.splice(0);
    this.#queued.clear();
    const imports = new Map<string, Callable>();
    const module = this.#module(imports);
    const made: { slot: number; f: FunctionBuilder; place: Place; entries: readonly number[]; pages: Place[] }[] = [];
    for (const place of places) {
      const key = this.#words[(place.codePage + CODE_PAGE.mode) >> 2]!;
      if (key !== LONG_64 && key !== PROTECTED_32) continue;
      const in64 = key === LONG_64;
      const view = this.#viewOf(place, key, module, in64);
      const found = findBlocks(view, place.offset, LIMITS);
      if (!found) continue;
      const slot = this.#takeSlot();
      if (slot < 0) break;
      const name = `region ${(place.linear + BigInt(place.offset)).toString(16)}`;
      const region = compileRegion(name, module, slot, found, in64);
      if (!region) {
        this.#free.push(slot);
        continue;
      }
      const pages = found.pages.map((page) => ({ ...place, codePage: page.codePage, offset: page.distance }));
      made.push({ slot, f: region.f, place, entries: region.entries, pages });
    }
    if (made.length === 0) return;
    const bytes = this.#encode(imports, made);
    const functions = Object.fromEntries([...imports.keys()].map((name) => [name, this.#p.functions[name] as never]));
    new WebAssembly.Instance(new WebAssembly.Module(bytes), {
      env: { memory: this.#p.memory, table },
      cpu: functions,
    });
    this.compiledBytes += bytes.length;
    for (const { slot, entries, pages } of made) this.#install(slot, entries, pages);
  }

  /** Code of a code page changed, or its translation: regions with a part of it are no more. */
  dropPage(codePage: number): void {
    const regions = this.#byPage.get(codePage);
    if (!regions) return;
    for (const region of [...regions]) this.#drop(region);
  }

  /** All decoded code is dropped, and the records with it. */
  dropAll(): void {
    for (const region of this.#regions) {
      region.alive = false;
      this.#retired.push(region.slot);
      this.#p.table.set(region.slot, null);
    }
    this.#regions.clear();
    this.#bySlot.clear();
    this.#byPage.clear();
    this.#queue.length = 0;
    this.#queued.clear();
  }

  #drop(region: Region): void {
    if (!region.alive) return;
    region.alive = false;
    this.dropped++;
    for (const record of region.records) {
      if (this.#view.getUint16(record + RECORD.handler, true) !== region.slot) continue;
      this.#view.setUint16(record + RECORD.handler, this.#view.getUint16(record + RECORD.single, true), true);
    }
    for (const page of region.pages) {
      const set = this.#byPage.get(page);
      set?.delete(region);
      if (set?.size === 0) {
        this.#byPage.delete(page);
        this.#words[(page + CODE_PAGE.regions) >> 2] = 0;
      }
    }
    this.#regions.delete(region);
    this.#bySlot.delete(region.slot);
    this.#p.table.set(region.slot, null);
    this.#retired.push(region.slot);
  }

  #takeSlot(): number {
    if (this.#regions.size >= MAX_REGIONS) {
      for (const region of this.#regions) {
        this.#drop(region);
        break;
      }
    }
    const slot = this.#free.pop() ?? (this.#nextSlot <= LAST_SLOT ? this.#nextSlot++ : -1);
    if (slot >= this.#p.table.length) this.#p.table.grow(Math.min(LAST_SLOT + 1, slot + 1024) - this.#p.table.length);
    return slot;
  }

  #install(slot: number, entries: readonly number[], pages: readonly Place[]): void {
    const records: number[] = [];
    entries.forEach((pos, number) => {
      const distance = Math.floor(pos / PAGE);
      const page = pages.find((p) => p.offset === distance)!;
      const record = this.#words[(page.codePage + CODE_PAGE.map + (pos - distance * PAGE) * 4) >> 2]!;
      // An entry beside the root leaves a region that begins there alone.
      const present = this.#view.getUint16(record + RECORD.handler, true);
      if (number > 0 && present >= this.#p.firstSlot) return;
      const word = number | ((distance + ENTRY_WORD.bias) << ENTRY_WORD.numberBits);
      this.#halves[(REGION_ENTRIES + ((record - ARENA_BASE) >> 4)) >> 1] = word;
      this.#view.setUint16(record + RECORD.handler, slot, true);
      records.push(record);
    });
    const region: Region = { slot, records, pages: pages.map((p) => p.codePage), alive: true };
    this.#regions.add(region);
    this.#bySlot.set(slot, region);
    for (const page of region.pages) {
      const set = this.#byPage.get(page);
      if (set) set.add(region);
      else this.#byPage.set(page, new Set([region]));
      this.#words[(page + CODE_PAGE.regions) >> 2] = 1;
    }
    this.compiled++;
  }

  #pageAt(codeTlb: number, linear: bigint): number {
    const low = Number(linear & 0xffff_ffffn) & ~4095;
    const high = Number((linear >> 32n) & 0xffff_ffffn);
    const at = (codeTlb + ((low >>> 12) & (CODE_TLB_ENTRIES - 1)) * CODE_TLB_ENTRY_SIZE) >> 2;
    if (this.#words[at] !== (low | 0) || this.#words[at + 1]! >>> 0 !== high) return 0;
    return this.#words[at + 2]!;
  }

  #viewOf(place: Place, key: number, module: RegionModule, in64: boolean): CodeView {
    const host = (codePage: number) => RAM_BASE + (this.#words[(codePage + CODE_PAGE.ramOffset) >> 2]! >>> 0);
    return {
      bytes: this.#bytes,
      decoder: this.#p.decoder,
      mode: CODE_KEYS[key]!,
      page: (distance) => {
        if (distance === 0) return { codePage: place.codePage, host: host(place.codePage) };
        if (Math.abs(distance) > MAX_DISTANCE) return undefined;
        const linear = BigInt.asUintN(in64 ? 64 : 32, place.linear + BigInt(distance * PAGE));
        const codePage = this.#pageAt(place.codeTlb, linear);
        if (codePage === 0 || this.#words[(codePage + CODE_PAGE.mode) >> 2] !== key) return undefined;
        return { codePage, host: host(codePage) };
      },
      decoded: (codePage, offset) => {
        const record = this.#words[(codePage + CODE_PAGE.map + offset * 4) >> 2]!;
        return record !== 0;
      },
      probe: (insn) => {
        // The count of a shift decides whether flags are set.
        const counts = insn.row.operands.some((o) => o.kind === "imm" && o.width === 8 && !o.signed);
        const count = counts ? insn.d.immediateLow & 63 : 0;
        const known = (this.#p.slotOf(insn) * 64 + count) * 2 + (in64 ? 1 : 0);
        if (!this.#probes.has(known)) this.#probes.set(known, probe(module, insn, in64));
        return this.#probes.get(known);
      },
    };
  }

  #module(imports: Map<string, Callable>): RegionModule {
    const { effects } = this.#p;
    return {
      effects,
      handlerType: { ...HANDLER, typeIndex: 0 },
      fn: (name) => {
        const known = imports.get(name);
        if (known) return known;
        if (!(name in this.#p.functions)) throw new Error(`the interpreter exports no ${name}`);
        const { params, results } = effects.signature(name);
        const callable = { name, index: imports.size, params, results };
        imports.set(name, callable);
        return callable;
      },
    };
  }

  #encode(imports: ReadonlyMap<string, Callable>, made: readonly { slot: number; f: FunctionBuilder }[]): Uint8Array {
    const module = new ModuleBuilder({ initial: 1, maximum: MAX_PAGES, shared: true });
    module.indirect(HANDLER);
    for (const [name, callable] of imports) module.import("cpu", name, callable);
    module.importTable({ initial: this.#p.firstSlot });
    for (const { slot, f } of made) {
      module.adopt(f);
      module.elements(slot, [f]);
    }
    return module.encode().slice();
  }
}
