#!/usr/bin/env -S node --v8-pool-size=1
/** The `viv` command: loads what it is, in few files where it can. */
import { bundleOr } from "../sys/node/bundle.ts";

await import(bundleOr(new URL("../", import.meta.url), "cli/bundle/start.js", "cli/start.js").href);
