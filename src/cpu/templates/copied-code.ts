/**
 * A function of copied templates: the instructions that can be reached from a root by direct jumps, as far as they have been decoded, on
 * a few pages. Whoever goes from one page to the other looks whether that still lies where it did. Registers and flags are in the state
 * where blocks meet, so that it can be entered and left at little cost; what it does at each instruction is what the interpreter's handler
 * does.
 */
import {
  FunctionBuilder,
  type I32,
  type I64,
  i32,
  type Label,
  LOADS,
  Local,
  STORES,
  typed,
  type ValType,
} from "../../wasm/index.ts";
import { HANDLER } from "../interpreter/build.ts";
import { RECORD, RECORD_SIZE } from "../interpreter/record.ts";
import type { DecodedCode } from "../jit/decoded-code.ts";
import { type Structure, structure } from "../jit/graph.ts";
import { Layout } from "../jit/layout.ts";
import { MAX_ENTRIES } from "../jit/region-code.ts";
import { STATE_BASE } from "../memory-map.ts";
import { codeTlbOffset } from "../runtime/tlb.ts";
import { offsetOf } from "../state.ts";
import { Addresses } from "./addresses.ts";
import {
  CACHED,
  CLASS,
  cachedField,
  classOf,
  FIRST_CACHED_VECTOR,
  fieldAt,
  HOSTS,
  localType,
  PARAMETERS,
  waitingAmong,
  ZERO_FIELD,
} from "./cached-fields.ts";
import { assemble, type Block, type Graph, type InnerCalls } from "./code-graph.ts";
import { type Near, NearCode, type NearView } from "./near-code.ts";
import { type Point, Replay } from "./replay.ts";
import { type ComputedTemplate, copyPart, type Part, type Surroundings, type Template } from "./template.ts";
import type { TemplateSet } from "./template-set.ts";
import { entryOf, type TemplateModule } from "./template-writer.ts";

const PAGE = 4096;
/** V8 compiles a function as a whole: this many instructions at most. */
const MAX_INSTRUCTIONS = 250;

export interface CopiedFunction {
  readonly f: FunctionBuilder;
  /** Positions of its entries, by their numbers. */
  readonly entries: readonly number[];
  /** Code pages of its instructions, by their distance from the root's in pages. */
  readonly pages: ReadonlyMap<number, number>;
  /** Positions of its instructions, and their records. */
  readonly positions: Int32Array;
  readonly records: Int32Array;
}

/** Undefined where there is no template for the instruction at `root`, an offset in its page. */
export function copyFunction(
  { name, slot }: { readonly name: string; readonly slot: number },
  set: TemplateSet,
  code: DecodedCode,
  view: NearView,
  root: number,
  module: TemplateModule,
): CopiedFunction | undefined {
  const finder = new NearCode(set, code, view, MAX_INSTRUCTIONS);
  const nodes = finder.find(root);
  if (!nodes.has(root)) return undefined;
  const graph = assemble(nodes, finder.leaders);
  const { blocks, numbers } = graph;
  // More entries would be more ways into loops, which then were none that WebAssembly knows.
  const entries = [...new Set([root, ...finder.returns])]
    .flatMap((pos) => numbers.get(pos) ?? [])
    .slice(0, MAX_ENTRIES / 2);
  const shape = structure({ successors: blocks.map((b) => b.successors), entries }, MAX_ENTRIES);
  if (!shape) return undefined;
  const f = new FunctionBuilder(name, 0, HANDLER);
  new Copier(f, slot, finder.pages, set, code, graph, shape, module).write();
  return {
    f,
    entries: shape.entries.map((b) => blocks[b]!.pos),
    pages: finder.pages,
    positions: Int32Array.from(nodes.keys()),
    records: Int32Array.from(nodes.values(), ({ record }) => record),
  };
}

