/**
 * The page: a machine's console in a terminal. The page's query string configures the machine, with the names that the
 * library's options have: ?memory=256M, or ?kernel=URL&initrd=URL&append=TEXT.
 */
import { FitAddon } from "@xterm/addon-fit";
import { Terminal } from "@xterm/xterm";
import { describeEnd, type MachineConfig, requireBrowser, VivError, Vm } from "../../sys/browser/index.ts";

declare global {
  interface Window {
    /** The running machine, for the console of the browser's developer tools. */
    vivarium?: Vm;
  }
}

const INTERPRETER = "engine/interpreter.wasm";
/** Terminfo's name for what xterm.js is. */
const TERM = "xterm-256color";

const element = (id: string): HTMLElement => {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the document has no #${id}`);
  return found;
};

function say(text: string, failed = false): void {
  const line = element("status");
  line.textContent = text;
  line.classList.toggle("failed", failed);
}

/** What the user can mend is said in its own words, anything else with its kind. */
const messageOf = (error: unknown): string => (error instanceof VivError ? error.message : String(error));

function openTerminal(): Terminal {
  const terminal = new Terminal({ cursorBlink: true, fontFamily: "ui-monospace, monospace", fontSize: 14 });
  const fit = new FitAddon();
  terminal.loadAddon(fit);
  terminal.open(element("terminal"));
  fit.fit();
  addEventListener("resize", () => fit.fit());
  terminal.focus();
  return terminal;
}

/** Brings bytes and the window's size from one to the other. */
function connect(terminal: Terminal, vm: Vm): void {
  vm.console.listen((data) => new Promise((resolve) => terminal.write(data.slice(), resolve)));
  const encoder = new TextEncoder();
  const type = (data: Uint8Array): void => void vm.console.write(data).catch(() => undefined);
  terminal.onData((text) => type(encoder.encode(text)));
  // Mouse reports of the old kind: characters that stand for one byte each.
  terminal.onBinary((text) => type(Uint8Array.from(text, (c) => c.charCodeAt(0))));
  terminal.onResize(({ rows, cols }) => vm.resize(rows, cols));
}

async function run(): Promise<void> {
  requireBrowser();
  const terminal = openTerminal();
  const config = Object.fromEntries(new URLSearchParams(location.search)) as MachineConfig;
  say("starting");
  const vm = await Vm.start({
    ...config,
    interpreter: INTERPRETER,
    console: { rows: terminal.rows, columns: terminal.cols, term: TERM },
  });
  window.vivarium = vm;
  connect(terminal, vm);
  say("running");
  const end = await vm.wait();
  await vm.console.drained();
  say(`The machine has ended: ${describeEnd(end)}. Load the page again to start it anew.`);
}

try {
  await run();
} catch (error) {
  say(messageOf(error), true);
}
