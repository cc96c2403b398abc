/** Many modules in one file (bundle/main.ts), which loads faster; nothing else, so that it is loaded before all else. */
import { readdirSync, statSync } from "node:fs";

/** What the compiler keeps with each of its projects. */
const BUILD_INFO = ".tsbuildinfo";

/**
 * The file that a bundle is in; where something was compiled since that was made, the module itself. Both by their path in `dist`, where the
 * compiled projects are.
 */
export function bundleOr(dist: URL, bundle: string, module: string): URL {
  const timeOf = (file: URL): number => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const file = new URL(bundle, dist);
  const bundled = timeOf(file);
  const projects = [new URL("sys/node/", dist), ...readdirSync(dist).map((room) => new URL(`${room}/`, dist))];
  const isNew = bundled > 0 && projects.every((project) => timeOf(new URL(BUILD_INFO, project)) <= bundled);
  return isNew ? file : new URL(module, dist);
}
