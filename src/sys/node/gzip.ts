/** gzip around what a writer gives part by part. */
import { Readable } from "node:stream";
import { createGzip } from "node:zlib";

export async function* gzip(parts: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  // Errors of the source end the pipe, and reach whoever reads it.
  const packed = createGzip();
  const source = Readable.from(parts, { objectMode: true });
  source.on("error", (error) => packed.destroy(error));
  yield* source.pipe(packed) as AsyncIterable<Uint8Array>;
}
