import { Readable } from "node:stream";
import { ReadableStream } from "node:stream/web";
import { createGunzip } from "node:zlib";
import { Decompress } from "fzstd";
import { createTarDecoder } from "modern-tar";
import xzDecompress from "xz-decompress";
import { VivError } from "../../base/index.ts";
import type { Archives, Compression } from "../../image/index.ts";

/** How much is decompressed at a time. */
const CHUNK = 256 * 1024;
/** No file of a guest is larger. Stops a broken or malicious package from filling the host's memory. */
const MAX_FILE = 256 * 1024 * 1024;

type Bytes = Uint8Array<ArrayBuffer>;
type Source = ReadableStream<Bytes>;

const DECOMPRESSORS: Readonly<Record<Compression, (compressed: Source) => Source>> = {
  none: (compressed) => compressed,
  gzip: (compressed) => Readable.toWeb(Readable.fromWeb(compressed).pipe(createGunzip())) as Source,
  xz: (compressed) => new xzDecompress.XzReadableStream(compressed as never) as unknown as Source,
  zstd,
};

/** Unpacks tar archives as a stream, and stops where it has what is wanted. */
export const archives: Archives = {
  async extract(data, compression, wanted, count, progress) {
    const files = new Map<string, Uint8Array>();
    const entries = DECOMPRESSORS[compression](chunks(data, progress)).pipeThrough(createTarDecoder() as never);
    for await (const { header, body } of entries as ReadableStream<TarEntry>) {
      const name = header.type === "file" ? wanted(header.name) : undefined;
      if (name === undefined) {
        // Read and dropped: modern-tar 0.8 reads ahead, and to cancel one body may lose the next.
        for await (const _ of body);
        continue;
      }
      files.set(name, await whole(body, header.size, header.name));
      if (files.size === count) break;
    }
    return files;
  },
};

/** The whole of a compressed stream, which comes to `size` bytes. */
export async function decompress(compression: Compression, data: Uint8Array, size: number): Promise<Uint8Array> {
  return whole(
    DECOMPRESSORS[compression](chunks(data, () => undefined)) as ReadableStream<Uint8Array>,
    size,
    compression,
  );
}

interface TarEntry {
  readonly header: { readonly name: string; readonly size: number; readonly type?: string };
  readonly body: ReadableStream<Uint8Array>;
}

async function whole(body: ReadableStream<Uint8Array>, size: number, path: string): Promise<Uint8Array> {
  if (size > MAX_FILE) throw new VivError("guest.package-broken", `${path} is larger than any file of a guest`);
  const out = new Uint8Array(size);
  let at = 0;
  for await (const chunk of body) {
    out.set(chunk, at);
    at += chunk.length;
  }
  if (at !== size) throw new VivError("guest.package-broken", `${path} is cut short`);
  return out;
}

function chunks(data: Uint8Array, progress: (done: number) => void): Source {
  let at = 0;
  return new ReadableStream<Bytes>({
    pull(controller) {
      progress(at);
      if (at >= data.length) return controller.close();
      controller.enqueue(data.slice(at, at + CHUNK));
      at += CHUNK;
    },
  });
}

function zstd(compressed: Source): Source {
  const reader = compressed.getReader();
  let push: (data: Uint8Array) => void = () => undefined;
  const decoder = new Decompress((data) => push(data));
  return new ReadableStream<Bytes>({
    start(controller) {
      push = (data) => {
        if (data.length > 0) controller.enqueue(data.slice());
      };
    },
    async pull(controller) {
      const { value, done } = await reader.read();
      decoder.push(value ?? new Uint8Array(0), done);
      if (done) controller.close();
    },
    cancel: (reason) => reader.cancel(reason),
  });
}
