/** What is said of a box, beside the pointer. */
import { make } from "./dom.ts";

const DISTANCE = 14;

export interface Facts {
  readonly name: string;
  readonly rows: readonly (readonly [what: string, value: string])[];
}

export class Tooltip {
  readonly element = make("div", { class: "tooltip", role: "tooltip", hidden: true });

  show({ name, rows }: Facts, x: number, y: number): void {
    const list = make("dl");
    for (const [what, value] of rows) list.append(make("dt", {}, what), make("dd", {}, value));
    this.element.replaceChildren(make("div", { class: "name" }, name), list);
    this.element.hidden = false;
    const { offsetWidth, offsetHeight } = this.element;
    const left = Math.min(x + DISTANCE, innerWidth - offsetWidth - 4);
    const fits = y + DISTANCE + offsetHeight < innerHeight - 4;
    this.element.style.left = `${Math.max(4, left)}px`;
    this.element.style.top = `${Math.max(4, fits ? y + DISTANCE : y - DISTANCE - offsetHeight)}px`;
  }

  hide(): void {
    this.element.hidden = true;
  }
}
