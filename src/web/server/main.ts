/** `npm run page [-- PORT]`: serves the page with the default guest until it is interrupted. */
import { VivError } from "../../base/index.ts";
import { buildDefaultGuest } from "../../image/index.ts";
import { guestPorts } from "../../sys/node/index.ts";
import { servePage } from "./server.ts";

const PORT = 8086;

const [argument] = process.argv.slice(2);
try {
  const port = argument === undefined ? PORT : Number(argument);
  if (!Number.isInteger(port) || port < 0 || port > 0xffff) {
    throw new VivError("page.port", `"${argument}" is no port: give a number from 0, for one that is free, to 65535`);
  }
  const { url } = await servePage({ port, guest: await buildDefaultGuest(guestPorts()) });
  process.stdout.write(`${url}\n`);
} catch (error) {
  if (!(error instanceof VivError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
