/** What can be reached from an instruction by direct jumps, as far as it has been decoded and there are templates for it. */
import { RECORD } from "../interpreter/record.ts";
import type { DecodedCode } from "../jit/decoded-code.ts";
import type { Kind, TemplateSet } from "./template-set.ts";

const PAGE = 4096;
const NONE: readonly number[] = [];
/** Pages that are looked at, the root's among them. */
const MAX_PAGES = 8;

/** An instruction by its position: its offset from the start of the root's page. */
export interface Near {
  readonly pos: number;
  readonly record: number;
  readonly kind: Kind;
  readonly next: number;
  /** A jump's static target. */
  readonly target: number | undefined;
  /** Targets of a computed one. */
  readonly targets: readonly number[];
}

/** How near code is looked for around a root. */
export interface NearView {
  /** The code page so many pages from the root's, 0 where there is none. */
  pageAt(distance: number): number;
  /** Whether a record is left alone. */
  leaves(record: number): boolean;
  /** Where the jump to a computed address of a record has been seen to go. */
  targets(record: number): readonly number[];
  /** Whether the conditional jump of a record is so seldom taken that what lies there is not worth its place. */
  isSeldomTaken(record: number): boolean;
}

export class NearCode {
  readonly #set: TemplateSet;
  readonly #code: DecodedCode;
  readonly #view: NearView;
  readonly #limit: number;
  readonly #nodes = new Map<number, Near>();
  /** Code pages, by distance. */
  readonly pages = new Map<number, number>();
  /** Where blocks begin: the root first. */
  readonly leaders = new Set<number>();
  /** Behind calls and what else leaves, but comes back. */
  readonly returns: number[] = [];

  constructor(set: TemplateSet, code: DecodedCode, view: NearView, limit: number) {
    this.#set = set;
    this.#code = code;
    this.#view = view;
    this.#limit = limit;
  }

  find(root: number): ReadonlyMap<number, Near> {
    const nodes = this.#nodes;
    const { leaders } = this;
    const near = [root];
    // What is called comes after what is not, as long as there is room.
    const called: number[] = [];
    for (let start = near.shift(); start !== undefined; start = near.shift() ?? called.shift()) {
      leaders.add(start);
      for (let pos = start; ; ) {
        if (nodes.has(pos)) {
          leaders.add(pos);
          break;
        }
        const node = nodes.size < this.#limit ? this.#look(pos, pos === root) : undefined;
        if (!node) break;
        nodes.set(pos, node);
        const { kind, next, target } = node;
        const how = kind.template.kind;
        near.push(...node.targets);
        const seldom = how === "branch" && this.#view.isSeldomTaken(node.record);
        if (target !== undefined && !seldom) (kind.calls ? called : near).push(target);
        if (how === "branch") leaders.add(next);
        else if (how !== "plain") {
          // Other jumps come back only if they are calls.
          if (kind.calls || !kind.ends) {
            near.push(next);
            this.returns.push(next);
          }
          break;
        }
        // Another page is another block.
        if (Math.floor(pos / PAGE) !== Math.floor(next / PAGE)) leaders.add(next);
        pos = next;
      }
    }
    return nodes;
  }

  #look(pos: number, isRoot: boolean): Near | undefined {
    const { view } = this.#code;
    const distance = Math.floor(pos / PAGE);
    const codePage = this.#pageAt(distance);
    const record = codePage === 0 ? 0 : this.#code.recordAt({ codePage, offset: pos - distance * PAGE });
    if (record === 0) return undefined;
    if (!isRoot && this.#view.leaves(record)) return undefined;
    const kind = this.#set.kind(this.#code.singleOf(record));
    if (!kind) return undefined;
    const next = pos + view.getUint8(record + RECORD.length);
    const target = kind.jumps ? next + view.getInt32(record + RECORD.immediate, true) : undefined;
    this.pages.set(distance, codePage);
    const computed = !kind.calls && kind.switches;
    return { pos, record, kind, next, target, targets: computed ? this.#view.targets(record) : NONE };
  }

  #pageAt(distance: number): number {
    const known = this.pages.get(distance);
    if (known !== undefined) return known;
    return this.pages.size < MAX_PAGES ? this.#view.pageAt(distance) : 0;
  }
}
