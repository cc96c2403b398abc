/** Parts as one gzip stream: what readers of pprof expect. */
import { Readable } from "node:stream";
import { createGzip } from "node:zlib";

export const gzipped = (parts: Iterable<Uint8Array>): AsyncIterable<Uint8Array> =>
  Readable.from(parts).pipe(createGzip()) as AsyncIterable<Uint8Array>;