const RIP_PAGE = cachedField("ripPage");
const ALWAYS = 1 << ZERO_FIELD;
const FLAGS = CACHED.reduce((mask, _, field) => (classOf(field) === CLASS.flags ? mask | (1 << field) : mask), 0);
const NONE_OF: readonly number[] = Array.from({ length: 8 }, (_, clobbers) =>
  CACHED.reduce(
    (mask, _, field) =>
      field < FIRST_CACHED_VECTOR && (classOf(field) & clobbers) !== 0 ? mask & ~(1 << field) : mask,
    -1,
  ),
);

/** The constant zero of each type, as an instruction. */
const ZEROS: Readonly<Record<ValType, readonly number[]>> = {
  i32: [0x41, 0],
  i64: [0x42, 0],
  f32: [0x43, 0, 0, 0, 0],
  f64: [0x44, 0, 0, 0, 0, 0, 0, 0, 0],
  v128: [0xfd, 0x0c, ...new Uint8Array(16)],
};

/** The condition that a template left on the stack. */
const ON_STACK = typed("i32", () => undefined);

class Copier {
  readonly #f: FunctionBuilder;
  readonly #set: TemplateSet;
  readonly #code: DecodedCode;
  readonly #pages: ReadonlyMap<number, number>;
  readonly #blocks: readonly Block[];
  readonly #shape: Structure;
  readonly #numbers: ReadonlyMap<number, number>;
  readonly #inner: InnerCalls;
  readonly #module: TemplateModule;
  readonly #layout: Layout;
  readonly #around: Surroundings;
  readonly #addresses = new Addresses();
  /** The loop around all, where control goes to an entry from inside. */
  #again: Label | undefined;
  #locals = PARAMETERS;
  /** Cached fields that are in their locals here, as bit masks: scalars and vectors. */
  #scalars = ALWAYS;
  #vectors = 0;
  /** Those among them that the state does not have yet. */
  #waiting = 0;
  /** What the template that is being copied sets. */
  #sets: readonly number[] = [];
  /** Where the interpreter takes over, and how that moves on. */
  #point: Point = { record: 0, done: 0, waiting: 0 };
  #replay = new Replay();
  /** The next block is reached in one way only, from where code is being written. */
  #goesOn = false;

