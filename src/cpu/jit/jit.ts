/**
 * The compiler of hot code, as the vCPU sees it: takes notice of hot places, compiles regions around them between runs of
 * generated code, puts them in the place of their entries' handlers, and takes them out again when the code changes.
 */
import type { Decoder } from "../../isa/decode.ts";
import { CODE_KEYS } from "../code-cache.ts";
import type { Slots } from "../interpreter/build.ts";
import { RECORD } from "../interpreter/record.ts";
import { ARENA_BASE, REGION_ENTRIES, REGION_MAPS, REGION_MISSES, RETURN_SIZE, RETURN_STACK } from "../memory-map.ts";
import type { Registers } from "../registers.ts";
import { ENTERED_OFTEN } from "../runtime/control.ts";
import type { CodeObserver } from "../runtime/define.ts";
import {
  type CopiedOne,
  type CopierLink,
  type CopyOrder,
  MAX_SLOTS,
  ownCopier,
  REGION_SIZE,
} from "../templates/copier.ts";
import { NearCode, type NearView } from "../templates/near-code.ts";
import { TemplateSet } from "../templates/template-set.ts";
import { type BareInstruction, type CodeView, findBlocks, type KnownInstruction, type Limits } from "./blocks.ts";
import { compileRegion, probe } from "./compile.ts";
import { type Compiled, CompiledModule, instantiate, type Linked } from "./compiled-module.ts";
import { DecodedCode, LONG_64, placeIn } from "./decoded-code.ts";
import type { RuntimeEffects } from "./effects.ts";
import { Heat, type Leaving, MAX_PATIENCE, type Place, type Thresholds, type Tier } from "./heat.ts";
import { loopAround } from "./loop.ts";
import { ENTRY_WORD, LEFT } from "./region-code.ts";

const PAGE = 4096;
const PROTECTED_32 = 2;

/** Regions at most, and bytes of their functions. */
interface Bound {
  readonly regions: number;
  readonly bytes: number;
}
/**
 * What is kept of each tier, and of copied functions that were taken out of their place to make room (resting): those of them that are asked
 * for come back as they are, with all that V8 has made of them. Beyond that the oldest go. Bounds what V8 holds for a guest
 * that keeps making new code: a region costs some ten times its bytes.
 */
export type Bounds = Readonly<Record<Tier | "resting", Bound>>;
const BOUNDS: Bounds = {
  templates: { regions: 12_000, bytes: 12 << 20 },
  resting: { regions: 4000, bytes: 3 << 20 },
  region: { regions: 1000, bytes: 3 << 20 },
};
/** What is not to be asked for at once counts as come to so often: some more times, and it is. */
const PASSES_BEFORE = ENTERED_OFTEN - 50;
export const LIMITS: Limits = { instructions: 600, pages: 6, entries: 64, switched: 2000 };
/**
 * Above templates only loops are worth a region, and none that is larger: wherever ways meet, V8 moves all registers about that it
 * cannot keep.
 */
const MAX_LOOP = 300;
/** So many instructions around its beginning are looked at. */
const LOOP_REACH = 1000;
/** So many visits are looked at, and so many instructions is one to retire: to load and to store what a region has in locals costs. */
const VISITS = 8;
const LEAST_PER_VISIT = 100;
/**
 * One in so many accesses that miss the TLB is looked at; from so many it is known how often they do. A miss that leaves costs about as
 * much as this many passes gain.
 */
const MISSES_PER_LOOK = 16;
const LOOKS = 32;
const PASSES_PER_MISS = 4;
/** So many places are compiled at once without waiting for more. */
const BATCH = 32;
/** A jump's count that is used up, whatever comes. */
const ALWAYS_LEAVES = -(2 ** 30);
/** So often is it tried: meanwhile more may have been decoded. */
const MAX_REFUSALS = 3;

/** Which instructions are copied nobody asks: copies are never part of another function. */
const NOT_KEPT: ReadonlySet<number> = new Set();

