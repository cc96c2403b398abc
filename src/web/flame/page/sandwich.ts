/** Functions at the side; of the chosen one the callers above and the callees below. */
import type { Catalog } from "../model/catalog.ts";
import type { Layout } from "../model/layout.ts";
import { make } from "./dom.ts";
import { FunctionTable } from "./function-table.ts";
import { Graph, type GraphHost } from "./graph.ts";
import type { Palette } from "./palette.ts";

export class Sandwich {
  readonly element: HTMLElement;
  readonly table: FunctionTable;
  readonly callers: Graph;
  readonly callees: Graph;
  readonly #name = make("b");
  readonly #weights = make("span");

  constructor(catalog: Catalog, host: GraphHost, open: (box: number) => void) {
    this.table = new FunctionTable(catalog, true, open);
    this.callers = new Graph("Callers: arrow keys choose, Enter zooms", host);
    this.callees = new Graph("Callees: arrow keys choose, Enter zooms", host);
    const filling = make("div", { class: "filling" }, this.#name, this.#weights);
    const slices = make("div", { class: "slices" }, this.callers.element, filling, this.callees.element);
    this.element = make("section", { class: "sandwich" }, this.table.element, slices);
  }

  show(
    name: string,
    weights: string,
    layouts: { readonly callers: Layout; readonly callees: Layout },
    palette: Palette,
    found: Uint8Array | undefined,
  ): void {
    this.#name.textContent = name;
    this.#name.title = name;
    this.#weights.textContent = weights;
    this.callers.show(layouts.callers, palette, found, true);
    this.callees.show(layouts.callees, palette, found, false);
  }
}
