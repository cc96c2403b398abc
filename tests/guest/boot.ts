/**
 * Guests that tests look into: one of Debian's kernels with the default guest's user space, so that `exec` works, and what it
 * says of itself can be compared with what is read out of its memory. The machine is the built one; what looks inside is src/guest.
 */
import { randomFillSync } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { Registers } from "#dist/cpu/registers.js";
import { buildDefaultGuest } from "#dist/image/build.js";
import { type CpioEntry, writeCpio } from "#dist/image/cpio.js";
import { createGuestMemory, guestRam } from "#dist/sys/node/guest-memory.js";
import { guestPorts } from "#dist/sys/node/index.js";
import { unpackedKernel } from "#dist/sys/node/kernel-cache.js";
import { makeMachineThread } from "#dist/sys/node/machine-thread.js";
import { bootDefaultGuest, resolveConfig, VirtualMachine } from "#dist/vmm/index.js";
import { gva } from "../../src/base/index.ts";
import type { ControlRegisters } from "../../src/guest/kernel.ts";
import { PhysicalMemory } from "../../src/guest/memory.ts";
import type { ObserverStart } from "../../src/vmm/observer/observer.ts";
import { kernelPackage, type TestKernel } from "./kernels.ts";

export interface TestGuestOptions {
  readonly memory?: string;
  readonly cpu?: "x86-64-v2" | "max";
  /** The kernel's file as it is: its own code unpacks it, and turns on five levels of page tables where the CPU has them. */
  readonly packed?: boolean;
  /** More words for the kernel. */
  readonly append?: string;
  /** Modules of the kernel's package, loaded in this order. */
  readonly modules?: readonly string[];
  /** More files of the initramfs, by path without a leading slash. */
  readonly files?: Readonly<Record<string, Uint8Array>>;
  /** false: whoever asks waits for the guest themselves. */
  readonly ready?: boolean;
}

export interface TestGuest extends AsyncDisposable {
  readonly vm: VirtualMachine;
  readonly memory: PhysicalMemory;
  readonly release: string;
  /** What an observer starts with. */
  readonly observed: ObserverStart;
  /** Of all vCPUs, as they are now. */
  registers(): ControlRegisters[];
  /** What a shell command prints; throws where it fails. */
  sh(command: string): Promise<string>;
}

/** Boots a guest and waits until it runs commands. */
export async function bootTestGuest(kernel: TestKernel, options: TestGuestOptions = {}): Promise<TestGuest> {
  const files = await kernelPackage(kernel);
  const guest = await buildDefaultGuest(guestPorts());
  const modules = options.modules ?? [];
  const extra: CpioEntry[] = [{ type: "directory", path: "modules", mode: 0o755 }];
  for (const name of modules) {
    extra.push({ type: "file", path: `modules/${name}.ko`, mode: 0o644, data: await files.module(name) });
  }
  for (const [path, data] of Object.entries(options.files ?? {})) {
    const parts = path.split("/");
    for (let i = 1; i < parts.length; i++) {
      extra.push({ type: "directory", path: parts.slice(0, i).join("/"), mode: 0o755 });
    }
    extra.push({ type: "file", path, mode: 0o755, data });
  }
  const config = resolveConfig({
    ...(options.memory === undefined ? {} : { memory: options.memory }),
    ...(options.cpu === undefined ? {} : { cpu: options.cpu }),
    ...(options.append === undefined ? {} : { append: options.append }),
  });
  const { cpu, jit, lockstep, stats } = config;
  const waiting = makeMachineThread();
  const memory = createGuestMemory(config.memory);
  const registers = new Registers(memory.buffer);
  const boot = bootDefaultGuest(
    {
      kernel: options.packed ? files.kernel : await unpackedKernel(files.kernel),
      initrd: Buffer.concat([guest.initrd, writeCpio(extra)]),
      kernelCommandLine: guest.kernelCommandLine,
    },
    config,
    undefined,
  );
  const thread = await waiting.start({ memory, ramSize: config.memory, cpu, jit, lockstep, stats, boot });
  const vm = new VirtualMachine({
    thread,
    agent: true,
    ram: guestRam(memory, config.memory),
    random: (into) => void randomFillSync(into),
    delay: (milliseconds) => delay(milliseconds, undefined, { ref: false }),
  });
  const address = (name: string) => gva(Number(BigInt.asIntN(64, registers.getBig(name))));
  const test: TestGuest = {
    vm,
    memory: new PhysicalMemory(vm.ram),
    observed: {
      memory,
      ramSize: config.memory,
      link: thread.link.buffer,
      guest: { name: "g", hostPid: 1, vcpuThreads: [1], opaque: false },
    },
    release: files.release,
    registers: () => [
      {
        cr3: registers.getNumber("cr3"),
        cr4: registers.getNumber("cr4"),
        lstar: address("lstar"),
        gsBase: address("gs.base"),
        kernelGsBase: address("kernelGsBase"),
      },
    ],
    sh: async (command) => {
      const output: Uint8Array[] = [];
      const errors: Uint8Array[] = [];
      const { exitCode } = await vm.exec(["sh", "-c", command], {
        onStdout: (data) => void output.push(data.slice()),
        onStderr: (data) => void errors.push(data.slice()),
      });
      if (exitCode !== 0) throw new Error(`"${command}" ended with ${exitCode}: ${Buffer.concat(errors).toString()}`);
      return Buffer.concat(output).toString("latin1");
    },
    [Symbol.asyncDispose]: () => vm.stop(),
  };
  try {
    if (options.ready !== false) {
      await vm.ready;
      if (modules.length > 0)
        await test.sh(`set -e; for name in ${modules.join(" ")}; do insmod /modules/$name.ko; done`);
    }
    return test;
  } catch (error) {
    await vm.stop();
    throw error;
  }
}