/** A function that is compiled and not yet in place. */
interface Made {
  readonly slot: number;
  readonly bytes: number;
  /** Its tier is the function's. */
  readonly place: Place;
  readonly entries: readonly number[];
  /** Code pages, by their distance from the place's. */
  readonly pages: ReadonlyMap<number, number>;
  readonly instructions: ReadonlySet<number>;
  /** Regions that it takes the place of. */
  readonly swallowed: ReadonlySet<Region>;
  readonly patience: number;
}

/** What the copier is at: places by the slots that their functions will have, and `codeEpoch` when it was told. */
interface Ordered {
  readonly places: ReadonlyMap<number, Place>;
  readonly epoch: number;
}

interface Region extends Leaving {
  readonly bytes: number;
  /** Records of all its instructions. */
  readonly instructions: ReadonlySet<number>;
  /** Records whose handler it is, and which of its entries they are (ENTRY_WORD). */
  readonly records: readonly number[];
  readonly words: readonly number[];
  /** Jumps that lead back to its beginning, and leave copied code for it. */
  readonly jumps: number[];
  alive: boolean;
  /** Instructions that some visits retired, and how many visits those were. */
  retired: number;
  visits: number;
  /** The same for visits that an access ended that missed the TLB. */
  reached: number;
  misses: number;
}

export interface JitPorts extends Thresholds, Linked {
  readonly table: WebAssembly.Table;
  /** First slot of the table that no handler has. */
  readonly firstSlot: number;
  readonly registers: Registers;
  readonly decoder: Decoder;
  readonly effects: RuntimeEffects;
  readonly observer?: CodeObserver | undefined;
  /** Copies templates on a thread of its own. Without one the vCPU's does. */
  readonly copier?: CopierLink | undefined;
  readonly fetchPage: (linear: bigint) => number;
  readonly slots: Slots;
  readonly cover: (codePage: number, bytes: number) => void;
  readonly slotOf: (insn: BareInstruction) => number;
  readonly bounds?: Bounds | undefined;
}

const TIERS: readonly Tier[] = ["templates", "region"];

/** Where the entry word of a record is, in 16-bit units. */
const wordOf = (record: number): number => (REGION_ENTRIES + ((record - ARENA_BASE) >> 4)) >> 1;

export class Jit {
  readonly #p: JitPorts;
  readonly #bounds: Bounds;
  readonly #code: DecodedCode;
  readonly #heat: Heat;
  readonly #halves: Uint16Array;
  readonly #bytes: Uint8Array;
  readonly #free: number[] = [];
  #nextSlot: number;
  readonly #templates: TemplateSet;
  readonly #copier: CopierLink;
  #ordered: Ordered | undefined;
  /** In order of age. */
  readonly #regions: Readonly<Record<Tier, Set<Region>>> = { templates: new Set(), region: new Set() };
  /** Copied functions that are not in place, in the order in which they came to rest; and by the records of their entries. */
  readonly #resting = new Set<Region>();
  readonly #restingAt = new Map<number, Region>();
  #restingBytes = 0;
  /** Those at rest among them. */
  readonly #bySlot = new Map<number, Region>();
  readonly #byPage = new Map<number, Set<Region>>();
  /** Slots to be used again once generated code has returned. */
  readonly #retired: number[] = [];
  /** How often nothing came of compiling at a record. */
  readonly #refusals = new Map<number, number>();
  /** Records whose regions miss the TLB too often to leave each time. */
  readonly #tolerant = new Set<number>();
  readonly #known = new Map<number, KnownInstruction | null>();
  readonly #probes = new Map<number, ReturnType<typeof probe>>();
  /** Bytes of the functions of all regions in place. */
  readonly #heldBytes: Record<Tier, number> = { templates: 0, region: 0 };
  /** Instructions retired when there was nothing to compile last. */
  #idle = 0;
  compiled = 0;
  compiledBytes = 0;

