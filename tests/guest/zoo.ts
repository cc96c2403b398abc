/** A guest with one of each that is looked for (zoo.c), and the way to look into it. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { findKernel } from "../../src/guest/find-kernel.ts";
import { RecentKernels } from "../../src/guest/kernel-cache.ts";
import { Look } from "../../src/guest/look.ts";
import { findProcess, type Process } from "../../src/guest/tasks.ts";
import { bootTestGuest, type TestGuest } from "./boot.ts";
import type { TestKernel } from "./kernels.ts";

export interface Zoo extends AsyncDisposable {
  readonly guest: TestGuest;
  /** Number of the process that zoo.c became. */
  readonly pid: number;
  /** A new look at the guest as it is now. */
  look(): Look;
  process(look: Look): Process;
}

/** The program, static; built with the host's compiler. Throws where there is none. */
export function buildZoo(): Uint8Array {
  const directory = mkdtempSync(join(tmpdir(), "vivarium-zoo-"));
  try {
    const binary = join(directory, "zoo");
    const source = fileURLToPath(new URL("zoo.c", import.meta.url));
    execFileSync("gcc", ["-O1", "-static", "-pthread", "-o", binary, source]);
    return readFileSync(binary);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

export async function bootZoo(
  kernel: TestKernel,
  levels: 4 | 5,
  files: Readonly<Record<string, Uint8Array>> = {},
): Promise<Zoo> {
  const guest = await bootTestGuest(kernel, {
    ...(levels === 5 ? { cpu: "max", packed: true } : {}),
    memory: "512M",
    append: "vsyscall=xonly",
    modules: ["loop", "overlay"],
    files: { "bin/zoo": buildZoo(), ...files },
  });
  try {
    const pid = Number(
      await guest.sh(
        "zoo /run/ready one 'two words' >/dev/null 2>&1 </dev/null & echo $!; until [ -e /run/ready ]; do sleep 0.1; done",
      ),
    );
    const found = findKernel(guest.memory, guest.registers(), new RecentKernels());
    if (!found.found) throw new Error(found.message);
    return {
      guest,
      pid,
      look: () => {
        found.kernel.refresh();
        return new Look(found.kernel);
      },
      process: (look) => {
        const process = findProcess(look, pid);
        if (!process) throw new Error("the zoo is closed");
        return process;
      },
      [Symbol.asyncDispose]: () => guest[Symbol.asyncDispose](),
    };
  } catch (error) {
    await guest[Symbol.asyncDispose]();
    throw error;
  }
}
