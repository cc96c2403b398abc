/**
 * A function of copied templates: the instructions of one code page that can be reached from a root by direct jumps, as far as they have
 * been decoded. Registers and flags stay in the state, so that it can be entered and left at little cost; what it does at each
 * instruction is what the interpreter's handler does.
 */
import { FunctionBuilder, type I32, type I64, i32, LOADS, typed, type ValType } from "../../wasm/index.ts";
import { HANDLER } from "../interpreter/build.ts";
import { RECORD, RECORD_SIZE } from "../interpreter/record.ts";
import type { DecodedCode } from "../jit/decoded-code.ts";
import { type Structure, structure } from "../jit/graph.ts";
import { Layout } from "../jit/layout.ts";
import { MAX_ENTRIES } from "../jit/region-code.ts";
import { ARENA_BASE, REGION_ENTRIES, STATE_BASE } from "../memory-map.ts";
import { offsetOf } from "../state.ts";
import {
  CACHED,
  CLASS,
  classOf,
  FIRST_CACHED_VECTOR,
  fieldAt,
  localType,
  PARAMETERS,
  ZERO_FIELD,
} from "./cached-fields.ts";
import { copyPart, type Part, type Surroundings, type Template } from "./template.ts";
import type { Kind, TemplateSet } from "./template-set.ts";
import type { TemplateModule } from "./template-writer.ts";

const PAGE = 4096;
/** V8 compiles a function as a whole: this many instructions at most. */
const MAX_INSTRUCTIONS = 250;

/** An instruction by its offset in the page. */
interface Node {
  readonly offset: number;
  readonly record: number;
  readonly kind: Kind;
  readonly next: number;
  /** A jump's static target, where it may be in the function. */
  readonly target: number | undefined;
}

interface Block {
  readonly offset: number;
  readonly nodes: Node[];
  readonly successors: number[];
  /** Flags are looked at before they are set, here or behind. */
  liveIn: boolean;
}

export interface CopiedFunction {
  readonly f: FunctionBuilder;
  /** Offsets of its entries, by their numbers. */
  readonly entries: readonly number[];
  readonly instructions: ReadonlySet<number>;
}

/** Where a function is. */
export interface CopiedPlace {
  readonly name: string;
  readonly slot: number;
  readonly codePage: number;
}

/** Undefined where there is no template for the instruction at `root`, an offset in the page. */
export function copyFunction(
  place: CopiedPlace,
  set: TemplateSet,
  code: DecodedCode,
  root: number,
  isCompiled: (record: number) => boolean,
  module: TemplateModule,
): CopiedFunction | undefined {
  const finder = new Finder(set, code, place.codePage, isCompiled);
  const nodes = finder.find(root);
  if (!nodes.has(root)) return undefined;
  const graph = assemble(nodes, finder.leaders);
  const { blocks, numbers } = graph;
  // More entries would be more ways into loops, which then were none that WebAssembly knows.
  const entries = [...new Set([root, ...finder.returns])]
    .flatMap((offset) => numbers.get(offset) ?? [])
    .slice(0, MAX_ENTRIES / 2);
  const shape = structure({ successors: blocks.map((b) => b.successors), entries }, MAX_ENTRIES);
  if (!shape) return undefined;
  const f = new FunctionBuilder(place.name, 0, HANDLER);
  new Copier(f, place, set, code, graph, shape, module).write();
  const instructions = new Set([...nodes.values()].map(({ record }) => record));
  return { f, entries: shape.entries.map((b) => blocks[b]!.offset), instructions };
}

interface Graph {
  readonly blocks: Block[];
  /** Of blocks, by offset. */
  readonly numbers: ReadonlyMap<number, number>;
}

function assemble(nodes: ReadonlyMap<number, Node>, leaders: ReadonlySet<number>): Graph {
  const numbers = new Map<number, number>();
  for (const offset of leaders) if (nodes.has(offset)) numbers.set(offset, numbers.size);
  const blocks: Block[] = [];
  for (const offset of numbers.keys()) {
    const inside: Node[] = [];
    const successors: number[] = [];
    const follow = (to: number) => {
      const number = numbers.get(to);
      if (number !== undefined && !successors.includes(number)) successors.push(number);
    };
    for (let at = offset; ; ) {
      const node = nodes.get(at);
      if (!node) break;
      inside.push(node);
      const { kind } = node.kind.template;
      if (node.target !== undefined) follow(node.target);
      if (kind === "ends" || kind === "jump") break;
      at = node.next;
      if (leaders.has(at) || kind === "branch") {
        follow(at);
        break;
      }
    }
    blocks.push({ offset, nodes: inside, successors, liveIn: true });
  }
  return { blocks, numbers };
}

class Finder {
  readonly #set: TemplateSet;
  readonly #code: DecodedCode;
  readonly #codePage: number;
  readonly #isCompiled: (record: number) => boolean;
  readonly #nodes = new Map<number, Node>();
  /** Where blocks begin: the root first. */
  readonly leaders = new Set<number>();
  /** Behind calls and what else leaves, but comes back. */
  readonly returns: number[] = [];

