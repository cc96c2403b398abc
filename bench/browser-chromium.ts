/** The host's Chromium, without a window. Used by the benchmark and by the tests of the page. */
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { type Browser, chromium } from "playwright-core";

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

const isProgram = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
};

/** Where it is: what the environment variable CHROMIUM names, or the first that is on the path. */
export function findChromium(environment: NodeJS.ProcessEnv = process.env): string | undefined {
  const named = environment["CHROMIUM"];
  if (named !== undefined && named !== "") return named;
  const directories = (environment["PATH"] ?? "").split(delimiter).filter((directory) => directory !== "");
  return NAMES.flatMap((name) => directories.map((directory) => join(directory, name))).find(isProgram);
}

/** Its processes end with this one, whatever ends it: they hang on a pipe. */
export function launchChromium(executablePath: string): Promise<Browser> {
  // Its sandbox works neither as root nor in most containers, and all it would hold is our own page.
  return chromium.launch({ executablePath, args: ["--no-sandbox"] });
}
