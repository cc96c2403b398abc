/** `viv doctor`: what this host offers, and what that means for guests. */
import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { freemem, totalmem } from "node:os";
import { delimiter, join } from "node:path";
import { constrainedMemory } from "node:process";
import { listImages } from "../image/index.ts";
import { cacheDirectory, chooseAccelerator, guestPorts, kvmState, wasmFeatures } from "../sys/node/index.ts";
import { CONFIG } from "../vmm/index.ts";
import { EXIT } from "./exit-status.ts";
import { columns } from "./output.ts";

type Verdict = "ok" | "note" | "missing";

export interface Check {
  readonly name: string;
  /** `missing` keeps guests from running; a `note` does not. */
  readonly verdict: Verdict;
  readonly detail: string;
}

const MIB = 1024 * 1024;
/** As package.json's engines say. */
const NODE_FLOOR = [20, 19] as const;

export async function doctorCommand({ json }: { json: boolean }): Promise<number> {
  const checks = await examine();
  const accelerator = await chooseAccelerator();
  const healthy = checks.every(({ verdict }) => verdict !== "missing");
  if (json) {
    process.stdout.write(`${JSON.stringify({ healthy, accelerator, checks }, null, 2)}\n`);
  } else {
    const rows = checks.map(({ name, verdict, detail }) => [verdict, name, detail]);
    process.stdout.write(columns([["ok", "accelerator", `${accelerator.title}: ${accelerator.reason}`], ...rows]));
  }
  return healthy ? EXIT.ok : EXIT.failure;
}

const examine = async (): Promise<readonly Check[]> => [
  node(),
  ...wasmFeatures().map(
    ({ name, use, present }): Check => ({
      name: `WebAssembly ${name}`,
      verdict: present ? "ok" : "missing",
      detail: present ? `there, to ${use}` : `not there, but needed to ${use}; use a newer Node`,
    }),
  ),
  memory(),
  await kvm(),
  await packageClient(),
  await cache(),
];

function node(): Check {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  const good = major > NODE_FLOOR[0] || (major === NODE_FLOOR[0] && minor >= NODE_FLOOR[1]);
  const wanted = good ? "" : `; install ${NODE_FLOOR.join(".")} or newer`;
  return { name: "Node", verdict: good ? "ok" : "missing", detail: `${process.versions.node}${wanted}` };
}

function memory(): Check {
  // Without a limit Node answers with a number beyond all memory.
  const limit = Math.min(constrainedMemory() || Number.POSITIVE_INFINITY, totalmem());
  const least = CONFIG.memory.default;
  const detail = `${Math.floor(freemem() / MIB)} MiB free of ${Math.floor(limit / MIB)} MiB`;
  return freemem() > least
    ? { name: "memory", verdict: "ok", detail }
    : { name: "memory", verdict: "note", detail: `${detail}: a default guest of ${least / MIB} MiB may not fit` };
}

async function kvm(): Promise<Check> {
  const details = {
    absent: "not there: no hardware virtualisation for this system",
    forbidden: "there, but you may not open it: join the group that owns it",
    usable: "there and yours to use; this version runs guests on its software CPU all the same",
  } as const;
  return { name: "/dev/kvm", verdict: "note", detail: details[await kvmState()] };
}

async function packageClient(): Promise<Check> {
  const found = await Promise.all(["apt-get", "apt-cache"].map(inPath));
  const there = found.every((path) => path !== undefined);
  return {
    name: "package client",
    verdict: there ? "ok" : "note",
    detail: there
      ? `${found[0]}, to build the default guest with`
      : "no apt: the default guest cannot be built here; give --kernel and --initrd",
  };
}

async function inPath(program: string): Promise<string | undefined> {
  for (const directory of (process.env["PATH"] ?? "").split(delimiter)) {
    const path = join(directory, program);
    const usable = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (usable) return path;
  }
  return undefined;
}

async function cache(): Promise<Check> {
  const directory = cacheDirectory();
  try {
    const images = await listImages(guestPorts().store);
    const state = images.length === 0 ? "no default guest yet; the first run builds it" : "default guest built";
    return { name: "cache", verdict: "ok", detail: `${directory}: ${state}` };
  } catch (error) {
    return { name: "cache", verdict: "note", detail: error instanceof Error ? error.message : String(error) };
  }
}
