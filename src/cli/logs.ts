/** `viv logs NAME`. */
import { forTerminal } from "../guest/escape.ts";
import { connectGuest } from "../sys/node/registry/guests.ts";
import { EXIT } from "./exit-status.ts";
import { writeTo } from "./output.ts";

export async function logsCommand(name: string, { follow }: { follow: boolean }): Promise<number> {
  const guest = await connectGuest(name);
  const closed = new Promise<void>((resolve) => {
    process.stdout.once("error", () => resolve());
  });
  const { stdout } = process;
  const show = stdout.isTTY ? terminalText() : (data: Uint8Array) => data;
  const written = guest
    .logs((data) => writeTo(stdout, show(data)), { follow })
    .then((missing) => {
      if (missing > 0) process.stderr.write(`viv: ${missing} bytes of the console's output are not kept any more\n`);
    });
  await Promise.race([written, closed]);
  guest.disconnect();
  return EXIT.ok;
}

/** Lines and tabs stay what they are. */
export const asText = (text: string): string => text.replace(/[^\n\t]+/g, forTerminal);

/** What was printed for a terminal then is only text now: it may be anything, and moves no cursor. */
function terminalText(): (data: Uint8Array) => Uint8Array {
  const decoder = new TextDecoder();
  const encoder = new TextEncoder();
  return (data) => encoder.encode(asText(decoder.decode(data, { stream: true }).replaceAll("\r\n", "\n")));
}
