/** Who is measured, and how each is told to run the program. */
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Program } from "./program.ts";

export const CONTENDERS = ["native", "vivarium", "qemu"] as const;
export type Contender = (typeof CONTENDERS)[number];
/** Those that boot a kernel. */
export const MACHINES = ["vivarium", "qemu"] as const;
export type MachineContender = (typeof MACHINES)[number];

export const GUEST_MEMORY_MIB = 512;
const QEMU = "qemu-system-x86_64";
/** No device but what the program needs, so that QEMU's boot is as short as it can be. */
const QEMU_FLAGS =
  `-accel tcg -cpu qemu64 -m ${GUEST_MEMORY_MIB} -nodefaults -no-user-config -no-reboot -display none -serial stdio`.split(
    " ",
  );
const VIV = fileURLToPath(new URL("../cli/main.js", import.meta.url));
const VIV_FLAGS = ["run", "-q", "-m", `${GUEST_MEMORY_MIB}M`];

export interface Subject {
  readonly program: Program;
  readonly kernel: string;
  /** Given to the Node that runs Vivarium: V8's flags, a profiler. */
  readonly nodeFlags: readonly string[];
}

/** Both machines get the same; what follows "--" the kernel hands to init as arguments. */
export const kernelCommandLine = (args: readonly string[]): string =>
  ["console=ttyS0,115200", "quiet", "panic=-1", "--", ...args].join(" ");

/** The command that runs the program with `args`. */
export function commandOf(
  contender: Contender,
  { program, kernel, nodeFlags }: Subject,
  args: readonly string[],
): string[] {
  const append = kernelCommandLine(args);
  switch (contender) {
    case "native":
      return [program.path, ...args];
    case "vivarium":
      return [process.execPath, ...nodeFlags, VIV, ...VIV_FLAGS, "--kernel", kernel].concat(
        ["--initrd", program.initrd],
        ["--append", append],
      );
    case "qemu":
      return [QEMU, ...QEMU_FLAGS, "-kernel", kernel, "-initrd", program.initrd, "-append", append];
  }
}

export const qemuVersion = (): string => /version ([^\n]*)/.exec(execFileSync(QEMU, ["--version"]).toString())![1]!;
