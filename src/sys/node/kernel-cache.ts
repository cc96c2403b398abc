/**
 * Keeps kernels unpacked. A bzImage unpacks itself each time it boots, which takes a tenth of all that the guest has to do until it is up; so
 * the host does it once for each file, and keeps the vmlinux beside the images in the user's cache directory. The key is the file's
 * identity: path, device, inode, size and time.
 */
import { createHash } from "node:crypto";
import { mkdir, open, readdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { cacheDirectory } from "./cache-directory.ts";

/** Of the kernels booted last; one is some 50 MiB. */
const KEPT = 4;
/** Of a bzImage: its setup header. */
const HEADER = 0x400;
/** The start of the names of files that are being written. */
const TEMPORARY = ".tmp-";

/** The file to boot in place of the kernel at `path`: its vmlinux, or the file itself where it is no bzImage or cannot be unpacked. */
export async function unpackedKernel(path: string, directory = join(cacheDirectory(), "kernels")): Promise<string> {
  try {
    const info = await stat(path, { bigint: true });
    if (!info.isFile()) return path;
    const identity = [path, info.dev, info.ino, info.size, info.mtimeNs].join(" ");
    const kept = join(directory, createHash("sha256").update(identity).digest("hex").slice(0, 32));
    const known = await stat(kept).catch(() => undefined);
    if (known !== undefined) {
      const now = new Date();
      await utimes(kept, now, now);
      return known.size === 0 ? path : kept;
    }
    await using file = await open(path);
    const { bytesRead, buffer } = await file.read({ buffer: new Uint8Array(HEADER), position: 0 });
    const { isBzImage } = await import("../../machine/boot/index.ts");
    if (!isBzImage(buffer.subarray(0, bytesRead))) return path;
    const vmlinux = await unpack(new Uint8Array(await readFile(path)));
    await keep(kept, vmlinux);
    return vmlinux.length === 0 ? path : kept;
  } catch {
    // The machine's thread says what is wrong with a file that cannot be read. A cache that cannot be written costs the guest's time.
    return path;
  }
}

/** The vmlinux of a bzImage; empty where the bzImage has to unpack itself. */
async function unpack(image: Uint8Array): Promise<Uint8Array> {
  const [{ extractVmlinux, isPayload }, { decompress }] = await Promise.all([
    import("../../machine/boot/index.ts"),
    import("./archives.ts"),
  ]);
  try {
    const vmlinux = await extractVmlinux(image, {
      gzip: (packed, size) => decompress("gzip", packed, size),
      xz: (packed, size) => decompress("xz", packed, size),
      zstd: (packed, size) => decompress("zstd", packed, size),
    });
    if (isPayload(vmlinux)) return vmlinux;
  } catch {
    // It is damaged, or packed in a way that is not known here: its own code may know better.
  }
  return new Uint8Array(0);
}

async function keep(path: string, content: Uint8Array): Promise<void> {
  const directory = dirname(path);
  await mkdir(directory, { recursive: true });
  const temporary = join(directory, `${TEMPORARY}${process.pid}`);
  try {
    await writeFile(temporary, content);
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
  const names = (await readdir(directory)).filter((name) => !name.startsWith(TEMPORARY));
  const files = await Promise.all(
    names.map(async (name) => ({ name, used: (await stat(join(directory, name))).mtimeMs })),
  );
  files.sort((a, b) => b.used - a.used);
  for (const { name } of files.slice(KEPT)) await rm(join(directory, name), { force: true });
}
