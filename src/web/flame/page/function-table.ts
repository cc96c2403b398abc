/** Functions in rows, sorted by what the reader chose; only rows in view are elements, as there may be a hundred thousand. */

import type { CallTree } from "../model/call-tree.ts";
import type { Catalog } from "../model/catalog.ts";
import { KINDS } from "../model/catalog.ts";
import { change, type FunctionTotals, share } from "../model/function-table.ts";
import { change as changeText, percent, quantity, type Unit } from "../model/quantities.ts";
import { make, onceAFrame } from "./dom.ts";

const ROW = 22;
/** Rows above and below those in view. */
const SPARE = 6;

interface Column {
  readonly key: string;
  readonly label: string;
  readonly title: string;
  readonly text: (box: number) => string;
  readonly value: (box: number) => number | string;
  /** Part of the cell that a bar fills. */
  readonly bar?: (box: number) => number;
}

export class FunctionTable {
  readonly element: HTMLElement;
  readonly #head = make("div", { class: "head", role: "row" });
  readonly #body = make("div", { class: "body", tabindex: 0, role: "rowgroup" });
  readonly #room = make("div", { class: "room" });
  readonly #catalog: Catalog;
  readonly #open: (box: number) => void;
  readonly #isCompact: boolean;
  readonly #draw = onceAFrame(() => this.#fill());
  #columns: readonly Column[] = [];
  #rows: readonly number[] = [];
  #sort = { key: "self", isUp: false };
  #source: { readonly totals: FunctionTotals; readonly found: Uint8Array | undefined } | undefined;
  #selected: number | undefined;

