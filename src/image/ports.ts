import type { Compression } from "./deb.ts";

/** The ports through which an image is built and kept. `sys/` implements them. */

/** One step of building an image, for a progress bar. `total` is 0 where nobody knows it. */
export interface Progress {
  readonly stage: "lists" | "download" | "unpack" | "store";
  /** What is worked on: a package's name. */
  readonly item: string;
  readonly done: number;
  readonly total: number;
}
export type ProgressListener = (progress: Progress) => void;

export interface PackageRecord {
  readonly name: string;
  readonly version: string;
  /** Names of packages, without versions; of alternatives the first. */
  readonly depends: readonly string[];
  /** Bytes of the package file. */
  readonly size: number;
}

/** The system's package client. */
export interface PackageClient {
  /** What the distribution has under this name. Throws `guest.package-missing` where it has nothing. */
  show(name: string, progress: ProgressListener): Promise<PackageRecord>;
  /** The package file. Throws `guest.package-gone` where the distribution has replaced it since its lists were read. */
  fetch(record: PackageRecord, progress: ProgressListener): Promise<Uint8Array>;
  /** Reads the distribution's lists anew. */
  refresh(progress: ProgressListener): Promise<void>;
}

export interface Archives {
  /**
   * The regular files of a tar archive for which `wanted` answers with a name, under those names. Stops reading once
   * it has `count` of them. `progress` is told how much of `data` was read.
   */
  extract(
    data: Uint8Array,
    compression: Compression,
    wanted: (path: string) => string | undefined,
    count: number,
    progress: (done: number) => void,
  ): Promise<ReadonlyMap<string, Uint8Array>>;
}

/** What is kept with an image's files. */
export interface ImageManifest {
  readonly name: string;
  /** Names the packages' versions: the same version is the same image. */
  readonly version: string;
  readonly packages: Readonly<Record<string, string>>;
  /** Milliseconds since 1970. */
  readonly built: number;
}

export interface StoredImage {
  readonly manifest: ImageManifest;
  /** Bytes on disk. */
  readonly size: number;
  /** Where the user finds it. */
  readonly location: string;
  read(file: string): Promise<Uint8Array>;
  /** The path of one of its files. */
  pathOf(file: string): string;
}

/** Images on disk. What is in it is whole: an image appears and disappears at once. */
export interface ImageStore {
  list(): Promise<readonly StoredImage[]>;
  put(manifest: ImageManifest, files: ReadonlyMap<string, Uint8Array>): Promise<StoredImage>;
  remove(image: StoredImage): Promise<void>;
  /** Runs `work` while no other process does the same with this store. */
  exclusively<T>(work: () => Promise<T>): Promise<T>;
}
