/**
 * A graph on a canvas: draws what of a layout is in view and wide enough, finds the box under the pointer, zooms, pans and takes keys. The canvas
 * is as large as the window it scrolls in; an empty element beside it makes up for the height of the rest.
 */
import { type Box, type Layout, pathTo } from "../model/layout.ts";
import { fitted, make, onceAFrame } from "./dom.ts";
import { type Drawn, drawBoxes, ROW } from "./drawing.ts";
import { Labels } from "./labels.ts";
import type { Palette } from "./palette.ts";

const FONT_SIZE = 12;
/** Boxes narrower than this many pixels are not drawn. */
const NARROWEST = 1;
const ZOOM_MS = 160;
/** The deepest that the view is zoomed: what a pixel shows is no number of weight any more. */
const MOST_ZOOM = 1e9;
const WHEEL_STEP = 1.0018;
const DRAG_PIXELS = 4;

export interface GraphHost {
  readonly names: readonly string[];
  /** What is said of a box near the pointer; undefined hides it. */
  hover(box: Box | undefined, event: PointerEvent | undefined): void;
  select(box: Box | undefined): void;
  /** Boxes below the root, down to the one zoomed in to. */
  zoomed(path: readonly Box[]): void;
}

export class Graph {
  readonly element: HTMLElement;
  readonly canvas = make("canvas", { tabindex: 0, role: "application" });
  readonly #outline = make("div", { class: "outline" });
  readonly #spacer = make("div");
  readonly #host: GraphHost;
  readonly #labels = new Labels(FONT_SIZE);
  readonly #draw = onceAFrame(() => this.#paint());
  #layout: Layout | undefined;
  #palette: Palette | undefined;
  #found: Uint8Array | undefined;
  #upward = false;
  #from = 0;
  #to = 1;
  #focus: Box | undefined;
  #selected: Box | undefined;
  #rows = 1;
  #animation = 0;
  #isAtRoot = true;
  #drag: { readonly x: number; readonly from: number; readonly to: number; moved: boolean } | undefined;

