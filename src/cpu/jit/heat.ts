/**
 * Where compiling is worth it: jumps that were taken often, the targets of computed ones, regions that are left often. Told by generated
 * code while it runs, so it only takes notes; the compiler comes for them between two runs.
 */
import { REGION_EXITS } from "../memory-map.ts";
import type { Registers } from "../registers.ts";
import type { CodePlace, DecodedCode } from "./decoded-code.ts";

/** A jump to a computed address tells one of its targets after about this many. */
export const SAMPLE_INTERVAL = 16;
/** After so many samples the next ones come more seldom, down to one in so many passes. */
const SAMPLES_BEFORE_REST = 64;
const MAX_INTERVAL = 4096;
const MAX_TARGETS = 200;
/** Sites that are remembered: a guest made of such jumps must not fill the host's heap. */
const MAX_SITES = 4096;
/** Jumps that are remembered as warm: those that are forgotten warm up once more. */
const MAX_WARM = 100_000;
/** How often the time until a region is looked at again is doubled. */
export const MAX_PATIENCE = 12;

/** How code is compiled: copied templates, or a region (ARCHITECTURE.md, "Compiled code"). */
export type Tier = "templates" | "region";

/** A place to compile: an instruction, and where its page lies in linear memory. */
export interface Place extends CodePlace {
  readonly tier: Tier;
  readonly codeMap: number;
  /** The jump that leads back to the beginning of a loop. */
  readonly jump?: number | undefined;
}

/** A region as it is left often. */
export interface Leaving {
  readonly slot: number;
  readonly place: Place;
  readonly pages: readonly number[];
  /** How often it was looked at again. */
  patience: number;
  /** How much of its pages was decoded when it was last looked at, and how many targets it had. */
  news: number;
}

/** Targets seen from one place, and how many more until it is compiled. */
interface Site {
  readonly targets: Set<bigint>;
  left: number;
  /** Passes so far, samples among them, and passes until the next. */
  passes: number;
  samples: number;
  interval: number;
  /** How often a region was asked for. */
  asked: number;
}

/** How often a place is come to until it is compiled; templates: undefined where only regions are made. */
export interface Thresholds {
  readonly threshold: number;
  readonly templates?: number | undefined;
  /** Instructions that places wait at most until they are compiled, several at a time. */
  readonly wait?: number;
}

export interface HeatPorts extends Thresholds {
  readonly code: DecodedCode;
  readonly registers: Registers;
  /** Whether code of a page is copied before it is worth a region, which only loops are then. */
  readonly overTemplates: (codePage: number) => boolean;
  /** Whether the jump of a record leads back, to a linear address. */
  readonly mayLoop: (jump: number, linear: bigint) => boolean;
  /** A jump leads back to a record that a region begins at. */
  readonly leadBack: (jump: number, record: number) => void;
  /** How the code that a record leads to is compiled, if it is. */
  readonly tierOf: (record: number) => Tier | undefined;
  /** Whether the handler in a slot is that of a jump to a computed address. */
  readonly isSwitch: (slot: number) => boolean;
}

export class Heat {
  readonly #p: HeatPorts;
  readonly #queue: Place[] = [];
  readonly #queued = new Set<number>();
  /** By the records of computed jumps, and by those that regions begin at. */
  readonly #sites = new Map<number, Site>();
  readonly #growth = new Map<number, Site>();
  /** Jumps that have told once that they are hot. */
  readonly #warm = new Set<number>();
  #jitter = 1;

  constructor(ports: HeatPorts) {
    this.#p = ports;
  }

  get pending(): number {
    return this.#queue.length;
  }

  /** What is to be compiled; it is forgotten here. */
  take(): Place[] {
    this.#queued.clear();
    return this.#queue.splice(0);
  }

  clear(): void {
    this.#queue.length = 0;
    this.#queued.clear();
    this.#sites.clear();
    this.#growth.clear();
    this.#warm.clear();
  }

