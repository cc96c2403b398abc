/** The keys `viv` keeps for itself while a guest has the terminal: Ctrl-A and one more, as with QEMU's console. */

const PREFIX = 0x01;

export type KeyCommand = "leave" | "help";

/** The key that leaves: `viv run` has a machine to switch off, `viv attach` a guest that goes on. */
const LEAVE = { run: "x", attach: "d" } as const;

export const keyHelp = (use: keyof typeof LEAVE): readonly string[] => [
  use === "run" ? "Ctrl-A X       leave: switch the machine off" : "Ctrl-A D       detach: the guest goes on",
  "Ctrl-A H       this help",
  "Ctrl-A Ctrl-A  send Ctrl-A",
];

export class EscapeKeys {
  readonly #commands: Readonly<Record<string, KeyCommand>>;
  #prefixed = false;

  constructor(use: keyof typeof LEAVE) {
    this.#commands = { [LEAVE[use]]: "leave", h: "help" };
  }

  /** Splits what was typed into what the guest gets and what is ours. Ctrl-A and any other key go to the guest both. */
  push(data: Uint8Array): { readonly pass: Uint8Array; readonly commands: readonly KeyCommand[] } {
    const pass: number[] = [];
    const commands: KeyCommand[] = [];
    for (const byte of data) {
      if (!this.#prefixed) {
        if (byte === PREFIX) this.#prefixed = true;
        else pass.push(byte);
        continue;
      }
      this.#prefixed = false;
      const command = this.#commands[String.fromCharCode(byte).toLowerCase()];
      if (command !== undefined) commands.push(command);
      else if (byte === PREFIX) pass.push(PREFIX);
      else pass.push(PREFIX, byte);
    }
    return { pass: Uint8Array.from(pass), commands };
  }
}
