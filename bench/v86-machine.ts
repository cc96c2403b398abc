/** Runs the bare kernel in v86, its serial line on standard output. Takes the kernel, its command line and MiB of memory. */
import { readFileSync, writeSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { V86 } from "v86";

const [kernel, commandLine, memory] = process.argv.slice(2) as [string, string, string];
const package_ = dirname(createRequire(import.meta.url).resolve("v86"));
const decoder = new TextDecoder();
let line: number[] = [];

const machine = new V86({
  wasm_path: join(package_, "v86.wasm"),
  memory_size: Number(memory) * 2 ** 20,
  vga_memory_size: 2 ** 20,
  disable_speaker: true,
  autostart: true,
  // Without a BIOS: the Multiboot kernel is entered at once.
  multiboot: { buffer: Uint8Array.from(readFileSync(kernel)).buffer },
  cmdline: commandLine,
});
machine.add_listener("serial0-output-byte", (byte: number) => {
  line.push(byte);
  if (byte !== 0x0a) return;
  writeSync(1, decoder.decode(Uint8Array.from(line)));
  line = [];
});
