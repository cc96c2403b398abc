/** Who is measured, and how each is told to run the program. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Guest } from "#dist/image/index.js";
import type { Program } from "./build.ts";

export const CONTENDERS = ["native", "vivarium", "qemu"] as const;
export type Contender = (typeof CONTENDERS)[number];
/** Those that boot a kernel. */
export const MACHINES = ["vivarium", "qemu"] as const;
export type MachineContender = (typeof MACHINES)[number];
/** Those that run the bare 32-bit kernel. */
export const BARE_CONTENDERS = ["vivarium", "qemu", "v86"] as const;
export type BareContender = (typeof BARE_CONTENDERS)[number];
/** Vivarium in Node, and in the page in a browser. */
export const PLACES = ["vivarium", "page"] as const;
export type Place = (typeof PLACES)[number];
export const TITLES: Readonly<Record<Contender | BareContender | Place, string>> = {
  native: "native",
  vivarium: "Vivarium",
  qemu: "TCG",
  v86: "v86",
  page: "Chromium",
};

export const GUEST_MEMORY_MIB = 512;
export const BARE_MEMORY_MIB = 64;

const V2 = "qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt,+rdrand";
/**
 * Vivarium's models, and what QEMU is told so that programs find the same instructions under both. Made of `qemu64` because Linux
 * takes that for a processor without Meltdown, as it takes ours: with a model of Intel's of those years each system call would change
 * address spaces.
 */
export const CPU_MODELS: Readonly<Record<string, string>> = {
  "x86-64": "qemu64",
  "x86-64-v2": V2,
  "x86-64-v3": `${V2},+xsave,+avx,+avx2,+bmi1,+bmi2,+f16c,+fma,+movbe,+abm`,
  max: "max",
};
/** The model whose instructions programs are kept to in the native run. */
export const BASELINE_MODEL = "x86-64-v2";

const QEMU = "qemu-system-x86_64";
/** No device but what the program needs, so that QEMU's boot is as short as it can be. */
const QEMU_FLAGS = "-accel tcg -nodefaults -no-user-config -no-reboot -display none -serial stdio".split(" ");
const VIV = fileURLToPath(new URL("../cli/main.cjs", import.meta.url));
/** What the command's first line gives its Node. */
const VIV_NODE_FLAGS = /^#!.* node (.*)/.exec(readFileSync(VIV, "utf8"))?.[1]?.split(" ") ?? [];
/** The command, as its own first line starts it. */
export const vivCommand = (node: string): readonly string[] => [node, ...VIV_NODE_FLAGS, VIV];
const V86 = fileURLToPath(new URL("./v86-machine.js", import.meta.url));

export interface Subject {
  readonly program: Program;
  readonly guest: Guest;
  /** Files with what `guest` holds. */
  readonly kernel: string;
  readonly initrd: string;
  readonly bareKernel: string;
  readonly cpu: string;
  /** The Node that runs Vivarium and v86, and what it is given: V8's flags, a profiler. */
  readonly node: string;
  readonly nodeFlags: readonly string[];
  /** What `viv run` is given besides. */
  readonly vivFlags: readonly string[];
}

export interface Command {
  readonly words: readonly string[];
  /** Where it runs. */
  readonly directory?: string;
}

interface Boot {
  readonly kernel: string;
  readonly initrd?: string;
  readonly append: string;
  readonly memoryMiB: number;
}

function bootUnder(contender: MachineContender, { node, nodeFlags, vivFlags, cpu }: Subject, boot: Boot): Command {
  const { kernel, initrd, append, memoryMiB } = boot;
  const what = (flag: string): string[] => [
    `${flag}kernel`,
    kernel,
    ...(initrd === undefined ? [] : [`${flag}initrd`, initrd]),
    `${flag}append`,
    append,
  ];
  return contender === "vivarium"
    ? {
        words: [
          node,
          ...VIV_NODE_FLAGS,
          ...nodeFlags,
          VIV,
          "run",
          "-q",
          "-m",
          `${memoryMiB}M`,
          "--cpu",
          cpu,
          ...vivFlags,
          ...what("--"),
        ],
      }
    : { words: [QEMU, ...QEMU_FLAGS, "-m", String(memoryMiB), "-cpu", CPU_MODELS[cpu]!, ...what("-")] };
}

/** Both machines get the same; what follows "--" the kernel hands to init as arguments. */
export const kernelCommandLine = (guest: Guest, args: readonly string[]): string =>
  [guest.kernelCommandLine, "--", ...args].join(" ");

/** The command that runs the program with `args`. */
export function commandOf(contender: Contender, subject: Subject, args: readonly string[]): Command {
  const { program, kernel, guest } = subject;
  if (contender === "native") return { words: [`./${program.command}`, ...args], directory: program.root };
  const append = kernelCommandLine(guest, args);
  return bootUnder(contender, subject, { kernel, initrd: program.initrd, append, memoryMiB: GUEST_MEMORY_MIB });
}

/** The command that boots the default guest, whose first program is to print `line`. */
export function bootCommandOf(contender: MachineContender, subject: Subject, line: string): Command {
  const { kernel, initrd, guest } = subject;
  const append = `${guest.kernelCommandLine} rdinit=/bin/busybox -- echo ${line}`;
  return bootUnder(contender, subject, { kernel, initrd, append, memoryMiB: GUEST_MEMORY_MIB });
}

/** The command that runs the bare kernel. */
export function bareCommandOf(contender: BareContender, subject: Subject, append: string): Command {
  const { bareKernel, node, nodeFlags } = subject;
  if (contender === "v86") return { words: [node, ...nodeFlags, V86, bareKernel, append, String(BARE_MEMORY_MIB)] };
  return bootUnder(contender, subject, { kernel: bareKernel, append, memoryMiB: BARE_MEMORY_MIB });
}

export const qemuVersion = (): string => /version ([^\n]*)/.exec(execFileSync(QEMU, ["--version"]).toString())![1]!;
