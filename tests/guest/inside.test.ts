/** What is read out of a guest's memory against what the guest says itself: /proc, and the contents of files. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readKernelLog } from "../../src/guest/dmesg.ts";
import { FileTree } from "../../src/guest/file-tree.ts";
import type { Listing } from "../../src/guest/lists.ts";
import { listMemoryAreas } from "../../src/guest/maps.ts";
import { listMounts, rootOf } from "../../src/guest/mounts.ts";
import { listNetworkDevices } from "../../src/guest/network-devices.ts";
import { listOpenFiles } from "../../src/guest/open-files.ts";
import { readFile, readFileParts } from "../../src/guest/page-cache.ts";
import { showKernelLog } from "../../src/guest/show/dmesg.ts";
import { showMaps } from "../../src/guest/show/maps.ts";
import { showMounts } from "../../src/guest/show/mounts.ts";
import { listSockets } from "../../src/guest/sockets.ts";
import { type MemberOf, STRUCTURES, type StructureName } from "../../src/guest/structures.ts";
import { findInit, listProcesses, type Process } from "../../src/guest/tasks.ts";
import { encodeText } from "../../src/guest/text.ts";
import { readUsers } from "../../src/guest/users.ts";
import { readClock, readNames } from "../../src/guest/uts.ts";
import { kernelMissing, type TestKernel } from "./kernels.ts";
import { bootZoo, type Zoo } from "./zoo.ts";

/** A listing's rows, which has to be whole. */
function whole<Row>(listing: Listing<Row>): readonly Row[] {
  expect(listing.gaps).toEqual([]);
  return listing.rows;
}

/** What older or newer kernels have instead, or other configurations. */
const MISSING_MEMBERS: Readonly<Record<TestKernel, readonly string[]>> = {
  "6.1": [
    "mm_struct.mmap",
    "vm_area_struct.vm_next",
    "dentry.d_sib",
    "dentry.d_children",
    "backing_file.user_path.mnt",
    "backing_file.user_path.dentry",
    "mount.mnt_id_unique",
  ],
  "6.12": [
    "mm_struct.mmap",
    "vm_area_struct.vm_next",
    "vm_area_struct.anon_name",
    "dentry.d_child",
    "dentry.d_subdirs",
    "mnt_namespace.list",
  ],
};

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const lines = (text: string): string[] => text.split("\n").filter((line) => line !== "");

const GUESTS: readonly { readonly kernel: TestKernel; readonly levels: 4 | 5 }[] = [
  { kernel: "6.1", levels: 4 },
  { kernel: "6.12", levels: 4 },
  { kernel: "6.12", levels: 5 },
];

