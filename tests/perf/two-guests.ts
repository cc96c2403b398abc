/**
 * A recording of two guests that are not there: kernels with other symbols at the same addresses, a module at each, programs that gcc made
 * (one stripped to the names it exports), a vDSO, code without a file, and the host's work below the guests' stacks. Names, places and code of the
 * programs are what binutils say of them.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gva } from "../../src/base/index.ts";
import type { KernelSymbol } from "../../src/guest/kernel.ts";
import { type Attachments, kallsymsText } from "../../src/perf/attachments.ts";
import { ProfileBuilder } from "../../src/perf/builder.ts";
import type { Mode, Profile, ProfileInfo } from "../../src/perf/profile.ts";

const SOURCE = `
static volatile int sink;
__attribute__((noinline)) int leaf_work(int n) { for (int i = 0; i < n; i++) sink += i * 3; return sink; }
__attribute__((noinline)) int middle_work(int n) { return leaf_work(n) + 1; }
__attribute__((noinline)) int outer_work(int n) { return middle_work(n) + 2; }
int main(int argc, char **argv) { (void)argv; return outer_work(argc); }
`;
const TEXT = -0x7f00_0000;
const TEXT_LENGTH = 0x20_0000;
const MODULE = -0x3fe0_0000;
const MODULE_LENGTH = 0x3000;
const SLIDE = 0x5592_ebb3_9000;
const FUNCTION = 0x40;
/** push rbp; mov rbp,rsp; xor eax,eax; pop rbp; ret; then int3. */
const BODY = [0x55, 0x48, 0x89, 0xe5, 0x31, 0xc0, 0x5d, 0xc3];

export const INFO: ProfileInfo = {
  event: "cpu-clock",
  unit: "ns",
  period: 1_000_000,
  startedAt: 1_750_000_000_000,
  duration: 4e9,
  hostname: "host-of-guests",
  hostKernel: "6.1.0-test",
  cpu: "test cpu",
  cpus: 2,
  command: ["viv", "perf", "record", "-g"],
  version: "0.1.0",
  lost: 0,
};

interface Program {
  readonly path: string;
  readonly bytes: Uint8Array;
  readonly buildId: string;
  readonly symbols: ReadonlyMap<string, { start: number; size: number }>;
  /** The executable segment. */
  readonly text: { offset: number; address: number; length: number };
}

export interface TwoGuests {
  readonly profile: Profile;
  readonly attachments: Attachments;
  readonly programs: readonly Program[];
}

export const hostPids = [7777, 8888] as const;

export function twoGuests(info: ProfileInfo = INFO): TwoGuests {
  const programs = buildPrograms();
  const builder = new ProfileBuilder();
  const attachments = programs.map((program, guest) => addGuest(builder, program, guest));
  return { profile: builder.build(info), attachments, programs };
}

function buildPrograms(): Program[] {
  const directory = mkdtempSync(join(tmpdir(), "viv-two-guests-"));
  const source = join(directory, "work.c");
  writeFileSync(source, SOURCE);
  return ["work", "stripped"].map((name) => {
    const file = join(directory, name);
    execFileSync("gcc", ["-O1", "-rdynamic", "-Wl,--build-id=sha1", `-DNAME=${name}`, "-o", file, source]);
    const listed = execFileSync("nm", ["-S", "--defined-only", file], { encoding: "utf8" });
    const symbols = new Map(
      [...listed.matchAll(/^([0-9a-f]+) ([0-9a-f]+) [Tt] (\S+)$/gm)].map(([, start, size, symbol]) => [
        symbol!,
        { start: Number.parseInt(start!, 16), size: Number.parseInt(size!, 16) },
      ]),
    );
    if (name === "stripped") {
      // Another build-id for another file.
      execFileSync("strip", ["--remove-section=.note.gnu.build-id", file]);
      execFileSync("gcc", [
        "-O1",
        "-rdynamic",
        "-s",
        "-Wl,--build-id=0xabcdefabcdefabcdefabcdefabcdefabcdefabcd",
        "-o",
        file,
        source,
      ]);
    }
    const headers = execFileSync("readelf", ["-lnW", file], { encoding: "utf8" });
    const [, offset, address, length] = /LOAD\s+0x(\S+) 0x(\S+) 0x\S+ 0x(\S+) 0x\S+ R E/.exec(headers)!;
    return {
      path: `/opt/${name}/bin/${name}`,
      bytes: new Uint8Array(readFileSync(file)),
      buildId: /Build ID: (\w{40})/.exec(headers)![1]!,
      symbols,
      text: {
        offset: Number.parseInt(offset!, 16),
        address: Number.parseInt(address!, 16),
        length: Number.parseInt(length!, 16),
      },
    };
  });
}

