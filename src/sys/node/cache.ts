import { randomUUID } from "node:crypto";
import { link, mkdir, mkdtemp, open, readdir, readFile, rename, rm, stat, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { VivError } from "../../base/index.ts";
import type { ImageManifest, ImageStore, StoredImage } from "../../image/index.ts";
import { fileError } from "./file-errors.ts";

const MANIFEST = "image.json";
const LOCK = ".lock";
/** What is being written or removed; the next writer sweeps up what a killed process left. */
const TEMPORARY = ".tmp-";
const LOCK_POLL_MS = 100;
/** A temporary directory of this age has no living writer. */
const ABANDONED_MS = 60 * 60 * 1000;

/** Images as directories, each written aside and renamed into place. */
export class DirectoryStore implements ImageStore {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  async list(): Promise<readonly StoredImage[]> {
    const names = await this.#attempt(async () => {
      try {
        return await readdir(this.#directory);
      } catch (error) {
        if (codeOf(error) === "ENOENT") return [];
        throw error;
      }
    });
    const images = await Promise.all(names.filter((n) => !n.startsWith(".")).map((n) => this.#load(n)));
    return images.filter((image) => image !== undefined);
  }

  async put(manifest: ImageManifest, files: ReadonlyMap<string, Uint8Array>): Promise<StoredImage> {
    const name = directoryName(manifest);
    await this.#attempt(async () => {
      await mkdir(this.#directory, { recursive: true });
      await this.#sweep();
      const aside = await mkdtemp(join(this.#directory, TEMPORARY));
      try {
        for (const [file, data] of files) await writeDurably(join(aside, file), data);
        await writeDurably(join(aside, MANIFEST), new TextEncoder().encode(`${JSON.stringify(manifest, null, 2)}\n`));
        await rename(aside, join(this.#directory, name));
      } catch (error) {
        await rm(aside, { recursive: true, force: true });
        // Somebody else put the same image there first: it is as good as ours.
        if (!["ENOTEMPTY", "EEXIST"].includes(codeOf(error))) throw error;
      }
    });
    const stored = await this.#load(name);
    if (!stored) throw new VivError("cache.damaged", `${join(this.#directory, name)} is damaged: remove it, try again`);
    return stored;
  }

  async remove(image: StoredImage): Promise<void> {
    await this.#attempt(async () => {
      const aside = await mkdtemp(join(this.#directory, TEMPORARY));
      await rename(image.location, join(aside, "image"));
      await rm(aside, { recursive: true, force: true });
    });
  }

  async exclusively<T>(work: () => Promise<T>): Promise<T> {
    const lock = join(this.#directory, LOCK);
    await this.#attempt(async () => {
      await mkdir(this.#directory, { recursive: true });
      while (!(await this.#take(lock))) await sleep(LOCK_POLL_MS);
    });
    try {
      return await work();
    } finally {
      await unlink(lock).catch(() => undefined);
    }
  }

  /**
   * Makes the lock, with our process's number in it from the first moment; removes one whose process is gone. (Two
   * processes that find the same dead lock may both go on. That costs a second download, no more: `put` is atomic.)
   */
  async #take(lock: string): Promise<boolean> {
    const own = `${lock}-${randomUUID()}`;
    try {
      await writeFile(own, String(process.pid));
      await link(own, lock);
      return true;
    } catch (error) {
      if (codeOf(error) !== "EEXIST") throw error;
    } finally {
      await unlink(own).catch(() => undefined);
    }
    const holder = Number(await readFile(lock, "utf8").catch(() => ""));
    if (holder > 0 && !isAlive(holder)) await unlink(lock).catch(() => undefined);
    return false;
  }

  async #load(name: string): Promise<StoredImage | undefined> {
    const location = join(this.#directory, name);
    const manifest = await readFile(join(location, MANIFEST), "utf8").then(parseManifest, () => undefined);
    if (!manifest) return undefined;
    const sizes = await Promise.all((await readdir(location)).map(async (f) => (await stat(join(location, f))).size));
    const pathOf = (file: string): string => join(location, file);
    return {
      manifest,
      location,
      size: sizes.reduce((sum, s) => sum + s, 0),
      read: (file) => this.#attempt(() => readFile(pathOf(file))),
      pathOf,
    };
  }

  async #sweep(): Promise<void> {
    for (const name of await readdir(this.#directory)) {
      if (!name.startsWith(TEMPORARY)) continue;
      const path = join(this.#directory, name);
      const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Number.POSITIVE_INFINITY }));
      if (Date.now() - mtimeMs > ABANDONED_MS) await rm(path, { recursive: true, force: true });
    }
  }

  async #attempt<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw fileError(error, this.#directory);
    }
  }
}

/** Versions hold colons and pluses; a directory's name holds nothing that a shell or another system minds. */
function directoryName(manifest: ImageManifest): string {
  return `${manifest.name}_${manifest.version}`.replace(/[^\w.-]/g, (c) => `%${c.charCodeAt(0).toString(16)}`);
}

/** Written and on the disk: a rename must not overtake the data it publishes. */
async function writeDurably(path: string, data: Uint8Array): Promise<void> {
  const file = await open(path, "wx");
  try {
    await file.writeFile(data);
    await file.sync();
  } finally {
    await file.close();
  }
}

function parseManifest(text: string): ImageManifest | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isManifest(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isManifest(value: unknown): value is ImageManifest {
  if (typeof value !== "object" || value === null) return false;
  const m = value as Partial<ImageManifest>;
  return typeof m.name === "string" && typeof m.version === "string" && typeof m.built === "number";
}

const codeOf = (error: unknown): string => (error instanceof Error && "code" in error ? String(error.code) : "");

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) !== "ESRCH";
  }
}
