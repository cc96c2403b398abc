/**
 * Writes a profile for Linux perf to read, in the directory form (tools/perf/Documentation/perf.data-file-format.txt and
 * tools/perf/util/header.c of Linux 6.1): guests' kernels by a kallsyms file each, programs by ELF files made for it, whose symbols
 * lie where the profile says. For comparing what we report with what perf reports; no more than that.
 */
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { MODES, type Profile } from "../../src/perf/profile.ts";

const RECORD = { mmap: 1, comm: 3, sample: 9, mmap2: 10, finishedRound: 68, idIndex: 69 } as const;
const GUEST_KERNEL = 4;
const GUEST_USER = 5;
/** PERF_RECORD_MISC_MMAP_BUILD_ID. */
const WITH_BUILD_ID = 1 << 14;
/** PERF_CONTEXT_KERNEL and PERF_CONTEXT_USER: those of guests make perf drop the chain. */
const CONTEXT = [-128, -512] as const;
/** IP TID TIME CALLCHAIN CPU PERIOD IDENTIFIER. */
const SAMPLE_TYPE = 0x101a7;
const FEATURE = { hostname: 3, osrelease: 4, version: 5, arch: 6, nrcpus: 7, eventDesc: 12, dirFormat: 24 } as const;
const FIRST_TIME = 1_000_000_000;
const BEYOND_LAST = 4096;

const u16 = (value: number): Buffer => {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return bytes;
};
const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
};
const u64 = (value: number): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)));
  return bytes;
};
const padded = (text: string, to: number): Buffer => {
  const bytes = Buffer.from(`${text}\0`);
  return Buffer.concat([bytes, Buffer.alloc((to - (bytes.length % to)) % to)]);
};
const headerText = (text: string): Buffer => {
  const bytes = padded(text, 64);
  return Buffer.concat([u32(bytes.length), bytes]);
};

