/** Files by URL. */
import { VivError } from "../../base/index.ts";

const failed = (url: string, what: string, reason: string, cause?: unknown): VivError =>
  new VivError("file.not-found", `${what} ${url}: ${reason}`, { cause });

async function request(url: string, what: string): Promise<Response> {
  try {
    return await fetch(url);
  } catch (cause) {
    // The browser tells the page no more than that (Fetch, 5.1), and its console the reason.
    throw failed(url, what, "the server cannot be reached, or does not let this page read it", cause);
  }
}

/** The whole of a file. `what` names it in messages. */
export async function readUrl(url: string, what: string): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = await readUrlIfThere(url, what);
  if (bytes === undefined) throw failed(url, what, "the server has no such file");
  return bytes;
}

/** The same, for a file that need not be there. */
export async function readUrlIfThere(url: string, what: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const response = await request(url, what);
  if (response.status === 404) return undefined;
  if (!response.ok) throw failed(url, what, `the server answers with status ${response.status}`);
  try {
    return new Uint8Array(await response.arrayBuffer());
  } catch (cause) {
    throw failed(url, what, "it does not arrive whole", cause);
  }
}
