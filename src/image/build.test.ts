import { describe, expect, it } from "vitest";
import { VivError } from "../base/index.ts";
import { buildDefaultGuest, type GuestPorts, listImages, removeImage } from "./build.ts";
import { consoleParameters } from "./console.ts";
import type { ImageManifest, PackageRecord, Progress, StoredImage } from "./ports.ts";
import { utf8 } from "./text.ts";

/** A distribution of a few packages, in memory; a "tar" is lines of path=content. */
class Distribution {
  readonly asked: string[] = [];
  refreshed = 0;
  readonly packages = new Map<string, PackageRecord & { readonly files: Record<string, string> }>();
  readonly images: StoredImage[] = [];
  clock = 1000;
  /** Packages that were replaced since the lists were read. */
  readonly gone = new Set<string>();

  constructor() {
    this.add("linux-image-cloud-amd64", "6.1.9-1", {}, ["linux-image-6.1.0-9-cloud-amd64"]);
    this.add("linux-image-6.1.0-9-cloud-amd64", "6.1.9-1", {
      "./boot/System.map-6.1.0-9-cloud-amd64": "map",
      "./boot/config-6.1.0-9-cloud-amd64": "the config",
      "./boot/vmlinuz-6.1.0-9-cloud-amd64": "the kernel",
    });
    this.add("busybox-static", "1:1.35", { "./bin/busybox": "the busybox" });
  }

  add(name: string, version: string, files: Record<string, string>, depends: string[] = []): void {
    this.packages.set(name, { name, version, depends, size: 10, files });
  }

  readonly ports: GuestPorts = {
    wallTime: () => this.clock++,
    packages: {
      show: async (name) => {
        this.asked.push(`show ${name}`);
        const found = this.packages.get(name);
        if (!found) throw new VivError("guest.package-missing", name);
        return found;
      },
      fetch: async ({ name }) => {
        this.asked.push(`fetch ${name}`);
        if (this.gone.has(name)) throw new VivError("guest.package-gone", name);
        const tar = JSON.stringify(this.packages.get(name)!.files);
        const header = `data.tar.xz     ${"0".padEnd(32)}${String(tar.length).padEnd(10)}\`\n`;
        return utf8(`!<arch>\n${header}${tar}`);
      },
      refresh: async () => {
        this.refreshed++;
        this.gone.clear();
      },
    },
    archives: {
      extract: async (data, compression, wanted, count, progress) => {
        expect([compression, count > 0]).toEqual(["xz", true]);
        progress(data.length);
        const files = Object.entries<string>(JSON.parse(Buffer.from(data).toString()));
        return new Map(
          files.flatMap(([path, content]) => {
            const name = wanted(path);
            return name === undefined ? [] : [[name, utf8(content)]];
          }),
        );
      },
    },
    store: {
      list: async () => this.images,
      put: async (manifest: ImageManifest, files: ReadonlyMap<string, Uint8Array>) => {
        const read = async (file: string) => files.get(file)!;
        const location = `/images/${manifest.version}`;
        const image = { manifest, size: 1, location, read, pathOf: (file: string) => `${location}/${file}` };
        this.images.push(image);
        return image;
      },
      remove: async (image) => {
        this.images.splice(this.images.indexOf(image), 1);
      },
      exclusively: (work) => work(),
    },
  };
}

describe("the default guest", () => {
  it("is built from the packages the first time, and only read from then on", async () => {
    const debian = new Distribution();
    const progress: Progress[] = [];
    const guest = await buildDefaultGuest(debian.ports, { progress: (p) => progress.push(p) });
    expect(guest.kernel).toBe("/images/6.1.9-1_1:1.35/kernel");
    expect(Buffer.from(await debian.images[0]!.read("kernel")).toString()).toBe("the kernel");
    expect(Buffer.from(guest.initrd).includes("the busybox")).toBe(true);
    expect(guest.version).toBe("6.1.9-1_1:1.35");
    expect(guest.kernelCommandLine).toContain("console=ttyS0");
    expect(debian.images[0]!.manifest.packages).toEqual({
      "linux-image-6.1.0-9-cloud-amd64": "6.1.9-1",
      "busybox-static": "1:1.35",
    });
    expect(new Set(progress.map((p) => p.stage))).toEqual(new Set(["unpack", "store"]));
    expect(progress.every((p) => p.done <= p.total)).toBe(true);

    debian.asked.length = 0;
    expect(await buildDefaultGuest(debian.ports)).toEqual(guest);
    expect(debian.asked).toEqual([]);
  });

  it("fetches each package once", async () => {
    const debian = new Distribution();
    await buildDefaultGuest(debian.ports);
    expect(debian.asked.length).toBe(new Set(debian.asked).size);
  });

  it("is built again on request, where the distribution has something newer", async () => {
    const debian = new Distribution();
    await buildDefaultGuest(debian.ports);
    await buildDefaultGuest(debian.ports, { refresh: true });
    expect([debian.images.length, debian.refreshed]).toEqual([1, 1]);
    debian.add("busybox-static", "1:1.36", { "./usr/bin/busybox": "newer" });
    const guest = await buildDefaultGuest(debian.ports, { refresh: true });
    expect([guest.version, debian.images.length]).toEqual(["6.1.9-1_1:1.36", 2]);
    expect((await listImages(debian.ports.store))[0]!.manifest.version).toBe(guest.version);
    expect((await buildDefaultGuest(debian.ports)).version).toBe(guest.version);
  });

  it("reads the lists anew, once, where they were stale", async () => {
    const debian = new Distribution();
    debian.gone.add("linux-image-6.1.0-9-cloud-amd64");
    expect((await buildDefaultGuest(debian.ports)).version).toBe("6.1.9-1_1:1.35");
    expect(debian.refreshed).toBe(1);
  });

  it("says what is wrong with a package", async () => {
    const noKernel = new Distribution();
    noKernel.add("linux-image-cloud-amd64", "9", {}, ["linux-headers"]);
    await expect(buildDefaultGuest(noKernel.ports)).rejects.toMatchObject({ code: "guest.package-missing" });
    const noBusybox = new Distribution();
    noBusybox.add("busybox-static", "1", { "./bin/other": "" });
    await expect(buildDefaultGuest(noBusybox.ports)).rejects.toMatchObject({ code: "guest.package-broken" });
    expect(noBusybox.images).toEqual([]);
  });

  it("is removed by name, or one version of it", async () => {
    const debian = new Distribution();
    await buildDefaultGuest(debian.ports);
    debian.add("busybox-static", "1:1.36", { "./bin/busybox": "newer" });
    await buildDefaultGuest(debian.ports, { refresh: true });
    const { store } = debian.ports;
    await expect(removeImage(store, "default@1")).rejects.toMatchObject({ code: "image.not-found" });
    expect((await removeImage(store, "default@6.1.9-1_1:1.35")).length).toBe(1);
    expect((await removeImage(store, "default")).map((m) => m.version)).toEqual(["6.1.9-1_1:1.36"]);
    await expect(removeImage(store, "default")).rejects.toMatchObject({ code: "image.not-found" });
  });
});

describe("the console's parameters", () => {
  it("name size and terminal, and let nothing else onto the kernel command line", () => {
    expect(consoleParameters({ rows: 24, columns: 80, term: "xterm-256color" })).toBe(
      "vivarium_console=24x80 TERM=xterm-256color",
    );
    expect(consoleParameters({ rows: Number.NaN, columns: -3, term: "x init=/bin/evil" })).toBe(
      "vivarium_console=1x1 TERM=vt100",
    );
  });
});