  /** `open`: what a click, or Enter, on a function does. */
  constructor(catalog: Catalog, isCompact: boolean, open: (box: number) => void) {
    this.#catalog = catalog;
    this.#isCompact = isCompact;
    this.#open = open;
    this.#body.append(this.#room);
    this.#body.setAttribute("aria-label", "Functions: arrow keys choose, Enter shows callers and callees");
    this.element = make(
      "div",
      { class: `functions${isCompact ? " compact" : ""}`, role: "table" },
      this.#head,
      this.#body,
    );
    this.#body.addEventListener("scroll", () => {
      this.#head.scrollLeft = this.#body.scrollLeft;
      this.#draw();
    });
    new ResizeObserver(() => this.#draw()).observe(this.#body);
    this.#body.addEventListener("keydown", (event) => this.#key(event));
  }

  show(tree: CallTree, totals: FunctionTotals, found: Uint8Array | undefined, unit: Unit, selected?: number): void {
    this.#columns = this.#columnsOf(tree, totals, unit);
    if (!this.#columns.some(({ key }) => key === this.#sort.key)) this.#sort = { key: "self", isUp: false };
    this.#selected = selected;
    const isSame = this.#source?.totals === totals && this.#source.found === found;
    this.#source = { totals, found };
    if (!isSame) this.#order();
    this.#showHead();
    this.#draw();
  }

  #columnsOf(tree: CallTree, totals: FunctionTotals, unit: Unit): readonly Column[] {
    const all = tree.total[0]!;
    const { names, dso, dsoNames, kinds } = this.#catalog;
    const weights = (["self", "total"] as const).flatMap((key): Column[] => {
      const label = key === "self" ? "Self" : "Total";
      const title = key === "self" ? "in the function itself" : "in the function and all it calls, recursion once";
      const value = (box: number): number => totals[key][box]!;
      const part = (box: number): number => share(value(box), all);
      const percentage = {
        key,
        label: `${label} %`,
        title,
        value,
        text: (box: number) => percent(part(box)),
        bar: part,
      };
      const absolute = { key: `${key}-weight`, label, title, value, text: (box: number) => quantity(value(box), unit) };
      return this.#isCompact ? [percentage] : [percentage, absolute];
    });
    const [a, b] = totals.sides;
    const changes = (["self", "total"] as const).map((key): Column => {
      const value = (box: number): number => change(tree, a[key][box]!, b[key][box]!);
      return {
        key: `${key}-change`,
        label: `Δ ${key}`,
        title: "B's share less A's, in percentage points",
        value,
        text: (box) => changeText(value(box)),
      };
    });
    const isComparison = tree.sampleNode.length > 1;
    const name = {
      key: "name",
      label: "Function",
      title: "its name",
      value: (box: number) => names[box]!,
      text: (box: number) => names[box]!,
    };
    const dsoName = (box: number): string => dsoNames[dso[box]!] ?? "";
    const kindName = (box: number): string => KINDS.find(({ name }) => name === kinds[box])!.label;
    const places = [
      { key: "dso", label: "DSO", title: "file, module or kernel", value: dsoName, text: dsoName },
      { key: "kind", label: "Where", title: "kernel, user, host", value: kindName, text: kindName },
    ];
    return [
      ...(this.#isCompact && isComparison ? weights.slice(1) : weights),
      ...(isComparison ? (this.#isCompact ? changes.slice(1) : changes) : []),
      name,
      ...(this.#isCompact ? [] : places),
    ];
  }

  #order(): void {
    const { totals, found } = this.#source!;
    const rows: number[] = [];
    for (let box = this.#catalog.functions; box < totals.total.length; box++) {
      const isThere = totals.sides[0].total[box]! > 0 || totals.sides[1].total[box]! > 0;
      if (isThere && (found === undefined || found[box] === 1)) rows.push(box);
    }
    const { key, isUp } = this.#sort;
    const { value } = this.#columns.find((column) => column.key === key)!;
    const sign = isUp ? 1 : -1;
    const compare = (a: number | string, b: number | string): number =>
      typeof a === "number" && typeof b === "number" ? a - b : a < b ? -1 : a > b ? 1 : 0;
    rows.sort((a, b) => sign * compare(value(a), value(b)) || a - b);
    this.#rows = rows;
    this.#room.style.height = `${rows.length * ROW}px`;
    this.element.setAttribute("aria-rowcount", `${rows.length}`);
  }

  #showHead(): void {
    const cells = this.#columns.map(({ key, label, title }) => {
      const isSorted = key === this.#sort.key;
      const arrow = isSorted ? (this.#sort.isUp ? " ▲" : " ▼") : "";
      const press = make("button", { type: "button", title: `${title}: sort by it` }, label + arrow);
      press.addEventListener("click", () => {
        const startsUp = typeof this.#columns.find((column) => column.key === key)!.value(0) === "string";
        this.#sort = { key, isUp: isSorted ? !this.#sort.isUp : startsUp };
        this.#order();
        this.#showHead();
        this.#body.scrollTop = 0;
        this.#draw();
      });
      const sort = isSorted ? (this.#sort.isUp ? "ascending" : "descending") : "none";
      return make("div", { class: `cell ${key}`, role: "columnheader", "aria-sort": sort }, press);
    });
    this.#head.replaceChildren(...cells);
  }

  #fill(): void {
    const { scrollTop, clientHeight } = this.#body;
    const first = Math.max(0, Math.floor(scrollTop / ROW) - SPARE);
    const end = Math.min(this.#rows.length, Math.ceil((scrollTop + clientHeight) / ROW) + SPARE);
    const rows: HTMLElement[] = [];
    for (let at = first; at < end; at++) rows.push(this.#row(at, this.#rows[at]!));
    if (this.#rows.length === 0) rows.push(make("p", {}, "No function matches."));
    this.#room.replaceChildren(...rows);
  }

  #row(at: number, box: number): HTMLElement {
    const cells = this.#columns.map(({ key, text, bar }) => {
      const cell = make("div", { class: `cell ${key}`, role: "cell" }, make("span", {}, text(box)));
      if (key === "name" || key === "dso") cell.title = text(box);
      if (bar !== undefined) cell.style.setProperty("--bar", `${(bar(box) * 100).toFixed(2)}%`);
      return cell;
    });
    const row = make(
      "div",
      { class: "tr", role: "row", "aria-rowindex": at + 1, "aria-selected": `${box === this.#selected}` },
      ...cells,
    );
    row.style.top = `${at * ROW}px`;
    row.addEventListener("click", () => this.#open(box));
    return row;
  }

  #key(event: KeyboardEvent): void {
    const page = Math.max(1, Math.floor(this.#body.clientHeight / ROW) - 1);
    const steps: Readonly<Record<string, number>> = {
      ArrowDown: 1,
      ArrowUp: -1,
      PageDown: page,
      PageUp: -page,
      Home: -this.#rows.length,
      End: this.#rows.length,
    };
    const step = steps[event.key];
    if (event.key === "Enter" && this.#selected !== undefined) this.#open(this.#selected);
    else if (step !== undefined && this.#rows.length > 0) {
      const now = this.#selected === undefined ? -1 : this.#rows.indexOf(this.#selected);
      const at = Math.min(this.#rows.length - 1, Math.max(0, now + step));
      this.#selected = this.#rows[at];
      const top = at * ROW;
      if (top < this.#body.scrollTop) this.#body.scrollTop = top;
      const bottom = top + ROW - this.#body.clientHeight;
      if (bottom > this.#body.scrollTop) this.#body.scrollTop = bottom;
      this.#draw();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