  constructor(set: TemplateSet, code: DecodedCode, codePage: number, isCompiled: (record: number) => boolean) {
    this.#set = set;
    this.#code = code;
    this.#codePage = codePage;
    this.#isCompiled = isCompiled;
  }

  find(root: number): ReadonlyMap<number, Node> {
    const nodes = this.#nodes;
    const { leaders } = this;
    const near = [root];
    for (let start = near.shift(); start !== undefined; start = near.shift()) {
      leaders.add(start);
      for (let offset = start; offset < PAGE; ) {
        if (nodes.has(offset)) {
          leaders.add(offset);
          break;
        }
        const node = nodes.size < MAX_INSTRUCTIONS ? this.#look(offset, offset === root) : undefined;
        if (!node) break;
        nodes.set(offset, node);
        const { kind, next, target } = node;
        const how = kind.template.kind;
        if (target !== undefined) near.push(target);
        if (how === "branch") leaders.add(next);
        else if (how !== "plain") {
          // Other jumps come back only if they are calls.
          if (kind.calls || !kind.variant.row.attributes.has("end")) {
            near.push(next);
            this.returns.push(next);
          }
          break;
        }
        offset = next;
      }
    }
    return nodes;
  }

  #look(offset: number, isRoot: boolean): Node | undefined {
    const { view } = this.#code;
    const record = this.#code.recordAt({ codePage: this.#codePage, offset });
    if (record === 0) return undefined;
    // What is compiled already is left for: code is copied once.
    if (!isRoot && this.#isCompiled(record)) return undefined;
    const kind = this.#set.kind(this.#code.singleOf(record));
    if (!kind) return undefined;
    const next = offset + view.getUint8(record + RECORD.length);
    const target = next + view.getInt32(record + RECORD.immediate, true);
    const inside = kind.jumps && target >= 0 && target < PAGE;
    return { offset, record, kind, next, target: inside ? target : undefined };
  }
}

