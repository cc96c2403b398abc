/**
 * The interactive report: what stands on the screen, and what keys do to it. It reads no keys and writes to no terminal; whoever has
 * one gives it the keys, and draws `screen` whenever something changed.
 */

import { forTerminal } from "../../guest/escape.ts";
import type { Profile } from "../profile.ts";
import type { AnnotationLine } from "./annotate-text.ts";
import type { Call } from "./calls.ts";
import { FrameNames } from "./frame-names.ts";
import type { Key, NamedKey } from "./keyboard.ts";
import { SORT_KEYS, sortKey } from "./keys.ts";
import { hasCallers, type Report, type ReportOptions, type ReportRow, report } from "./rows.ts";
import { heat, line, type ScreenLine, type ScreenSize, scrolled } from "./screen.ts";
import { RowTree, type TreeLine } from "./tree-lines.ts";

/** A function taken apart, or a line that says why it is not. */
export type Annotated =
  | { readonly title: string; readonly lines: readonly AnnotationLine[] }
  | { readonly problem: string };

/** `symbol`: its index in the profile. */
export type Annotate = (symbol: number) => Annotated;

const HELP: readonly (readonly [string, string])[] = [
  ["up, down, page up, page down, home, end", "move (or k, j)"],
  ["enter, +", "open or close what is below"],
  ["e", "open or close all that is below the row"],
  ["C", "close everything"],
  ["/", "show only rows that contain a text; empty: all"],
  ["s", "sort by other keys, separated by commas"],
  ["c", "with or without what was called (children)"],
  ["o", "read call graphs from the caller or the callee"],
  ["g, t, d", "zoom into the guest, the task's name, the shared object"],
  ["left, backspace", "zoom out"],
  ["a", "annotate the symbol: its instructions"],
  ["H", "in an annotation: go to the hottest instruction"],
  ["?", "this help"],
  ["q, escape", "back, or quit"],
];

interface Zoom {
  readonly title: string;
  readonly guest?: string;
  readonly comm?: string;
  readonly dso?: string;
}

interface Prompt {
  readonly title: string;
  text: string;
  readonly done: (text: string) => void;
}

interface Code {
  readonly title: string;
  readonly lines: readonly AnnotationLine[];
  cursor: number;
  top: number;
}

/** Longest text that is typed: a paste is not a filter. */
const MOST_TYPED = 256;
/** Lines that are not rows: what is looked at, titles, and the last one. */
const FRAME_LINES = 3;

export class Browser {
  readonly #profile: Profile;
  readonly #names: FrameNames;
  readonly #annotate: Annotate;
  #options: ReportOptions;
  #zooms: Zoom[] = [];
  #filter = "";
  #tree: RowTree;
  #opened = { rows: new Set<number>(), calls: new Set<Call>(), wholly: new Set<number>() };
  #lines: readonly TreeLine[] = [];
  #cursor = 0;
  #top = 0;
  #room = 1;
  #message = "";
  #prompt: Prompt | undefined;
  #help = false;
  #code: Code | undefined;

  constructor(profile: Profile, options: ReportOptions, annotate: Annotate) {
    this.#profile = profile;
    this.#names = new FrameNames(profile);
    this.#annotate = annotate;
    this.#options = { ...options, graph: options.graph && hasCallers(profile) };
    this.#tree = this.#summed();
  }

