/**
 * The compiler of hot code, as the vCPU sees it: takes notice of hot places, compiles regions around them between runs of
 * generated code, puts them in the place of their entries' handlers, and takes them out again when the code changes.
 */
import type { Decoder } from "../../isa/decode.ts";
import { type Callable, type FunctionBuilder, ModuleBuilder } from "../../wasm/index.ts";
import { CODE_KEYS } from "../code-cache.ts";
import { MAX_PAGES } from "../interpreter/build.ts";
import { ARENA_BASE, REGION_ENTRIES, REGION_MAPS } from "../memory-map.ts";
import type { Registers } from "../registers.ts";
import type { CodeObserver } from "../runtime/define.ts";
import { type BareInstruction, type CodeView, findBlocks, type KnownInstruction, type Limits } from "./blocks.ts";
import { compileRegion, probe } from "./compile.ts";
import { DecodedCode } from "./decoded-code.ts";
import type { RuntimeEffects } from "./effects.ts";
import { Heat, type Leaving, MAX_PATIENCE, type Place } from "./heat.ts";
import { ENTRY_WORD, type RegionModule } from "./region-code.ts";

const PAGE = 4096;
const PROTECTED_32 = 2;
const LONG_64 = 3;

/** Table slots are u16 in records. */
const LAST_SLOT = 0xffff;
/**
 * Regions kept at most, and bytes of their modules; beyond that the oldest go. Bounds what V8 holds for a guest that keeps making new code:
 * a region costs some ten times its bytes.
 */
const MAX_REGIONS = 1000;
const MAX_BYTES = 6 << 20;
/** A region's page may be this many pages from its root's: as far as an entry word can say. */
const MAX_DISTANCE = 100;

export const LIMITS: Limits = { instructions: 600, pages: 6, entries: 64, switched: 2000 };

/** A region that is written and not yet in place. */
interface Made {
  readonly slot: number;
  readonly f: FunctionBuilder;
  readonly place: Place;
  readonly entries: readonly number[];
  /** Their distances as offsets. */
  readonly pages: readonly Place[];
  readonly instructions: ReadonlySet<number>;
  /** Regions that it takes the place of. */
  readonly swallowed: ReadonlySet<Region>;
  readonly patience: number;
}

interface Region extends Leaving {
  readonly bytes: number;
  /** Records of all its instructions. */
  readonly instructions: ReadonlySet<number>;
  /** Records whose handler it is. */
  readonly records: readonly number[];
  alive: boolean;
}

export interface JitPorts {
  readonly memory: WebAssembly.Memory;
  readonly table: WebAssembly.Table;
  /** First slot of the table that no handler has. */
  readonly firstSlot: number;
  readonly registers: Registers;
  readonly decoder: Decoder;
  readonly effects: RuntimeEffects;
  readonly observer?: CodeObserver | undefined;
  /** Runtime functions of the interpreter's instance, by name. */
  readonly functions: Readonly<Record<string, unknown>>;
  readonly fetchPage: (linear: bigint) => number;
  readonly threshold: number;
  /** Whether the handler in a slot is that of a jump to a computed address. */
  readonly isSwitch: (slot: number) => boolean;
  readonly cover: (codePage: number, bytes: number) => void;
  readonly slotOf: (insn: BareInstruction) => number;
}

export class Jit {
  readonly #p: JitPorts;
  readonly #code: DecodedCode;
  readonly #heat: Heat;
  readonly #halves: Uint16Array;
  readonly #bytes: Uint8Array;
  readonly #free: number[] = [];
  #nextSlot: number;
  /** In order of age. */
  readonly #regions = new Set<Region>();
  readonly #bySlot = new Map<number, Region>();
  readonly #byPage = new Map<number, Set<Region>>();
  /** Slots to be used again once generated code has returned. */
  readonly #retired: number[] = [];
  readonly #known = new Map<number, KnownInstruction | null>();
  readonly #probes = new Map<number, ReturnType<typeof probe>>();
  /** Bytes of the functions of all regions in place. */
  #heldBytes = 0;
  compiled = 0;
  compiledBytes = 0;

  constructor(ports: JitPorts) {
    this.#p = ports;
    const { buffer } = ports.memory;
    this.#code = new DecodedCode(buffer);
    this.#halves = new Uint16Array(buffer);
    this.#bytes = new Uint8Array(buffer);
    this.#nextSlot = ports.firstSlot;
    this.#heat = new Heat({ ...ports, code: this.#code });
  }

  /** The jump of a record has been taken often, now to a linear address. Called from generated code. */
  hot(jump: number, linear: bigint): void {
    this.#heat.jumped(jump, linear);
  }

  /** A region has been left often, now to a linear address; `bySwitch`: by a computed jump. Called from generated code. */
  leftOften(slot: number, bySwitch: boolean, linear: bigint): void {
    const region = this.#bySlot.get(slot);
    if (region) this.#heat.left(region, bySwitch, linear);
  }

