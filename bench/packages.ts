/** Debian packages for the measured programs: found and fetched by the system's package client, kept in our cache, unpacked by dpkg. */
import { execFile } from "node:child_process";
import { mkdir, readFile, rename, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { VivError } from "#dist/base/index.js";
import type { PackageRecord } from "#dist/image/index.js";
import { cacheDirectory } from "#dist/sys/node/index.js";
import { AptClient } from "#dist/sys/node/packages.js";

/** Of what a package depends on, only libraries are wanted; its configuration and its documentation are not. */
const LIBRARY = /^(lib|zlib)/;
/** Everything needs it, and mostly as what dpkg calls a pre-dependency, which the records do not tell. */
const C_LIBRARY = "libc6";
const MANIFEST = "packages.json";

/** A package's name; or, where it holds the version in use, that of a dependency of one that does not, and what follows it. */
export type PackageName =
  | string
  | { readonly metapackage: string; readonly dependency: RegExp; readonly suffix: string };

/** A package as it lies in the cache. */
interface Kept {
  readonly name: string;
  readonly version: string;
  readonly file: string;
}
interface Manifest {
  /** Which packages were asked for. */
  readonly names: string;
  readonly packages: readonly Kept[];
}

export interface PackageOptions {
  /** Asks the distribution for its newest packages even where there are some from an earlier run. */
  readonly refresh: boolean;
  progress(text: string): void;
}

/** Unpacks the packages and the libraries they need below `root`; returns the versions. */
export async function unpackPackages(
  names: readonly PackageName[],
  root: string,
  options: PackageOptions,
): Promise<Readonly<Record<string, string>>> {
  const cache = join(cacheDirectory(), "bench");
  const packages = (options.refresh ? undefined : await kept(names, cache)) ?? (await fetchAll(names, cache, options));
  for (const { file } of packages) await promisify(execFile)("dpkg-deb", ["--extract", join(cache, file), root]);
  return Object.fromEntries(packages.map(({ name, version }) => [name, version]));
}

const keyOf = (names: readonly PackageName[]): string =>
  names.map((name) => (typeof name === "string" ? name : `${name.metapackage} ${name.dependency}`)).join(", ");

/** What an earlier run has left, if all of it is there. */
async function kept(names: readonly PackageName[], cache: string): Promise<readonly Kept[] | undefined> {
  try {
    const manifest = JSON.parse(await readFile(join(cache, MANIFEST), "utf8")) as Manifest;
    if (manifest.names !== keyOf(names)) return undefined;
    for (const { file } of manifest.packages) await stat(join(cache, file));
    return manifest.packages;
  } catch {
    return undefined;
  }
}

async function fetchAll(
  names: readonly PackageName[],
  cache: string,
  { refresh, progress }: PackageOptions,
): Promise<readonly Kept[]> {
  const client = new AptClient(join(cacheDirectory(), "apt"));
  await mkdir(cache, { recursive: true });
  const attempt = async (): Promise<readonly Kept[]> => {
    progress("looking for packages");
    const records = await closure(client, names);
    const packages: Kept[] = [];
    for (const record of records) {
      const { name, version } = record;
      const file = `${name}_${version}.deb`.replaceAll(/[^\w.+~-]/g, "_");
      packages.push({ name, version, file });
      if ((await stat(join(cache, file)).catch(() => undefined)) !== undefined) continue;
      progress(`package ${name} ${version}`);
      await writeWhole(join(cache, file), await client.fetch(record, () => undefined));
    }
    await writeWhole(join(cache, MANIFEST), JSON.stringify({ names: keyOf(names), packages } satisfies Manifest));
    return packages;
  };
  if (refresh) await client.refresh(() => undefined);
  try {
    return await attempt();
  } catch (error) {
    if (refresh || !(error instanceof VivError) || error.code !== "guest.package-gone") throw error;
    await client.refresh(() => undefined);
    return await attempt();
  }
}

/** A file appears at once, whole. */
async function writeWhole(path: string, data: Uint8Array | string): Promise<void> {
  const partial = `${path}.${process.pid}`;
  await writeFile(partial, data);
  await rename(partial, path);
}

async function closure(packages: AptClient, names: readonly PackageName[]): Promise<readonly PackageRecord[]> {
  const show = (name: string): Promise<PackageRecord> => packages.show(name, () => undefined);
  const records = new Map<string, PackageRecord>();
  const waiting = [C_LIBRARY];
  for (const name of names) {
    if (typeof name === "string") {
      waiting.push(name);
      continue;
    }
    const { depends } = await show(name.metapackage);
    const found = depends.find((dependency) => name.dependency.test(dependency));
    if (found === undefined) throw new Error(`${name.metapackage} depends on nothing like ${name.dependency}`);
    waiting.push(`${found}${name.suffix}`);
  }
  for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
    if (records.has(name)) continue;
    const record = await show(name);
    records.set(name, record);
    waiting.push(...record.depends.filter((dependency) => LIBRARY.test(dependency)));
  }
  return [...records.values()];
}
