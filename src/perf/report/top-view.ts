/** `viv perf top` on a terminal: the state of the rows, and what keys do to them. Whoever samples calls `update`. */
import type { Profile } from "../profile.ts";
import type { Key } from "./keyboard.ts";
import { line, type ScreenLine, type ScreenSize } from "./screen.ts";
import { EMPTY_TOP, nextTop, type TopOptions, type TopState, topScreen } from "./top.ts";

const HELP = "q quit  z forget at each refresh  p pause  up, down scroll";

export class TopView {
  #state: TopState = EMPTY_TOP;
  #options: TopOptions;
  #note: string;
  #first = 0;
  #paused = false;

  /** `note`: as `topScreen` shows it. */
  constructor(options: TopOptions, note: string) {
    this.#options = options;
    this.#note = note;
  }

  /** What was sampled since the last time; nothing of it is kept while the view pauses. */
  update(delta: Profile): void {
    if (!this.#paused) this.#state = nextTop(this.#state, delta, this.#options);
  }

  press(key: Key): boolean {
    switch (key.text ?? key.name) {
      case "q":
      case "escape":
      case "interrupt":
        return false;
      case "z":
        this.#options = { ...this.#options, zero: !this.#options.zero };
        break;
      case "p":
        this.#paused = !this.#paused;
        break;
      case "down":
      case "j":
        this.#first = Math.min(this.#first + 1, Math.max(0, this.#state.rows.length - 1));
        break;
      case "up":
      case "k":
        this.#first = Math.max(0, this.#first - 1);
        break;
      case "home":
        this.#first = 0;
        break;
    }
    return true;
  }

  screen(size: ScreenSize): readonly ScreenLine[] {
    const shown = { ...this.#state, rows: this.#state.rows.slice(this.#first) };
    const lines = topScreen(shown, this.#options.sort, this.#note, size);
    const room = Math.max(0, size.rows - lines.length - 1);
    const said = `${HELP}${this.#options.zero ? "  (forgetting)" : ""}${this.#paused ? "  (paused)" : ""}`;
    return [...lines, ...Array.from({ length: room }, () => line("")), line(said, "dim")];
  }
}