/** Writes `out` and `out-files`, the cache of build-ids that `perf --buildid-dir` wants. Needs gcc and readelf. */
export function writePerfDirectory(profile: Profile, out: string): void {
  mkdirSync(out, { recursive: true });
  const records: Buffer[] = [];
  const record = (type: number, misc: number, ...parts: readonly Buffer[]): void => {
    const body = Buffer.concat(parts);
    records.push(u32(type), u16(misc), u16(8 + body.length), body);
  };
  // An identifier for the host, and one for each guest's vCPU.
  const vcpus = profile.guests.flatMap((guest, g) =>
    guest.vcpuThreads.map((thread, vcpu) => ({ guest, g, thread, vcpu })),
  );
  const idOf = (g: number, vcpu: number): number => 2 + vcpus.findIndex((row) => row.g === g && row.vcpu === vcpu);
  const ids = [1, ...vcpus.map((_, i) => i + 2)];
  record(
    RECORD.idIndex,
    0,
    u64(ids.length),
    ...ids.map((id) => Buffer.concat([u64(id), u64(0), u64(0), u64(vcpus[id - 2]?.thread ?? 1)])),
    ...ids.map((id) => Buffer.concat([u64(vcpus[id - 2]?.guest.hostPid ?? 0), u64(vcpus[id - 2]?.vcpu ?? 0)])),
  );
  const trailer = (pid: number, tid: number, id: number): Buffer =>
    Buffer.concat([u32(pid), u32(tid), u64(FIRST_TIME), u32(0), u32(0), u64(id)]);

  for (const [g, { hostPid }] of profile.guests.entries()) {
    const kallsyms: [number, string, string][] = [];
    const modules: string[] = [];
    for (const [d, dso] of profile.dsos.entries()) {
      const symbols = profile.symbols.filter((symbol) => symbol.dso === d).sort((a, b) => a.start - b.start);
      const [first] = symbols;
      const last = symbols.at(-1);
      if (dso.guest !== g || first === undefined || last === undefined) continue;
      const end = last.start + BEYOND_LAST;
      if (dso.kind === "kernel") {
        kallsyms.push([first.start, "T", "_text"], [end, "T", "_etext"]);
        for (const { start, name } of symbols) kallsyms.push([start, "T", name]);
        const name = padded(`[guest.kernel.kallsyms.${hostPid}]_text`, 8);
        const place = [u64(first.start), u64(end - first.start), u64(first.start)];
        record(RECORD.mmap, GUEST_KERNEL, u32(hostPid), u32(0), ...place, name, trailer(hostPid, 0, idOf(g, 0)));
      } else if (dso.kind === "module") {
        // Where perf looked for an address of the module before it read this file, it drops the module's first symbol
        // (maps__split_kallsyms in symbol.c): so that is none of the profile's.
        kallsyms.push([first.start - 1, "t", `__before\t[${dso.name}]`]);
        for (const { start, name } of symbols) kallsyms.push([start, "t", `${name}\t[${dso.name}]`]);
        modules.push(`${dso.name} ${end - first.start} 0 - Live 0x${u64(first.start).reverse().toString("hex")}\n`);
        const place = [u64(first.start), u64(end - first.start), u64(0)];
        const name = padded(`[${dso.name}]`, 8);
        record(RECORD.mmap, GUEST_KERNEL, u32(hostPid), u32(0), ...place, name, trailer(hostPid, 0, idOf(g, 0)));
      } else {
        const elf = program(symbols, `${out}-files`, `${g}-${d}`);
        const frame = profile.frames.dso.indexOf(d);
        const slide = frame < 0 ? 0 : profile.frames.address[frame]! - profile.frames.offset[frame]!;
        for (const pid of new Set(profile.tasks.filter((task) => task.guest === g).map((task) => task.pid))) {
          const place = [u64(elf.address + slide), u64(end - elf.address), u64(elf.offset)];
          const build = [Buffer.from([20, 0, 0, 0]), Buffer.from(elf.buildId, "hex")];
          const protection = [u32(5), u32(2)];
          const who = trailer(pid, pid, idOf(g, 0));
          record(
            RECORD.mmap2,
            GUEST_USER | WITH_BUILD_ID,
            u32(pid),
            u32(pid),
            ...place,
            ...build,
            ...protection,
            padded(dso.name, 8),
            who,
          );
        }
      }
    }
    const folder = join(out, `kcore_dir__${hostPid}`);
    mkdirSync(folder, { recursive: true });
    const lines = kallsyms
      .sort(([a], [b]) => a - b)
      .map(([address, type, name]) => `${u64(address).reverse().toString("hex")} ${type} ${name}\n`);
    writeFileSync(join(folder, "kallsyms"), lines.join(""));
    writeFileSync(join(folder, "modules"), modules.join(""));
    for (const { guest, pid, tid, comm } of profile.tasks) {
      if (guest === g)
        record(RECORD.comm, GUEST_USER, u32(pid), u32(tid), padded(comm, 8), trailer(pid, tid, idOf(g, 0)));
    }
  }

  const { samples, stacks, frames, tasks } = profile;
  for (let i = 0; i < samples.stack.length; i++) {
    const { guest, pid, tid } = tasks[samples.task[i]!]!;
    const chain: number[] = [];
    let mode = -1;
    for (let stack = samples.stack[i]!; stack >= 0; stack = stacks.caller[stack]!) {
      const frame = stacks.frame[stack]!;
      if (frames.mode[frame] !== mode) {
        mode = frames.mode[frame]!;
        chain.push(CONTEXT[mode as 0 | 1]);
      }
      chain.push(frames.address[frame]!);
    }
    const misc = MODES[samples.mode[i]!] === "guest.kernel" ? GUEST_KERNEL : GUEST_USER;
    record(
      RECORD.sample,
      misc,
      u64(idOf(guest, samples.vcpu[i]!)),
      u64(chain[1] ?? 0),
      u32(pid),
      u32(tid),
      u64(FIRST_TIME + 1 + samples.time[i]!),
      u32(0),
      u32(0),
      u64(samples.weight[i]!),
      u64(chain.length),
      ...chain.map(u64),
    );
  }
  record(RECORD.finishedRound, 0);
  writeFileSync(join(out, "data"), file(Buffer.concat(records), ids));
}

