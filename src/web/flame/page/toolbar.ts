/** The row of controls. It shows the state and asks for changes, and keeps nothing itself. */
import type { FlameData } from "../../../perf/flame/data.ts";
import { MODES } from "../../../perf/profile.ts";
import type { Catalog } from "../model/catalog.ts";
import { share } from "../model/function-table.ts";
import { percent } from "../model/quantities.ts";
import { COLOURS, DIMENSIONS, type Dimension, THEMES, VIEWS, type ViewState } from "../model/view-state.ts";
import { Chooser, type Item } from "./chooser.ts";
import { button, checkbox, make, select } from "./dom.ts";
import { MODE_NAMES } from "./palette.ts";

export type Patch = (patch: Partial<ViewState>) => void;

const VIEW_NAMES = { calls: "Calls", callers: "Callers", sandwich: "Sandwich", table: "Table" } as const;
const VIEW_TITLES = {
  calls: "from the start of each thread to what it runs",
  callers: "inverted: from what runs to its callers",
  sandwich: "one function, its callers above, its callees below",
  table: "functions in rows",
} as const;
const COLOUR_NAMES = { mode: "mode", dso: "DSO", function: "function", change: "change" } as const;
const THEME_NAMES = { auto: "theme: system", light: "theme: light", dark: "theme: dark" } as const;

/** How much of all weight each guest, vCPU, task and mode has. */
function items(data: FlameData, catalog: Catalog): Record<Dimension, readonly Item[]> {
  const weights = {
    guests: new Float64Array(data.guests.length),
    lanes: new Float64Array(data.lanes.length),
    tasks: new Float64Array(data.tasks.length),
    modes: new Float64Array(MODES.length),
  };
  let total = 0;
  for (const { laneStart, weight, task, mode } of data.profiles) {
    for (const [lane, { guest }] of data.lanes.entries()) {
      for (let sample = laneStart[lane]!; sample < laneStart[lane + 1]!; sample++) {
        const own = weight[sample]!;
        total += own;
        weights.lanes[lane]! += own;
        weights.modes[mode[sample]!]! += own;
        if (guest >= 0) weights.guests[guest]! += own;
        if (task[sample]! >= 0) weights.tasks[task[sample]!]! += own;
      }
    }
  }
  const names = {
    guests: catalog.guestNames,
    lanes: catalog.laneNames,
    tasks: catalog.taskNames,
    modes: MODE_NAMES,
  };
  const of = (dimension: Dimension): readonly Item[] =>
    names[dimension]
      .map((name, index) => ({ index, name, share: share(weights[dimension][index]!, total) }))
      .filter(({ share }) => dimension !== "modes" || share > 0);
  return { guests: of("guests"), lanes: of("lanes"), tasks: of("tasks"), modes: of("modes") };
}

export class Toolbar {
  readonly element = make("header");
  readonly search = make("input", { type: "search", placeholder: "Search functions  ( / )", spellcheck: "false" });
  readonly #regex: HTMLButtonElement;
  readonly #matched = make("output");
  readonly #choosers: Record<Dimension, Chooser>;
  readonly #show: ((state: ViewState, isByTime: boolean) => void)[] = [];