  constructor(ports: JitPorts) {
    this.#p = ports;
    this.#bounds = ports.bounds ?? BOUNDS;
    const { buffer } = ports.memory;
    this.#code = new DecodedCode(buffer);
    this.#halves = new Uint16Array(buffer);
    this.#bytes = new Uint8Array(buffer);
    this.#nextSlot = ports.firstSlot;
    this.#templates = new TemplateSet(ports.slots, ports.effects, ports.observer);
    this.#copier =
      ports.copier ?? ownCopier({ memory: buffer, set: this.#templates, passes: ports.templates ?? ports.threshold });
    this.#heat = new Heat({
      ...ports,
      code: this.#code,
      isSwitch: (slot) => ports.slots.isSwitch(slot),
      overTemplates: (codePage) => this.#overTemplates(codePage),
      mayLoop: (jump, linear) => {
        if (ports.slots.variant(this.#code.singleOf(jump))?.row.mnemonic === "CALL") return false;
        const from =
          ports.registers.getBig("ripPage") + BigInt(this.#code.view.getUint16(jump + RECORD.pageOffset, true));
        return linear <= from;
      },
      leadBack: (jump, record) => this.#leadBack(jump, this.#regionAt(record)!),
      tierOf: (record) => this.#bySlot.get(this.#code.handlerOf(record))?.place.tier,
    });
  }

  /** The jump of a record has been taken often, now to a linear address. Called from generated code. */
  hot(jump: number, linear: bigint): void {
    this.#heat.jumped(jump, linear);
  }

  /** A region has been left often, now to a linear address; `why` is one of LEFT. Called from generated code. */
  leftOften(slot: number, why: number, linear: bigint): void {
    const region = this.#bySlot.get(slot);
    if (!region) return;
    if (why === LEFT.missed) this.#missed(region);
    else if (this.#overTemplates(region.place.codePage)) this.#visited(region);
    else this.#heat.left(region, why === LEFT.switch, linear);
  }

  /** An access has missed the TLB: a region where that ends most visits is made anew, with slow ways that come back. */
  #missed(region: Region): void {
    const { registers } = this.#p;
    region.reached += registers.get("visitBudget") - registers.get("budget");
    this.#code.words[(REGION_MISSES >> 2) + region.slot] = MISSES_PER_LOOK;
    if (++region.misses % LOOKS > 0) return;
    if (region.reached < LOOKS * PASSES_PER_MISS * region.instructions.size) {
      this.#tolerant.add(this.#code.recordAt(region.place));
      this.#drop(region);
      this.#heat.note(region.place);
    }
    region.reached = 0;
  }

  /** A loop has been left: those that go round seldom each time are better off as templates. */
  #visited(region: Region): void {
    const { registers } = this.#p;
    region.retired += registers.get("visitBudget") - registers.get("budget");
    const seen = ++region.visits;
    // Looked at again more and more seldom: what a program does changes.
    this.#heat.countExits(region.slot, Math.min(MAX_PATIENCE, Math.floor(seen / VISITS)));
    if (seen % VISITS > 0) return;
    if (region.retired < VISITS * LEAST_PER_VISIT) {
      this.#refusals.set(this.#code.recordAt(region.place), MAX_REFUSALS);
      this.#drop(region);
      this.#heat.note({ ...region.place, tier: "templates" });
    }
    region.retired = 0;
  }

  /** Compiled code went often to code that is not compiled, now to a linear address. Called from generated code. */
  entered(linear: bigint): void {
    this.#heat.entered(linear);
  }

  /** Regions that are kept, copied templates among them, and bytes of their functions. */
  get held(): { readonly regions: number; readonly bytes: number } {
    const { templates, region } = this.#heldBytes;
    return { regions: this.#bySlot.size, bytes: templates + region + this.#restingBytes };
  }

  /** Whether to compile, with so many instructions retired: each time costs, however little there is to compile. */
  due(retired: number): boolean {
    if (this.#ordered) return this.#copier.isDone;
    const { pending } = this.#heat;
    if (pending === 0) {
      this.#idle = retired;
      return false;
    }
    return pending >= BATCH || retired - this.#idle >= (this.#p.wait ?? 0);
  }

  /** Compiles what is noted, or has it copied. Only between runs of generated code. */
  compile(): void {
    for (const slot of this.#retired) this.#free.push(slot);
    this.#retired.length = 0;
    if (this.#ordered) this.#put(this.#ordered);
    const places = this.#heat.take();
    const epoch = this.#p.registers.get("codeEpoch");
    this.#compileRegions(places);
    // Bringing in a page may have dropped all decoded code.
    if (this.#p.registers.get("codeEpoch") !== epoch) return;
    this.#order(places.filter(({ tier }) => tier === "templates"));
    if (this.#ordered && this.#copier.isDone) this.#put(this.#ordered);
  }

  /** Compiles all regions among some places in one module: V8 takes as long for one function as for twenty. */
  #compileRegions(places: readonly Place[]): void {
    const code = this.#code;
    const epoch = this.#p.registers.get("codeEpoch");
    const module = new CompiledModule(this.#p.effects, this.#p.observer);
    const compiled: Compiled[] = [];
    const made: Made[] = [];
    const roots = new Set(places.map((place) => code.recordAt(place)));
    for (const place of places) {
      const key = code.modeOf(place.codePage);
      if (place.tier !== "region" || (key !== LONG_64 && key !== PROTECTED_32)) continue;
      // Another region of this batch has it already, and is entered there.
      if (!roots.delete(code.recordAt(place))) continue;
      const one = this.#compile(place, key, module, roots, made.length);
      if (!one) continue;
      compiled.push(one.compiled);
      made.push(one.made);
    }
    if (made.length === 0 || this.#p.registers.get("codeEpoch") !== epoch) {
      for (const { slot } of made) this.#free.push(slot);
      return;
    }
    const bytes = module.encode(compiled);
    const exports = instantiate(new WebAssembly.Module(bytes), bytes.length, module.imports, this.#p);
    this.#install(made, exports, bytes.length);
  }

  /** Has functions copied for some places. */
  #order(wanted: readonly Place[]): void {
    const code = this.#code;
    const places = new Map<number, Place>();
    const orders: CopyOrder[] = [];
    for (const place of wanted) {
      const root = code.recordAt(place);
      // There is something meanwhile, or what was there has changed.
      if (root === 0 || this.#isCompiled(root)) continue;
      const resting = this.#restingAt.get(root);
      if (resting) {
        this.#bringBack(resting);
        continue;
      }
      const slot = this.#takeSlot("templates");
      if (slot < 0) break;
      const { codePage, offset, linear, codeTlb } = place;
      orders.push({ slot, codePage, offset, linear, codeTlb });
      places.set(slot, place);
    }
    if (orders.length === 0) return;
    const epoch = this.#p.registers.get("codeEpoch");
    this.#ordered = { places, epoch };
    this.#copier.send(orders, epoch);
  }

  /** Puts what was copied in place, but for code that has changed since it was asked for. */
  #put({ places, epoch }: Ordered): void {
    this.#ordered = undefined;
    const { module, bytes, imports, functions, inside } = this.#copier.take();
    const isCurrent = this.#p.registers.get("codeEpoch") === epoch;
    const made: Made[] = [];
    for (const one of isCurrent ? functions : []) {
      if (this.#hasChanged(one)) continue;
      made.push({ ...one, place: places.get(one.slot)!, instructions: NOT_KEPT, swallowed: new Set(), patience: 0 });
    }
    const used = new Set(made.map(({ slot }) => slot));
    for (const slot of places.keys()) if (!used.has(slot)) this.#free.push(slot);
    // From now on it may be come to inside another function only; if not, it is asked for again soon.
    for (const record of isCurrent ? inside : [])
      if (!this.#isCompiled(record)) this.#halves[wordOf(record)] = PASSES_BEFORE;
    if (module && made.length > 0) this.#install(made, instantiate(module, bytes, imports, this.#p), bytes);
  }
  #hasChanged({ positions, records, pages }: CopiedOne): boolean {
    return records.some((record, i) => this.#code.recordAt(placeIn(pages, positions[i]!)) !== record);
  }
  #isCompiled(record: number): boolean {
    return this.#code.handlerOf(record) >= this.#p.firstSlot;
  }

  #compile(
    place: Place,
    key: number,
    module: CompiledModule,
    roots: Set<number>,
    more: number,
  ): { readonly compiled: Compiled; readonly made: Made } | undefined {
    const code = this.#code;
    const in64 = key === LONG_64;
    const root = code.recordAt(place);
    if ((this.#refusals.get(root) ?? 0) >= MAX_REFUSALS) return undefined;
    const old = this.#regionAt(root);
    const swallowed = new Set<Region>();
    const view = this.#viewOf(place, key, module, in64, swallowed, roots);
    const loops = this.#overTemplates(place.codePage);
    const loop = loops ? this.#loopAt(place) : undefined;
    const found = loop || !loops ? findBlocks(view, place.offset, LIMITS, loop) : undefined;
    if (!found) {
      this.#refusals.set(root, (this.#refusals.get(root) ?? 0) + 1);
      return undefined;
    }
    const instructions = new Set<number>();
    for (const block of found.blocks) {
      for (const insn of block.instructions) instructions.add(view.recordOf(insn.pos));
    }
    if (old?.place.codePage === place.codePage && old.place.offset === place.offset) {
      // Nothing new has run: it is left often because that is how the program is.
      if (instructions.size <= old.instructions.size && swallowed.size <= 1) {
        if (old.patience < MAX_PATIENCE) old.patience++;
        return undefined;
      }
    }
    const slot = this.#takeSlot("region");
    if (slot < 0) return undefined;
    const name = `region ${(place.linear + BigInt(place.offset)).toString(16)}`;
    const region = compileRegion(
      name,
      module,
      { slot, number: this.compiled + more, tolerant: this.#tolerant.has(root) },
      found,
      in64,
    );
    if (!region) {
      this.#free.push(slot);
      return undefined;
    }
    const { f, entries } = region;
    const pages = new Map(found.pages.map(({ distance, codePage }) => [distance, codePage]));
    // The next look at it, if there is one, comes later than this one.
    const patience = Math.min(MAX_PATIENCE, (old?.patience ?? -1) + 1);
    const made = { slot, bytes: f.code.length, place, entries, pages, instructions, swallowed, patience };
    return { compiled: { slot, f }, made };
  }

  /** Positions of the loop that is worth a region at a place in code that is copied. */
  #loopAt(place: Place): Set<number> | undefined {
    const near: NearView = {
      pageAt: (distance) => this.#code.pageNear(place, distance),
      leaves: () => false,
      targets: (record) => this.#targetsFrom(place, this.#heat.targetsOf(record)),
      isSeldomTaken: () => false,
    };
    const code = new NearCode(this.#templates, this.#code, near, LOOP_REACH);
    return loopAround(code.find(place.offset), place.offset, MAX_LOOP);
  }
  /** Linear addresses as positions. */
  #targetsFrom(place: Place, targets: ReadonlySet<bigint> = new Set()): number[] {
    return [...targets].map((linear) => Number(linear - place.linear));
  }
  #overTemplates(codePage: number): boolean {
    return this.#p.templates !== undefined && this.#code.modeOf(codePage) === LONG_64;
  }

  /** The region that a record is an entry of; copied templates are none. */
  #regionAt(record: number): Region | undefined {
    const region = this.#bySlot.get(this.#code.handlerOf(record));
    return region?.place.tier === "region" ? region : undefined;
  }

  /** Code of a code page changed, or its translation: regions with a part of it are no more. */
  dropPage(codePage: number): void {
    const regions = this.#byPage.get(codePage);
    if (!regions) return;
    this.#forgetCalls();
    for (const region of regions) this.#drop(region);
  }

  /** All decoded code is dropped, and the records with it. */
  dropAll(): void {
    this.#forgetCalls();
    for (const region of this.#bySlot.values()) {
      region.alive = false;
      this.#retired.push(region.slot);
      this.#p.table.set(region.slot, null);
    }
    this.#copier.sizes.fill(0);
    for (const tier of TIERS) {
      this.#heldBytes[tier] = 0;
      this.#regions[tier].clear();
    }
    this.#resting.clear();
    this.#restingAt.clear();
    this.#restingBytes = 0;
    this.#bySlot.clear();
    this.#byPage.clear();
    this.#heat.clear();
    this.#known.clear();
    this.#refusals.clear();
    this.#tolerant.clear();
  }

  /** No call returns to code that waits for it: it may be out of date. */
  #forgetCalls(): void {
    const { words } = this.#code;
    for (let at = this.#p.registers.get("returnTop"); at > 0; at -= RETURN_SIZE) {
      words.fill(-1, (RETURN_STACK + at) >> 2, ((RETURN_STACK + at) >> 2) + 2);
    }
  }

  #drop(region: Region): void {
    if (!region.alive) return;
    region.alive = false;
    if (this.#resting.has(region)) this.#leaveRest(region);
    else this.#takeOut(region, 0);
    for (const jump of region.jumps) this.#heat.cool(jump);
    for (const page of region.pages) {
      const set = this.#byPage.get(page);
      set?.delete(region);
      if (set?.size === 0) {
        this.#byPage.delete(page);
        this.#code.setHasRegions(page, false);
      }
    }
    this.#bySlot.delete(region.slot);
    this.#copier.sizes[region.slot] = 0;
    this.#p.table.set(region.slot, null);
    this.#retired.push(region.slot);
  }

  /** The interpreter runs at the entries of a region from now on, which count as come to so often. */
  #takeOut(region: Region, passes: number): void {
    const { tier } = region.place;
    this.#regions[tier].delete(region);
    this.#heldBytes[tier] -= region.bytes;
    for (const record of region.records) {
      if (this.#code.handlerOf(record) === region.slot) this.#enterAt(record, this.#code.singleOf(record), passes);
    }
  }
  #rest(region: Region): void {
    this.#takeOut(region, PASSES_BEFORE);
    this.#resting.add(region);
    this.#restingBytes += region.bytes;
    for (const record of region.records) this.#restingAt.set(record, region);
    const { regions, bytes } = this.#bounds.resting;
    for (const oldest of this.#resting) {
      if (this.#resting.size <= regions && this.#restingBytes <= bytes) break;
      this.#drop(oldest);
    }
  }
  #leaveRest(region: Region): void {
    this.#resting.delete(region);
    this.#restingBytes -= region.bytes;
    for (const record of region.records) {
      if (this.#restingAt.get(record) === region) this.#restingAt.delete(record);
    }
  }
  /** Puts a copied function that rests in its place again, but for entries where another is by now. */
  #bringBack(region: Region): void {
    this.#leaveRest(region);
    this.#regions.templates.add(region);
    this.#heldBytes.templates += region.bytes;
    for (const [i, record] of region.records.entries()) {
      if (!this.#isCompiled(record)) this.#enterAt(record, region.slot, region.words[i]!);
    }
  }

  #takeSlot(tier: Tier): number {
    const regions = this.#regions[tier];
    const bounds = this.#bounds[tier];
    for (const region of regions) {
      if (regions.size < bounds.regions && this.#heldBytes[tier] < bounds.bytes) break;
      if (tier === "templates") this.#rest(region);
      else this.#drop(region);
    }
    const slot = this.#free.pop() ?? (this.#nextSlot < MAX_SLOTS ? this.#nextSlot++ : -1);
    if (slot >= this.#p.table.length) this.#p.table.grow(Math.min(MAX_SLOTS, slot + 1024) - this.#p.table.length);
    return slot;
  }

  #install(made: readonly Made[], exports: Readonly<Record<string, unknown>>, bytes: number): void {
    for (const one of made) {
      this.#p.table.set(one.slot, exports[one.slot]);
      this.#putOne(one);
    }
    this.compiledBytes += bytes;
  }
  #putOne({ slot, bytes, place, entries, pages, instructions, swallowed, patience }: Made): void {
    for (const region of swallowed) this.#drop(region);
    const { tier } = place;
    const records: number[] = [];
    const words: number[] = [];
    entries.forEach((pos, number) => {
      const record = this.#code.recordAt(placeIn(pages, pos));
      const present = this.#bySlot.get(this.#code.handlerOf(record));
      // An entry beside the root leaves a region that begins there alone; templates leave everything alone.
      if (present && (tier === "templates" || (number > 0 && present.place.tier === "region"))) return;
      const word = number | ((Math.floor(pos / PAGE) + ENTRY_WORD.bias) << ENTRY_WORD.numberBits);
      this.#enterAt(record, slot, word);
      records.push(record);
      words.push(word);
    });
    this.#heldBytes[tier] += bytes;
    this.#copier.sizes[slot] = tier === "region" ? REGION_SIZE : bytes;
    const region: Region = {
      slot,
      bytes,
      place,
      instructions,
      patience,
      news: -1,
      records,
      words,
      jumps: [],
      pages: [...pages.values()],
      alive: true,
      retired: 0,
      visits: 0,
      reached: 0,
      misses: 0,
    };
    this.#heat.countExits(slot);
    this.#code.words[(REGION_MISSES >> 2) + slot] = MISSES_PER_LOOK;
    // No page begins at an odd address: the pages are looked at when it is first entered.
    this.#code.words[(REGION_MAPS + slot * 16 + 8) >> 2] = 1;
    this.#regions[tier].add(region);
    this.#bySlot.set(slot, region);
    if (tier === "region" && place.jump !== undefined) this.#leadBack(place.jump, region);
    for (const page of region.pages) {
      const set = this.#byPage.get(page);
      if (set) set.add(region);
      else this.#byPage.set(page, new Set([region]));
      this.#code.setHasRegions(page, true);
    }
    this.compiled++;
  }

  /** Copied code with a region's beginning inside would pass it by: it leaves with the jump that leads back there. */
  #leadBack(jump: number, region: Region): void {
    if (region.jumps.includes(jump)) return;
    region.jumps.push(jump);
    this.#code.setHeat(jump, ALWAYS_LEAVES);
  }

  /** From now on a record leads to a slot; `word`: to which entry there. */
  #enterAt(record: number, slot: number, word: number): void {
    this.#halves[wordOf(record)] = word;
    this.#code.setHandler(record, slot);
  }

  #viewOf(
    place: Place,
    key: number,
    module: CompiledModule,
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
      const codePage = code.pageNear(place, distance);
      return codePage === 0 ? undefined : { codePage, host: code.hostOf(codePage) };
    };
    return {
      recordOf: record,
      extras: this.#targetsFrom(place, this.#heat.growthOf(code.recordAt(place))),
      adopt: (positions) => {
        const records = new Set(positions.map(record));
        const entries: number[] = [];
        for (const pos of positions) {
          if (roots.delete(record(pos))) entries.push(pos);
          const region = this.#regionAt(record(pos));
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
      targets: (codePage, offset) =>
        this.#targetsFrom(place, this.#heat.targetsOf(code.recordAt({ codePage, offset }))),
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
}