  /** What a key does. Answers whether the browser goes on. */
  press(key: Key): boolean {
    this.#message = "";
    if (key.name === "interrupt") return false;
    if (this.#prompt !== undefined) this.#type(this.#prompt, key);
    else if (this.#help) this.#help = false;
    else if (this.#code !== undefined) this.#pressInCode(this.#code, key);
    else return this.#pressInRows(key);
    return true;
  }

  screen(size: ScreenSize): readonly ScreenLine[] {
    this.#room = Math.max(1, size.rows - FRAME_LINES);
    if (this.#help) return helpScreen();
    return this.#code === undefined ? this.#rowScreen() : this.#codeScreen(this.#code);
  }

  #summed(): RowTree {
    const { filter } = this.#options;
    const zoom = Object.assign({}, ...this.#zooms) as Zoom;
    const found: Report = report(
      this.#profile,
      {
        ...this.#options,
        filter: {
          ...filter,
          ...(zoom.guest === undefined ? {} : { guests: [zoom.guest] }),
          ...(zoom.comm === undefined ? {} : { comms: [zoom.comm] }),
        },
      },
      this.#names,
    );
    const rows =
      zoom.dso === undefined ? found.rows : found.rows.filter((row) => this.#names.dso(row.frame) === zoom.dso);
    const wanted = this.#filter.toLowerCase();
    const tree = new RowTree({ ...found, rows }, (cells) => cells.some((cell) => cell.toLowerCase().includes(wanted)));
    this.#opened = { rows: new Set(), calls: new Set(), wholly: new Set() };
    this.#lines = tree.lines(this.#opened);
    [this.#cursor, this.#top] = [0, 0];
    return tree;
  }

  #again(): void {
    this.#tree = this.#summed();
  }

  get #here(): TreeLine | undefined {
    return this.#lines[this.#cursor];
  }

  #pressInRows(key: Key): boolean {
    const to = moved(key, this.#cursor, this.#lines.length, this.#room);
    if (to !== undefined) {
      this.#cursor = to;
      return true;
    }
    const here = this.#here;
    switch (key.text ?? key.name) {
      case "q":
        return false;
      case "escape":
        if (this.#zooms.length === 0 && this.#filter === "") return false;
        this.#back();
        break;
      case "left":
      case "backspace":
        this.#back();
        break;
      case "enter":
      case "+":
        if (here !== undefined) this.#toggle(here);
        break;
      case "e":
        if (here !== undefined) this.#toggleAll(here.row);
        break;
      case "C":
        this.#opened = { rows: new Set(), calls: new Set(), wholly: new Set() };
        this.#reopen(here?.row);
        break;
      case "?":
      case "h":
        this.#help = true;
        break;
      case "/":
        this.#ask("Filter: ", this.#filter, (text) => {
          this.#filter = text;
          this.#again();
        });
        break;
      case "s":
        this.#ask("Sort by: ", this.#options.sort.join(","), (text) => this.#sortBy(text));
        break;
      case "c":
        if (!this.#options.graph) this.#message = "No stacks were recorded";
        else this.#change({ children: !this.#options.children });
        break;
      case "o":
        this.#change({ order: this.#options.order === "caller" ? "callee" : "caller" });
        this.#message = `Call graphs from the ${this.#options.order}`;
        break;
      case "g":
      case "t":
      case "d":
        if (here !== undefined) this.#zoom(key.text as "g" | "t" | "d", here);
        break;
      case "a":
        if (here !== undefined) this.#openCode(here);
        break;
      default:
        if (key.text !== undefined) this.#message = "? for help";
    }
    return true;
  }

  #change(options: Partial<ReportOptions>): void {
    this.#options = { ...this.#options, ...options };
    this.#again();
  }

  #sortBy(text: string): void {
    const keys = text.split(",").map((name) => [name.trim(), sortKey(name.trim())] as const);
    const wrong = keys.find(([, key]) => key === undefined);
    if (wrong === undefined) this.#change({ sort: keys.map(([, key]) => key!) });
    else this.#message = `No sort key "${forTerminal(wrong[0])}": ${Object.keys(SORT_KEYS).join(", ")}`;
  }

  #back(): void {
    if (this.#zooms.length === 0 && this.#filter === "") return;
    if (this.#zooms.length > 0) this.#zooms.pop();
    else this.#filter = "";
    this.#again();
  }

  #zoom(into: "g" | "t" | "d", { row }: TreeLine): void {
    const { options } = this.#tree.report;
    const task = this.#profile.tasks[row.task];
    // A row without tasks apart stands for many: its first would be a lie.
    const one = (...keys: readonly string[]): boolean => options.sort.some((key) => keys.includes(key));
    if (into === "g") {
      const guest = this.#profile.guests[task?.guest ?? -1]?.name;
      const single = this.#profile.guests.length <= 1 || one("guest", "pid", "tid");
      if (guest === undefined || !single) this.#message = "Sort by guest first (s)";
      else this.#zooms.push({ title: `guest ${guest}`, guest });
    } else if (into === "t") {
      if (task === undefined || !one("comm", "tid")) this.#message = "Sort by comm first (s)";
      else this.#zooms.push({ title: `comm ${task.comm}`, comm: task.comm });
    } else if (one("dso", "sym")) {
      const dso = this.#names.dso(row.frame);
      this.#zooms.push({ title: `dso ${dso}`, dso });
    } else this.#message = "Sort by dso first (s)";
    if (this.#message === "") this.#again();
  }

  #toggle(here: TreeLine): void {
    if (!this.#options.graph) {
      this.#message = "No call graphs: they need stacks, and -g";
      return;
    }
    const { rows, calls, wholly } = this.#opened;
    if (here.kind === "row") {
      if (rows.delete(here.row.id)) wholly.delete(here.row.id);
      else {
        rows.add(here.row.id);
        const [only, another] = this.#tree.calls(here.row);
        if (only !== undefined && another === undefined) calls.add(only);
      }
    } else if (here.first !== undefined && !wholly.delete(here.row.id) && !calls.delete(here.first)) {
      calls.add(here.first);
    }
    this.#lines = this.#tree.lines(this.#opened);
    this.#cursor = Math.min(this.#cursor, this.#lines.length - 1);
  }

  #toggleAll(row: ReportRow): void {
    if (!this.#options.graph) return;
    const { rows, wholly } = this.#opened;
    if (wholly.delete(row.id)) rows.delete(row.id);
    else {
      wholly.add(row.id);
      rows.add(row.id);
    }
    this.#reopen(row);
  }

  /** Lines anew, with the cursor on the row. */
  #reopen(row: ReportRow | undefined): void {
    this.#lines = this.#tree.lines(this.#opened);
    this.#cursor = Math.max(
      0,
      this.#lines.findIndex((other) => other.kind === "row" && other.row === row),
    );
  }

