/** Colours: of boxes by what they are, where they come from, what they are called or how they changed; light and dark. */
import type { Catalog, Kind } from "../model/catalog.ts";
import type { ViewState } from "../model/view-state.ts";

/** Hue in degrees and how colourful, in OKLCH: the same lightness everywhere, so that text is as legible on each. */
const HUES: Readonly<Record<Kind, readonly [hue: number, chroma: number]>> = {
  group: [260, 0.015],
  kernel: [62, 0.12],
  module: [15, 0.11],
  user: [150, 0.1],
  jit: [115, 0.1],
  host: [250, 0.09],
  idle: [305, 0.08],
  unknown: [60, 0.02],
};

/** Order of MODES. */
export const MODE_KINDS: readonly Kind[] = ["kernel", "user", "host", "idle"];
export const MODE_NAMES = ["guest kernel", "guest user", "host", "asleep"] as const;

export interface Theme {
  readonly dark: boolean;
  readonly background: string;
  readonly text: string;
  readonly faint: string;
  readonly line: string;
  readonly found: string;
  readonly accent: string;
}

const LIGHT: Theme = {
  dark: false,
  background: "#ffffff",
  text: "#16181d",
  faint: "#6b7280",
  line: "#d9dce2",
  found: "oklch(0.78 0.19 330)",
  accent: "#1d4ed8",
};
const DARK: Theme = {
  dark: true,
  background: "#16181d",
  text: "#f2f3f5",
  faint: "#9aa1ad",
  line: "#33373f",
  found: "oklch(0.55 0.21 330)",
  accent: "#8ab4ff",
};

export const themeOf = (dark: boolean): Theme => (dark ? DARK : LIGHT);

/** FNV-1a, which spreads names that differ in a letter. */
export function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) value = Math.imul(value ^ text.charCodeAt(at), 0x01000193);
  return (value ^ (value >>> 15)) >>> 0;
}

const colour = (lightness: number, chroma: number, hue: number): string =>
  `oklch(${lightness.toFixed(3)} ${chroma.toFixed(3)} ${hue.toFixed(1)})`;

/** Shades that neighbours of one kind differ by. */
const SHADES = 8;

export const kindColour = (kind: Kind, dark: boolean, shade = SHADES / 2): string => {
  const [hue, chroma] = HUES[kind];
  const step = shade / SHADES - 0.5;
  return colour(dark ? 0.5 + 0.08 * step : 0.84 + 0.08 * step, chroma, hue + 22 * step);
};

const GOLDEN_ANGLE = 137.508;

/** How much more or less: from −1, gone, to 1, new. */
export function changeColour(change: number, dark: boolean): string {
  const strength = Math.min(1, Math.abs(change));
  const lightness = dark ? 0.4 + 0.12 * strength : 0.92 - 0.2 * strength;
  return colour(lightness, 0.005 + 0.155 * strength, change > 0 ? 25 : 255);
}

/** A colour of each box; those by change depend on the weights, too. */
export class Palette {
  readonly #fills: readonly string[];
  readonly #changes: readonly string[] | undefined;
  readonly theme: Theme;
  readonly #changeOf: (a: number, b: number) => number;

  /** `changeOf`: from −1 to 1. */
  constructor(catalog: Catalog, by: ViewState["colour"], dark: boolean, changeOf: (a: number, b: number) => number) {
    this.theme = themeOf(dark);
    this.#changeOf = changeOf;
    this.#fills = catalog.names.map((name, box) => {
      const kind = catalog.kinds[box]!;
      if (by === "mode" || kind === "group") return kindColour(kind, dark, hash(name) % SHADES);
      const dso = catalog.dso[box]!;
      if (by === "dso" && dso < 0) return kindColour("unknown", dark);
      const key = by === "dso" ? hash(catalog.dsoNames[dso]!) : hash(name);
      return colour(dark ? 0.46 : 0.84, 0.1, (key % 1024) * GOLDEN_ANGLE);
    });
    if (by === "change") {
      this.#changes = Array.from({ length: 2 * STEPS + 1 }, (_, step) => changeColour(step / STEPS - 1, dark));
    }
  }

  fill(box: number, a: number, b: number): string {
    if (this.#changes === undefined) return this.#fills[box]!;
    return this.#changes[STEPS + Math.round(this.#changeOf(a, b) * STEPS)]!;
  }
}

/** Between no change and the largest. */
const STEPS = 24;
