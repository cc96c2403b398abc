/** What ran where: said beside every number. */
import { readFileSync } from "node:fs";
import { cpus, loadavg, totalmem } from "node:os";
import { qemuVersion } from "./contenders.ts";
import type { Program } from "./program.ts";

export interface Host {
  readonly processor: string;
  readonly processors: number;
  readonly memoryGiB: number;
  readonly kernel: string;
  readonly node: string;
  readonly v8: string;
  readonly qemu: string;
  readonly compiler: string;
  readonly guestKernel: string;
  /** Load average of the last minute, when the run began. */
  readonly loadBefore: number;
  loadAfter: number;
}

export function describeHost(program: Program, guestKernel: string): Host {
  return {
    processor: cpus()[0]?.model ?? "unknown",
    processors: cpus().length,
    memoryGiB: totalmem() / 2 ** 30,
    kernel: readFileSync("/proc/sys/kernel/osrelease", "utf8").trim(),
    node: process.versions.node,
    v8: process.versions.v8,
    qemu: qemuVersion(),
    compiler: program.compiler,
    guestKernel,
    loadBefore: loadavg()[0]!,
    loadAfter: loadavg()[0]!,
  };
}
