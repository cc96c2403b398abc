import { VivError } from "../base/index.ts";
import { debData } from "./deb.ts";
import { DEFAULT_GUEST, type GuestDeclaration, type GuestPart } from "./guest/declaration.ts";
import { initramfs } from "./initramfs.ts";
import type {
  Archives,
  ImageManifest,
  ImageStore,
  PackageClient,
  PackageRecord,
  ProgressListener,
  StoredImage,
} from "./ports.ts";

/**
 * Builds the default guest out of the distribution's packages. What is kept is what the packages gave: the kernel, its
 * configuration and busybox; the initramfs is made of them anew at each start, so that it always fits this program.
 */
export interface GuestPorts {
  readonly packages: PackageClient;
  readonly archives: Archives;
  readonly store: ImageStore;
  /** Milliseconds since 1970. */
  readonly wallTime: () => number;
}

/** What is to be said of a guest beside its files. */
export interface GuestIndex {
  readonly name: string;
  readonly version: string;
  readonly kernelCommandLine: string;
}

export interface Guest extends GuestIndex {
  /** The path of the kernel's file. */
  readonly kernel: string;
  readonly initrd: Uint8Array;
}

export interface BuildOptions {
  readonly progress?: ProgressListener;
  /** Asks the distribution for its newest packages even where an image is there. */
  readonly refresh?: boolean;
}

/** The default guest, ready to boot; built first where this user has none yet. */
export async function buildDefaultGuest(ports: GuestPorts, options: BuildOptions = {}): Promise<Guest> {
  const declaration = DEFAULT_GUEST;
  const image = await storedOrBuilt(declaration, ports, options);
  return {
    name: declaration.name,
    version: image.manifest.version,
    kernel: image.pathOf("kernel"),
    initrd: initramfs(declaration, await image.read("busybox")),
    kernelCommandLine: declaration.kernelCommandLine.join(" "),
  };
}

/** All images of this user, the newest first. */
export async function listImages(store: ImageStore): Promise<readonly StoredImage[]> {
  return [...(await store.list())].sort((a, b) => b.manifest.built - a.manifest.built);
}

/** Removes every version of an image, or one named as `name@version`. */
export async function removeImage(store: ImageStore, which: string): Promise<readonly ImageManifest[]> {
  const [name, version] = which.split("@", 2);
  const found = (await store.list()).filter(
    ({ manifest }) => manifest.name === name && (version === undefined || manifest.version === version),
  );
  if (found.length === 0) {
    throw new VivError("image.not-found", `no image "${which}" here: "viv image ls" lists those that are`);
  }
  for (const image of found) await store.remove(image);
  return found.map((image) => image.manifest);
}

async function newest(guest: GuestDeclaration, store: ImageStore): Promise<StoredImage | undefined> {
  return (await listImages(store)).find((image) => image.manifest.name === guest.name);
}

async function storedOrBuilt(guest: GuestDeclaration, ports: GuestPorts, options: BuildOptions): Promise<StoredImage> {
  const refresh = options.refresh === true;
  const here = refresh ? undefined : await newest(guest, ports.store);
  if (here) return here;
  return ports.store.exclusively(async () => {
    // Another process may have built it while this one waited.
    const meanwhile = refresh ? undefined : await newest(guest, ports.store);
    if (meanwhile) return meanwhile;
    const progress = options.progress ?? (() => undefined);
    if (refresh) await ports.packages.refresh(progress);
    try {
      return await build(guest, ports, progress);
    } catch (error) {
      if (refresh || !(error instanceof VivError) || error.code !== "guest.package-gone") throw error;
      await ports.packages.refresh(progress);
      return build(guest, ports, progress);
    }
  });
}

async function build(guest: GuestDeclaration, ports: GuestPorts, progress: ProgressListener): Promise<StoredImage> {
  const known = new Map<string, Promise<PackageRecord>>();
  const show = (name: string): Promise<PackageRecord> => {
    const record = known.get(name) ?? ports.packages.show(name, progress);
    known.set(name, record);
    return record;
  };
  /** The parts of each package that holds files. */
  const sources = new Map<string, { record: PackageRecord; parts: GuestPart[] }>();
  for (const part of guest.parts) {
    const record = await resolve(part, show);
    const source = sources.get(record.name);
    if (source) source.parts.push(part);
    else sources.set(record.name, { record, parts: [part] });
  }
  const records = [...sources.values()].map(({ record }) => record);
  const packages = Object.fromEntries(records.map((r) => [r.name, r.version]));
  const version = records.map((r) => r.version).join("_");
  const same = (await ports.store.list()).find(
    ({ manifest }) => manifest.name === guest.name && manifest.version === version,
  );
  if (same) return same;

  const files = new Map<string, Uint8Array>();
  for (const { record, parts } of sources.values()) {
    const deb = await ports.packages.fetch(record, progress);
    for (const [name, data] of await unpack(record, parts, deb, ports.archives, progress)) files.set(name, data);
  }
  progress({ stage: "store", item: guest.name, done: 0, total: 1 });
  const stored = await ports.store.put({ name: guest.name, version, packages, built: ports.wallTime() }, files);
  progress({ stage: "store", item: guest.name, done: 1, total: 1 });
  return stored;
}

/** The package that holds a part's files: the one named, or the dependency it stands for. */
async function resolve(part: GuestPart, show: (name: string) => Promise<PackageRecord>): Promise<PackageRecord> {
  const named = await show(part.package);
  const { dependency } = part;
  if (dependency === undefined) return named;
  const target = named.depends.find((name) => dependency.test(name));
  if (target === undefined) {
    const reason = `${part.package} ${named.version} depends on no package that is a kernel`;
    throw new VivError("guest.package-missing", `${reason}: name a kernel of your own with --kernel and --initrd`);
  }
  return show(target);
}

async function unpack(
  record: PackageRecord,
  parts: readonly GuestPart[],
  deb: Uint8Array,
  archives: Archives,
  progress: ProgressListener,
): Promise<ReadonlyMap<string, Uint8Array>> {
  const { tar, compression } = debData(deb, record.name);
  const wanted = (path: string): string | undefined =>
    parts.find((part) => part.path.test(path.replace(/^\.?\//, "")))?.file;
  let files: ReadonlyMap<string, Uint8Array>;
  try {
    files = await archives.extract(tar, compression, wanted, parts.length, (done) =>
      progress({ stage: "unpack", item: record.name, done, total: tar.length }),
    );
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const message = `${record.name}: the package cannot be unpacked (${reason}); try again with "viv image build"`;
    throw new VivError("guest.package-broken", message, { cause });
  }
  const missing = parts.find((part) => !files.has(part.file));
  if (missing) {
    const message = `${record.name} ${record.version} holds no ${missing.file}: name a kernel with --kernel and --initrd`;
    throw new VivError("guest.package-broken", message);
  }
  progress({ stage: "unpack", item: record.name, done: tar.length, total: tar.length });
  return files;
}
