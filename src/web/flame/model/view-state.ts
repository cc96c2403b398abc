/** What the reader has chosen, and how the address keeps it (after the #), so that a view can be shared and survives a reload. */
import type { Roots, Widths } from "./call-tree.ts";

export const VIEWS = ["calls", "callers", "sandwich", "table"] as const;
export const ORDERS = ["heavy", "time"] as const;
export const COLOURS = ["mode", "dso", "function", "change"] as const;
export const WIDTHS = ["both", "a", "b"] as const satisfies readonly Widths[];
export const THEMES = ["auto", "light", "dark"] as const;

/** Rows of the data that pass, ascending; undefined: all. */
export type Chosen = readonly number[] | undefined;
export const DIMENSIONS = ["guests", "lanes", "tasks", "modes"] as const;
export type Dimension = (typeof DIMENSIONS)[number];

export interface ViewState extends Readonly<Record<Dimension, Chosen>> {
  readonly view: (typeof VIEWS)[number];
  readonly order: (typeof ORDERS)[number];
  /** Flames: the root lies at the bottom. */
  readonly upward: boolean;
  readonly roots: Roots;
  readonly colour: (typeof COLOURS)[number];
  readonly widths: Widths;
  readonly theme: (typeof THEMES)[number];
  readonly search: string;
  readonly isRegex: boolean;
  readonly range: readonly [number, number] | undefined;
  /** The function between the slices of the sandwich: a box number. */
  readonly filling: number | undefined;
  /** Where the graph is zoomed in to: box numbers below the root. */
  readonly zoom: readonly number[];
}

/** Numbers that an address may hold: more would only slow down who opens it. */
const MOST_NUMBERS = 1 << 16;

/** `0-3.7`: runs, as tasks are often chosen in hundreds. */
function runs(numbers: readonly number[]): string {
  const parts: string[] = [];
  for (let at = 0; at < numbers.length; at++) {
    const first = numbers[at]!;
    while (numbers[at + 1] === numbers[at]! + 1) at++;
    parts.push(first === numbers[at] ? `${first}` : `${first}-${numbers[at]}`);
  }
  return parts.join(".");
}

function fromRuns(text: string): number[] {
  const numbers: number[] = [];
  for (const part of text === "" ? [] : text.split(".")) {
    const [, first, last] = /^(\d{1,9})(?:-(\d{1,9}))?$/.exec(part) ?? [];
    if (first === undefined) continue;
    const end = Number(last ?? first);
    for (let number = Number(first); number <= end && numbers.length < MOST_NUMBERS; number++) numbers.push(number);
  }
  return numbers;
}

const rootLetters = { guest: "g", vcpu: "v", task: "t" } as const;

/** Only what differs from `initial`. */
export function toAddress(state: ViewState, initial: ViewState): string {
  const parts = new Map<string, string>();
  for (const name of ["view", "order", "colour", "widths", "theme", "search"] as const) {
    if (state[name] !== initial[name]) parts.set(name, state[name]);
  }
  for (const name of ["upward", "isRegex"] as const)
    if (state[name] !== initial[name]) parts.set(name, String(state[name]));
  for (const name of DIMENSIONS) if (state[name] !== undefined) parts.set(name, runs(state[name]));
  const letters = ({ roots }: ViewState): string =>
    (["guest", "vcpu", "task"] as const).map((root) => (roots[root] ? rootLetters[root] : "")).join("");
  if (letters(state) !== letters(initial)) parts.set("roots", letters(state));
  if (state.range !== undefined) parts.set("range", state.range.map((at) => Math.round(at)).join("-"));
  if (state.filling !== undefined) parts.set("filling", `${state.filling}`);
  if (state.zoom.length > 0) parts.set("zoom", state.zoom.join("."));
  return [...parts].map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join("&");
}

const decoded = (text: string): string => {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
};

/** What the address says, where it makes sense; `initial` for the rest. */
export function fromAddress(address: string, initial: ViewState): ViewState {
  const parts = new Map(
    address.split("&").map((part) => {
      const at = part.indexOf("=");
      return [part.slice(0, Math.max(at, 0)), decoded(part.slice(at + 1))] as const;
    }),
  );
  const oneOf = <Choice extends string>(name: string, choices: readonly Choice[], otherwise: Choice): Choice =>
    choices.find((choice) => choice === parts.get(name)) ?? otherwise;
  const flag = (name: string, otherwise: boolean): boolean =>
    parts.has(name) ? parts.get(name) === "true" : otherwise;
  const chosen = (name: string): Chosen => (parts.has(name) ? fromRuns(parts.get(name)!) : undefined);
  const letters = parts.get("roots");
  const range = /^(\d{1,16})-(\d{1,16})$/.exec(parts.get("range") ?? "");
  const filling = /^\d{1,9}$/.exec(parts.get("filling") ?? "");
  const zoom = (parts.get("zoom") ?? "")
    .split(".", MOST_NUMBERS)
    .map((box) => (/^\d{1,9}$/.test(box) ? Number(box) : -1));
  return {
    view: oneOf("view", VIEWS, initial.view),
    order: oneOf("order", ORDERS, initial.order),
    upward: flag("upward", initial.upward),
    roots:
      letters === undefined
        ? initial.roots
        : { guest: letters.includes("g"), vcpu: letters.includes("v"), task: letters.includes("t") },
    colour: oneOf("colour", COLOURS, initial.colour),
    widths: oneOf("widths", WIDTHS, initial.widths),
    theme: oneOf("theme", THEMES, initial.theme),
    search: parts.get("search") ?? initial.search,
    isRegex: flag("isRegex", initial.isRegex),
    range: range === null ? undefined : [Number(range[1]), Number(range[2])],
    filling: filling === null ? undefined : Number(filling[0]),
    zoom: zoom.includes(-1) ? [] : zoom,
    guests: chosen("guests"),
    lanes: chosen("lanes"),
    tasks: chosen("tasks"),
    modes: chosen("modes"),
  };
}
