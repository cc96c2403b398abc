/** All templates, by table slots of handlers: the same numbers name the code of an instruction in both. Each is written when it is first needed. */
import type { Callable } from "../../wasm/index.ts";
import type { Variant } from "../instruction-writer.ts";
import type { Slots } from "../interpreter/build.ts";
import { mayBeMemory } from "../interpreter/operand.ts";
import { effectOf, type FlagEffect, isSwitch } from "../interpreter/pairs.ts";
import type { RuntimeEffects } from "../jit/effects.ts";
import type { Control } from "../jit/short.ts";
import type { CodeObserver } from "../runtime/define.ts";
import type { Template } from "./template.ts";
import { NoTemplate } from "./template-function.ts";
import { type TemplateSource, writeTemplate } from "./template-writer.ts";

/** What is known of all instructions of a variant. */
export interface Kind extends Control {
  readonly slot: number;
  readonly variant: Variant;
  readonly template: Template;
  /** A jump or call that may stay within a function. */
  readonly jumps: boolean;
  /** It is a near return. */
  readonly returns: boolean;
  /** The template of a call that waits for its return. */
  readonly waits: (() => Template) | undefined;
  /** Its template without flags, where it sets any and may do without. */
  readonly flagless: (() => Template) | undefined;
}

const SETS_FLAGS = new Set("ADD SUB AND OR XOR CMP TEST NEG INC DEC".split(" "));
const SHIFTS = new Set("SHL SHR SAR".split(" "));

/** They have nothing to do with flags. */
const ON_STACK = new Set(["PUSH", "POP"]);

/** Keys of templates: four for each slot, that for accesses near others above that without flags. */
const NEAR = 2;

export class TemplateSet {
  readonly #slots: Slots;
  readonly effects: RuntimeEffects;
  readonly observer: CodeObserver | undefined;
  /** Runtime functions that templates call, by their numbers. */
  readonly callees: Callable[] = [];
  readonly #kinds: (Kind | null | undefined)[] = [];
  readonly #templates = new Map<number, Template>();

  constructor(slots: Slots, effects: RuntimeEffects, observer: CodeObserver | undefined) {
    this.#slots = slots;
    this.effects = effects;
    this.observer = observer;
  }

  /** Undefined where the handler in a slot is no instruction, or has no template. */
  kind(slot: number): Kind | undefined {
    const known = this.#kinds[slot];
    if (known !== undefined) return known ?? undefined;
    const variant = this.#slots.variant(slot);
    let made: Kind | undefined;
    try {
      made = variant && this.#make(slot, variant);
    } catch (error) {
      if (!(error instanceof NoTemplate)) throw error;
    }
    this.#kinds[slot] = made ?? null;
    return made;
  }

  /** The template of two instructions in a row, by their slots; without flags: nobody sees those that it sets. */
  pair(first: number, second: number, flagless: boolean): Template | undefined {
    const slot = this.#slots.pair(first, second);
    const pair = slot === undefined ? undefined : this.#slots.pairIn(slot);
    return pair && this.#template(slot! * 4 + (flagless ? 1 : 0), { ...pair, flagless });
  }

  /** What an instruction means for flags set before it, but for accesses that leave to be done again. `immediate`: of its record. */
  effect({ variant: { row, addressing }, template }: Kind, immediate: number): FlagEffect {
    if (template.settles) return effectOf(row, addressing, immediate);
    return ON_STACK.has(row.mnemonic) ? "neutral" : effectOf(row, "none", immediate);
  }

  #make(slot: number, variant: Variant): Kind | undefined {
    const { row, size } = variant;
    const relative = row.operands.some((o) => o.kind === "rel");
    if (variant.addressing === "checked" || (relative && size !== 64)) return undefined;
    const switches = isSwitch(row);
    const calls = row.mnemonic === "CALL" && (relative || switches);
    const byCl = SHIFTS.has(row.mnemonic) && row.operands[1]?.kind === "fixed";
    // What stores to memory may end behind its store, where its flags show.
    const stores = variant.addressing !== "none" && row.operands.some((o) => mayBeMemory(o) && o.access !== "r");
    const sets = (SETS_FLAGS.has(row.mnemonic) || SHIFTS.has(row.mnemonic)) && !byCl && !stores;
    return {
      slot,
      variant,
      template: this.#template(slot * 4, { first: variant }),
      jumps: relative,
      calls,
      switches,
      ends: row.attributes.has("end"),
      returns: row.mnemonic === "RET",
      waits: calls && relative ? () => this.#template(slot * 4 + 1, { first: variant, waits: true }) : undefined,
      flagless: sets ? () => this.#template(slot * 4 + 1, { first: variant, flagless: true }) : undefined,
    };
  }

  #template(key: number, source: TemplateSource): Template {
    const known = this.#templates.get(key);
    if (known) return known;
    const written = writeTemplate(
      { fn: (name) => this.#callee(name), effects: this.effects, observer: this.observer },
      source,
    );
    const near =
      written.access && !source.near ? () => this.#template(key + NEAR, { ...source, near: true }) : undefined;
    const template = { ...written, near };
    this.#templates.set(key, template);
    return template;
  }

  #callee(name: string): Callable {
    const known = this.callees.find((callee) => callee.name === name);
    if (known) return known;
    const callee = { name, index: this.callees.length, ...this.effects.signature(name) };
    this.callees.push(callee);
    return callee;
  }
}
