import { describe, expect, it } from "vitest";
import { gva, ns } from "../../base/index.ts";
import { formatMode } from "../inodes.ts";
import { ipv6 } from "../sockets.ts";
import { taskTree } from "../task-tree.ts";
import { type Process, stateLetter } from "../tasks.ts";
import { showOpenFiles } from "./files.ts";
import { showTable } from "./table.ts";
import { formatDuration, showTasks } from "./tasks.ts";

function process(pid: number, ppid: number, comm: string, command: string[] = []): Process {
  const task = {
    at: gva(0),
    tid: pid,
    pid,
    ppid,
    comm,
    state: "S",
    cpu: 0,
    uid: pid === 7 ? 1000 : 0,
    kernelThread: false,
    mm: gva(0),
    runtime: ns(1.5e9),
    started: ns(0),
  };
  return { ...task, threads: [task, { ...task, tid: pid + 100, comm: "worker" }], totalRuntime: ns(61.25e9), command };
}

describe("tasks", () => {
  const rows = [
    process(1, 0, "init", ["/sbin/init"]),
    process(9, 7, "c\x1b"),
    process(7, 1, "sh", ["sh", "-c", "x y"]),
    process(8, 1, "b"),
  ];

  it("are shown as a tree", () => {
    expect(showTasks({ rows, gaps: ["cut after 4: \x07"] }, { tree: true, users: new Map([[0, "root"]]) })).toBe(
      [
        "PID PPID USER S CPU    TIME COMMAND",
        "  1    0 root S   0 1:01.25 /sbin/init",
        "  7    1 1000 S   0 1:01.25 \\_ sh -c x y",
        "  9    7 root S   0 1:01.25   \\_ [c\\e]",
        "  8    1 root S   0 1:01.25 \\_ [b]",
        "(cut after 4: \\x07)",
        "",
      ].join("\n"),
    );
  });

  it("are shown with threads", () => {
    expect(showTasks({ rows: rows.slice(0, 1), gaps: [] }, { threads: true })).toBe(
      [
        "PID TID PPID USER S CPU    TIME COMMAND",
        "  1   1    0 0    S   0 0:01.50 /sbin/init",
        "  1 101    0 0    S   0 0:01.50 {worker}",
        "",
      ].join("\n"),
    );
  });

  it("stand in the tree once, whoever they claim for a parent", () => {
    const circle = [process(2, 3, "a"), process(3, 2, "b"), process(4, 4, "c"), process(4, 3, "d")];
    expect(taskTree(circle).map(({ process: { comm }, depth }) => [comm, depth])).toEqual([
      ["c", 0],
      ["a", 0],
      ["b", 1],
      ["d", 2],
    ]);
  });

  // Letters as get_task_state() in fs/proc/array.c has them.
  it.each([
    [0, 0, "R"],
    [1, 0, "S"],
    [2, 0, "D"],
    [0x102, 0, "D"],
    [4, 0, "T"],
    [8, 0, "t"],
    [0, 0x10, "X"],
    [0x80, 0x20, "Z"],
    [0x40, 0, "P"],
    [0x402, 0, "I"],
    [0x8000, 0, "D"],
  ])("in state %i with exit state %i are %s", (state, exit, letter) => {
    expect(stateLetter(state, exit)).toBe(letter);
  });
});

describe("tables", () => {
  it("are not widened by one long name", () => {
    const text = showTable(
      [{ name: "x".repeat(1000) }, { name: "y" }],
      [
        { title: "NAME", value: ({ name }) => name },
        { title: "N", value: () => 1, right: true },
      ],
    );
    expect(text.split("\n")[2]).toBe(`${"y".padEnd(40)} 1`);
  });

  it("escape what they show", () => {
    const row = {
      fd: 1,
      at: gva(0),
      inode: gva(0),
      name: "/tmp/\x1b[2J",
      access: "read" as const,
      flags: [],
      rawFlags: 0,
      position: 3,
    };
    expect(showOpenFiles({ rows: [row], gaps: [] })).toBe(
      "FD ACCESS FLAGS POSITION NAME\n 1 read                3 /tmp/\\e[2J\n",
    );
  });
});

describe("forms", () => {
  // As `ls -l` writes them.
  it.each([
    [0o100644, "-rw-r--r--"],
    [0o104755, "-rwsr-xr-x"],
    [0o102640, "-rw-r-S---"],
    [0o041777, "drwxrwxrwt"],
    [0o120777, "lrwxrwxrwx"],
    [0o020620, "crw--w----"],
    [0o140755, "srwxr-xr-x"],
    [0, "?---------"],
  ])("mode %i is %s", (mode, text) => {
    expect(formatMode(mode)).toBe(text);
  });

  // RFC 5952.
  it.each([
    ["00000000000000000000000000000001", "::1"],
    ["00000000000000000000000000000000", "::"],
    ["20010db8000000000001000000000001", "2001:db8::1:0:0:1"],
    ["20010db8000000010001000100010001", "2001:db8:0:1:1:1:1:1"],
    ["fe800000000000000000000000000000", "fe80::"],
    ["00000000000000000000ffff7f000001", "::ffff:127.0.0.1"],
  ])("IPv6 address %s is %s", (hex, text) => {
    expect(ipv6(Buffer.from(hex, "hex"))).toBe(text);
  });

  it("durations have minutes", () => {
    expect([0, 9.99e6, 59.999e9, 3600e9].map(formatDuration)).toEqual(["0:00.00", "0:00.00", "0:59.99", "60:00.00"]);
  });
});