  constructor(
    f: FunctionBuilder,
    slot: number,
    pages: ReadonlyMap<number, number>,
    set: TemplateSet,
    code: DecodedCode,
    graph: Graph,
    shape: Structure,
    module: TemplateModule,
  ) {
    this.#f = f;
    this.#pages = pages;
    this.#set = set;
    this.#code = code;
    this.#blocks = graph.blocks;
    this.#shape = shape;
    this.#numbers = graph.numbers;
    this.#inner = graph.inner;
    this.#module = module;
    this.#layout = new Layout(f, shape, (block) => this.#block(block));
    this.#around = {
      view: code.view,
      slot,
      depth: 0,
      callee: (number) => module.fn(set.callees[number]!.name).index,
      store: (writes) => this.#storeAll(this.#waiting | waitingAmong(this.#sets, writes)),
      replay: () => this.#doAgain(),
      hint: (likely, at) => f.hint(likely, at),
      knownHost: 0,
      host: 0,
      distance: 0,
    };
  }

  write(): void {
    const f = this.#f;
    this.#findLive();
    const entry = f.param(0, "i32");
    const record = entry.get() as I32;
    f.if(this.#field("flagKind"), () => f.returnCall(this.#module.fn("dispatch_settled"), record, this.#budget()));
    this.#module.observer?.regionEntered(f, this.#budget());
    const writeAll = () => this.#layout.writeAll(() => entry.get() as I32);
    const { switches, entries } = this.#shape;
    const root = this.#blocks[entries[0]!]!.nodes[0]!.record;
    // Most come in at the root: they need not look it up.
    if (switches)
      f.if(
        record.eq(root),
        () => entry.set(i32(0)),
        () => entry.set(entryOf(f, record)),
      );
    if (this.#goesToEntries()) {
      f.loop((again) => {
        this.#again = again;
        writeAll();
        f.unreachable();
      });
    } else writeAll();
    f.unreachable();
    for (let index = PARAMETERS; index < this.#locals; index++) f.local(localType(index));
  }

  #goesToEntries(): boolean {
    const { switches, edge, order } = this.#shape;
    if (!switches) return false;
    return this.#blocks.some(({ nodes, successors }, b) => {
      if (order[b]! < 0) return false;
      const { template, returns } = nodes.at(-1)!.kind;
      return (template.kind === "computed" && !returns) || successors.some((to) => edge(b, to) === "entry");
    });
  }

  #field(name: string): I32 {
    return this.#f.loadExpr("i32.load", i32(0), STATE_BASE + offsetOf(name)) as I32;
  }
  #budget(): I32 {
    return this.#f.param(1, "i32").get() as I32;
  }

  /** Where flags are seen at the start of blocks: wherever nothing says that they are not. */
  #findLive(): void {
    for (const block of this.#blocks) block.liveIn = this.#shows(block, new Replay());
  }
  /** Whether flags are seen at the start of a block, the point to go back to being where it is. */
  #shows({ nodes }: Block, replay: Replay): boolean {
    for (const node of nodes) {
      const { effect } = this.#pass(replay, node);
      if (effect !== "neutral") return effect === "shows";
    }
    return true;
  }
  #pass(replay: Replay, node: Near) {
    const { kind, record } = node;
    const effect = this.#set.effect(kind, this.#code.view.getInt32(record + RECORD.immediate, true));
    const sets = kind.template.writes.map((written) => this.#fieldOf(written, record));
    return replay.pass(kind.template, effect, sets);
  }
  /**
   * Whether flags as a block leaves them are seen at a position: at the end of a loop by an interrupt, on another page by a fault.
   * `replay`: as it is at the end of the block.
   */
  #liveAt(from: number, pos: number | undefined, replay: Replay): boolean {
    const to = pos === undefined ? undefined : this.#numbers.get(pos);
    if (to === undefined || this.#pageOf(from) !== Math.floor(pos! / PAGE)) return true;
    const edge = this.#shape.edge(from, to);
    if (this.#isOnly(from, to)) return this.#shows(this.#blocks[to]!, replay.copy());
    return this.#blocks[to]!.liveIn || edge === "back" || edge === "entry";
  }

  /** Whether a block is reached in one way only, and is written where another leads to it: what is known there holds on. */
  #isOnly(from: number, to: number): boolean {
    return this.#shape.edge(from, to) === "inline" && this.#shape.isHeader[to] === 0;
  }

  #block(number: number): void {
    const block = this.#blocks[number]!;
    const { nodes } = block;
    if (!this.#goesOn) this.#forget();
    this.#goesOn = false;
    const replay = this.#replay;
    const passed = nodes.map((node) => this.#pass(replay, node));
    const last = nodes.at(-1)!;
    const count = nodes.length;
    const waits = last.kind.calls && !this.#inner.calls.has(last.pos) ? last.kind.waits?.() : undefined;
    const ending = waits ?? last.kind.template;
    const falls = ending.kind === "plain" || ending.kind === "branch";
    const jumps = ending.kind === "jump" || ending.kind === "branch";
    let live = !(falls || jumps) || (falls && this.#liveAt(number, last.next, replay));
    if (jumps) live ||= this.#counts(number, last) || this.#liveAt(number, last.target, replay);
    // From the end: whose flags are seen.
    const templates: (Template | undefined)[] = nodes.map((node) => node.kind.template);
    templates[count - 1] = ending;
    let from = count - 1;
    if (ending.kind === "branch" && count > 1) {
      const before = nodes[count - 2]!;
      if (last.record === before.record + RECORD_SIZE) {
        const pair = this.#set.pair(before.kind.slot, last.kind.slot, !live);
        if (pair) {
          templates[count - 2] = pair;
          templates[count - 1] = undefined;
          from = count - 3;
          const { effect } = passed[count - 2]!;
          live = effect === "shows" || (effect === "neutral" && live);
        }
      }
      if (templates[count - 1]) live = true;
    }
    for (let i = from; i >= 0; i--) {
      const node = nodes[i]!;
      if (i === count - 1 && ending.kind !== "plain") {
        if (ending.kind !== "jump") live = true;
        continue;
      }
      if (!live && node.kind.flagless) templates[i] = node.kind.flagless();
      const { effect } = passed[i]!;
      if (effect !== "neutral") live = effect === "shows";
    }
    templates.forEach((chosen, i) => {
      if (!chosen) return;
      const node = nodes[i]!;
      const { record } = node;
      const template = this.#place(chosen, node);
      this.#locals = Math.max(this.#locals, template.locals);
      for (const local of template.zeroed) this.#zero(local);
      if (template.through || node.kind.template.through) this.#flush();
      if (passed[i]!.isPoint) this.#point = { record, done: i, waiting: this.#waiting };
      const reads = template.reads.map((read) => this.#fieldOf(read, record));
      for (const field of reads) this.#load(field);
      this.#sets = template.writes.map((written) => this.#fieldOf(written, record));
      this.#copy(template.body, record, i);
      for (const field of this.#sets) this.#note(field);
      if (template.outside || template.clobbers !== 0) this.#addresses.forget();
      else this.#addresses.follow(node, this.#code.view, this.#sets, reads);
      if (template.through) this.#sets = [];
      this.#waiting |= waitingAmong(this.#sets);
      this.#scalars &= NONE_OF[template.clobbers & ~CLASS.vectors]!;
      if ((template.clobbers & CLASS.vectors) !== 0) this.#vectors = 0;
      if (template.kind === "branch" || template.kind === "jump") this.#jump(number, template, record, i, last);
      if (template.kind === "computed") this.#jumpComputed(number, template, record, i, last);
    });
    if (ending.kind === "plain") {
      this.#retire(count);
      this.#go(number, last.next);
    } else if (ending.kind === "call") this.#comeBack(number, last.next);
  }
  /** Says where the host address of a template's first access is kept, and chooses that for an access near an earlier one. */
  #place(template: Template, node: Near): Template {
    const { access } = template;
    if (!access) return template;
    const { view } = this.#code;
    const near = template.near && this.#addresses.near(node, view, access);
    if (!near) {
      this.#around.host = this.#addresses.keep(node, view, access);
      return template;
    }
    this.#around.knownHost = near.local;
    this.#around.distance = near.distance;
    this.#around.host = HOSTS.first + HOSTS.kept;
    return template.near!();
  }
  /** Goes on behind a call. Whoever returned has made the page there that of the code that runs. */
  #comeBack(number: number, pos: number): void {
    this.#forget();
    const page = Math.floor(pos / PAGE);
    if (page !== this.#pageOf(number)) {
      if (!this.#pages.has(page)) {
        this.#enter(this.#ripPage(), pos - page * PAGE);
        return;
      }
      this.#checkPage(page, pos);
    }
    this.#go(number, pos, page);
  }
  /** The page that a block is on. */
  #pageOf(block: number): number {
    return Math.floor(this.#blocks[block]!.pos / PAGE);
  }

  #copy(part: Part, record: number, done: number): void {
    this.#around.depth = this.#f.depth - (this.#again?.depth ?? 0);
    copyPart(this.#f.code, part, this.#around, record, done);
  }
  /** A cached field by its number, or by the field of the record that names it. */
  #fieldOf(read: number, record: number): number {
    return read >= 0 ? read : fieldAt(this.#code.view.getUint16(record + ~read, true));
  }
  /** Brings a cached field into its local, if it is not there. */
  #load(field: number): void {
    const bit = field < FIRST_CACHED_VECTOR ? 1 << field : 1 << (field - FIRST_CACHED_VECTOR);
    if (((field < FIRST_CACHED_VECTOR ? this.#scalars : this.#vectors) & bit) !== 0) return;
    const { offset, type, local } = CACHED[field]!;
    const { code } = this.#f;
    code.raw([0x41, 0]);
    code.raw(LOADS[`${type}.load`][0]);
    code.u8(0);
    code.u32(STATE_BASE + offset);
    code.u8(0x21);
    code.u8(local);
    this.#note(field);
  }
  #note(field: number): void {
    if (field < FIRST_CACHED_VECTOR) this.#scalars |= 1 << field;
    else this.#vectors |= 1 << (field - FIRST_CACHED_VECTOR);
  }
  /** What is in locals is not what it says any more. */
  #forget(): void {
    this.#scalars = ALWAYS;
    this.#vectors = 0;
    this.#waiting = 0;
    this.#replay = new Replay();
    this.#addresses.forget();
  }
  #storeAll(mask: number): void {
    const { code } = this.#f;
    for (let rest = mask; rest !== 0; rest &= rest - 1) {
      const { offset, type, local } = CACHED[31 - Math.clz32(rest & -rest)]!;
      code.raw([0x41, 0, 0x20, local]);
      code.raw(STORES[`${type}.store`][0]);
      code.u8(0);
      code.u32(STATE_BASE + offset);
    }
  }
  /** Stores what waits in locals; flags only where they are seen. */
  #flush(flags = true): void {
    this.#storeAll(flags ? this.#waiting : this.#waiting & ~FLAGS);
    this.#waiting = 0;
  }
  #zero(local: number): void {
    const { code } = this.#f;
    code.raw(ZEROS[localType(local)]);
    code.u8(0x21);
    code.u32(local);
  }

  /** Whether a jump within the function is counted, and may leave with that. */
  #counts(number: number, { pos, target }: Near): boolean {
    const to = target === undefined ? undefined : this.#numbers.get(target);
    if (to === undefined) return false;
    const edge = this.#shape.edge(number, to);
    // Also where a loop was entered in its middle, and comes back there: what leads to its beginning is counted all the same.
    return edge === "back" || edge === "entry" || target! <= pos;
  }
  /** A jump at the end of a block, whose condition, if it has one, is on the stack. `done`: instructions in front of its template. */
  #jump(
    number: number,
    template: Extract<Template, { kind: "branch" | "jump" }>,
    record: number,
    done: number,
    node: Near,
  ): void {
    const to = node.target === undefined ? undefined : this.#numbers.get(node.target);
    const count = this.#blocks[number]!.nodes.length;
    const take = () => {
      if (to === undefined) {
        this.#copy(template.leave, record, done);
        return;
      }
      if (this.#counts(number, node)) this.#copy(template.warm, record, done);
      this.#copy(template.flush, record, done);
      this.#retire(count);
      this.#go(number, node.target!);
    };
    if (template.kind === "jump") {
      take();
      return;
    }
    this.#aside(ON_STACK, take);
    this.#copy(template.next, record, done);
    this.#retire(count);
    this.#go(number, node.next);
  }

  /** A jump to a computed target. `done`: instructions in front of it. */
  #jumpComputed(number: number, template: ComputedTemplate, record: number, done: number, node: Near): void {
    this.#flush();
    this.#replay.move();
    const page = this.#pageOf(number);
    const target = new Local(this.#f, "i64", template.target).get() as I64;
    for (const pos of this.#inner.returns.get(node.pos) ?? []) {
      if (!this.#numbers.has(pos)) continue;
      this.#aside(target.eq(this.#ripPage().add(pos - page * PAGE)), () => {
        this.#retire(done + 1);
        this.#go(number, pos);
      });
    }
    this.#copy(template.seek, record, done);
    if (this.#again && !node.kind.returns) this.#copy(template.inner, record, done);
    this.#copy(template.leave, record, done);
  }

  /** Where the condition holds, control does not come back. */
  #aside(condition: I32, body: () => void): void {
    const [scalars, vectors, waiting] = [this.#scalars, this.#vectors, this.#waiting];
    const [point, replay] = [this.#point, this.#replay];
    this.#replay = replay.copy();
    const restore = this.#addresses.save();
    this.#f.if(condition, body);
    restore();
    [this.#scalars, this.#vectors, this.#waiting] = [scalars, vectors, waiting];
    [this.#point, this.#replay] = [point, replay];
  }

  #retire(count: number): void {
    this.#f.param(1, "i32").set(this.#budget().sub(count));
    this.#point = { ...this.#point, done: this.#point.done - count };
  }
  /** Leaves for the interpreter, which does all from the point on. */
  #doAgain(): void {
    const { record, done, waiting } = this.#point;
    this.#storeAll(waiting);
    const left = this.#budget().sub(done);
    this.#module.observer?.regionLeft(this.#f, left);
    this.#f.returnCall(this.#module.fn("dispatch_single"), i32(record), left);
  }

  /** Goes from the end of a block, on its page or another, to a position. */
  #go(from: number, pos: number, page = this.#pageOf(from)): void {
    const to = this.#numbers.get(pos);
    const edge = to === undefined ? "out" : this.#shape.edge(from, to);
    const goesOn = to !== undefined && this.#isOnly(from, to);
    if (!goesOn) this.#flush(this.#liveAt(from, pos, this.#replay));
    // What may be part of a loop ends in time.
    if (edge === "back" || edge === "entry") {
      this.#f.if(this.#budget().leS(this.#field("attention")), () => this.#enter(this.#ripPage(), pos - page * PAGE));
    }
    if (edge === "out") {
      this.#leave(page, pos);
      return;
    }
    this.#turnTo(page, Math.floor(pos / PAGE), pos);
    if (edge === "entry") {
      this.#f.param(0, "i32").set(i32(this.#shape.entries.indexOf(to!)));
      this.#f.br(this.#again!);
    } else if (edge === "inline") {
      this.#goesOn = goesOn;
      this.#layout.tree(to!);
    } else if (edge === "forward") this.#layout.toMerge(to!);
    else this.#layout.toLoop(to!);
  }

  /** Makes another page that of the code that runs. */
  #turnTo(from: number, page: number, pos: number): void {
    if (page === from) return;
    this.#load(RIP_PAGE);
    const local = new Local(this.#f, "i64", CACHED[RIP_PAGE]!.local);
    local.set((local.get() as I64).add((page - from) * PAGE));
    this.#addresses.change(RIP_PAGE);
    this.#replay.move();
    this.#checkPage(page, pos);
    this.#f.store("i64.store", i32(0), local.get(), STATE_BASE + offsetOf("ripPage"));
  }
  /** Leaves where the page that `ripPage` says, in its local, is not the one it was, or not in the code TLB. */
  #checkPage(page: number, pos: number): void {
    const f = this.#f;
    this.#load(RIP_PAGE);
    const local = new Local(f, "i64", CACHED[RIP_PAGE]!.local);
    this.#locals = Math.max(this.#locals, local.index + 1);
    const linear = () => local.get() as I64;
    const entry = () => codeTlbOffset(linear().wrap()).add(this.#field("codeTlb"));
    const differs = (f.loadExpr("i64.load", entry(), 0) as I64).ne(linear());
    const other = (f.loadExpr("i32.load", entry(), 8) as I32).ne(this.#pages.get(page)!);
    f.if(differs.or(other), () => {
      this.#storeAll(this.#waiting);
      this.#enter(linear(), pos - page * PAGE);
    });
  }

  #leave(page: number, pos: number): void {
    const offset = pos - page * PAGE;
    const codePage = this.#pages.get(page)!;
    const record = offset >= 0 && offset < PAGE ? this.#code.recordAt({ codePage, offset }) : 0;
    if (record === 0) {
      this.#enter(this.#ripPage(), offset);
      return;
    }
    this.#module.observer?.regionLeft(this.#f, this.#budget());
    this.#f.returnCall(this.#module.fn("dispatch"), i32(record), this.#budget());
  }
  #enter(page: I64, offset: number): void {
    this.#module.observer?.regionLeft(this.#f, this.#budget());
    this.#f.returnCall(this.#module.fn("enter"), page.add(offset), this.#budget());
  }
  #ripPage(): I64 {
    return this.#f.loadExpr("i64.load", i32(0), STATE_BASE + offsetOf("ripPage")) as I64;
  }
}
