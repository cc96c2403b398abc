/** A filter: a list to tick, heaviest first, which a word narrows. For guests, vCPUs, tasks and modes alike. */
import { percent } from "../model/quantities.ts";
import type { Chosen } from "../model/view-state.ts";
import { button, make } from "./dom.ts";

/** Rows shown at once: of ten thousand tasks nobody reads them all. */
const MOST_ROWS = 300;

export interface Item {
  readonly index: number;
  readonly name: string;
  readonly share: number;
}

export class Chooser {
  readonly element: HTMLDetailsElement;
  readonly #items: readonly Item[];
  readonly #change: (chosen: Chosen) => void;
  readonly #summary = make("summary");
  readonly #word = make("input", { type: "search", placeholder: "narrow the list", spellcheck: "false" });
  readonly #list = make("div", { class: "items" });
  readonly #label: string;
  #chosen: Set<number> | undefined;

  constructor(label: string, items: readonly Item[], change: (chosen: Chosen) => void) {
    this.#label = label;
    this.#items = items.toSorted((a, b) => b.share - a.share || a.index - b.index);
    this.#change = change;
    this.#word.setAttribute("aria-label", `narrow the list of ${label.toLowerCase()}`);
    this.#word.addEventListener("input", () => this.#fill());
    const all = button("all", "let everything pass", () => this.#choose(undefined));
    const shown = button("only these", "let only pass what the list shows", () => {
      this.#choose(new Set(this.#shown().map(({ index }) => index)));
    });
    const none = button("none", "let nothing pass, to tick a few", () => this.#choose(new Set()));
    const panel = make(
      "div",
      { class: "panel" },
      this.#word,
      make("div", { class: "row" }, all, shown, none),
      this.#list,
    );
    this.element = make("details", { class: "chooser" }, this.#summary, panel);
    this.element.addEventListener("toggle", () => {
      if (!this.element.open) return;
      this.#fill();
      if (this.#items.length > 12) this.#word.focus();
    });
    this.show(undefined);
  }

  /** Nothing to choose from. */
  get isIdle(): boolean {
    return this.#items.length < 2;
  }

  show(chosen: Chosen): void {
    this.#chosen = chosen === undefined ? undefined : new Set(chosen);
    const first = this.#items.find(({ index }) => this.#chosen?.has(index));
    const said =
      this.#chosen === undefined
        ? "all"
        : this.#chosen.size === 1 && first !== undefined
          ? first.name
          : `${this.#chosen.size} of ${this.#items.length}`;
    this.#summary.replaceChildren(`${this.#label}: `, make("b", {}, said));
    this.element.classList.toggle("active", this.#chosen !== undefined);
    if (this.element.open) this.#fill();
  }

  #shown(): readonly Item[] {
    const word = this.#word.value.toLowerCase();
    return word === "" ? this.#items : this.#items.filter(({ name }) => name.toLowerCase().includes(word));
  }

  #fill(): void {
    const shown = this.#shown();
    const rows = shown.slice(0, MOST_ROWS).map((item) => {
      const input = make("input", { type: "checkbox" });
      input.checked = this.#chosen?.has(item.index) ?? true;
      input.addEventListener("change", () => {
        const chosen = this.#chosen ?? new Set(this.#items.map(({ index }) => index));
        if (input.checked) chosen.add(item.index);
        else chosen.delete(item.index);
        this.#choose(chosen);
      });
      const only = button("only", `only ${item.name}`, () => this.#choose(new Set([item.index])));
      const label = make("label", {}, input, make("span", { class: "item" }, item.name));
      return make("div", { class: "row" }, label, make("span", { class: "share" }, percent(item.share)), only);
    });
    const more = shown.length - rows.length;
    this.#list.replaceChildren(...rows, ...(more > 0 ? [make("p", {}, `${more} more: narrow the list`)] : []));
  }

  #choose(chosen: Set<number> | undefined): void {
    const isAll = chosen === undefined || chosen.size === this.#items.length;
    this.#change(isAll ? undefined : [...chosen].sort((a, b) => a - b));
  }
}
