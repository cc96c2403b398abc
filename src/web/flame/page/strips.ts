/** Time from left to right, a strip for each vCPU: how busy it was, and with what. Dragging chooses a range, and all views show that alone. */
import { MODES } from "../../../perf/profile.ts";
import { brief } from "../model/quantities.ts";
import { columnsOf, fullColumn, type Timeline } from "../model/timeline.ts";
import { fitted, make, onceAFrame } from "./dom.ts";
import { Labels } from "./labels.ts";
import { kindColour, MODE_KINDS, themeOf } from "./palette.ts";

const ROW = 22;
const NAMES = 130;
const AXIS = 16;
const TICK_PIXELS = 110;
/** Samples that a column should have on average, so that chance does not show; and how few columns there are at least. */
const SAMPLES = 4;
const FEWEST = 50;
/** Narrower drags are clicks. */
const DRAG_PIXELS = 3;
/** Part of the time that an arrow key moves by. */
const KEY_STEP = 1 / 100;

export type Range = readonly [number, number] | undefined;

export class Strips {
  readonly element: HTMLElement;
  readonly canvas = make("canvas", { tabindex: 0, role: "application" });
  readonly #choose: (range: Range) => void;
  readonly #draw = onceAFrame(() => this.#paint());
  readonly #labels = new Labels(11);
  #timeline: Timeline | undefined;
  #names: readonly string[] = [];
  #range: Range;
  #dark = false;
  #drag: { readonly x: number; moved: boolean } | undefined;