/** Header, identifiers, attribute, data, features. */
function file(data: Buffer, ids: readonly number[]): Buffer {
  const headerSize = 104;
  const idBytes = Buffer.concat(ids.map(u64));
  const attribute = Buffer.alloc(128);
  attribute.writeUInt32LE(1, 0); // PERF_TYPE_SOFTWARE, cpu-clock
  attribute.writeUInt32LE(attribute.length, 4);
  u64(1_000_000).copy(attribute, 16);
  u64(SAMPLE_TYPE).copy(attribute, 24);
  // mmap, comm, task, sample_id_all, mmap2, comm_exec
  u64([8, 9, 13, 18, 23, 24].reduce((bits, bit) => bits + 2 ** bit, 0)).copy(attribute, 40);
  const attributes = Buffer.concat([attribute, u64(headerSize), u64(idBytes.length)]);
  const attributesAt = headerSize + idBytes.length;
  const dataAt = attributesAt + attributes.length;
  const events = [u32(1), u32(attribute.length), attribute, u32(ids.length), headerText("cpu-clock"), idBytes];
  const features: [number, Buffer][] = [
    [FEATURE.hostname, headerText("host")],
    [FEATURE.osrelease, headerText("6.1.0")],
    [FEATURE.version, headerText("6.1")],
    [FEATURE.arch, headerText("x86_64")],
    [FEATURE.nrcpus, Buffer.concat([u32(1), u32(1)])],
    [FEATURE.eventDesc, Buffer.concat(events)],
    [FEATURE.dirFormat, u64(0)],
  ];
  let at = dataAt + data.length + 16 * features.length;
  const sections = features.map(([, body]) => {
    const section = Buffer.concat([u64(at), u64(body.length)]);
    at += body.length;
    return section;
  });
  return Buffer.concat([
    Buffer.from("PERFILE2"),
    u64(headerSize),
    u64(attributes.length),
    u64(attributesAt),
    u64(attributes.length),
    u64(dataAt),
    u64(data.length),
    u64(0),
    u64(0),
    u64(features.reduce((bits, [bit]) => bits + 2 ** bit, 0)),
    u64(0),
    u64(0),
    u64(0),
    idBytes,
    attributes,
    data,
    ...sections,
    ...features.map(([, body]) => body),
  ]);
}

/** A shared object with these symbols, kept under its build-id; where its code is loaded from. */
function program(symbols: readonly { name: string; start: number; size: number }[], files: string, name: string) {
  const folder = join(files, name);
  mkdirSync(folder, { recursive: true });
  const functions = symbols.map(
    (symbol) =>
      `.globl ${symbol.name}\n.type ${symbol.name},@function\n${symbol.name}: .skip ${symbol.size},0x90\n.size ${symbol.name},${symbol.size}\n`,
  );
  writeFileSync(join(folder, "a.s"), `.text\n${functions.join("")}.skip ${BEYOND_LAST},0x90\n`);
  const made = join(folder, "made");
  const start = symbols[0]!.start;
  execFileSync("gcc", [
    "-nostdlib",
    "-shared",
    "-Wl,--build-id=sha1",
    `-Wl,-Ttext=0x${start.toString(16)}`,
    "-o",
    made,
    join(folder, "a.s"),
  ]);
  const headers = execFileSync("readelf", ["-lnW", made], { encoding: "utf8" });
  const [, offset, address] = /LOAD +(0x\w+) (0x\w+) .* R E /.exec(headers)!;
  const [, buildId] = /Build ID: (\w{40})/.exec(headers)!;
  mkdirSync(join(files, name, buildId!), { recursive: true });
  copyFileSync(made, join(files, name, buildId!, "elf"));
  const links = join(files, ".build-id", buildId!.slice(0, 2));
  mkdirSync(links, { recursive: true });
  try {
    symlinkSync(`../../${name}/${buildId}`, join(links, buildId!.slice(2)));
  } catch (error) {
    // Two guests have the same program.
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
  return { buildId: buildId!, address: Number(address), offset: Number(offset) };
}
