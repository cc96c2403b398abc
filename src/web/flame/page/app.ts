/** The page: the state, what changes it, and all that shows it. */
import type { FlameData } from "../../../perf/flame/data.ts";
import { ALL, type Catalog, catalogOf, KINDS } from "../model/catalog.ts";
import { Derived } from "../model/derived.ts";
import { change, share } from "../model/function-table.ts";
import type { Box } from "../model/layout.ts";
import { change as changeText, count, percent, quantity, type Unit } from "../model/quantities.ts";
import { COLOURS, fromAddress, toAddress, VIEWS, type ViewState } from "../model/view-state.ts";
import { describe, inOneLine } from "./describe.ts";
import { button, make, onceAFrame } from "./dom.ts";
import { FunctionTable } from "./function-table.ts";
import { Graph, type GraphHost } from "./graph.ts";
import { aboutDialog, helpDialog } from "./help.ts";
import { changeColour, kindColour, Palette } from "./palette.ts";
import { Sandwich } from "./sandwich.ts";
import { Strips } from "./strips.ts";
import { Toolbar } from "./toolbar.ts";
import { Tooltip } from "./tooltip.ts";

const initialOf = (data: FlameData): ViewState => ({
  view: "calls",
  order: "heavy",
  upward: false,
  roots: { guest: data.guests.length > 1, vcpu: false, task: true },
  colour: data.profiles.length > 1 ? "change" : "mode",
  widths: "both",
  theme: "auto",
  search: "",
  isRegex: false,
  range: undefined,
  filling: undefined,
  zoom: [],
  guests: undefined,
  lanes: undefined,
  tasks: undefined,
  modes: undefined,
});

export class App {
  readonly #data: FlameData;
  readonly #catalog: Catalog;
  readonly #derived: Derived;
  readonly #unit: Unit;
  readonly #initial: ViewState;
  #state: ViewState;
  /** The address that the state was last read from, or written to. */
  #address = "";
  #palette: { readonly key: string; readonly palette: Palette } | undefined;
  readonly #dark = matchMedia("(prefers-color-scheme: dark)");
  readonly #toolbar: Toolbar;
  readonly #strips = new Strips((range) => this.#update({ range, zoom: [] }));
  readonly #crumbs = make("nav", { class: "crumbs", "aria-label": "Zoomed in to" });
  readonly #main = make("main");
  readonly #graph: Graph;
  readonly #sandwich: Sandwich;
  readonly #table: FunctionTable;
  readonly #said = make("output", { "aria-live": "polite" });
  readonly #totals = make("span", { class: "totals" });
  readonly #legend = make("span", { class: "legend" });
  readonly #tooltip = new Tooltip();
  readonly #help = helpDialog();
  readonly #about: HTMLDialogElement;
  readonly #render = onceAFrame(() => this.#show());