  constructor(choose: (range: Range) => void) {
    this.#choose = choose;
    this.canvas.setAttribute(
      "aria-label",
      "Time: drag, or use the arrow keys, to choose a range; Escape takes it back",
    );
    this.element = make("div", { class: "strips" }, this.canvas);
    new ResizeObserver(() => this.#draw()).observe(this.element);
    this.#listen();
  }

  /** `names`: of each strip. */
  show(timeline: Timeline, names: readonly string[], range: Range, dark: boolean): void {
    [this.#timeline, this.#names, this.#range, this.#dark] = [timeline, names, range, dark];
    this.#draw();
  }

  get #plot(): { readonly left: number; readonly width: number } {
    const width = this.element.clientWidth;
    const left = width < 500 ? 70 : NAMES;
    return { left, width: Math.max(1, width - left) };
  }

  #paint(): void {
    const timeline = this.#timeline;
    const width = this.element.clientWidth;
    if (timeline === undefined || width === 0) return;
    const height = timeline.strips.length * ROW + AXIS;
    const context = fitted(this.canvas, width, height);
    const theme = themeOf(this.#dark);
    const { left, width: plot } = this.#plot;
    context.fillStyle = theme.background;
    context.fillRect(0, 0, width, height);
    context.font = this.#labels.font;
    context.textBaseline = "middle";
    context.direction = "ltr";
    const colours = MODE_KINDS.map((kind) => kindColour(kind, this.#dark));
    const most = timeline.strips.reduce((most, { samples }) => Math.max(most, samples), 0);
    const columns = Math.max(FEWEST, Math.min(timeline.bins, Math.floor(plot), Math.floor(most / SAMPLES)));
    const strips = timeline.strips.map((strip) => columnsOf(strip, timeline.bins, columns));
    const full = fullColumn(strips);
    for (const [at, sums] of strips.entries()) {
      const bottom = (at + 1) * ROW - 1;
      context.fillStyle = theme.faint;
      context.fillText(this.#labels.fit(context, this.#names[at]!, left - 10), 6, bottom - ROW / 2);
      for (let column = 0; column < columns; column++) {
        let y = bottom;
        for (let mode = 0; mode < MODES.length; mode++) {
          const rest = y - (bottom - ROW + 3);
          const high = Math.min(rest, (sums[column * MODES.length + mode]! / full) * (ROW - 3));
          if (high <= 0) continue;
          context.fillStyle = colours[mode]!;
          const x = left + (column * plot) / columns;
          context.fillRect(x, y - high, plot / columns + 0.5, high);
          y -= high;
        }
      }
      context.fillStyle = theme.line;
      context.fillRect(left, bottom, plot, 1);
    }
    this.#paintAxis(context, timeline, height);
    this.#paintRange(context, timeline, height);
  }

  #paintAxis(context: CanvasRenderingContext2D, { duration }: Timeline, height: number): void {
    const theme = themeOf(this.#dark);
    const { left, width } = this.#plot;
    const rough = (duration * TICK_PIXELS) / width;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= rough)!;
    context.fillStyle = theme.faint;
    for (let at = 0; at < duration; at += step) {
      const x = left + (at / duration) * width;
      context.fillRect(x, height - AXIS, 1, 4);
      const label = at === 0 ? "0" : brief(at, "ns");
      if (x + context.measureText(label).width + 3 < left + width)
        context.fillText(label, x + 3, height - AXIS / 2 + 1);
    }
  }

  #paintRange(context: CanvasRenderingContext2D, { duration }: Timeline, height: number): void {
    if (this.#range === undefined) return;
    const theme = themeOf(this.#dark);
    const { left, width } = this.#plot;
    const [from, to] = this.#range.map((at) => left + Math.min(1, at / duration) * width) as [number, number];
    context.globalAlpha = 0.7;
    context.fillStyle = theme.background;
    context.fillRect(left, 0, from - left, height - AXIS);
    context.fillRect(to, 0, left + width - to, height - AXIS);
    context.globalAlpha = 1;
    context.fillStyle = theme.accent;
    context.fillRect(from - 1, 0, 2, height - AXIS);
    context.fillRect(to - 1, 0, 2, height - AXIS);
  }

  #timeAt(clientX: number): number {
    const { left, width } = this.#plot;
    const x = clientX - this.element.getBoundingClientRect().left - left;
    return Math.min(1, Math.max(0, x / width)) * (this.#timeline?.duration ?? 1);
  }

  #listen(): void {
    const { canvas } = this;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      this.#drag = { x: event.clientX, moved: false };
      canvas.setPointerCapture(event.pointerId);
    });
    const drag = (event: PointerEvent, isDone: boolean): void => {
      const drag = this.#drag;
      if (drag === undefined) return;
      drag.moved ||= Math.abs(event.clientX - drag.x) > DRAG_PIXELS;
      if (drag.moved) {
        const [one, other] = [this.#timeAt(drag.x), this.#timeAt(event.clientX)];
        this.#range = [Math.min(one, other), Math.max(one, other)];
        this.#draw();
      }
      if (!isDone) return;
      this.#drag = undefined;
      this.#choose(drag.moved ? this.#range : undefined);
    };
    canvas.addEventListener("pointermove", (event) => drag(event, false));
    canvas.addEventListener("pointerup", (event) => drag(event, true));
    canvas.addEventListener("pointercancel", () => {
      this.#drag = undefined;
    });
    canvas.addEventListener("keydown", (event) => this.#key(event));
  }

  #key(event: KeyboardEvent): void {
    const duration = this.#timeline?.duration ?? 1;
    const direction = event.key === "ArrowLeft" ? -1 : event.key === "ArrowRight" ? 1 : 0;
    if (event.key === "Escape" && this.#range !== undefined) this.#choose(undefined);
    else if (direction !== 0) {
      const [from, to] = this.#range ?? [0, duration / 10];
      const by = direction * duration * KEY_STEP;
      const span = to - from;
      if (event.shiftKey) this.#choose([from, Math.min(duration, Math.max(from + duration * KEY_STEP, to + by))]);
      else {
        const start = Math.min(Math.max(0, from + (this.#range === undefined ? 0 : by)), duration - span);
        this.#choose([start, start + span]);
      }
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
