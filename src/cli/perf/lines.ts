/** Long texts on standard output: at the reader's pace, and no further than it reads. */
import { writeTo } from "../output.ts";

/** Characters that are written at once. */
const CHUNK = 64 * 1024;

export async function printLines(lines: Iterable<string>): Promise<void> {
  const { stdout } = process;
  let chunk = "";
  for (const line of lines) {
    chunk += `${line}\n`;
    if (chunk.length < CHUNK) continue;
    await writeTo(stdout, Buffer.from(chunk));
    chunk = "";
    if (stdout.destroyed) return;
  }
  await writeTo(stdout, Buffer.from(chunk));
}
