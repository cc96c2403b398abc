/** `npm run docs`: writes the pages that follow from tables. */
import { writeFileSync } from "node:fs";
import { PAGES } from "#dist/manual/pages.js";

// Compiled, this file lies in dist/docs.
const folder = new URL("../../docs/", import.meta.url);
for (const [name, text] of Object.entries(PAGES)) writeFileSync(new URL(name, folder), text);
