/** Searching: which boxes match, and how much of all the weight has one among its callers. */
import type { CallTree } from "./call-tree.ts";
import type { Catalog } from "./catalog.ts";

export interface Search {
  readonly text: string;
  readonly isRegex: boolean;
}

/** A byte for each box, undefined where nothing is searched for. Throws SyntaxError for a regular expression that is none. */
export function matches(catalog: Catalog, { text, isRegex }: Search): Uint8Array | undefined {
  if (text === "") return undefined;
  const found = new Uint8Array(catalog.names.length);
  if (isRegex) {
    // A capital letter asks for case to count.
    const expression = new RegExp(text, /\p{Lu}/u.test(text.replace(/\\./gu, "")) ? "u" : "iu");
    for (const [box, name] of catalog.names.entries()) if (expression.test(name)) found[box] = 1;
  } else {
    const wanted = text.toLowerCase();
    for (const [box, name] of catalog.lowerCase.entries()) if (name.includes(wanted)) found[box] = 1;
  }
  return found;
}

/** The weight of samples that have a match among their frames, each counted once. */
export function matchedWeight(tree: CallTree, found: Uint8Array): number {
  const { caller, box, total } = tree;
  const inside = new Uint8Array(tree.length);
  let weight = 0;
  for (let node = 0; node < tree.length; node++) {
    const isBelow = node > 0 && inside[caller[node]!] === 1;
    const isMatch = found[box[node]!] === 1;
    if (isMatch && !isBelow) weight += total[node]!;
    inside[node] = isMatch || isBelow ? 1 : 0;
  }
  return weight;
}
