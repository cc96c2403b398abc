import { spawn } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { VivError } from "../../base/index.ts";
import type { PackageClient, PackageRecord, Progress, ProgressListener } from "../../image/index.ts";
import { APT_DIRECTORIES, aptConfiguration, type Lists } from "./apt-configuration.ts";
import { fileError } from "./file-errors.ts";

/**
 * Debian's package client, as any user may run it: `apt-cache` says what there is, `apt-get download` fetches it and checks
 * it against the distribution's signatures. The system's lists are used as they are; where they do not know a
 * package, or are gone stale, apt makes lists of its own in our directory.
 */
export class AptClient implements PackageClient {
  readonly #directory: string;
  #lists: Lists = "system";

  /** `directory` is made where it is missing; apt keeps its state there. */
  constructor(directory: string) {
    this.#directory = directory;
  }

  async show(name: string, progress: ProgressListener): Promise<PackageRecord> {
    const known = await this.#show(name);
    if (known) return known;
    if (this.#lists === "system") {
      await this.refresh(progress);
      const found = await this.#show(name);
      if (found) return found;
    }
    const reason = `this system's package sources hold no "${name}" for amd64`;
    throw new VivError("guest.package-missing", `${reason}: add Debian's, or name a kernel with --kernel and --initrd`);
  }

  async fetch(record: PackageRecord, progress: ProgressListener): Promise<Uint8Array> {
    const into = await this.#prepare(() => mkdtemp(join(this.#directory, "download-")));
    try {
      const report = percentTo(progress, { stage: "download", item: record.name, total: record.size });
      report(0);
      const wanted = `${record.name}=${record.version}`;
      const { status, errors } = await this.#run("apt-get", ["download", wanted], { cwd: into, report });
      if (status !== 0) throw failure(errors, record.name);
      const file = (await readdir(into)).find((f) => f.endsWith(".deb"));
      if (file === undefined) throw failure("apt-get wrote no package", record.name);
      report(100);
      return await readFile(join(into, file));
    } catch (error) {
      throw fileError(error, into);
    } finally {
      await rm(into, { recursive: true, force: true });
    }
  }

  async refresh(progress: ProgressListener): Promise<void> {
    this.#lists = "private";
    const report = percentTo(progress, { stage: "lists", item: "package lists", total: 100 });
    report(0);
    const { status, errors } = await this.#run("apt-get", ["update"], { report });
    // One of many sources may fail for reasons of its own; what matters is whether ours gave a list.
    const gathered = (await readdir(join(this.#directory, "state/lists"))).some((f) => f.includes("_Packages"));
    if (status !== 0 && !gathered) throw failure(errors, "package lists");
    report(100);
  }

  async #show(name: string): Promise<PackageRecord | undefined> {
    const { status, output } = await this.#run("apt-cache", ["show", "--no-all-versions", name], {});
    return status === 0 ? parseRecord(output) : undefined;
  }

  async #prepare<T>(work: () => Promise<T>): Promise<T> {
    try {
      for (const d of APT_DIRECTORIES) await mkdir(join(this.#directory, d), { recursive: true });
      return await work();
    } catch (error) {
      throw fileError(error, this.#directory);
    }
  }

  async #run(program: string, words: readonly string[], { cwd, report }: RunOptions): Promise<RunResult> {
    const configuration = join(this.#directory, `${this.#lists}.conf`);
    await this.#prepare(() => writeFile(configuration, aptConfiguration(this.#directory, this.#lists)));
    const status = report ? ["-o", `APT::Status-Fd=${STATUS_FD}`] : [];
    return run(program, ["-q", "-c", configuration, ...status, ...words], cwd ?? this.#directory, report);
  }
}

interface RunOptions {
  readonly cwd?: string;
  readonly report?: (percent: number) => void;
}

interface RunResult {
  readonly status: number;
  readonly output: string;
  readonly errors: string;
}

/** The descriptor on which apt reports progress: "dlstatus:items:percent:text". */
const STATUS_FD = 3;
const STATUS_LINE = /^dlstatus:\d+:([\d.]+):/gm;

function run(
  program: string,
  words: readonly string[],
  cwd: string,
  report: ((percent: number) => void) | undefined,
): Promise<RunResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, words, {
      cwd,
      env: { ...process.env, LC_ALL: "C", DEBIAN_FRONTEND: "noninteractive" },
      stdio: ["ignore", "pipe", "pipe", "pipe"],
    });
    const { stdout, stderr } = child as unknown as { stdout: Readable; stderr: Readable };
    const progress = child.stdio[STATUS_FD] as Readable;
    let output = "";
    let errors = "";
    stdout.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
    stderr.setEncoding("utf8").on("data", (text: string) => {
      errors += text;
    });
    progress.setEncoding("utf8").on("data", (text: string) => {
      for (const [, percent] of text.matchAll(STATUS_LINE)) report?.(Number(percent));
    });
    child.on("error", (error: NodeJS.ErrnoException) => reject(error.code === "ENOENT" ? noClient(error) : error));
    child.on("close", (status) => resolve({ status: status ?? 1, output, errors }));
  });
}

function noClient(cause: Error): VivError {
  const message =
    "the default guest is made of Debian packages, and this system has no apt to fetch them: name a kernel and an initramfs with --kernel and --initrd";
  return new VivError("guest.no-package-client", message, { cause });
}

/** The first paragraph of a Packages file (deb-control(5)). */
export function parseRecord(text: string): PackageRecord | undefined {
  const paragraph = text.split(/\n\s*\n/, 1)[0]!;
  const field = (name: string): string | undefined => new RegExp(`^${name}: *(.*)$`, "m").exec(paragraph)?.[1]?.trim();
  const name = field("Package");
  const version = field("Version");
  if (name === undefined || version === undefined) return undefined;
  const depends = (field("Depends") ?? "")
    .split(",")
    .map((d) => /^\s*([a-z0-9][a-z0-9+.-]*)/.exec(d)?.[1])
    .filter((d) => d !== undefined);
  return { name, version, depends, size: Number(field("Size") ?? 0) };
}

/** What apt says when something fails, the first match counts, and what that means here. */
const FAILURES: readonly (readonly [pattern: RegExp, code: string, advice: string])[] = [
  [/no space left|enough free space|quota exceeded/i, "guest.disk-full", "free some space, or set XDG_CACHE_HOME"],
  [/hash sum mismatch|size mismatch/i, "guest.package-broken", 'try again with "viv image build"'],
  [/\b404\b|unable to locate|can't find a source|version .* was not found/i, "guest.package-gone", "try again"],
  [
    /resolv|connect|network|timed? ?out|unreachable|failed to fetch|unable to fetch|proxy/i,
    "guest.no-network",
    "check the network, or name a kernel and an initramfs with --kernel and --initrd",
  ],
];

export function failure(errors: string, item: string): VivError {
  const lines = errors.split("\n").map((l) => l.trim());
  const line = lines.find((l) => l.startsWith("E:")) ?? lines.find((l) => l !== "") ?? "no reason given";
  const reason = line.replace(/^E: */, "");
  const [, code, advice] = FAILURES.find(([pattern]) => pattern.test(errors)) ?? [
    undefined,
    "guest.package-client",
    "see what apt-get says",
  ];
  return new VivError(code, `${item} cannot be fetched (${reason}): ${advice}`);
}

function percentTo(progress: ProgressListener, about: Omit<Progress, "done">): (percent: number) => void {
  return (percent) => progress({ ...about, done: Math.round((about.total * Math.min(percent, 100)) / 100) });
}
