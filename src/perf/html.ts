/**
 * A profile as one HTML file: a flame graph that needs no network, no server and no other file (src/web/flame).
 *
 * Names in a profile are a guest's, which may want to run code in the browser of whoever reads it. They are part of the packed data,
 * which are base64 here and text, never markup, there. Should that ever fail, the page's policy lets one script run, the one with the right
 * hash, reach no network, and turn no string into markup (Content Security Policy 3, Trusted Types).
 */
import { forTerminal } from "../guest/escape.ts";
import { base64 } from "./flame/base64.ts";
import { flameData } from "./flame/data.ts";
import { pack } from "./flame/packing.ts";
import type { Profile } from "./profile.ts";

/** The page's program: `sys/node/flame-page.ts` has it. */
export interface FlamePage {
  readonly script: string;
  /** SHA-256 of the script's UTF-8, in base64. */
  readonly scriptHash: string;
}

export interface HtmlOptions {
  readonly page: FlamePage;
  readonly title: string;
  /** Compares: what came later, whose growth is red. */
  readonly other?: Profile;
  /** RFC 1951; without it the file is larger. */
  readonly deflate?: (bytes: Uint8Array) => Uint8Array;
}

/** The elements where the page's program finds its data, and what it may have to undo. */
export const DATA_ELEMENT = "profile";
export const DEFLATED = "application/x-vivarium-profile+deflate";
const PLAIN = "application/x-vivarium-profile";

const MARKUP: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};
const escaped = (text: string): string => text.replace(/[&<>"']/g, (c) => MARKUP[c]!);

const policy = (hash: string): string =>
  [
    "default-src 'none'",
    `script-src 'sha256-${hash}'`,
    "base-uri 'none'",
    "form-action 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join("; ");

/** More guests' names than fit a window's title. */
const MOST_GUESTS = 4;

const EVENTS = { "cpu-clock": "CPU time", instructions: "instructions", "off-cpu": "waiting" } as const;

/** What a page of these profiles is called: by their guests, and by what was counted. */
export function titleOf(profile: Profile, other?: Profile): string {
  const guests = [...new Set([...profile.guests, ...(other?.guests ?? [])].map(({ name }) => name))];
  const more = guests.length > MOST_GUESTS ? `, ${guests.length - MOST_GUESTS} more` : "";
  const what = `${EVENTS[profile.info.event]}${other === undefined ? "" : ", before and after"}`;
  return `${guests.slice(0, MOST_GUESTS).join(", ")}${more}: ${what}`;
}

/** The file, in pieces to be written one after the other. */
export function* html(profile: Profile, options: HtmlOptions): Generator<string> {
  const { page, title, other, deflate } = options;
  const packed = pack(flameData(profile, other));
  yield `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${escaped(policy(page.scriptHash))}">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>${escaped(forTerminal(title))}</title>
</head>
<body>
<p id="message">Opening the profile. This page needs scripts and a browser of the last three years.</p>
<script>${page.script}</script>
<script type="${deflate === undefined ? PLAIN : DEFLATED}" id="${DATA_ELEMENT}">`;
  yield* base64(deflate?.(packed) ?? packed);
  yield "</script>\n</body>\n</html>\n";
}
