/**
 * Debian's kernels that tests boot: the default guest's, and a newer one from another suite. Packages are fetched by the
 * project's own client and kept unpacked in the user's cache, modules and all.
 */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { cacheDirectory } from "../../src/sys/node/index.ts";
import { AptClient } from "../../src/sys/node/packages.ts";

const run = promisify(execFile);

/** Metapackages. */
export const TEST_KERNELS = {
  "6.1": "linux-image-cloud-amd64",
  "6.12": "linux-image-6.12-cloud-amd64",
} as const;
export type TestKernel = keyof typeof TEST_KERNELS;
export const TEST_KERNEL_NAMES = Object.keys(TEST_KERNELS) as readonly TestKernel[];

const IMAGE = /^linux-image-\d[\w.+-]*-cloud-amd64$/;

export interface KernelPackage {
  /** `uname -r`. */
  readonly release: string;
  /** Path of the bzImage. */
  readonly kernel: string;
  /** A module's ELF file, unpacked. Throws where the package has none of that name. */
  module(name: string): Promise<Uint8Array>;
}

const known = new Map<TestKernel, Promise<KernelPackage>>();

/** Fetches a kernel, or takes it from the cache. Rejects where it can not be had. */
export function kernelPackage(kernel: TestKernel): Promise<KernelPackage> {
  let found = known.get(kernel);
  if (!found) {
    found = fetchKernel(kernel);
    found.catch(() => undefined);
    known.set(kernel, found);
  }
  return found;
}

/** Why a test has to skip: what could not be fetched, in a word; undefined where everything is there. */
export async function kernelMissing(kernel: TestKernel): Promise<string | undefined> {
  try {
    await kernelPackage(kernel);
    return undefined;
  } catch (error) {
    const reason = `no ${TEST_KERNELS[kernel]}: ${error instanceof Error ? error.message : String(error)}`;
    console.warn(`skipped: ${reason}`);
    return reason;
  }
}

async function fetchKernel(kernel: TestKernel): Promise<KernelPackage> {
  const directory = join(cacheDirectory(), "test-kernels");
  await mkdir(directory, { recursive: true });
  const client = new AptClient(join(cacheDirectory(), "apt"));
  const quiet = (): void => undefined;
  const meta = await client.show(TEST_KERNELS[kernel], quiet);
  const name = meta.depends.find((dependency) => IMAGE.test(dependency));
  if (name === undefined) throw new Error(`${meta.name} depends on no kernel`);
  const record = await client.show(name, quiet);
  const root = join(directory, encodeURIComponent(`${record.name}_${record.version}`));
  if ((await readdir(root).catch(() => [])).length === 0) {
    const temporary = await mkdtemp(join(directory, ".tmp-"));
    try {
      const deb = join(temporary, "package.deb");
      await writeFile(deb, await client.fetch(record, quiet));
      await run("dpkg-deb", ["-x", deb, join(temporary, "root")]);
      // Whoever comes second finds the first one's.
      await rename(join(temporary, "root"), root).catch(async (error: unknown) => {
        if ((await readdir(root).catch(() => [])).length === 0) throw error;
      });
    } finally {
      await rm(temporary, { recursive: true, force: true });
    }
  }
  return openPackage(root);
}

async function openPackage(root: string): Promise<KernelPackage> {
  const modules = join(root, "lib/modules");
  const [release] = await readdir(modules);
  if (release === undefined) throw new Error(`${root} holds no kernel`);
  const files = await readdir(join(modules, release), { recursive: true });
  return {
    release,
    kernel: join(root, "boot", `vmlinuz-${release}`),
    module: async (name) => {
      const file = files.find((path) => new RegExp(`(^|/)${name.replace(/[-_]/g, "[-_]")}\\.ko(\\.xz)?$`).test(path));
      if (file === undefined) throw new Error(`${release} has no module ${name}`);
      const path = join(modules, release, file);
      if (!file.endsWith(".xz")) return readFile(path);
      const { stdout } = await run("xz", ["-dc", path], { encoding: "buffer", maxBuffer: 2 ** 26 });
      return stdout;
    },
  };
}