const ALWAYS = 1 << ZERO_FIELD;
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
  readonly #place: CopiedPlace;
  readonly #blocks: readonly Block[];
  readonly #shape: Structure;
  readonly #numbers: ReadonlyMap<number, number>;
  readonly #module: TemplateModule;
  readonly #layout: Layout;
  readonly #around: Surroundings;
  /** Blocks outside the loop around all. */
  #again = 0;
  #locals = PARAMETERS;
  /** Cached fields that are in their locals here, as bit masks: scalars and vectors. */
  #scalars = ALWAYS;
  #vectors = 0;
  /** The next block is reached in one way only, from where code is being written. */
  #goesOn = false;

  constructor(
    f: FunctionBuilder,
    place: CopiedPlace,
    set: TemplateSet,
    code: DecodedCode,
    graph: Graph,
    shape: Structure,
    module: TemplateModule,
  ) {
    this.#f = f;
    this.#place = place;
    this.#set = set;
    this.#code = code;
    this.#blocks = graph.blocks;
    this.#shape = shape;
    this.#numbers = graph.numbers;
    this.#module = module;
    this.#layout = new Layout(f, shape, (block) => this.#block(block));
    this.#around = {
      view: code.view,
      slot: place.slot,
      depth: 0,
      callee: (number) => module.fn(set.callees[number]!.name).index,
    };
  }

  write(): void {
    const f = this.#f;
    this.#findLive();
    const record = f.param(0, "i32").get() as I32;
    f.if(this.#field("flagKind"), () => f.returnCall(this.#module.fn("dispatch_settled"), record, this.#budget()));
    this.#module.observer?.regionEntered(f, this.#budget());
    const word = f.loadExpr("i32.load16_u", record.sub(ARENA_BASE).shrU(4), REGION_ENTRIES) as I32;
    f.loop((again) => {
      this.#again = again.depth;
      this.#layout.writeAll(() => word.and(MAX_ENTRIES - 1));
      f.unreachable();
    });
    f.unreachable();
    for (let index = PARAMETERS; index < this.#locals; index++) f.local(localType(index));
  }

  #field(name: string): I32 {
    return this.#f.loadExpr("i32.load", i32(0), STATE_BASE + offsetOf(name)) as I32;
  }
  #budget(): I32 {
    return this.#f.param(1, "i32").get() as I32;
  }

  /** Where flags are seen at the start of blocks: wherever nothing says that they are not. */
  #findLive(): void {
    const first = this.#blocks.map(({ nodes }) => {
      for (const node of nodes) {
        const effect = this.#effect(node);
        if (effect !== "neutral") return effect;
      }
      return "neutral";
    });
    this.#blocks.forEach((block, b) => {
      block.liveIn = first[b] !== "replaces";
    });
  }
  #effect(node: Node) {
    return this.#set.effect(node.kind, this.#code.view.getInt32(node.record + RECORD.immediate, true));
  }
  /** Whether flags as a block leaves them are seen at an offset. At the end of a loop an interrupt may see them. */
  #liveAt(from: number, offset: number | undefined): boolean {
    const to = offset === undefined ? undefined : this.#numbers.get(offset);
    if (to === undefined || this.#blocks[to]!.liveIn) return true;
    const edge = this.#shape.edge(from, to);
    return edge === "back" || edge === "entry";
  }

  #block(number: number): void {
    const block = this.#blocks[number]!;
    const { nodes } = block;
    if (!this.#goesOn) [this.#scalars, this.#vectors] = [ALWAYS, 0];
    this.#goesOn = false;
    const last = nodes.at(-1)!;
    const count = nodes.length;
    const ending = last.kind.template;
    let live = true;
    if (ending.kind !== "ends") live = ending.kind !== "jump" && this.#liveAt(number, last.next);
    if (ending.kind === "branch" || ending.kind === "jump") live ||= this.#liveAt(number, last.target);
    // From the end: whose flags are seen.
    const templates: (Template | undefined)[] = nodes.map((node) => node.kind.template);
    let from = count - 1;
    if (ending.kind === "branch" && count > 1) {
      const before = nodes[count - 2]!;
      if (last.record === before.record + RECORD_SIZE) {
        const pair = this.#set.pair(before.kind.slot, last.kind.slot, !live);
        if (pair) {
          templates[count - 2] = pair;
          templates[count - 1] = undefined;
          from = count - 3;
          const effect = this.#effect(before);
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
      const effect = this.#effect(node);
      if (effect !== "neutral") live = effect === "shows";
    }
    templates.forEach((template, i) => {
      if (!template) return;
      const { record } = nodes[i]!;
      this.#locals = Math.max(this.#locals, template.locals);
      for (const local of template.zeroed) this.#zero(local);
      for (const read of template.reads) this.#load(this.#fieldOf(read, record));
      this.#copy(template.body, record, i);
      for (const written of template.writes) this.#note(this.#fieldOf(written, record));
      this.#scalars &= NONE_OF[template.clobbers & ~CLASS.vectors]!;
      if ((template.clobbers & CLASS.vectors) !== 0) this.#vectors = 0;
      if (template.kind === "branch" || template.kind === "jump") this.#jump(number, template, record, i, last);
    });
    if (ending.kind === "plain") {
      this.#retire(count);
      this.#go(number, last.next);
    }
  }

  #copy(part: Part, record: number, done: number): void {
    this.#around.depth = this.#f.depth - this.#again;
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
  #zero(local: number): void {
    const { code } = this.#f;
    code.raw(ZEROS[localType(local)]);
    code.u8(0x21);
    code.u32(local);
  }

  /** A jump at the end of a block, whose condition, if it has one, is on the stack. `done`: instructions in front of its template. */
  #jump(
    number: number,
    template: Extract<Template, { kind: "branch" | "jump" }>,
    record: number,
    done: number,
    node: Node,
  ): void {
    const to = node.target === undefined ? undefined : this.#numbers.get(node.target);
    const count = this.#blocks[number]!.nodes.length;
    const take = () => {
      if (to === undefined) {
        this.#copy(template.warm, record, done);
        this.#copy(template.leave, record, done);
        return;
      }
      const edge = this.#shape.edge(number, to);
      if (node.kind.calls || edge === "back" || edge === "entry") this.#copy(template.warm, record, done);
      this.#copy(template.flush, record, done);
      this.#retire(count);
      this.#go(number, node.target!);
    };
    if (template.kind === "jump") {
      take();
      return;
    }
    const [scalars, vectors] = [this.#scalars, this.#vectors];
    this.#f.if(ON_STACK, take);
    [this.#scalars, this.#vectors] = [scalars, vectors];
    this.#copy(template.next, record, done);
    this.#retire(count);
    this.#go(number, node.next);
  }

  #retire(count: number): void {
    this.#f.param(1, "i32").set(this.#budget().sub(count));
  }

  /** Goes from the end of a block to an offset in the page. */
  #go(from: number, offset: number): void {
    const to = this.#numbers.get(offset);
    const edge = to === undefined ? "out" : this.#shape.edge(from, to);
    // What may be part of a loop ends in time.
    if (edge === "back" || edge === "entry") {
      this.#f.if(this.#budget().leS(this.#field("attention")), () => this.#enter(offset));
    }
    if (edge === "inline") {
      this.#goesOn = this.#shape.isHeader[to!] === 0;
      this.#layout.tree(to!);
    } else if (edge === "forward") this.#layout.toMerge(to!);
    else if (edge === "back") this.#layout.toLoop(to!);
    else this.#leave(offset);
  }

  #leave(offset: number): void {
    const record = offset < PAGE ? this.#code.recordAt({ codePage: this.#place.codePage, offset }) : 0;
    if (record === 0) {
      this.#enter(offset);
      return;
    }
    this.#module.observer?.regionLeft(this.#f, this.#budget());
    this.#f.returnCall(this.#module.fn("dispatch"), i32(record), this.#budget());
  }
  #enter(offset: number): void {
    this.#module.observer?.regionLeft(this.#f, this.#budget());
    const page = this.#f.loadExpr("i64.load", i32(0), STATE_BASE + offsetOf("ripPage")) as I64;
    this.#f.returnCall(this.#module.fn("enter"), page.add(offset), this.#budget());
  }
}
