import type { CpioEntry } from "../cpio.ts";
import { utf8 } from "../text.ts";
import { AGENT, CONSOLE, CONSOLE_PATH, INIT, INITTAB, PIPES, RUN, SIDE } from "./scripts.ts";

/**
 * The default guest, declared: which packages, which of their files, what is added and how the kernel is told to start.
 */
export interface GuestDeclaration {
  readonly name: string;
  readonly architecture: "amd64";
  readonly parts: readonly GuestPart[];
  readonly kernelCommandLine: readonly string[];
  /** What the initramfs holds, in order; a parent comes before its children. */
  readonly root: (busybox: Uint8Array) => readonly CpioEntry[];
}

/** One file of the image and the package it comes from. */
export interface GuestPart {
  /** The file's name in the image. */
  readonly file: "kernel" | "config" | "busybox";
  readonly package: string;
  /** A metapackage depends on the one that holds the files; this says which of its dependencies that is. */
  readonly dependency?: RegExp;
  /** The file's path in the package, without a leading slash. */
  readonly path: RegExp;
}

/** Debian's name of a kernel that is built for virtual machines, with fewer drivers than the stock one. */
const KERNEL = "linux-image-cloud-amd64";
const KERNEL_IMAGE = /^linux-image-\d[\w.+-]*-cloud-amd64$/;

const text = (path: string, content: string, mode = 0o644): CpioEntry => ({
  type: "file",
  path,
  mode,
  data: utf8(content),
});
const directories = (...paths: string[]): CpioEntry[] =>
  paths.map((path) => ({ type: "directory", path, mode: path === "tmp" ? 0o1777 : path === "root" ? 0o700 : 0o755 }));

export const DEFAULT_GUEST: GuestDeclaration = {
  name: "default",
  architecture: "amd64",
  parts: [
    { file: "kernel", package: KERNEL, dependency: KERNEL_IMAGE, path: /^boot\/vmlinuz-[^/]+$/ },
    { file: "config", package: KERNEL, dependency: KERNEL_IMAGE, path: /^boot\/config-[^/]+$/ },
    { file: "busybox", package: "busybox-static", path: /^(usr\/)?bin\/busybox$/ },
  ],
  kernelCommandLine: [
    "console=ttyS0,115200",
    // Errors still reach the console; a boot's hundreds of other lines would each cost exits to the UART.
    "quiet",
    // The kernel's own tests of its ciphers are a third of the instructions of a boot.
    "cryptomgr.notests",
    // A panic ends the run at once instead of leaving a dead machine behind.
    "panic=-1",
  ],
  root: (busybox) => [
    ...directories("bin", "dev", "etc", "lib", "lib/vivarium", "mnt", "proc", "root", "run", "srv", "sys", "tmp"),
    ...directories("usr", "usr/local", "usr/local/bin", "usr/local/sbin", "var", "var/log", RUN.slice(1)),
    ...PIPES.map((name): CpioEntry => ({ type: "fifo", path: `${RUN.slice(1)}/${name}`, mode: 0o600 })),
    { type: "symlink", path: "sbin", target: "bin" },
    { type: "symlink", path: "usr/bin", target: "../bin" },
    { type: "symlink", path: "usr/sbin", target: "../bin" },
    { type: "symlink", path: "usr/lib", target: "../lib" },
    { type: "symlink", path: "var/run", target: "../run" },
    { type: "symlink", path: "var/tmp", target: "../tmp" },
    // The kernel opens the console before /init mounts devtmpfs.
    { type: "character", path: "dev/console", mode: 0o600, major: 5, minor: 1 },
    { type: "character", path: "dev/null", mode: 0o666, major: 1, minor: 3 },
    { type: "file", path: "bin/busybox", mode: 0o755, data: busybox },
    { type: "symlink", path: "bin/sh", target: "busybox" },
    text("init", INIT, 0o755),
    text("lib/vivarium/agent", AGENT, 0o755),
    text("lib/vivarium/side", SIDE, 0o755),
    text(CONSOLE_PATH.slice(1), CONSOLE, 0o755),
    text("etc/inittab", INITTAB),
    text(
      "etc/fstab",
      ["sysfs /sys sysfs nosuid,nodev,noexec 0 0", "devpts /dev/pts devpts gid=5,mode=620,ptmxmode=666 0 0", ""].join(
        "\n",
      ),
    ),
    text("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"),
    text("etc/group", "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n"),
    text("etc/hostname", "vivarium\n"),
    text("etc/hosts", "127.0.0.1 localhost vivarium\n::1 localhost\n"),
    text("etc/profile", "export PS1='\\w \\$ '\nulimit -c 0\n"),
  ],
};