  #openCode(here: TreeLine): void {
    const frame = here.kind === "call" ? here.call.frame : here.row.frame;
    const symbol = this.#profile.frames.symbol[frame] ?? -1;
    if (symbol < 0 || !this.#options.sort.includes("sym")) {
      this.#message = "No symbol to annotate here";
      return;
    }
    const found = this.#annotate(symbol);
    if ("problem" in found) this.#message = found.problem;
    else {
      this.#code = { ...found, cursor: 0, top: 0 };
      toHottest(this.#code);
    }
  }

  #pressInCode(code: Code, key: Key): void {
    const to = moved(key, code.cursor, code.lines.length, this.#room);
    if (to !== undefined) code.cursor = to;
    else if (key.text === "H") toHottest(code);
    else if (key.text === "?") this.#help = true;
    else if (key.text === "q" || key.name === "escape" || key.name === "left") this.#code = undefined;
  }

  #ask(title: string, text: string, done: (text: string) => void): void {
    this.#prompt = { title, text, done };
  }

  #type(prompt: Prompt, key: Key): void {
    if (key.text !== undefined) prompt.text = (prompt.text + key.text).slice(0, MOST_TYPED);
    else if (key.name === "backspace") prompt.text = prompt.text.slice(0, -1);
    else if (key.name === "clear") prompt.text = "";
    else if (key.name === "escape") this.#prompt = undefined;
    else if (key.name === "enter") {
      this.#prompt = undefined;
      prompt.done(prompt.text);
    }
  }

  #rowScreen(): readonly ScreenLine[] {
    const { info } = this.#profile;
    const { report: shown } = this.#tree;
    this.#top = scrolled(this.#top, this.#cursor, this.#lines.length, this.#room);
    const zooms = this.#zooms.map(({ title }) => `, ${forTerminal(title)}`).join("");
    const lines = this.#lines.slice(this.#top, this.#top + this.#room).map((treeLine, i): ScreenLine => {
      const drawn = this.#tree.draw(treeLine, this.#opened);
      return this.#top + i === this.#cursor ? { ...drawn, selected: true } : drawn;
    });
    return [
      line(
        `Samples: ${shown.samples} of event '${info.event}', ${Math.round(shown.total)} ${info.unit}${zooms}`,
        "title",
      ),
      line(this.#tree.title, "title"),
      ...lines,
      ...emptyLines(this.#room - lines.length),
      this.#lastLine(),
    ];
  }

  #codeScreen(code: Code): readonly ScreenLine[] {
    code.top = scrolled(code.top, code.cursor, code.lines.length, this.#room);
    const lines = code.lines.slice(code.top, code.top + this.#room).map(({ percent, text }, i): ScreenLine => {
      const share = percent > 0 ? percent.toFixed(2) : "";
      const spans = [{ text: share.padStart(8), style: heat(percent) }, { text: ` | ${text}` }];
      return code.top + i === code.cursor ? { spans, selected: true } : { spans };
    });
    return [
      line(code.title, "title"),
      line(" Percent | Address: code", "title"),
      ...lines,
      ...emptyLines(this.#room - lines.length),
      this.#lastLine(),
    ];
  }

  #lastLine(): ScreenLine {
    if (this.#prompt !== undefined) return line(`${this.#prompt.title}${forTerminal(this.#prompt.text)}_`);
    if (this.#message !== "") return line(this.#message, "warm");
    const filter = this.#filter === "" ? "" : `  filter: ${forTerminal(this.#filter)}`;
    return line(`? help  q quit  / filter  + calls  a annotate  s sort${filter}`, "dim");
  }
}

const emptyLines = (count: number): ScreenLine[] => Array.from({ length: Math.max(0, count) }, () => line(""));

const helpScreen = (): readonly ScreenLine[] => {
  const width = HELP.reduce((most, [keys]) => Math.max(most, keys.length), 0);
  return [
    line("Keys", "title"),
    ...HELP.map(([keys, help]) => line(`  ${keys.padEnd(width)}  ${help}`)),
    line(""),
    line("any key: back", "dim"),
  ];
};

function toHottest(code: Code): void {
  code.cursor = code.lines.reduce((best, { percent }, i) => (percent > code.lines[best]!.percent ? i : best), 0);
}

/** Where the cursor is after a key that moves it; undefined of other keys. */
function moved(key: Key, cursor: number, count: number, page: number): number | undefined {
  const steps: Readonly<Record<string, number>> = {
    up: -1,
    k: -1,
    down: 1,
    j: 1,
    "page-up": -page,
    "page-down": page,
    " ": page,
    home: -count,
    end: count,
  } satisfies Partial<Record<NamedKey | "k" | "j" | " ", number>>;
  const step = steps[key.text ?? key.name];
  return step === undefined ? undefined : Math.max(0, Math.min(count - 1, cursor + step));
}
