/** `viv attach NAME`: a guest's console on this terminal. */
import type { ReadStream } from "node:tty";
import { VivError } from "../base/errors.ts";
import { connectGuest } from "../sys/node/registry/guests.ts";
import { Terminal } from "../sys/node/terminal.ts";
import { EscapeKeys, keyHelp } from "./escape-keys.ts";
import { EXIT, statusOfEnd } from "./exit-status.ts";
import { watchSignals } from "./interruption.ts";
import { writeTo } from "./output.ts";

export async function attachCommand(name: string): Promise<number> {
  const { stdin, stdout, stderr } = process;
  const say = (text: string): void => void stderr.write(`viv: ${text}\n`);
  const interactive = stdin.isTTY;
  const guest = await connectGuest(name);
  const terminal = new Terminal(stdin as ReadStream, stdout);
  const interruption = watchSignals();
  const keys = interactive ? new EscapeKeys("attach") : undefined;
  let detach = (): void => undefined;

  async function* typed(): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const data of stdin as AsyncIterable<Uint8Array>) {
      if (!keys) {
        yield data;
        continue;
      }
      const { pass, commands } = keys.push(data);
      for (const command of commands) {
        if (command === "leave") detach();
        else stderr.write(["", ...keyHelp("attach"), ""].join("\r\n"));
      }
      if (pass.length > 0) yield pass;
    }
  }

  if (interactive) say(`attached to ${guest.name}; Ctrl-A D detaches, Ctrl-A H for help`);
  const attachment = guest.attach({
    onOutput: (data) => writeTo(stdout, data),
    keys: typed(),
    ...(interactive ? { size: terminal.size } : {}),
  });
  detach = attachment.detach;
  interruption.listen(() => attachment.detach());
  stdout.once("error", () => attachment.detach());
  try {
    if (interactive) {
      terminal.onResize((size) => attachment.resize(size));
      terminal.enterRaw();
    }
    const { reason, status, consoleStatus } = await attachment.end;
    terminal.leaveRaw();
    if (interactive) stdout.write("\n");
    return statusOfEnd({ reason, status }, consoleStatus, say);
  } catch (error) {
    terminal.leaveRaw();
    if (!(error instanceof VivError && error.code === "control.cancelled")) throw error;
    if (interactive) stdout.write("\n");
    return interruption.status || EXIT.ok;
  } finally {
    terminal.leaveRaw();
    interruption.end();
    guest.disconnect();
  }
}