  /** Regions that are in place, and bytes of their functions. */
  get held(): { readonly regions: number; readonly bytes: number } {
    return { regions: this.#regions.size, bytes: this.#heldBytes };
  }

  get pending(): boolean {
    return this.#heat.pending;
  }

  /** Compiles what is noted. Only between runs of generated code. */
  compile(): void {
    const { table } = this.#p;
    for (const slot of this.#retired) this.#free.push(slot);
    this.#retired.length = 0;
    const code = this.#code;
    const places = this.#heat.take();
    const epoch = this.#p.registers.get("codeEpoch");
    const imports = new Map<string, Callable>();
    const module = this.#module(imports);
    const made: Made[] = [];
    const roots = new Set(places.map((place) => code.recordAt(place)));
    for (const place of places) {
      const key = code.modeOf(place.codePage);
      if (key !== LONG_64 && key !== PROTECTED_32) continue;
      const in64 = key === LONG_64;
      const root = code.recordAt(place);
      // Another region of this batch has it already, and is entered there.
      if (!roots.delete(root)) continue;
      const old = this.#bySlot.get(code.handlerOf(root));
      const swallowed = new Set<Region>();
      const view = this.#viewOf(place, key, module, in64, swallowed, roots);
      const found = findBlocks(view, place.offset, LIMITS);
      if (!found) continue;
      const instructions = new Set<number>();
      for (const block of found.blocks) {
        for (const insn of block.instructions) instructions.add(view.recordOf(insn.pos));
      }
      if (old?.place.codePage === place.codePage && old.place.offset === place.offset) {
        // Nothing new has run: it is left often because that is how the program is.
        if (instructions.size <= old.instructions.size && swallowed.size <= 1) {
          if (old.patience < MAX_PATIENCE) old.patience++;
          continue;
        }
      }
      const slot = this.#takeSlot();
      if (slot < 0) break;
      const name = `region ${(place.linear + BigInt(place.offset)).toString(16)}`;
      const region = compileRegion(name, module, { slot, number: this.compiled + made.length }, found, in64);
      if (!region) {
        this.#free.push(slot);
        continue;
      }
      const pages = found.pages.map((page) => ({ ...place, codePage: page.codePage, offset: page.distance }));
      // The next look at it, if there is one, comes later than this one.
      const patience = Math.min(MAX_PATIENCE, (old?.patience ?? -1) + 1);
      made.push({ slot, f: region.f, place, entries: region.entries, pages, instructions, swallowed, patience });
    }
    // Bringing in a page may have dropped all decoded code.
    if (made.length === 0 || this.#p.registers.get("codeEpoch") !== epoch) {
      for (const { slot } of made) this.#free.push(slot);
      return;
    }
    const bytes = this.#encode(imports, made);
    const functions = Object.fromEntries([...imports.keys()].map((name) => [name, this.#p.functions[name] as never]));
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), {
      env: { memory: this.#p.memory },
      cpu: functions,
    });
    for (const { slot } of made) table.set(slot, exports[slot]);
    this.compiledBytes += bytes.length;
    for (const region of made) this.#install(region);
  }

  /** Code of a code page changed, or its translation: regions with a part of it are no more. */
  dropPage(codePage: number): void {
    const regions = this.#byPage.get(codePage);
    if (!regions) return;
    for (const region of regions) this.#drop(region);
  }

  /** All decoded code is dropped, and the records with it. */
  dropAll(): void {
    for (const region of this.#regions) {
      region.alive = false;
      this.#retired.push(region.slot);
      this.#p.table.set(region.slot, null);
    }
    this.#heldBytes = 0;
    this.#regions.clear();
    this.#bySlot.clear();
    this.#byPage.clear();
    this.#heat.clear();
    this.#known.clear();
  }

  #drop(region: Region): void {
    if (!region.alive) return;
    region.alive = false;
    this.#heldBytes -= region.bytes;
    for (const record of region.records) {
      if (this.#code.handlerOf(record) !== region.slot) continue;
      this.#code.setHandler(record, this.#code.singleOf(record));
    }
    for (const page of region.pages) {
      const set = this.#byPage.get(page);
      set?.delete(region);
      if (set?.size === 0) {
        this.#byPage.delete(page);
        this.#code.setHasRegions(page, false);
      }
    }
    this.#regions.delete(region);
    this.#bySlot.delete(region.slot);
    this.#p.table.set(region.slot, null);
    this.#retired.push(region.slot);
  }

  #takeSlot(): number {
    for (const region of this.#regions) {
      if (this.#regions.size < MAX_REGIONS && this.#heldBytes < MAX_BYTES) break;
      this.#drop(region);
    }
    const slot = this.#free.pop() ?? (this.#nextSlot <= LAST_SLOT ? this.#nextSlot++ : -1);
    if (slot >= this.#p.table.length) this.#p.table.grow(Math.min(LAST_SLOT + 1, slot + 1024) - this.#p.table.length);
    return slot;
  }

  #install({ slot, f, place, entries, pages, instructions, swallowed, patience }: Made): void {
    for (const region of swallowed) this.#drop(region);
    const records: number[] = [];
    entries.forEach((pos, number) => {
      const distance = Math.floor(pos / PAGE);
      const page = pages.find((p) => p.offset === distance)!;
      const record = this.#code.recordAt({ codePage: page.codePage, offset: pos - distance * PAGE });
      // An entry beside the root leaves a region that begins there alone.
      const present = this.#code.handlerOf(record);
      if (number > 0 && present >= this.#p.firstSlot) return;
      const word = number | ((distance + ENTRY_WORD.bias) << ENTRY_WORD.numberBits);
      this.#halves[(REGION_ENTRIES + ((record - ARENA_BASE) >> 4)) >> 1] = word;
      this.#code.setHandler(record, slot);
      records.push(record);
    });
    const bytes = f.code.length;
    this.#heldBytes += bytes;
    const region: Region = {
      slot,
      bytes,
      place,
      instructions,
      patience,
      news: -1,
      records,
      pages: pages.map((p) => p.codePage),
      alive: true,
    };
    this.#heat.countExits(slot);
    // No page begins at an odd address: the pages are looked at when it is first entered.
    this.#code.words[(REGION_MAPS + slot * 16 + 8) >> 2] = 1;
    this.#regions.add(region);
    this.#bySlot.set(slot, region);
    for (const page of region.pages) {
      const set = this.#byPage.get(page);
      if (set) set.add(region);
      else this.#byPage.set(page, new Set([region]));
      this.#code.setHasRegions(page, true);
    }
    this.compiled++;
  }

  #viewOf(
    place: Place,
    key: number,
    module: RegionModule,
    in64: boolean,
    swallowed: Set<Region>,
    roots: Set<number>,
  ): CodeView & { recordOf(pos: number): number } {
    const { registers } = this.#p;
    const code = this.#code;
    const pages = new Map<number, { codePage: number; host: number } | undefined>();
    const record = (pos: number) => {
      const distance = Math.floor(pos / PAGE);
      return code.recordAt({ codePage: pages.get(distance)!.codePage, offset: pos - distance * PAGE });
    };
    const pageAt = (distance: number) => {
      if (distance === 0) return { codePage: place.codePage, host: code.hostOf(place.codePage) };
      if (Math.abs(distance) > MAX_DISTANCE) return undefined;
      const linear = BigInt.asUintN(in64 ? 64 : 32, place.linear + BigInt(distance * PAGE));
      const codePage = code.pageAt(place.codeTlb, linear);
      if (codePage === 0 || code.modeOf(codePage) !== key) return undefined;
      return { codePage, host: code.hostOf(codePage) };
    };
    const fromHere = (targets: ReadonlySet<bigint> = new Set()) =>
      [...targets].map((linear) => Number(linear - place.linear));
    return {
      recordOf: record,
      extras: fromHere(this.#heat.growthOf(code.recordAt(place))),
      adopt: (positions) => {
        const records = new Set(positions.map(record));
        const entries: number[] = [];
        for (const pos of positions) {
          if (roots.delete(record(pos))) entries.push(pos);
          const region = this.#bySlot.get(code.handlerOf(record(pos)));
          if (!region) continue;
          // A region that lies in this one as a whole goes, and is entered here.
          if (!swallowed.has(region) && ![...region.instructions].every((one) => records.has(one))) continue;
          swallowed.add(region);
          entries.push(pos);
        }
        return entries;
      },
      bytes: this.#bytes,
      decoder: this.#p.decoder,
      mode: CODE_KEYS[key]!,
      page: (distance) => {
        if (!pages.get(distance)) pages.set(distance, pageAt(distance));
        return pages.get(distance);
      },
      record: (codePage, offset) => code.recordAt({ codePage, offset }),
      known: this.#known,
      targets: (codePage, offset) => fromHere(this.#heat.targetsOf(code.recordAt({ codePage, offset }))),
      fetch: (distance) => {
        if (registers.get("codeMap") !== place.codeMap) return;
        this.#p.fetchPage(BigInt.asIntN(64, place.linear + BigInt(distance * PAGE)));
        registers.set("faultVector", -1);
      },
      cover: (codePage, bytes) => this.#p.cover(codePage, bytes),
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
    const { effects, observer } = this.#p;
    return {
      effects,
      observer,
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

  /** The module exports its regions by their slots. It imports no table: V8 before 12 would copy it for each instance. */
  #encode(imports: ReadonlyMap<string, Callable>, made: readonly Made[]): Uint8Array {
    const module = new ModuleBuilder({ initial: 1, maximum: MAX_PAGES, shared: true });
    for (const [name, callable] of imports) module.import("cpu", name, callable);
    for (const { slot, f } of made) {
      module.adopt(f);
      module.export(String(slot), f);
    }
    return module.encode().slice();
  }
}
