#!/usr/bin/env -S node --v8-pool-size=1
/** The `viv` command: loads what it is, in few files where it can. */
import { fileURLToPath } from "node:url";
import { bundleOr } from "../sys/node/bundle.ts";
import { runKeptFiles } from "../sys/node/kept-script.ts";

const file = bundleOr(new URL("../", import.meta.url), "cli/bundle/start.cjs", "cli/start.js");
if (file.pathname.endsWith(".cjs")) runKeptFiles(fileURLToPath(file));
else void import(file.href);
