/** `viv image ls|build|rm`. */
import { buildDefaultGuest, type ImageStore, listImages, removeImage, type StoredImage } from "../image/index.ts";
import { guestPorts } from "../sys/node/guest.ts";
import { EXIT } from "./exit-status.ts";
import { columns } from "./output.ts";
import { progressDisplay } from "./progress.ts";

const MIB = 1024 * 1024;

const store = (): ImageStore => guestPorts().store;

const record = ({ manifest, size, location }: StoredImage): Record<string, unknown> => ({
  name: manifest.name,
  version: manifest.version,
  built: new Date(manifest.built).toISOString(),
  size,
  location,
  packages: manifest.packages,
});

export async function listCommand({ json }: { json: boolean }): Promise<number> {
  const images = await listImages(store());
  if (json) {
    process.stdout.write(`${JSON.stringify(images.map(record), null, 2)}\n`);
    return EXIT.ok;
  }
  if (images.length === 0) {
    process.stderr.write("viv: no images yet; the first viv run builds one, or viv image build\n");
    return EXIT.ok;
  }
  const rows = images.map(({ manifest, size }) => [
    manifest.name,
    manifest.version,
    new Date(manifest.built).toISOString().slice(0, 16).replace("T", " "),
    `${Math.ceil(size / MIB)} MiB`,
  ]);
  process.stdout.write(columns([["NAME", "VERSION", "BUILT", "SIZE"], ...rows]));
  return EXIT.ok;
}

export async function buildCommand({ quiet, json }: { quiet: boolean; json: boolean }): Promise<number> {
  const progress = progressDisplay(process.stderr);
  const silent = quiet || json;
  try {
    const guest = await buildDefaultGuest(guestPorts(), {
      refresh: true,
      ...(silent ? {} : { progress: progress.listener }),
    });
    progress.end();
    if (json) process.stdout.write(`${JSON.stringify({ name: guest.name, version: guest.version }, null, 2)}\n`);
    else if (!quiet) process.stdout.write(`${guest.name}@${guest.version}\n`);
    return EXIT.ok;
  } finally {
    progress.end();
  }
}

export async function removeCommand(images: readonly string[]): Promise<number> {
  for (const image of images) {
    for (const { name, version } of await removeImage(store(), image)) process.stdout.write(`${name}@${version}\n`);
  }
  return EXIT.ok;
}