  constructor(data: FlameData, title: string) {
    this.#data = data;
    this.#catalog = catalogOf(data);
    this.#derived = new Derived(data, this.#catalog);
    this.#unit = data.profiles[0]!.info.unit;
    this.#initial = initialOf(data);
    this.#state = this.#initial;
    this.#about = aboutDialog(data);
    this.#toolbar = new Toolbar(data, this.#catalog, title, (patch) => this.#update(patch), {
      about: () => this.#about.showModal(),
      help: () => this.#help.showModal(),
    });
    const host = (graph: () => Graph): GraphHost => ({
      names: this.#catalog.names,
      hover: (box, event) => this.#hover(graph(), box, event),
      select: (box) => this.#say(box, graph()),
      zoomed: (path) => {
        if (graph() === this.#graph) this.#update({ zoom: path.map(({ box }) => box) });
      },
    });
    this.#graph = new Graph(
      "Flame graph: arrow keys choose, Enter zooms, ? helps",
      host(() => this.#graph),
    );
    const open = (box: number): void => this.#update({ view: "sandwich", filling: box, zoom: [] });
    this.#sandwich = new Sandwich(
      this.#catalog,
      host(() => this.#activeGraph()),
      open,
    );
    this.#table = new FunctionTable(this.#catalog, false, open);
    const status = make("footer", { class: "status" }, this.#said, this.#totals, this.#legend);
    document.body.replaceChildren(
      this.#toolbar.element,
      this.#strips.element,
      this.#crumbs,
      this.#main,
      status,
      this.#tooltip.element,
      this.#help,
      this.#about,
    );
    this.#main.append(this.#graph.element, this.#sandwich.element, this.#table.element);
    this.#dark.addEventListener("change", this.#render);
    addEventListener("hashchange", () => {
      if (location.hash.slice(1) !== this.#address) this.#readAddress();
    });
    addEventListener("keydown", (event) => this.#key(event));
    this.#readAddress();
    this.#show();
    this.#graph.canvas.focus({ preventScroll: true });
  }

  #readAddress(): void {
    this.#address = location.hash.slice(1);
    this.#state = fromAddress(this.#address, this.#initial);
    this.#isZoomDue = true;
    this.#render();
  }

  /** The zoom came from the address: the graph has to follow it. */
  #isZoomDue = false;

  #update(patch: Partial<ViewState>): void {
    this.#state = { ...this.#state, ...patch };
    this.#render();
  }

  /** What the next state would be when all that was asked for is shown. */
  get #isDark(): boolean {
    return this.#state.theme === "auto" ? this.#dark.matches : this.#state.theme === "dark";
  }

  /** The graph that has the focus, or the one that is shown. */
  #activeGraph(): Graph {
    if (this.#state.view !== "sandwich") return this.#graph;
    const { callers, callees } = this.#sandwich;
    return this.#hovered ?? (document.activeElement === callers.canvas ? callers : callees);
  }
  #hovered: Graph | undefined;

  /** The function that the sandwich is about: the one chosen, or the heaviest. */
  #filling(): number {
    const { total, self } = this.#derived.totals(this.#state);
    const { filling } = this.#state;
    if (filling !== undefined && filling < total.length) return filling;
    let heaviest = this.#catalog.functions;
    for (let box = heaviest; box < self.length; box++) if (self[box]! > self[heaviest]!) heaviest = box;
    return heaviest < self.length ? heaviest : ALL;
  }

  #paletteNow(): Palette {
    const tree = this.#derived.tree(this.#state);
    const { colour } = this.#state;
    const isChange = colour === "change" && this.#data.profiles.length > 1;
    const largest = isChange ? this.#derived.largestChange(this.#state) : 0;
    const [a, b] = tree.sides.map(({ total }) => total[0]!);
    const key = [colour, this.#isDark, largest, a, b].join(" ");
    if (this.#palette?.key !== key) {
      // Small changes would all look like none: the root spreads them.
      const changeOf = (a: number, b: number): number => {
        const part = share(change(tree, a, b), largest);
        return Math.sign(part) * Math.sqrt(Math.min(1, Math.abs(part)));
      };
      const by = isChange || colour !== "change" ? colour : "mode";
      this.#palette = { key, palette: new Palette(this.#catalog, by, this.#isDark, changeOf) };
    }
    return this.#palette.palette;
  }

  #show(): void {
    const state = this.#state;
    const root = document.documentElement.classList;
    root.toggle("dark", this.#isDark);
    root.toggle("light", !this.#isDark);
    const derived = this.#derived;
    const tree = derived.tree(state);
    const found = this.#search();
    this.#strips.show(derived.timeline(state), this.#stripNames(), state.range, this.#isDark);
    const palette = this.#paletteNow();
    const isGraph = state.view === "calls" || state.view === "callers";
    this.#graph.element.hidden = !isGraph;
    this.#crumbs.hidden = !isGraph;
    this.#sandwich.element.hidden = state.view !== "sandwich";
    this.#table.element.hidden = state.view !== "table";
    if (isGraph) {
      const layout = derived.layout(state);
      this.#graph.show(layout, palette, found, state.upward);
      if (this.#isZoomDue) {
        this.#isZoomDue = false;
        this.#graph.zoom(state.zoom.length > 0 ? layout.find?.(state.zoom) : undefined, false);
      }
      this.#showCrumbs();
    } else if (state.view === "sandwich") this.#showSandwich(palette, found);
    else this.#table.show(tree, derived.totals(state), found, this.#unit, state.filling);
    this.#showTotals();
    this.#showLegend();
    this.#tooltip.hide();
    this.#writeAddress();
  }

  #search(): Uint8Array | undefined {
    let found: ReturnType<Derived["found"]>;
    let matched: number | string | undefined;
    try {
      found = this.#derived.found(this.#state);
      matched = found === undefined ? undefined : share(found.weight, this.#derived.tree(this.#state).total[0]!);
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      matched = "no regular expression";
    }
    this.#toolbar.show(this.#state, this.#derived.isByTime(this.#state), matched);
    return found?.boxes;
  }

  #stripNames(): string[] {
    const isComparison = this.#data.profiles.length > 1;
    return this.#derived
      .timeline(this.#state)
      .strips.map(({ profile, lane }) =>
        `${isComparison ? "AB"[profile]! : ""} ${this.#catalog.laneNames[lane]!}`.trim(),
      );
  }

  #showSandwich(palette: Palette, found: Uint8Array | undefined): void {
    const [state, derived] = [this.#state, this.#derived];
    const box = this.#filling();
    const [tree, totals] = [derived.tree(state), derived.totals(state)];
    const all = tree.total[0]!;
    const said = (weight: number): string => `${quantity(weight, this.#unit)} · ${percent(share(weight, all))}`;
    const weights = `total ${said(totals.total[box]!)}   self ${said(totals.self[box]!)}`;
    this.#sandwich.table.show(tree, totals, found, this.#unit, box);
    this.#sandwich.show(this.#catalog.names[box]!, weights, derived.sandwich(state, box), palette, found);
  }

  #showCrumbs(): void {
    const { focus } = this.#graph;
    const layout = this.#derived.layout(this.#state);
    const path: (Box | undefined)[] = [undefined];
    if (focus !== undefined) {
      const middle = focus.start + focus.weight / 2;
      for (let depth = 1; depth <= focus.depth; depth++) path.push(layout.at(middle, depth));
    }
    const parts = path.flatMap((box, at) => [
      ...(at > 0 ? ["›"] : []),
      button(this.#catalog.names[box?.box ?? ALL]!, "zoom out to this box", () => this.#graph.zoom(box)),
    ]);
    this.#crumbs.replaceChildren(...parts);
    this.#crumbs.scrollLeft = this.#crumbs.scrollWidth;
  }

  #showTotals(): void {
    const tree = this.#derived.tree(this.#state);
    const samples = this.#data.profiles.reduce((sum, { stack }) => sum + stack.length, 0);
    const part = tree.samples < samples ? ` of ${count(samples)}` : "";
    const [a, b] = tree.sides.map(({ total }) => quantity(total[0]!, this.#unit));
    const weight = this.#data.profiles.length > 1 ? `A ${a}, B ${b}` : a;
    const range = this.#state.range?.map((at) => quantity(at, "ns")).join(" to ");
    const isOffCpu = this.#data.profiles[0]!.info.event === "off-cpu";
    this.#totals.textContent = `${count(tree.samples)}${part} samples · ${weight}${range === undefined ? "" : ` · ${range}`}${isOffCpu ? " · off-CPU: where tasks sleep" : ""}`;
  }

  #showLegend(): void {
    const swatch = (colour: string, text: string): HTMLElement => {
      const patch = make("i");
      patch.style.background = colour;
      return make("span", {}, patch, text);
    };
    const { colour } = this.#state;
    const largest = this.#derived.largestChange(this.#state);
    const isThere = new Set(this.#catalog.kinds);
    if (this.#data.profiles[0]!.info.event === "off-cpu") isThere.add("idle");
    const swatches =
      colour === "change"
        ? ([-1, 0, 1] as const).map((side) =>
            swatch(changeColour(side, this.#isDark), `${changeText(side * largest)} points`),
          )
        : colour === "mode"
          ? KINDS.filter(({ name }) => name !== "group" && isThere.has(name)).map(({ name, label }) =>
              swatch(kindColour(name, this.#isDark), label),
            )
          : [];
    this.#legend.replaceChildren(...swatches);
  }

  #writeAddress(): void {
    const address = toAddress(this.#state, this.#initial);
    if (address === this.#address) return;
    this.#address = address;
    try {
      history.replaceState(null, "", `#${address}`);
    } catch {
      // Browsers limit how often; the next change tries again.
      this.#address = "";
    }
  }

  #facts(box: Box, graph: Graph) {
    const [tree, totals] = [this.#derived.tree(this.#state), this.#derived.totals(this.#state)];
    return describe(box, { catalog: this.#catalog, tree, totals, unit: this.#unit, focus: graph.focus });
  }

  #hover(graph: Graph, box: Box | undefined, event: PointerEvent | undefined): void {
    this.#hovered = box === undefined ? undefined : graph;
    if (box === undefined || event === undefined) this.#tooltip.hide();
    else this.#tooltip.show(this.#facts(box, graph), event.clientX, event.clientY);
  }

  #say(box: Box | undefined, graph: Graph): void {
    this.#said.textContent = box === undefined ? "" : inOneLine(this.#facts(box, graph));
    this.#said.title = this.#said.textContent;
  }

  #key(event: KeyboardEvent): void {
    const isTyping = event.target instanceof HTMLInputElement && event.target.type === "search";
    if (event.key === "Escape") {
      this.#escape(isTyping);
      return;
    }
    if (isTyping && event.key === "Enter") this.#activeGraph().canvas.focus();
    if (isTyping || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]") !== null)
      return;
    const action = this.#actions[event.key];
    if (action === undefined) return;
    event.preventDefault();
    action();
  }

  readonly #actions: Readonly<Record<string, () => void>> = {
    "/": () => this.#toolbar.search.select(),
    "?": () => this.#help.showModal(),
    o: () => this.#update({ order: this.#state.order === "heavy" ? "time" : "heavy", zoom: [] }),
    f: () => this.#update({ upward: !this.#state.upward }),
    c: () => {
      const choices = COLOURS.filter((colour) => this.#data.profiles.length > 1 || colour !== "change");
      const next = choices[(choices.indexOf(this.#state.colour) + 1) % choices.length]!;
      this.#update({ colour: next });
    },
    s: () => {
      const box = this.#activeGraph().selected?.box;
      const isFunction = box !== undefined && box >= this.#catalog.functions;
      this.#update({ view: "sandwich", filling: isFunction ? box : this.#state.filling, zoom: [] });
    },
    ...Object.fromEntries(VIEWS.map((view, at) => [`${at + 1}`, () => this.#update({ view, zoom: [] })])),
  };

  /** What is nearest is undone first. */
  #escape(isTyping: boolean): void {
    const graph = this.#activeGraph();
    if (this.#toolbar.closeList()) return;
    if (isTyping) {
      if (this.#state.search === "") graph.canvas.focus();
      this.#update({ search: "" });
    } else if (graph.isZoomed) graph.zoom(undefined);
    else if (this.#state.search !== "") this.#update({ search: "" });
    else if (this.#state.range !== undefined) this.#update({ range: undefined, zoom: [] });
    else graph.select(undefined);
  }
}
