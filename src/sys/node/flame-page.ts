/** The flame graph's program, as bundle/main.ts made it, and what else the page's writer needs of this machine (perf/html.ts). */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { deflateRawSync } from "node:zlib";
import { VivError } from "../../base/index.ts";
import type { FlamePage, HtmlOptions } from "../../perf/html.ts";

/** As in the package; a program from source has it where the compiler's output is. */
const BUNDLE = "sys/node/flame-page.bundle.js";
const PLACES = ["../../", "../../../dist/"];

function script(): string {
  for (const place of PLACES) {
    try {
      return readFileSync(new URL(place + BUNDLE, import.meta.url), "utf8");
    } catch {
      // The next place.
    }
  }
  throw new VivError(
    "flame.program",
    `the flame graph's program ${BUNDLE} is not there: install Vivarium again, or npm run build`,
  );
}

/** The program would end where these stand; in a string or a regular expression a backslash changes nothing. */
const inMarkup = (script: string): string => script.replace(/<(?=\/script|!--|script)/gi, "\\x3c");

export function flamePage(): FlamePage {
  const text = inMarkup(script());
  return { script: text, scriptHash: createHash("sha256").update(text, "utf8").digest("base64") };
}

/** Fast rather than small: what is left of a million samples is small anyhow. */
const LEVEL = 6;

export const flameOptions = (): Pick<HtmlOptions, "page" | "deflate"> => ({
  page: flamePage(),
  deflate: (bytes) => deflateRawSync(bytes, { level: LEVEL }),
});
