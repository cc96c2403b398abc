/**
 * Builds what is measured: the program of `bench/guest` with the host's compiler, the bare 32-bit kernel out of the same sources, and a
 * root directory with Debian's programs. That directory is where the native run takes place, and as an initramfs it is the guest.
 */
import { execFile } from "node:child_process";
import { copyFile, lstat, mkdir, readdir, readFile, readlink, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { type CpioEntry, writeCpio } from "#dist/image/cpio.js";
import { unpackPackages } from "./packages.ts";
import {
  BASELINE_ENVIRONMENT,
  CORPUS,
  CORPUS_FILES,
  CORPUS_SIZE,
  CORPUS_XZ,
  ENVIRONMENT,
  PROGRAMS,
  type RealProgram,
  SQL,
  SQL_ROWS,
  WORK,
} from "./programs.ts";

const run = promisify(execFile);
const COMPILER = "gcc";
/** No rewriting of byte loops, no vectors but those in the sources: every contender executes the same plain instructions. */
const FLAGS = [
  "-O2 -static -nostdlib -ffreestanding -no-pie -fno-pie -fno-stack-protector -fcf-protection=none",
  "-ffp-contract=off -fno-tree-vectorize -fno-tree-loop-distribute-patterns",
].flatMap((line) => line.split(" "));
/** The oldest x86-64, and for the bare kernel the oldest with SSE2. */
const GUEST_FLAGS = ["-march=x86-64"];
const BARE_FLAGS = ["-m32", "-march=pentium4", "-mfpmath=sse"];
const BARE_LINK = ["--build-id=none", "-z", "noseparate-code", "-z", "max-page-size=4096", "--no-warn-rwx-segments"];
/** Sources that need a Linux, and the one that is for the machine without. */
const LINUX_SOURCES = ["main.c", "system.c", "programs.c"];
const BARE_SOURCE = "bare.c";

const GUEST_SOURCES = fileURLToPath(new URL("../../bench/guest/", import.meta.url));
const SCRIPTS = fileURLToPath(new URL("../../bench/programs/", import.meta.url));

export interface Program {
  /** Where the native run takes place. */
  readonly root: string;
  /** In it, as in the guest. */
  readonly command: string;
  readonly initrd: string;
  /** With nothing but the compiled program, where the real ones are not needed. */
  readonly smallInitrd: string;
  readonly compiler: string;
  /** Of the packages, by name. */
  readonly packages: Readonly<Record<string, string>>;
}

export interface BuildOptions {
  readonly directory: string;
  /** Whether Debian's programs are wanted. */
  readonly programs: boolean;
  /** Parts per hundred of the programs' full work. */
  readonly percent: number;
  /** Keep to the instructions of x86-64-v2 where a library would choose others. */
  readonly baseline: boolean;
  readonly refresh: boolean;
  progress(text: string): void;
}

const sources = async (): Promise<string[]> => (await readdir(GUEST_SOURCES)).filter((name) => name.endsWith(".c"));

export async function buildProgram(options: BuildOptions): Promise<Program> {
  const { directory, percent, baseline, progress } = options;
  const root = join(directory, "root");
  await mkdir(join(root, "tmp"), { recursive: true });
  const files = (await sources()).filter((name) => name !== BARE_SOURCE).map((name) => join(GUEST_SOURCES, name));
  const command = "init";
  await run(COMPILER, [...FLAGS, ...GUEST_FLAGS, "-o", join(root, command), ...files]);
  const smallInitrd = join(directory, "small.cpio");
  await writeFile(smallInitrd, writeCpio([...DEVICES, ...(await entries(root))]));

  let initrd = smallInitrd;
  let packages = {};
  if (options.programs) {
    const stage = join(directory, "packages");
    const wanted = [...new Set(PROGRAMS.flatMap((program) => [program.package, ...(program.libraries ?? [])]))];
    packages = await unpackPackages(wanted, stage, options);
    progress("making the guest");
    await fillRoot({ stage, root, percent, baseline });
    initrd = join(directory, "programs.cpio");
    await writeFile(initrd, writeCpio([...DEVICES, ...(await entries(root))]));
  }
  const version = (await run(COMPILER, ["-dumpfullversion"])).stdout.trim();
  return {
    root,
    command,
    initrd,
    smallInitrd,
    packages,
    compiler: `${COMPILER} ${version} -O2 ${GUEST_FLAGS.join(" ")}`,
  };
}

/** The kernels as a Multiboot kernel of 32 bits. */
export async function buildBareKernel(directory: string): Promise<string> {
  const files = (await sources())
    .filter((name) => !LINUX_SOURCES.includes(name))
    .map((name) => join(GUEST_SOURCES, name));
  const path = join(directory, "bare");
  const link = ["-Wl", ...BARE_LINK, "-T", join(GUEST_SOURCES, "bare.ld")].join(",");
  await run(COMPILER, [...FLAGS, ...BARE_FLAGS, link, "-o", path, ...files]);
  return path;
}

/** What the kernel and programs want to find besides. */
const DEVICES: readonly CpioEntry[] = [
  { type: "directory", path: "dev", mode: 0o755 },
  { type: "character", path: "dev/console", mode: 0o600, major: 5, minor: 1 },
  { type: "character", path: "dev/null", mode: 0o666, major: 1, minor: 3 },
];

const LIBRARY = /^(usr\/)?lib\/x86_64-linux-gnu\/[^/]+\.so(\.[^/]*)?$/;
const LOADER = /\/ld-linux-x86-64\.so\.2$/;

interface Filling {
  readonly stage: string;
  readonly root: string;
  readonly percent: number;
  readonly baseline: boolean;
}

/** Takes over what the programs need of their packages, adds what they work on, and writes down how they are run. */
async function fillRoot({ stage, root, percent, baseline }: Filling): Promise<void> {
  const paths = await walk(stage);
  const wanted = (path: string): boolean =>
    LIBRARY.test(path) || PROGRAMS.some(({ binary, files }) => binary.test(path) || files?.test(path));
  for (const path of paths.filter(wanted)) {
    const [from, to] = [join(stage, path), join(root, path)];
    const status = await lstat(from);
    await mkdir(dirname(to), { recursive: true });
    if (status.isSymbolicLink()) await symlink(await readlink(from), to);
    else if (status.isFile()) await copyFile(from, to);
  }
  const find = (pattern: RegExp): string => {
    const path = paths.find((p) => pattern.test(p));
    if (path === undefined) throw new Error(`the packages hold no file ${pattern}: has Debian moved it?`);
    return path;
  };
  const libraries = [...new Set(paths.filter((path) => LIBRARY.test(path)).map((path) => dirname(path)))].join(":");
  // By the loader, so that natively too they run with their own libraries and not the host's.
  const loader = [find(LOADER), "--inhibit-cache", "--library-path", libraries] as const;
  const scale = (full: number): number => Math.max(1, Math.round((full * percent) / 100));
  const commandOf = ({ binary, arguments: words }: RealProgram): string[] => [
    ...loader,
    find(binary),
    ...words({ times: scale }),
  ];
  for (const { name, binary } of PROGRAMS) {
    const [file, ...words] = loader;
    const { stdout } = await run(file, [...words, "--list", find(binary)], { cwd: root });
    const stranger = /=> (\/\S+|not found)/.exec(stdout);
    if (stranger) throw new Error(`${name} lacks a library of the packages': ${stranger.input.trim()}`);
  }

  await mkdir(join(root, WORK), { recursive: true });
  for (const name of await readdir(SCRIPTS)) await copyFile(join(SCRIPTS, name), join(root, WORK, name));
  const sql = (await readFile(join(root, SQL), "utf8")).replaceAll("ROWS", String(scale(SQL_ROWS)));
  await writeFile(join(root, SQL), sql.replace(/^--.*\n/, ""));
  const texts: Buffer[] = [];
  for (const path of paths.filter((p) => CORPUS_FILES.test(p)).sort()) {
    if ((await lstat(join(stage, path))).isFile()) texts.push(await readFile(join(stage, path)));
  }
  await writeFile(join(root, CORPUS), Buffer.concat(texts).subarray(0, scale(CORPUS_SIZE)));
  const compressor = PROGRAMS.find(({ name }) => name === "xz")!;
  const options = { cwd: root, encoding: "buffer", maxBuffer: CORPUS_SIZE * 2 } as const;
  const [file, ...words] = commandOf(compressor) as [string, ...string[]];
  await writeFile(join(root, CORPUS_XZ), (await run(file, words, options)).stdout);

  const environment = Object.entries({ ...ENVIRONMENT, ...(baseline ? BASELINE_ENVIRONMENT : {}) });
  const records = [environment.map(([name, value]) => `${name}=${value}`)].concat(
    PROGRAMS.map((program) => [program.group, program.name, ...commandOf(program)]),
  );
  await writeFile(
    join(root, "programs"),
    records.map((record) => [...record, ""].map((w) => `${w}\0`).join("")).join(""),
  );
}

/** All paths below a directory, parents before their children. */
async function walk(directory: string, prefix = ""): Promise<string[]> {
  const paths: string[] = [];
  for (const entry of (await readdir(join(directory, prefix), { withFileTypes: true })).sort((a, b) =>
    a.name < b.name ? -1 : 1,
  )) {
    const path = prefix === "" ? entry.name : `${prefix}/${entry.name}`;
    paths.push(path);
    if (entry.isDirectory()) paths.push(...(await walk(directory, path)));
  }
  return paths;
}

async function entries(root: string): Promise<CpioEntry[]> {
  const found: CpioEntry[] = [];
  for (const path of await walk(root)) {
    const at = join(root, path);
    const status = await lstat(at);
    const mode = status.mode & 0o7777;
    if (status.isDirectory()) found.push({ type: "directory", path, mode });
    else if (status.isSymbolicLink()) found.push({ type: "symlink", path, target: await readlink(at) });
    else found.push({ type: "file", path, mode, data: await readFile(at) });
  }
  return found;
}
