/** Weights, shares and times as people read them. */
const STEPS = {
  ns: [
    [1e9, "s"],
    [1e6, "ms"],
    [1e3, "µs"],
    [1, "ns"],
  ],
  instructions: [
    [1e12, "T instructions"],
    [1e9, "G instructions"],
    [1e6, "M instructions"],
    [1e3, "k instructions"],
    [1, "instructions"],
  ],
} as const satisfies Record<string, readonly (readonly [number, string])[]>;
export type Unit = keyof typeof STEPS;

/** Three digits that count. */
const digits = (value: number): string =>
  value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);

export function quantity(weight: number, unit: Unit): string {
  const steps: readonly (readonly [number, string])[] = STEPS[unit];
  const [size, name] = steps.find(([size]) => Math.abs(weight) >= size) ?? steps[steps.length - 1]!;
  return `${size === 1 ? Math.round(weight) : `${weight < 0 ? "−" : ""}${digits(Math.abs(weight) / size)}`} ${name}`;
}

/** Without zeros behind the point: for the marks of an axis. */
export const brief = (weight: number, unit: Unit): string =>
  quantity(weight, unit)
    .replace(/(\.\d*?)0+ /, "$1 ")
    .replace(". ", " ");

export function percent(share: number): string {
  const value = share * 100;
  if (value === 0) return "0 %";
  return value < 0.01 ? "<0.01 %" : value >= 99.995 ? "100 %" : `${value.toFixed(value < 10 ? 2 : 1)} %`;
}

/** With its sign, in percentage points. */
export function change(difference: number): string {
  const value = difference * 100;
  if (Math.abs(value) < 0.005) return "±0";
  return `${value > 0 ? "+" : "−"}${Math.abs(value).toFixed(2)}`;
}

export const count = (number: number): string => number.toLocaleString("en").replaceAll(",", "\u202f");
