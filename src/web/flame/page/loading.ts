/** The profile out of the page: base64, deflated (RFC 1951), packed. */
import { VivError } from "../../../base/errors.ts";
import type { FlameData } from "../../../perf/flame/data.ts";
import { unpack } from "../../../perf/flame/packing.ts";
import { DATA_ELEMENT, DEFLATED } from "../../../perf/html.ts";

/** Characters decoded at a time: a multiple of four. */
const CHUNK = 1 << 20;

function decoded(text: string): Uint8Array<ArrayBuffer> {
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  const bytes = new Uint8Array(Math.max(0, (text.length / 4) * 3 - padding));
  let to = 0;
  for (let from = 0; from < text.length; from += CHUNK) {
    const part = atob(text.slice(from, from + CHUNK));
    for (let at = 0; at < part.length; at++) bytes[to++] = part.charCodeAt(at);
  }
  return bytes;
}

async function inflated(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

export async function loadData(): Promise<FlameData> {
  const element = document.getElementById(DATA_ELEMENT);
  if (element === null) throw new VivError("flame.data", "the page has no profile in it: it was not saved as a whole");
  const bytes = decoded(element.textContent);
  const packed = element.getAttribute("type") === DEFLATED ? await inflated(bytes) : bytes;
  // Several megabytes that nobody reads again.
  element.remove();
  return unpack(packed);
}
