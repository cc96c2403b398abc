/** Kernels, modules and types as they are read out of memory, beside what the guest itself, bpftool and readelf say of them. */
import { execFile, spawnSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { gva } from "../../src/base/index.ts";
import { AddressMap } from "../../src/guest/address-map.ts";
import { findKernel } from "../../src/guest/find-kernel.ts";
import { RecentKernels } from "../../src/guest/kernel-cache.ts";
import type { LinuxKernel } from "../../src/guest/linux-kernel.ts";
import { formatGva, PhysicalMemory } from "../../src/guest/memory.ts";
import { currentTask, perCpuArea } from "../../src/guest/per-cpu.ts";
import { bootTestGuest, type TestGuest } from "./boot.ts";
import { kernelMissing, kernelPackage, TEST_KERNEL_NAMES } from "./kernels.ts";

const run = promisify(execFile);
/** Two modules that depend on nothing, and one that exports symbols to all. */
const MODULES = ["libdes", "md4", "dummy", "crc7"];
const bpftool = spawnSync("bpftool", ["version"]).error === undefined;
const readelf = spawnSync("readelf", ["--version"]).error === undefined;

const found = (...given: Parameters<typeof findKernel>): LinuxKernel => {
  const result = findKernel(...given);
  if (!result.found) throw new Error(result.message);
  return result.kernel;
};
/** As /proc/kallsyms has them. */
const lines = (kernel: LinuxKernel): string[] =>
  [...kernel.symbols.all()].map(
    ({ start, type, name, module }) =>
      `${formatGva(start)} ${type} ${name}${module === undefined ? "" : `\t[${module}]`}`,
  );

interface BpftoolType {
  readonly kind: string;
  readonly name: string;
  readonly size: number;
  readonly members?: readonly {
    readonly name: string;
    readonly bits_offset: number;
    readonly bitfield_size?: number;
  }[];
  readonly values?: readonly { readonly name: string; readonly val: number }[];
}

describe.each(TEST_KERNEL_NAMES)("Debian's %s", async (name) => {
  const missing = await kernelMissing(name);
  describe.skipIf(missing)("", () => {
    let guest: TestGuest;
    let kernel: LinuxKernel;
    beforeAll(async () => {
      guest = await bootTestGuest(name, { modules: MODULES });
      const began = performance.now();
      kernel = found(guest.memory, guest.registers());
      const took = performance.now() - began;
      console.log(
        `${name}: ${kernel.symbols.tables.names.count} symbols and ${kernel.modules.length} modules in ${took.toFixed(0)} ms`,
      );
    });
    afterAll(() => guest?.vm.stop());

    it("has the symbols of its own /proc/kallsyms", async () => {
      const printed = (await guest.sh("cat /proc/kallsyms")).trimEnd().split("\n");
      expect(printed.length).toBeGreaterThan(50_000);
      expect(printed.some((line) => / T \w+\t\[crc7\]$/.test(line))).toBe(true);
      expect(lines(kernel)).toEqual(printed);
    });

    it("is found without registers, by VMCOREINFO and in RAM alone", async () => {
      guest.vm.pause();
      const ram = guest.vm.ram.slice();
      guest.vm.resume();
      const memory = new PhysicalMemory(ram);
      const expected = lines(kernel);
      const second = found(memory, []);
      expect(second.from).toBe("vmcoreinfo");
      expect(lines(second)).toEqual(expected);
      const all = Buffer.from(ram.buffer);
      for (let at = all.indexOf("OSRELEASE="); at >= 0; at = all.indexOf("OSRELEASE=", at)) ram[at] = 0;
      const third = found(memory, []);
      expect(third.from).toBe("memory");
      expect(lines(third)).toEqual(expected);
    });

    it("is known by its structure where data symbols are missing", async () => {
      guest.vm.pause();
      const ram = guest.vm.ram.slice();
      guest.vm.resume();
      const { names, numSyms } = kernel.symbols.tables;
      const hidden = new Map(
        ["init_task", "__start_BTF", "linux_banner", "init_top_pgt", "page_offset_base", "__start_notes"].map(
          (symbol) => [names.indexOf(symbol), symbol],
        ),
      );
      // Their names end in something else.
      let at = numSyms + 8;
      for (let i = 0; i < names.count; i++) {
        let length = ram[at++]!;
        if (length > 127) length = (length & 127) | (ram[at++]! << 7);
        at += length;
        if (hidden.has(i)) ram[at - 1] = "7".charCodeAt(0);
      }
      const second = found(new PhysicalMemory(ram), guest.registers());
      for (const symbol of hidden.values()) expect(second.symbols.tables.names.indexOf(symbol)).toBe(-1);
      expect(second.limits.map(({ code }) => code)).toEqual(["no-data-symbols"]);
      expect(second.banner).toBe(kernel.banner);
      expect(second.types!.endType).toBe(kernel.types!.endType);
      expect(second.symbols.address("init_task")).toBe(kernel.symbols.address("init_task"));
      expect(new AddressMap(second).pageOffset).toBe(new AddressMap(kernel).pageOffset);
    });

    it("says its release, banner and build-id", async () => {
      expect(`${kernel.release}\n`).toBe(await guest.sh("uname -r"));
      expect(`${kernel.banner}\n`).toBe(await guest.sh("cat /proc/version"));
      // The note's name and header take 16 bytes.
      const notes = await guest.sh("od -An -v -tx1 /sys/kernel/notes | tr -d ' \\n'");
      expect(notes).toContain(`040000001400000003000000474e5500${kernel.buildId}`);
      expect(kernel.limits).toEqual([]);
    });

    it("has the modules of its own /proc/modules", async () => {
      const printed = (await guest.sh("cat /proc/modules")).trimEnd().split("\n");
      expect(printed.length).toBe(MODULES.length);
      expect(
        kernel.modules.map(
          (m) => `${m.name} ${m.size} ${m.state === "live" ? "Live" : m.state} 0x${formatGva(m.base)}`,
        ),
      ).toEqual(printed.map((line) => line.replace(/^(\S+ \d+) .* (Live \S+).*$/, "$1 $2")));
      for (const module of kernel.modules) {
        const text = await guest.sh(`cat /sys/module/${module.name}/sections/.text`);
        const start = Number(BigInt.asIntN(64, BigInt(text.trim())));
        expect(module.text.some((range) => start >= range.start && start < range.end)).toBe(true);
        expect(`${module.srcversion ?? ""}`).toBe(
          (await guest.sh(`cat /sys/module/${module.name}/srcversion 2>/dev/null || :`)).trim(),
        );
      }
    });

    it.skipIf(!readelf)("has the build-ids that readelf sees in the modules' files", async () => {
      const directory = await mkdtemp(join(tmpdir(), "viv-modules-"));
      try {
        const files = await kernelPackage(name);
        for (const module of kernel.modules) {
          const file = join(directory, `${module.name}.ko`);
          await writeFile(file, await files.module(module.name));
          const { stdout } = await run("readelf", ["-n", file]);
          expect(stdout).toContain(`Build ID: ${module.buildId}\n`);
        }
      } finally {
        await rm(directory, { recursive: true });
      }
    });

    it.skipIf(!bpftool)("has the types that bpftool sees in its /sys/kernel/btf", { timeout: 120_000 }, async () => {
      const types = kernel.types!;
      const directory = await mkdtemp(join(tmpdir(), "viv-btf-"));
      const dump = async (files: readonly string[], ...words: string[]): Promise<readonly BpftoolType[]> => {
        for (const file of files) {
          await writeFile(join(directory, file), await guest.sh(`cat /sys/kernel/btf/${file}`), "latin1");
        }
        const { stdout } = await run("bpftool", ["-j", "btf", "dump", "file", ...words], {
          cwd: directory,
          maxBuffer: 2 ** 28,
        });
        return (JSON.parse(stdout) as { types: readonly BpftoolType[] }).types;
      };
      const compare = (table: typeof types, all: readonly BpftoolType[]): number => {
        const seen = new Set<string>();
        const wrong: unknown[] = [];
        let members = 0;
        // bpftool 7.1 extends the sign of what has none.
        const low = (value: number): number => Number(BigInt.asUintN(32, BigInt(value)));
        for (const type of all) {
          if (!["STRUCT", "UNION", "ENUM", "ENUM64"].includes(type.kind) || type.name === "(anon)") continue;
          if (seen.has(type.name)) continue;
          seen.add(type.name);
          if (table.sizeOf(type.name) !== type.size) wrong.push(type);
          for (const member of type.members ?? []) {
            if (member.name === "(anon)") continue;
            const ours = table.member(type.name, member.name);
            const bits = member.bitfield_size ?? 0;
            if (ours?.bit !== member.bits_offset || ours.bits !== bits) wrong.push([type.name, member, ours]);
            members++;
          }
          for (const { name: enumerator, val } of type.values ?? []) {
            const value = table.enumerator(type.name, enumerator);
            if (value === undefined) wrong.push([type.name, enumerator]);
            else if (Number.isSafeInteger(val) && low(value) !== low(val)) wrong.push([type.name, enumerator, value]);
          }
        }
        expect(wrong).toEqual([]);
        return members;
      };
      try {
        const all = await dump(["vmlinux"], "vmlinux");
        expect(types.endType - 1).toBe(all.length);
        expect(compare(types, all)).toBeGreaterThan(40_000);
        for (const module of kernel.modules) {
          const table = kernel.moduleTypes(module)!;
          const own = await dump([module.name], module.name, "-B", "vmlinux");
          expect(table.endType - table.firstType).toBe(own.length);
          compare(table, own);
          expect(table.sizeOf("task_struct")).toBe(types.sizeOf("task_struct"));
        }
      } finally {
        await rm(directory, { recursive: true });
      }
    });

    it("has a task on its CPU, and the offsets of both kernels' task_struct", async () => {
      const types = kernel.types!;
      const offsets = ["comm", "pid"].map((member) => types.offsetOf("task_struct", member));
      // As they were measured in memory dumps of the two, by other means.
      expect([types.sizeOf("task_struct"), ...offsets]).toEqual(
        name === "6.1" ? [9728, 2976, 2416] : [9792, 2976, 2432],
      );
      expect(types.offsetOf("vm_area_struct", "vm_flags")).toBeDefined();
      // A shell that does nothing but run.
      const busy = guest.vm.exec(["sh", "-c", "while :; do :; done"]).catch(() => undefined);
      const comms = new Set<string>();
      for (let i = 0; i < 200 && !comms.has("sh"); i++) {
        await new Promise((resolve) => setTimeout(resolve, 10));
        guest.vm.pause();
        await new Promise((resolve) => setTimeout(resolve, 20));
        kernel.refresh();
        const registers = guest.registers()[0]!;
        const task = currentTask(kernel, registers)!;
        comms.add(kernel.space.text(task, 16, types.offsetOf("task_struct", "comm")));
        expect(perCpuArea(kernel, registers)?.cpu).toBe(0);
        guest.vm.resume();
      }
      expect(comms).toContain("sh");
      guest.vm.signal("KILL");
      await busy;
    });

    it("maps memory where its own variables say", () => {
      const map = new AddressMap(kernel);
      const task = kernel.space.pointer(
        kernel.symbols.address("init_task")!,
        kernel.types!.offsetOf("task_struct", "tasks"),
      );
      const physical = kernel.space.translate(task);
      expect(map.physical(task)).toBe(physical);
      expect(map.direct(physical as never)).toBe(task);
      expect(map.physical(kernel.symbols.address("init_task")!)).toBe(-1);
      expect(map.physBase).toBe(-(2 ** 31) - kernel.image.distance);
      const page = map.pageOf(physical as never);
      expect(map.frameOf(page)).toBe(physical - (physical % 4096));
      // The kernel's own pages are reserved: PG_reserved in the flags of their struct page.
      const reserved = kernel.types!.enumerator("pageflags", "PG_reserved")!;
      const text = map.pageOf(kernel.space.translate(kernel.symbols.text.start) as never);
      expect(Math.floor(kernel.space.u64(text) / 2 ** reserved) % 2).toBe(1);
    });

    it("loses a module that is unloaded", async () => {
      const symbol = kernel.symbols.address("md4_init") ?? kernel.modules.find((m) => m.name === "md4")!.text[0]!.start;
      expect(kernel.symbols.find(symbol)?.module).toBe("md4");
      expect(kernel.refresh()).toBe(false);
      await guest.sh("rmmod md4");
      expect(kernel.refresh()).toBe(true);
      expect(kernel.modules.map((module) => module.name)).not.toContain("md4");
      expect(kernel.symbols.find(symbol)).toBeUndefined();
      expect(kernel.stillThere(guest.registers())).toBe(true);
    });

    it("is not read again where a cache knows it", () => {
      const cache = new RecentKernels();
      const first = found(guest.memory, guest.registers(), cache);
      const began = performance.now();
      const second = found(guest.memory, guest.registers(), cache);
      console.log(`${name}: again in ${(performance.now() - began).toFixed(0)} ms`);
      expect(second.symbols.tables.names).toBe(first.symbols.tables.names);
      expect(second.types).toBe(first.types);
    });
  });
});

describe("five levels of page tables", async () => {
  it.skipIf(await kernelMissing("6.1"))("are walked as four are", async () => {
    await using guest = await bootTestGuest("6.1", { cpu: "max", packed: true, modules: ["libdes"] });
    const [registers] = guest.registers();
    expect(registers!.cr4 & 0x1000).toBe(0x1000);
    const printed = (await guest.sh("cat /proc/kallsyms")).trimEnd().split("\n");
    const kernel = found(guest.memory, guest.registers());
    expect(kernel.space.levels).toBe(5);
    expect(lines(kernel)).toEqual(printed);
    const task = currentTask(kernel, registers!)!;
    expect(task).toBeLessThan(-(2 ** 30));
    expect(kernel.space.translate(gva(task))).toBeGreaterThan(0);
    expect(lines(found(guest.memory, []))).toEqual(printed);
  });
});

describe("a guest that begins to boot", async () => {
  it.skipIf(await kernelMissing("6.1"))("has no kernel, and then one", async () => {
    await using guest = await bootTestGuest("6.1", { ready: false });
    const seen = new Set<string>();
    for (let i = 0; i < 2000 && !seen.has("found"); i++) {
      const result = findKernel(guest.memory, guest.registers());
      seen.add(result.found ? "found" : result.code);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    expect(seen).toContain("found");
    await guest.vm.ready;
    const kernel = found(guest.memory, guest.registers());
    const old = kernel.symbols.text.start;
    guest.vm.reset();
    await expect.poll(() => kernel.stillThere(guest.registers()), { timeout: 30_000 }).toBe(false);
    expect(old).toBeLessThan(0);
  });
});
