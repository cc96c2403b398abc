/** What ran where: said beside every number. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { cpus, loadavg, totalmem } from "node:os";
import { qemuVersion, type Subject } from "./contenders.ts";

export interface Host {
  readonly processor: string;
  readonly processors: number;
  readonly memoryGiB: number;
  readonly kernel: string;
  readonly node: string;
  readonly v8: string;
  readonly qemu: string;
  readonly v86: string;
  readonly compiler: string;
  readonly guestKernel: string;
  readonly cpuModel: string;
  readonly packages: Readonly<Record<string, string>>;
  /** Load average of the last minute, when the run began. */
  readonly loadBefore: number;
  loadAfter: number;
}

export function describeHost({ program, guest, cpu, node }: Subject): Host {
  const versions = JSON.parse(execFileSync(node, ["-p", "JSON.stringify(process.versions)"]).toString()) as {
    readonly node: string;
    readonly v8: string;
  };
  return {
    processor: cpus()[0]?.model ?? "unknown",
    processors: cpus().length,
    memoryGiB: totalmem() / 2 ** 30,
    kernel: readFileSync("/proc/sys/kernel/osrelease", "utf8").trim(),
    node: versions.node,
    v8: versions.v8,
    qemu: qemuVersion(),
    v86: v86Version(),
    compiler: program.compiler,
    guestKernel: `Debian cloud kernel, ${guest.name} ${guest.version}`,
    cpuModel: cpu,
    packages: program.packages,
    loadBefore: loadavg()[0]!,
    loadAfter: loadavg()[0]!,
  };
}

function v86Version(): string {
  const file = createRequire(import.meta.url)
    .resolve("v86")
    .replace(/build\/[^/]*$/, "package.json");
  return (JSON.parse(readFileSync(file, "utf8")) as { version: string }).version;
}