describe.each(GUESTS)("inside Debian's $kernel with $levels levels of page tables", async ({ kernel, levels }) => {
  const missing = await kernelMissing(kernel);
  let zoo: Zoo;
  const sh = (command: string): Promise<string> => zoo.guest.sh(command);

  beforeAll(async () => {
    if (missing === undefined) zoo = await bootZoo(kernel, levels, { "image.ext4": ext4Image() });
  });
  afterAll(() => zoo?.[Symbol.asyncDispose]());

  describe.skipIf(missing !== undefined)("", () => {
    it("finds every member where this kernel has one", () => {
      const look = zoo.look();
      expect(look.space.levels).toBe(levels);
      const missing = (Object.keys(STRUCTURES) as StructureName[]).flatMap((structure) => {
        const row: { members: readonly string[]; renamed?: object } = STRUCTURES[structure];
        return [...row.members, ...Object.keys(row.renamed ?? {})]
          .filter((member) => look.optional(structure, member as MemberOf<typeof structure>) === undefined)
          .map((member) => `${structure}.${member}`);
      });
      expect(missing).toEqual(MISSING_MEMBERS[kernel]);
    });

    it("lists processes as /proc has them", async () => {
      const before = whole(listProcesses(zoo.look()));
      const said = lines(
        await sh(`cd /proc; for pid in [0-9]*; do
          [ -e $pid/stat ] && echo "$(cat $pid/stat)|$(stat -c %u $pid)|$(tr '\\0' '~' <$pid/cmdline)"; done; true`),
      ).flatMap(parseStat);
      const after = whole(listProcesses(zoo.look()));
      const kept = before.filter(({ pid }) => after.some((process) => process.pid === pid));
      const stayed = said.filter(({ pid }) => kept.some((process) => process.pid === pid));
      expect(stayed.length).toBeGreaterThan(20);
      expect(stayed.map(({ pid }) => pid).sort((a, b) => a - b)).toEqual(
        kept.map(({ pid }) => pid).sort((a, b) => a - b),
      );
      for (const stat of stayed) {
        const process = after.find(({ pid }) => pid === stat.pid)!;
        const { pid, ppid, comm, uid, cpu } = process;
        // Workers have what they work on behind their name.
        const name = process.kernelThread ? stat.comm.slice(0, comm.length) : stat.comm;
        expect({ pid, ppid, comm: encodeText(comm), uid, cpu }).toEqual({ ...stat.row, comm: name });
        expect(process.threads.length).toBe(stat.threads);
        expect(Math.floor(process.started / 1e7)).toBe(stat.started);
        expect(encodeText(process.command.join("~"))).toBe(stat.command.replace(/~$/, ""));
        // Ticks of 10 ms; the guest lives on between the two looks.
        expect(process.totalRuntime / 1e7).toBeGreaterThan(stat.ticks - 3);
        if (process.comm !== "agent" && !process.kernelThread)
          expect(process.totalRuntime / 1e7).toBeLessThan(stat.ticks + 50);
        if (!process.kernelThread && comm !== "agent") expect(process.state).toBe(stat.state);
        if (stat.state === "I") expect(process.state).toMatch(/[IR]/);
      }
      expect(after.find(({ pid }) => pid === 2)).toMatchObject({
        comm: "kthreadd",
        kernelThread: true,
        mm: 0,
        command: [],
      });
    });

    it("lists threads with their names", async () => {
      const look = zoo.look();
      const said = lines(await sh(`cd /proc/${zoo.pid}/task; for t in *; do echo "$t $(cat $t/comm)"; done`));
      const found = zoo.process(look).threads.map(({ tid, comm }) => `${tid} ${encodeText(comm)}`);
      expect(found).toEqual(said);
      expect(found.length).toBe(3);
      expect(zoo.process(look).command).toEqual(["zoo", "/run/ready", "one", "two words"]);
    });

    it("lists memory areas line by line as /proc/PID/maps", async () => {
      for (const pid of [zoo.pid, 1, Number(await sh("cat /run/vivarium/agent"))]) {
        const said = await sh(`cat /proc/${pid}/maps`);
        const look = zoo.look();
        const process = whole(listProcesses(look)).find((one) => one.pid === pid)!;
        const root = rootOf(look, process.at);
        expect(showMaps(listMemoryAreas(look, process.mm, root))).toBe(said);
        const code = said.match(/^\S+ ..x.*\n/gm)!;
        expect(showMaps(listMemoryAreas(look, process.mm, root, true))).toBe(code.join(""));
        expect(said).toContain("[vsyscall]");
      }
    });

    it("names what is mapped from overlayfs as the guest sees it", async () => {
      await sh(`mkdir /run/overlay; mount -t tmpfs none /run/overlay; mkdir /run/overlay/up /run/overlay/work /run/overlay/all
        mount -t overlay -o lowerdir=/bin,upperdir=/run/overlay/up,workdir=/run/overlay/work none /run/overlay/all`);
      const pid = Number(
        await sh("/run/overlay/all/busybox sleep 1000 >/dev/null 2>&1 </dev/null & sleep 0.5; echo $!"),
      );
      const said = await sh(`cat /proc/${pid}/maps`);
      const look = zoo.look();
      const process = whole(listProcesses(look)).find((one) => one.pid === pid)!;
      const areas = listMemoryAreas(look, process.mm, rootOf(look, process.at));
      const hash = (await sh(`sha256sum /bin/busybox; kill ${pid}`)).split(" ")[0];
      expect(showMaps(areas)).toBe(said);
      const { file } = areas.rows.find(({ name }) => name === "/run/overlay/all/busybox")!;
      const { missing, bytes } = readFile(look, file!, 2 ** 26);
      expect([missing, sha256(bytes)]).toEqual([[], hash]);
    });

    it("lists open files as /proc/PID/fd and fdinfo", async () => {
      const said = lines(
        await sh(`cd /proc/${zoo.pid}/fd; for fd in *; do
          echo "$fd|$(readlink $fd)|$(sed -n 's/^pos:.//p;s/^flags:.//p' ../fdinfo/$fd | tr '\\n' '|')"; done`),
      ).map((line) => line.split("|"));
      const look = zoo.look();
      const process = zoo.process(look);
      const found = whole(listOpenFiles(look, process.at, rootOf(look, process.at)));
      const O_CLOEXEC = 0o200_0000;
      expect(found.map(({ fd, name, position, rawFlags }) => [fd, name, position, rawFlags & ~O_CLOEXEC])).toEqual(
        said
          .map(([fd, name, position, flags]) => [
            Number(fd),
            name,
            Number(position),
            Number.parseInt(flags!, 8) & ~O_CLOEXEC,
          ])
          .sort((a, b) => Number(a[0]) - Number(b[0])),
      );
      expect(found.length).toBeGreaterThan(15);
      expect(found.find(({ name }) => name.endsWith("/gone (deleted)"))).toMatchObject({
        access: "read-write",
        flags: ["append"],
        position: 4,
      });
    });

    it("reads the kernel's log", async () => {
      await sh("printf '<12>first line\\tbell \\033[31m \\342\\230\\203\\n' >/dev/kmsg");
      const said = await sh("dmesg");
      const listing = readKernelLog(zoo.look());
      whole(listing);
      expect(showKernelLog(listing).replace(/\\e\[31m/, "\x1b[31m")).toBe(Buffer.from(said, "latin1").toString());
      expect(listing.rows.at(-1)).toMatchObject({
        level: "warn",
        facility: "user",
        text: "first line\tbell \x1b[31m \u2603",
      });
      expect(listing.rows[0]).toMatchObject({ level: "notice", facility: "kern" });
      expect(listing.rows[0]!.text).toMatch(/^Linux version /);
    });

    it("goes on reading the log when the ring has gone round", async () => {
      await sh(
        'i=0; while [ $i -lt 4000 ]; do echo "number $i 0123456789012345678901234567890123456789012345678901234567890123456789" >/dev/kmsg; i=$((i+1)); done',
      );
      const listing = readKernelLog(zoo.look());
      const said = lines(await sh("dmesg"));
      expect(whole(listing).length).toBeLessThan(4000);
      // dmesg leaves out what does not fit its buffer.
      expect(said.length).toBeGreaterThan(1000);
      expect(lines(showKernelLog(listing)).slice(-said.length)).toEqual(said);
    });

    it("lists mounts as /proc/mounts", async () => {
      await sh("mkdir -p '/mnt/a b' && mount -t tmpfs -o nosuid,noexec,noatime,ro,size=1m 'we ird' '/mnt/a b'");
      const said = lines(await sh(`cat /proc/${zoo.pid}/mounts`));
      const look = zoo.look();
      const found = lines(showMounts(listMounts(look, zoo.process(look).at)));
      expect(found.length).toBe(said.length);
      // Behind the flags come a file system's own options.
      for (const [i, line] of found.entries()) expect(said[i]).toMatch(startOf(line.replace(/ 0 0$/, "")));
      expect(found.at(-1)).toMatch(/^we\\040ird \/mnt\/a\\040b tmpfs ro,nosuid,noexec,noatime 0 0$/);
      await sh("umount '/mnt/a b'");
    });

    it("lists sockets as /proc/net", async () => {
      const look = zoo.look();
      const rows = whole(listSockets(look, whole(listProcesses(look))));
      for (const [protocol, family, file] of [
        ["tcp", "inet", "tcp"],
        ["udp", "inet", "udp"],
        ["tcp", "inet6", "tcp6"],
      ] as const) {
        const said = lines(await sh(`cat /proc/net/${file}`))
          .slice(1)
          .map(parseInet);
        const found = rows
          .filter((row) => row.protocol === protocol && row.family === family)
          .map((row) => `${row.localPort} ${row.remotePort} ${row.inode}`);
        expect(found.sort()).toEqual(said.sort());
      }
      expect(rows.find(({ localPort, state }) => localPort === 8080 && state === "LISTEN")).toMatchObject({
        local: "127.0.0.1",
        remote: "0.0.0.0",
        pids: [zoo.pid],
      });
      expect(rows.find(({ remotePort, state }) => remotePort === 8080 && state === "ESTABLISHED")).toMatchObject({
        remote: "127.0.0.1",
        pids: [zoo.pid],
      });
      expect(rows.find(({ localPort }) => localPort === 8081)).toMatchObject({
        family: "inet6",
        local: "::1",
        state: "LISTEN",
        remote: "::",
      });
      expect(rows.find(({ localPort }) => localPort === 5353)).toMatchObject({ protocol: "udp", local: "127.0.0.1" });
      const unix = lines(await sh("cat /proc/net/unix"))
        .slice(1)
        .map((line) => line.trim().split(/\s+/));
      for (const [, , , , , , inode, path] of unix) {
        expect(rows.find((row) => row.family === "unix" && row.inode === Number(inode))).toMatchObject({
          local: path ?? "",
          pids: [zoo.pid],
        });
      }
      expect(unix.length).toBe(2);
    });

    it("lists network devices with their addresses", async () => {
      const said = await sh("ip -4 -o address; cat /sys/class/net/*/address");
      const [lo, ...others] = whole(listNetworkDevices(zoo.look()));
      expect(lo).toEqual({
        index: 1,
        name: "lo",
        flags: ["up", "loopback"],
        mtu: 65536,
        address: "00:00:00:00:00:00",
        ipv4: ["127.0.0.1/8"],
      });
      expect(said).toContain("127.0.0.1/8");
      for (const { address } of others) expect(said).toContain(address);
    });

    it("walks paths and lists directories as the guest does", async () => {
      await sh(
        "mkdir -p /root/deep/er; ln -s ../deep/./er /root/deep/link; ln -s loop /root/loop; echo text >/root/deep/er/file; ln -s /proc/self/exe /root/exe; mkdir /root/deep/er/mounted; mount -t tmpfs none /root/deep/er/mounted; ln -s /root/deep/er/mounted/../file /root/up; touch /root/gone; exec 9</root/gone; rm /root/gone",
      );
      const look = zoo.look();
      const files = new FileTree(look, findInit(look)!.at);
      for (const directory of [
        "/",
        "/etc",
        "/dev",
        "/root",
        "/root/deep/link",
        "/bin/../sbin",
        "/root/deep/er/mounted/..",
      ]) {
        const said = lines(await sh(`cd ${directory}; for f in $(ls -A); do stat -c '%n %f %h %u %g %s %Y' $f; done`));
        const found = whole(files.list(files.find(directory)))
          .filter(({ name }) => !/^(proc|sys|pts)$/.test(name))
          .map(
            ({ name, inode }) =>
              `${name} ${inode.mode.toString(16)} ${inode.links} ${inode.uid} ${inode.gid} ${inode.size} ${inode.modified}`,
          );
        // Sizes and times of terminals change while they are looked at.
        const steady = (rows: string[]) =>
          rows.filter((row) => !/^(tty|run |proc |sys |pts |console|dev |kmsg)/.test(row)).sort();
        expect(steady(found)).toEqual(steady(said));
      }
      const text = (path: string) => Buffer.from(readFile(look, files.find(path).inode.at, 4096).bytes).toString();
      expect(text("/root/deep/link/file")).toBe("text\n");
      expect(text("/root/up")).toBe("text\n");
      expect(text("/root/deep/../../../../root/deep/er/mounted/../file")).toBe("text\n");
      expect(() => files.find("/root/loop")).toThrow(expect.objectContaining({ code: "guest.too-many-links" }));
      expect(() => files.find("/root/nothing")).toThrow(expect.objectContaining({ code: "guest.no-such-file" }));
      expect(() => files.find("/etc/passwd/x")).toThrow(expect.objectContaining({ code: "guest.no-directory" }));
      expect(() => files.find("/root/exe")).toThrow(expect.objectContaining({ code: "guest.not-cached" }));
      expect(readUsers(look, files).get(0)).toBe("root");
    });

    it("reads files of memory to the byte", async () => {
      await sh(
        "mkdir -p /mnt/huge; mount -t tmpfs -o huge=always none /mnt/huge; head -c 5000001 /dev/urandom >/mnt/huge/file; head -c 5000001 /dev/urandom >/dev/shm/file",
      );
      const look = zoo.look();
      const files = new FileTree(look, findInit(look)!.at);
      for (const path of ["/bin/busybox", "/bin/zoo", "/mnt/huge/file", "/dev/shm/file", "/etc/passwd"]) {
        const said = (await sh(`sha256sum ${path}`)).split(" ")[0];
        const { bytes, missing, size } = readFile(look, files.find(path).inode.at, 2 ** 26);
        expect({ path, missing, size, hash: sha256(bytes) }).toEqual({
          path,
          missing: [],
          size: bytes.length,
          hash: said,
        });
      }
      const huge = await sh("grep -E 'ShmemHugePages' /proc/meminfo");
      expect(huge).not.toMatch(/\s0 kB/);
    });

    it("says what of a file is missing", async () => {
      await sh(`mkdir -p /mnt/disk; mount -o loop,ro -t ext4 /image.ext4 /mnt/disk; head -c 10000 /dev/zero | tr '\\0' x >/dev/shm/sparse
        dd if=/etc/passwd of=/dev/shm/sparse bs=1 seek=1000000 conv=notrunc status=none
        echo 3 >/proc/sys/vm/drop_caches; dd if=/mnt/disk/big of=/dev/null bs=4096 skip=300 count=1 status=none`);
      const look = zoo.look();
      const files = new FileTree(look, findInit(look)!.at);
      const sparse = [...readFileParts(look, files.find("/dev/shm/sparse").inode.at)];
      expect(sparse.map(({ offset, length, missing }) => ({ offset, length, missing }))).toEqual([
        { offset: 0, length: 4096, missing: undefined },
        { offset: 4096, length: 4096, missing: undefined },
        { offset: 8192, length: 4096, missing: undefined },
        { offset: 12288, length: 987_136, missing: "not in memory" },
        { offset: 999_424, length: sparse.at(-1)!.length, missing: undefined },
      ]);
      const disk = [...readFileParts(look, files.find("/mnt/disk/big").inode.at)];
      const original = bigFile();
      expect(disk.at(-1)!.offset + disk.at(-1)!.length).toBe(original.length);
      let there = 0;
      for (const part of disk) {
        if (!part.bytes) continue;
        expect(Buffer.compare(part.bytes, original.subarray(part.offset, part.offset + part.length))).toBe(0);
        there += part.length;
      }
      expect(there).toBeGreaterThanOrEqual(4096);
      expect(there).toBeLessThan(original.length / 2);
      expect(() => files.find("/mnt/disk/other")).toThrow(expect.objectContaining({ code: "guest.not-cached" }));
    });

    it("tells names and time", async () => {
      const look = zoo.look();
      const names = readNames(look)!;
      const said = (await sh("uname -n; uname -r; uname -v; uname -m")).trim().split("\n");
      expect([names.hostname, names.release, names.version, names.machine]).toEqual(said);
      const [now, uptime] = (await sh("date +%s; cut -d' ' -f1 /proc/uptime")).trim().split("\n").map(Number);
      const clock = readClock(zoo.look())!;
      expect(Math.abs(clock.now - now!)).toBeLessThan(5);
      expect(Math.abs(clock.uptime - uptime!)).toBeLessThan(5);
    });

    it("is not wrong about a guest that forks all the time", async () => {
      await sh(
        "(while [ ! -e /run/enough ]; do /bin/true & /bin/true | /bin/cat; done) >/dev/null 2>&1 </dev/null & true",
      );
      const known = new Map(
        whole(listProcesses(zoo.look()))
          .filter(({ comm, ppid }) => ppid <= 1 && /^(init|agent|side|zoo|kthreadd)$/.test(comm))
          .map((process) => [process.pid, process]),
      );
      expect(known.size).toBeGreaterThanOrEqual(5);
      const seen = new Set<number>();
      let cut = 0;
      for (let i = 0; i < 1000; i++) {
        const { rows, gaps } = listProcesses(zoo.look());
        for (const { pid } of rows) seen.add(pid);
        if (gaps.length > 0) cut++;
        else
          for (const [pid, process] of known) expect(same(rows.find((row) => row.pid === pid))).toEqual(same(process));
        expect(new Set(rows.map(({ pid }) => pid)).size).toBe(rows.length);
        for (const { comm, state, cpu } of rows) {
          expect(comm).toMatch(/^[\w/:.+()<>-]+$/);
          expect(state).toMatch(/^[RSDTtXZPI]$/);
          expect(cpu).toBe(0);
        }
        if (i % 50 === 0) await new Promise((resolve) => setTimeout(resolve, 20));
      }
      await sh("touch /run/enough");
      expect(seen.size).toBeGreaterThan(known.size + 60);
      expect(cut).toBeLessThan(20);
    }, 240_000);
  });
});

const same = (process: Process | undefined) =>
  process && {
    pid: process.pid,
    ppid: process.ppid,
    comm: process.comm,
    uid: process.uid,
    started: process.started,
    mm: process.mm,
    threads: process.threads.length,
  };

const startOf = (text: string): RegExp => new RegExp(`^${text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}[, ]`);

/** A line of /proc/PID/stat (proc(5)), then the owner and the command line, which may have several lines. */
function parseStat(line: string) {
  const [, pid, comm, rest] = /^(\d+) \((.*)\) ([^|]*)/.exec(line) ?? [];
  if (rest === undefined) return [];
  const field = rest.split(" ");
  const [uid, command] = line.slice(line.lastIndexOf(")")).split("|").slice(1);
  const row = { pid: Number(pid), ppid: Number(field[1]), uid: Number(uid), cpu: Number(field[36]) };
  const stat = {
    pid: Number(pid),
    comm: comm!,
    state: field[0]!,
    threads: Number(field[17]),
    started: Number(field[19]),
    ticks: Number(field[11]) + Number(field[12]),
    command: command!,
    row,
  };
  return [stat];
}

/** A line of /proc/net/tcp: both ports, and the inode. */
function parseInet(line: string): string {
  const field = line.trim().split(/\s+/);
  const port = (text: string) => Number.parseInt(text.split(":")[1]!, 16);
  return `${port(field[1]!)} ${port(field[2]!)} ${field[9]}`;
}

function bigFile(): Buffer {
  const file = Buffer.alloc(4 * 1024 * 1024);
  for (let i = 0; i < file.length; i += 4) file.writeUInt32LE(i ^ 0x5a5a5a5a, i);
  return file;
}

/** A file system on a file, made by the host. */
function ext4Image(): Uint8Array {
  const directory = mkdtempSync(join(tmpdir(), "vivarium-ext4-"));
  try {
    const root = join(directory, "root");
    const image = join(directory, "image");
    execFileSync("mkdir", [root]);
    writeFileSync(join(root, "big"), bigFile());
    writeFileSync(join(root, "other"), "other\n");
    execFileSync("mke2fs", ["-q", "-t", "ext4", "-O", "^has_journal", "-d", root, image, "8M"]);
    return readFileSync(image);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
