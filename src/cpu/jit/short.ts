/** Functions that a region has inside, along with what calls them. */

/** The longest one, in instructions. */
const SHORT = 40;

/** What an instruction does to control, wherever it lies. */
export interface Control {
  readonly calls: boolean;
  /** It jumps to a computed address, or calls one. */
  readonly switches: boolean;
  /** Control does not go on behind it. */
  readonly ends: boolean;
}

/** Where control goes from an instruction. */
export interface Flow extends Control {
  readonly target: number | undefined;
  readonly next: number;
}

/**
 * Whether the function at a position ends within a few instructions, on every way that has run, without calling another. `look`: what is
 * at a position; undefined where nothing has run, or what need not be counted.
 */
export function isShort(start: number, look: (pos: number) => Flow | undefined): boolean {
  const seen = new Set<number>();
  const next = [start];
  for (let pos = next.pop(); pos !== undefined; pos = next.pop()) {
    if (seen.has(pos)) continue;
    const flow = look(pos);
    if (!flow) continue;
    if (seen.size >= SHORT || flow.calls || flow.switches) return false;
    seen.add(pos);
    if (flow.target !== undefined) next.push(flow.target);
    if (!flow.ends) next.push(flow.next);
  }
  return seen.size > 0;
}