  /** The jump of a record has been taken often, now to a linear address. */
  jumped(jump: number, linear: bigint): void {
    const { code, threshold, templates } = this.#p;
    if (this.#p.isSwitch(code.singleOf(jump))) {
      const site = this.#sample(jump, linear);
      if (site.left > 0) {
        if (templates !== undefined && site.passes >= templates) this.#ask(linear, "templates");
      } else {
        // Not for each target, where only loops are looked for: the others are of the same loop.
        if (templates !== undefined) site.left = this.#samples << Math.min(++site.asked, MAX_PATIENCE);
        this.#ask(linear, "region", true);
      }
      return;
    }
    if (templates !== undefined && !this.#warm.has(jump)) {
      if (this.#warm.size >= MAX_WARM) this.#warm.clear();
      this.#warm.add(jump);
      code.setHeat(jump, Math.max(1, threshold - templates));
      this.#ask(linear, "templates");
      return;
    }
    // Once more: what is made now may be dropped one day.
    this.cool(jump);
    const loops = this.#p.mayLoop(jump, linear);
    if (!loops) this.entered(linear);
    this.#ask(linear, "region", loops, jump);
  }

  /** Compiled code went to a record that is not compiled, now at a linear address, often. */
  entered(linear: bigint): void {
    this.#ask(linear, "templates");
  }

  /** A jump's count begins anew. */
  cool(jump: number): void {
    this.#p.code.setHeat(jump, Math.max(1, this.#p.threshold));
  }

  /** `loops`: it may be where a loop begins, `jump` what leads back there. */
  #ask(linear: bigint, tier: Tier, loops = false, jump?: number): void {
    const { code, registers } = this.#p;
    const codeTlb = registers.get("codeTlb");
    const codePage = code.pageAt(codeTlb, linear);
    if (codePage === 0) return;
    // There are templates for 64-bit mode; above them only loops are worth a region, and elsewhere what is warm is worth one soon enough.
    if (this.#p.overTemplates(codePage) ? tier === "region" && !loops : tier === "templates") return;
    const offset = Number(linear & 4095n);
    const record = code.recordAt({ codePage, offset });
    if (record === 0) return;
    const present = this.#p.tierOf(record);
    if (present === "region" && jump !== undefined) this.#p.leadBack(jump, record);
    if (present === "region" || present === tier) return;
    this.note({ tier, codePage, offset, linear: linear & ~4095n, codeTlb, codeMap: registers.get("codeMap"), jump });
  }

  /** A place is to be compiled, if it does not wait for that already. */
  note(place: Place): void {
    const record = this.#p.code.recordAt(place);
    if (this.#queued.has(record)) return;
    this.#queued.add(record);
    this.#queue.push(place);
  }

  /**
   * A region has been left often: `bySwitch`, by a jump to a computed address, to one of its targets. After some of these it is to be made
   * anew with what has run meanwhile, if anything has.
   */
  left(region: Leaving, bySwitch: boolean, linear: bigint): void {
    const { code, registers } = this.#p;
    const root = code.recordAt(region.place);
    const growth = this.#siteOf(this.#growth, root, 0);
    if (growth.left === 0) growth.left = this.#samples << region.patience;
    if (bySwitch && growth.targets.size < MAX_TARGETS) growth.targets.add(linear);
    growth.left--;
    this.countExits(region.slot);
    if (growth.left > 0 || this.#queued.has(root)) return;
    const news = code.decodesOf(region.pages) + growth.targets.size;
    if (news === region.news) {
      if (region.patience < MAX_PATIENCE) region.patience++;
      return;
    }
    region.news = news;
    this.note({ ...region.place, codeMap: registers.get("codeMap") });
  }

  /** Sets when a region tells again that it is left; with each step of `patience` half as often. */
  countExits(slot: number, patience = 0): void {
    this.#p.code.words[(REGION_EXITS >> 2) + slot] = this.#interval() << patience;
  }

  /** Where a computed jump has been seen to go. */
  targetsOf(jump: number): ReadonlySet<bigint> | undefined {
    return this.#sites.get(jump)?.targets;
  }
  /** Where computed jumps have been seen to lead out of the region that begins at a record. */
  growthOf(root: number): ReadonlySet<bigint> | undefined {
    return this.#growth.get(root)?.targets;
  }

  /** Notes a target of a computed jump, and asks for another one: soon at first, later seldom. */
  #sample(jump: number, linear: bigint): Site {
    const site = this.#siteOf(this.#sites, jump, this.#samples);
    if (site.targets.size < MAX_TARGETS) site.targets.add(linear);
    site.left -= site.interval / SAMPLE_INTERVAL;
    site.passes += site.interval;
    site.samples++;
    if (site.samples % SAMPLES_BEFORE_REST === 0) site.interval = Math.min(site.interval * 4, MAX_INTERVAL);
    this.#p.code.setHeat(jump, Math.ceil((this.#interval() * site.interval) / SAMPLE_INTERVAL));
    return site;
  }

  #siteOf(sites: Map<number, Site>, record: number, left: number): Site {
    const known = sites.get(record);
    if (known) return known;
    if (sites.size >= MAX_SITES) sites.clear();
    const site = { targets: new Set<bigint>(), left, passes: 0, samples: 0, interval: SAMPLE_INTERVAL, asked: 0 };
    sites.set(record, site);
    return site;
  }

  get #samples(): number {
    return Math.ceil(this.#p.threshold / SAMPLE_INTERVAL);
  }

  /** Not always the same: a loop could bring the same target each time. */
  #interval(): number {
    this.#jitter = (this.#jitter * 5 + 3) & 15;
    return SAMPLE_INTERVAL / 2 + this.#jitter;
  }
}