  constructor(
    data: FlameData,
    catalog: Catalog,
    title: string,
    patch: Patch,
    dialogs: { about(): void; help(): void },
  ) {
    const labels = { guests: "Guests", lanes: "vCPUs", tasks: "Tasks", modes: "Modes" } as const;
    const all = items(data, catalog);
    const chooser = (dimension: Dimension): Chooser =>
      new Chooser(labels[dimension], all[dimension], (chosen) => patch({ [dimension]: chosen, zoom: [] }));
    this.#choosers = {
      guests: chooser("guests"),
      lanes: chooser("lanes"),
      tasks: chooser("tasks"),
      modes: chooser("modes"),
    };
    this.#regex = button(".*", "regular expression (capital letters: case counts)", () =>
      patch({ isRegex: !this.#isRegex }),
    );
    this.search.setAttribute("aria-label", "Search functions");
    this.search.addEventListener("input", () => patch({ search: this.search.value }));
    this.#matched.setAttribute("aria-live", "polite");
    const choosers = DIMENSIONS.map((dimension) => this.#choosers[dimension]).filter(({ isIdle }) => !isIdle);
    this.element.append(
      make(
        "div",
        { class: "bar" },
        make("h1", { title }, title),
        this.#tabs(patch),
        make("span", { class: "search", role: "search" }, this.search, this.#regex, this.#matched),
        make("span", { class: "spring" }),
        this.#theme(patch),
        button("About", "where and how this was recorded", dialogs.about),
        button("?", "help (?)", dialogs.help),
      ),
      make("div", { class: "bar" }, ...choosers.map(({ element }) => element), ...this.#shape(data, patch)),
    );
    this.#closeWithClick();
  }

  #isRegex = false;

  #tabs(patch: Patch): HTMLElement {
    const tabs = VIEWS.map((view, at) => {
      const tab = button(VIEW_NAMES[view], `${VIEW_TITLES[view]} (${at + 1})`, () => patch({ view, zoom: [] }));
      tab.classList.add("tab");
      tab.setAttribute("role", "tab");
      this.#show.push((state) => tab.setAttribute("aria-selected", String(state.view === view)));
      return tab;
    });
    return make("span", { class: "tabs", role: "tablist", "aria-label": "View" }, ...tabs);
  }

  #toggle(label: string, title: string, isOn: (state: ViewState) => boolean, press: () => void): HTMLButtonElement {
    const element = button(label, title, press);
    this.#show.push((state) => element.setAttribute("aria-pressed", String(isOn(state))));
    return element;
  }

  /** How boxes are ordered, coloured and grouped. */
  #shape(data: FlameData, patch: Patch): HTMLElement[] {
    const heavy = this.#toggle(
      "Heavy",
      "heaviest first (o)",
      ({ order }) => order === "heavy",
      () => patch({ order: "heavy", zoom: [] }),
    );
    const time = this.#toggle(
      "Time",
      "as time went, vCPU by vCPU (o)",
      ({ order }) => order === "time",
      () => patch({ order: "time", zoom: [] }),
    );
    const flame = this.#toggle(
      "Flame",
      "the root at the bottom (f)",
      ({ upward }) => upward,
      () => patch({ upward: !flameIsOn() }),
    );
    const flameIsOn = (): boolean => flame.getAttribute("aria-pressed") === "true";
    const order = make("span", { class: "group", role: "group", "aria-label": "Order" }, heavy, time);
    this.#show.push(({ view }) => {
      order.hidden = view !== "calls";
      flame.hidden = view !== "calls" && view !== "callers";
    });
    const isComparison = data.profiles.length > 1;
    const colours = Object.fromEntries(
      COLOURS.filter((colour) => isComparison || colour !== "change").map((colour) => [colour, COLOUR_NAMES[colour]]),
    ) as Record<ViewState["colour"], string>;
    const colour = select("Colour", colours, (choice) => patch({ colour: choice }));
    const widths = select("Widths", { both: "A and B", a: "A", b: "B" }, (choice) =>
      patch({ widths: choice, zoom: [] }),
    );
    widths.element.hidden = !isComparison;
    this.#show.push((state) => {
      colour.select.value = state.colour;
      widths.select.value = state.widths;
    });
    return [order, flame, colour.element, widths.element, this.#roots(patch)];
  }

  #roots(patch: Patch): HTMLElement {
    let roots: ViewState["roots"] = { guest: false, vcpu: false, task: false };
    const names = { guest: "guest", vcpu: "vCPU", task: "task" } as const;
    const boxes = (["guest", "vcpu", "task"] as const).map((root) => {
      const { element, input } = checkbox(
        names[root],
        `group by ${names[root]}, in front of the first function`,
        (on) => patch({ roots: { ...roots, [root]: on }, zoom: [] }),
      );
      this.#show.push((state, isByTime) => {
        const isForced = isByTime && root !== "task";
        input.checked = state.roots[root] || isForced;
        input.disabled = isForced;
      });
      return element;
    });
    this.#show.push((state) => {
      roots = state.roots;
    });
    return make("span", { class: "roots", role: "group", "aria-label": "Group by" }, "Group by", ...boxes);
  }

  #theme(patch: Patch): HTMLElement {
    const names = Object.fromEntries(THEMES.map((theme) => [theme, THEME_NAMES[theme]])) as typeof THEME_NAMES;
    const theme = select("", names, (choice) => patch({ theme: choice }));
    theme.select.setAttribute("aria-label", "Theme");
    this.#show.push((state) => {
      theme.select.value = state.theme;
    });
    return theme.element;
  }

  #closeWithClick(): void {
    document.addEventListener("pointerdown", ({ target }) => {
      for (const { element } of Object.values(this.#choosers)) {
        if (element.open && !(target instanceof Node && element.contains(target))) element.open = false;
      }
    });
  }

  /** Closes an open list; false where none was. */
  closeList(): boolean {
    const open = Object.values(this.#choosers).find(({ element }) => element.open);
    if (open === undefined) return false;
    open.element.open = false;
    open.element.querySelector("summary")?.focus();
    return true;
  }

  /** `matched`: the share that matches, or what is wrong with the search. */
  show(state: ViewState, isByTime: boolean, matched: number | string | undefined): void {
    this.#isRegex = state.isRegex;
    this.#regex.setAttribute("aria-pressed", String(state.isRegex));
    if (this.search.value !== state.search) this.search.value = state.search;
    this.search.classList.toggle("wrong", typeof matched === "string");
    this.#matched.textContent =
      matched === undefined ? "" : typeof matched === "string" ? matched : `${percent(matched)} matched`;
    for (const dimension of DIMENSIONS) this.#choosers[dimension].show(state[dimension]);
    for (const show of this.#show) show(state, isByTime);
  }
}