function addGuest(builder: ProfileBuilder, program: Program, number: number): Attachments[number] {
  const letter = "ab"[number]!;
  const guest = builder.guest({
    name: `guest-${letter}`,
    hostPid: hostPids[number]!,
    vcpuThreads: [hostPids[number]! + 4, hostPids[number]! + 5],
    opaque: false,
  });
  const kernel = builder.dso({ kind: "kernel", guest, name: "[kernel.kallsyms]" });
  const module = builder.dso({ kind: "module", guest, name: `mod_${letter}` });
  const user = builder.dso({ kind: "user", guest, name: program.path, buildId: program.buildId });
  const vdso = builder.dso({ kind: "vdso", guest, name: "[vdso]" });
  const jit = builder.dso({ kind: "jit", guest, name: "//anon" });
  const device = builder.dso({ kind: "label", guest: -1, name: "virtio-blk" });
  const compiler = builder.dso({ kind: "host", guest: -1, name: "viv" });
  builder.kernelMap({ dso: kernel, start: TEXT, length: TEXT_LENGTH });
  builder.kernelMap({ dso: module, start: MODULE, length: MODULE_LENGTH });

  // Other names in each guest, at the same places.
  const names = [
    "entry_SYSCALL_64_after_hwframe",
    "do_syscall_64",
    `sys_${letter}`,
    `vfs_${letter}`,
    `submit_${letter}`,
  ];
  const order = number === 0 ? names : names.toReversed();
  const kernelAt = new Map(order.map((name, i) => [name, TEXT + 0x1000 + i * FUNCTION]));
  const moduleNames = [`${letter}_init`, `${letter}_crypt`, `${letter}_round`];
  const moduleAt = new Map(moduleNames.map((name, i) => [name, MODULE + i * FUNCTION]));
  const symbols: KernelSymbol[] = [
    { name: "fixed_percpu_data", type: "D", start: gva(0) },
    { name: "_text", type: "T", start: gva(TEXT) },
    { name: "_stext", type: "T", start: gva(TEXT) },
    ...[...kernelAt].map(([name, start]) => ({ name, type: "T", start: gva(start) })),
    { name: "_etext", type: "T", start: gva(TEXT + TEXT_LENGTH) },
    ...[...moduleAt].map(([name, start]) => ({ name, type: "t", start: gva(start), module: `mod_${letter}` })),
  ];

  const kernelFrame = (name: string, at = 4): number => {
    const [dso, start] = kernelAt.has(name) ? [kernel, kernelAt.get(name)!] : [module, moduleAt.get(name)!];
    const symbol = builder.symbol({ name, dso, start, size: FUNCTION });
    return builder.frame({ address: start + at, offset: start + at, dso, symbol, mode: "guest.kernel" });
  };
  const userFrame = (name: string, at: number): number => {
    const { start, size } = program.symbols.get(name)!;
    const symbol = builder.symbol({ name, dso: user, start, size });
    return builder.frame({ address: SLIDE + start + at, offset: start + at, dso: user, symbol, mode: "guest.user" });
  };
  const jitFrame = (name: string, start: number): number => {
    const symbol = builder.symbol({ name, dso: jit, start, size: 64 });
    return builder.frame({ address: start + 8, offset: start + 8, dso: jit, symbol, mode: "guest.user" });
  };
  const vdsoFrame = (): number => {
    const symbol = builder.symbol({ name: "__vdso_gettimeofday", dso: vdso, start: 0xc40, size: 0x100 });
    return builder.frame({ address: 0x7ffe_1230_0c44, offset: 0xc44, dso: vdso, symbol, mode: "guest.user" });
  };
  const hostFrame = (dso: number, name: string): number => {
    const symbol = builder.symbol({ name, dso, start: 0, size: 0 });
    return builder.frame({ address: 0, offset: 0, dso, symbol, mode: "host" });
  };
  /** From the outermost on. */
  const stackOf = (...frames: number[]): number => frames.reduce((caller, frame) => builder.stack(caller, frame), -1);

  const base = 100 + 10 * number;
  const { text } = program;
  for (const pid of [base, base + 1]) {
    builder.mapping({
      guest,
      pid,
      start: SLIDE + text.address,
      length: Math.ceil(text.length / 4096) * 4096,
      pageOffset: text.offset,
      dso: user,
      protection: 5,
    });
    builder.mapping({ guest, pid, start: 0x7ffe_1230_0000, length: 8192, pageOffset: 0, dso: vdso, protection: 5 });
    builder.mapping({ guest, pid, start: 0x7f00_0000_0000, length: 65536, pageOffset: 0, dso: jit, protection: 5 });
  }
  const before = builder.task({ guest, pid: base, tid: base, comm: "sh" });
  const main = builder.task({ guest, pid: base, tid: base, comm: `main-${letter}` });
  const thread = builder.task({ guest, pid: base, tid: base + 5, comm: `thread ${letter}` });
  const other = builder.task({ guest, pid: base + 1, tid: base + 1, comm: "other" });

  // As if the call were a function's last instruction: the return address is the next function's.
  const beyond = program.symbols.get("middle_work")!.size;
  const inMain = [userFrame("main", 4), userFrame("outer_work", 5), userFrame("middle_work", beyond)];
  const call = [
    kernelFrame("entry_SYSCALL_64_after_hwframe"),
    kernelFrame("do_syscall_64"),
    kernelFrame(`sys_${letter}`),
  ];
  const io = [...call, kernelFrame(`vfs_${letter}`), kernelFrame(`submit_${letter}`)];
  const crypt = kernelFrame(`${letter}_crypt`);
  const kinds: readonly { stack: number; mode: Mode; task: number; weight: number }[] = [
    // The module first: perf has to know its names although it has not read the kernel's yet.
    {
      stack: stackOf(...inMain, ...call, crypt, kernelFrame(`${letter}_round`, 6)),
      mode: "guest.kernel",
      task: before,
      weight: 9,
    },
    { stack: stackOf(...inMain, userFrame("leaf_work", 6)), mode: "guest.user", task: main, weight: 40 },
    { stack: stackOf(...inMain, ...io), mode: "guest.kernel", task: main, weight: 20 },
    { stack: stackOf(...inMain, ...io, hostFrame(device, "virtio-blk")), mode: "host", task: main, weight: 10 },
    { stack: stackOf(hostFrame(compiler, "compile region")), mode: "host", task: other, weight: 3 },
    { stack: stackOf(...inMain, kernelFrame(`${letter}_init`, 0)), mode: "guest.kernel", task: thread, weight: 5 },
    { stack: stackOf(userFrame("main", 4), vdsoFrame()), mode: "guest.user", task: other, weight: 4 },
    {
      stack: stackOf(userFrame("main", 4), jitFrame("Interpreter:hot", 0x7f00_0000_0100)),
      mode: "guest.user",
      task: other,
      weight: 8,
    },
    { stack: -1, mode: "host", task: other, weight: 1 },
  ];
  for (let i = 0; i < 20 * kinds.length; i++) {
    const { stack, mode, task, weight } = kinds[i % kinds.length]!;
    builder.sample({ time: 1000 + i * 1e6, stack, task, vcpu: i & 1, mode, weight: weight * 1000 * (1 + number) });
  }

  const code = (length: number, starts: Iterable<number>, base: number): Uint8Array => {
    const bytes = new Uint8Array(length).fill(0xcc);
    for (const start of starts) bytes.set(BODY, start - base);
    return bytes;
  };
  return {
    kallsyms: kallsymsText(symbols),
    text: [
      { start: TEXT, bytes: code(TEXT_LENGTH, kernelAt.values(), TEXT) },
      { start: MODULE, bytes: code(MODULE_LENGTH, moduleAt.values(), MODULE) },
    ],
    files: new Map([[program.buildId, [program.bytes]]]),
  };
}