  constructor(label: string, host: GraphHost) {
    this.#host = host;
    this.canvas.setAttribute("aria-label", label);
    this.element = make("div", { class: "graph" }, this.canvas, this.#outline, this.#spacer);
    new ResizeObserver(() => {
      this.#draw();
    }).observe(this.element);
    this.element.addEventListener("scroll", () => {
      this.#outline.hidden = true;
      this.#isAtRoot = this.#distanceFromRoot() < 2;
      this.#draw();
    });
    this.#listen();
  }

  show(layout: Layout, palette: Palette, found: Uint8Array | undefined, upward: boolean): void {
    if (layout !== this.#layout) {
      this.#layout = layout;
      this.#selected = undefined;
      this.#focus = undefined;
      cancelAnimationFrame(this.#animation);
      [this.#from, this.#to] = [0, layout.total];
      this.#isAtRoot = true;
    }
    if (upward !== this.#upward) this.#isAtRoot = true;
    this.#palette = palette;
    this.#found = found;
    this.#upward = upward;
    this.#outline.hidden = true;
    this.#draw();
  }

  get focus(): Box | undefined {
    return this.#focus;
  }
  get selected(): Box | undefined {
    return this.#selected;
  }

  /** Zooms in to a box, or out to everything. */
  zoom(box: Box | undefined, animated = true): void {
    const layout = this.#layout;
    if (layout === undefined) return;
    this.#focus = box !== undefined && box.depth > 0 ? box : undefined;
    const to = this.#focus ?? { start: 0, weight: layout.total };
    this.#move(to.start, to.start + to.weight, animated);
    this.#host.zoomed(this.#focus === undefined ? [] : pathTo(layout, this.#focus).slice(1));
  }

  /** One box out. */
  zoomOut(): void {
    if (this.#focus === undefined) this.zoom(undefined);
    else this.zoom(this.#layout?.at(this.#focus.start + this.#focus.weight / 2, this.#focus.depth - 1));
  }

  select(box: Box | undefined): void {
    this.#selected = box;
    if (box !== undefined) this.#reveal(box);
    this.#host.select(box);
    this.#draw();
  }

  /** Where a box is on the screen, for what is shown beside it. */
  place(box: Box): { readonly x: number; readonly y: number; readonly width: number } {
    const width = this.element.clientWidth;
    const scale = width / (this.#to - this.#from);
    const left = Math.max(0, (box.start - this.#from) * scale);
    const right = Math.min(width, (box.start + box.weight - this.#from) * scale);
    return { x: left, y: this.#top(box.depth), width: right - left };
  }

  /** Whether the view shows a part only. */
  get isZoomed(): boolean {
    return this.#layout !== undefined && (this.#from > 0 || this.#to < this.#layout.total);
  }

  #top(depth: number): number {
    const height = this.element.clientHeight;
    const inside = Math.max(height, this.#rows * ROW);
    return (this.#upward ? inside - (depth + 1) * ROW : depth * ROW) - this.element.scrollTop;
  }

  #depthAt(y: number): number {
    const inside = Math.max(this.element.clientHeight, this.#rows * ROW);
    const down = y + this.element.scrollTop;
    return Math.floor((this.#upward ? inside - down : down) / ROW);
  }

  #distanceFromRoot(): number {
    const { scrollTop, scrollHeight, clientHeight } = this.element;
    return this.#upward ? scrollHeight - clientHeight - scrollTop : scrollTop;
  }

  #reveal(box: Box): void {
    const y = this.#top(box.depth);
    if (y < 0) this.element.scrollTop += y;
    else if (y + ROW > this.element.clientHeight) this.element.scrollTop += y + ROW - this.element.clientHeight;
    if (box.start + box.weight <= this.#from || box.start >= this.#to) {
      const half = (this.#to - this.#from) / 2;
      const middle = box.start + box.weight / 2;
      this.#clamp(middle - half, middle + half);
    }
  }

  #clamp(from: number, to: number): void {
    const total = this.#layout?.total ?? 1;
    const span = Math.min(total, Math.max(to - from, total / MOST_ZOOM));
    this.#from = Math.min(Math.max(0, from), total - span);
    this.#to = this.#from + span;
    this.#draw();
  }

  #move(from: number, to: number, animated: boolean): void {
    cancelAnimationFrame(this.#animation);
    if (!animated || matchMedia("(prefers-reduced-motion: reduce)").matches) {
      this.#clamp(from, to);
      return;
    }
    const [startFrom, startTo, start] = [this.#from, this.#to, performance.now()];
    const step = (now: number): void => {
      const done = Math.min(1, Math.max(0, (now - start) / ZOOM_MS));
      const eased = 1 - (1 - done) ** 3;
      this.#clamp(startFrom + (from - startFrom) * eased, startTo + (to - startTo) * eased);
      if (done < 1) this.#animation = requestAnimationFrame(step);
      else this.#clamp(from, to);
    };
    this.#animation = requestAnimationFrame(step);
  }

  #paint(): void {
    const { clientWidth: width, clientHeight: height } = this.element;
    const [layout, palette] = [this.#layout, this.#palette];
    if (layout === undefined || palette === undefined || width === 0 || height === 0) return;
    const context = fitted(this.canvas, width, height);
    const { theme } = palette;
    context.fillStyle = theme.background;
    context.fillRect(0, 0, width, height);
    context.font = this.#labels.font;
    context.textBaseline = "middle";
    context.direction = "ltr";
    if (layout.total <= 0) {
      context.fillStyle = theme.faint;
      context.fillText("No samples: the filters leave nothing over.", 12, ROW);
      return;
    }
    const scale = width / (this.#to - this.#from);
    const boxes: Drawn[] = [];
    let rows = 1;
    layout.paint(this.#from, this.#to, NARROWEST / scale, (...box) => {
      boxes.push(box);
      rows = Math.max(rows, box[1] + 1);
    });
    this.#resize(rows, height);
    drawBoxes(context, boxes, {
      names: this.#host.names,
      labels: this.#labels,
      palette,
      found: this.#found,
      selected: this.#selected,
      from: this.#from,
      scale,
      width,
      height,
      top: this.#top(0),
      step: this.#upward ? -ROW : ROW,
    });
  }

  /** Makes room for as many rows as are in view. */
  #resize(rows: number, height: number): void {
    // A row more, so that the deepest box does not stick to the edge.
    this.#rows = rows + 1;
    this.#spacer.style.height = `${Math.max(0, this.#rows * ROW - height)}px`;
    if (this.#isAtRoot) this.element.scrollTop = this.#upward ? this.element.scrollHeight : 0;
  }

  #boxAt(event: { readonly clientX: number; readonly clientY: number }): Box | undefined {
    const { left, top } = this.element.getBoundingClientRect();
    const x = this.#from + ((event.clientX - left) / this.element.clientWidth) * (this.#to - this.#from);
    return this.#layout?.at(x, this.#depthAt(event.clientY - top));
  }

  #hover(event: PointerEvent | undefined): void {
    const box = event === undefined ? undefined : this.#boxAt(event);
    this.#outline.hidden = box === undefined;
    if (box !== undefined) {
      const { x, y, width } = this.place(box);
      const { style } = this.#outline;
      style.left = `${x}px`;
      style.top = `${y + this.element.scrollTop}px`;
      style.width = `${Math.max(2, width)}px`;
      style.height = `${ROW - 1}px`;
    }
    this.#host.hover(box, event);
  }

  #listen(): void {
    const { canvas } = this;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      this.#drag = { x: event.clientX, from: this.#from, to: this.#to, moved: false };
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      const drag = this.#drag;
      if (drag === undefined) {
        this.#hover(event);
        return;
      }
      const pixels = event.clientX - drag.x;
      drag.moved ||= Math.abs(pixels) > DRAG_PIXELS;
      if (!drag.moved || !this.isZoomed) return;
      this.#hover(undefined);
      const by = (pixels / this.element.clientWidth) * (drag.to - drag.from);
      this.#clamp(drag.from - by, drag.to - by);
    });
    canvas.addEventListener("pointerup", (event) => {
      const wasDrag = this.#drag?.moved === true;
      this.#drag = undefined;
      if (wasDrag || event.button !== 0) return;
      const box = this.#boxAt(event);
      this.select(box);
      if (box !== undefined && !event.shiftKey) this.zoom(box);
      this.#hover(undefined);
    });
    canvas.addEventListener("pointercancel", () => {
      this.#drag = undefined;
    });
    canvas.addEventListener("pointerleave", () => this.#hover(undefined));
    canvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    canvas.addEventListener("keydown", (event) => this.#key(event));
  }

  #wheel(event: WheelEvent): void {
    const span = this.#to - this.#from;
    const perPixel = span / this.element.clientWidth;
    if (event.ctrlKey || event.metaKey || event.altKey) {
      event.preventDefault();
      const { left } = this.element.getBoundingClientRect();
      const middle = this.#from + (event.clientX - left) * perPixel;
      const factor = WHEEL_STEP ** event.deltaY;
      cancelAnimationFrame(this.#animation);
      this.#clamp(middle - (middle - this.#from) * factor, middle + (this.#to - middle) * factor);
      this.#hover(undefined);
      return;
    }
    const sideways = event.shiftKey ? event.deltaY : event.deltaX;
    if (sideways === 0 || !this.isZoomed) return;
    event.preventDefault();
    this.#clamp(this.#from + sideways * perPixel, this.#to + sideways * perPixel);
  }

  #key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const span = this.#to - this.#from;
    const pan = (by: number) => this.#move(this.#from + by * span, this.#to + by * span, true);
    const scale = (by: number) => {
      const middle = (this.#from + this.#to) / 2;
      this.#move(middle - (span * by) / 2, middle + (span * by) / 2, true);
    };
    const down = this.#upward ? "ArrowUp" : "ArrowDown";
    const up = this.#upward ? "ArrowDown" : "ArrowUp";
    const actions: Readonly<Record<string, () => void>> = {
      [down]: () => this.#step(1, 0),
      [up]: () => this.#step(-1, 0),
      ArrowLeft: () => this.#step(0, -1),
      ArrowRight: () => this.#step(0, 1),
      Enter: () => this.zoom(this.#selected),
      Backspace: () => this.zoomOut(),
      Home: () => this.zoom(undefined),
      "+": () => scale(1 / 2),
      "=": () => scale(1 / 2),
      "-": () => scale(2),
      "[": () => pan(-1 / 4),
      "]": () => pan(1 / 4),
    };
    const action = actions[event.key];
    if (action === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    this.#hover(undefined);
    action();
  }

  /** Moves the selection to the caller, the heaviest callee, or the next box of the row. */
  #step(rows: number, boxes: number): void {
    const layout = this.#layout;
    const from = this.#selected ?? this.#focus;
    if (layout === undefined) return;
    if (from === undefined) {
      this.select(layout.at(this.#from, 0));
      return;
    }
    const to = rows < 0 ? above(layout, from) : rows > 0 ? below(layout, from) : beside(layout, from, boxes);
    if (to !== undefined) this.select(to);
  }
}

const above = (layout: Layout, box: Box): Box | undefined => layout.at(box.start + box.weight / 2, box.depth - 1);

/** Places at which a box is asked for what is below it. */
const PROBES = 64;

function below(layout: Layout, box: Box): Box | undefined {
  let widest: Box | undefined;
  for (let probe = 0; probe < PROBES; probe++) {
    const found = layout.at(box.start + (box.weight * probe) / PROBES, box.depth + 1);
    if (found !== undefined && (widest === undefined || found.weight > widest.weight)) widest = found;
  }
  return widest;
}

/** Gaps that are stepped over to the next box of a row. */
const MOST_GAPS = 1024;

function beside(layout: Layout, box: Box, direction: number): Box | undefined {
  const little = layout.total * 1e-10;
  const past = (of: Box): number => (direction > 0 ? of.start + of.weight + little : of.start - little);
  let x = past(box);
  for (let gap = 0; gap < MOST_GAPS; gap++) {
    let { depth } = box;
    let found = layout.at(x, depth);
    if (found !== undefined) return found;
    while (found === undefined && depth > 0) found = layout.at(x, --depth);
    if (found === undefined) return undefined;
    x = past(found);
  }
  return undefined;
}
