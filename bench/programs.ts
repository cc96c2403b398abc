/**
 * The real programs, declared: from which package, which file, with which arguments. Each does fixed work and prints what it found;
 * the benchmark compares that. At 100 percent an item takes some 0.6 s natively.
 */
import type { PackageName } from "./packages.ts";

/** What an argument may depend on. */
export interface Work {
  /** Repetitions for this run: `full` of them at 100 percent, at least one. */
  times(full: number): number;
}

export interface RealProgram {
  readonly name: string;
  readonly group: "interpreters" | "database" | "compression" | "crypto";
  readonly package: PackageName;
  /** What dpkg calls pre-dependencies, which the records do not tell. */
  readonly libraries?: readonly string[];
  readonly binary: RegExp;
  /** Besides the binary: what of its package the program reads. */
  readonly files?: RegExp;
  readonly arguments: (work: Work) => readonly string[];
}

/** Below the root directory of the guest: scripts from bench/programs, and what is made for the run. */
export const WORK = "work";
export const CORPUS = `${WORK}/corpus`;
/** What the item xz prints. */
export const CORPUS_XZ = `${WORK}/corpus.xz`;
/** Of the packages' own files: texts, machine code. */
export const CORPUS_SIZE = 5_000_000;
export const CORPUS_FILES = /\.(py|pm)$|\/libcrypto\.so/;
/** Written for each run with the number of rows its name in the script stands for. */
export const SQL = `${WORK}/tables.sql`;
export const SQL_ROWS = 16_000;

const PYTHON = {
  group: "interpreters",
  package: { metapackage: "python3", dependency: /^python3\.\d+$/, suffix: "-minimal" },
  binary: /^usr\/bin\/python3\.\d+$/,
  files: /^usr\/lib\/python3\.\d+\/(?!.*\.pyc$)/,
} as const;
const LUA = { group: "interpreters", package: "lua5.4", binary: /^usr\/bin\/lua5\.4$/ } as const;
const LUAJIT = { group: "interpreters", package: "luajit", binary: /^usr\/bin\/luajit[\w.-]*$/ } as const;
const XZ = { group: "compression", package: "xz-utils", binary: /^usr\/bin\/xz$/ } as const;
const OPENSSL = { group: "crypto", package: "openssl", binary: /^usr\/bin\/openssl$/ } as const;

/** Without the site's modules and without writing compiled ones. */
const python = (script: string, ...rest: readonly string[]): string[] => ["-SB", `${WORK}/${script}`, ...rest];
const copies = (count: number, word: string): string[] => Array.from({ length: count }, () => word);
/** A prime of Mersenne's: a long row of Miller and Rabin's tests, each a modular power. */
const MERSENNE = String(2n ** 1279n - 1n);
const KEY = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
/** AES in a chain of blocks, and nothing to write but the result. */
const CMAC = ["-mac", "cmac", "-macopt", "cipher:AES-256-CBC", "-macopt", `hexkey:${KEY}`];

export const PROGRAMS: readonly RealProgram[] = [
  { ...PYTHON, name: "python-objects", arguments: ({ times }) => python("objects.py", `${times(95)}`) },
  { ...PYTHON, name: "python-numbers", arguments: ({ times }) => python("numbers.py", `${times(400)}`) },
  { ...LUA, name: "lua", arguments: ({ times }) => [`${WORK}/mixed.lua`, `${times(120)}`] },
  { ...LUAJIT, name: "luajit", arguments: ({ times }) => [`${WORK}/mixed.lua`, `${times(350)}`] },
  { ...LUAJIT, name: "luajit-numbers", arguments: ({ times }) => [`${WORK}/numeric.lua`, `${times(240)}`] },
  {
    name: "perl",
    group: "interpreters",
    package: "perl-base",
    libraries: ["libcrypt1"],
    binary: /^usr\/bin\/perl$/,
    files: /^usr\/lib\/x86_64-linux-gnu\/perl-base\/(strict|warnings)\.pm$/,
    arguments: ({ times }) => [`${WORK}/text.pl`, `${times(100)}`],
  },
  {
    name: "sqlite",
    group: "database",
    package: "sqlite3",
    binary: /^usr\/bin\/sqlite3$/,
    arguments: () => ["-batch", "-init", "/dev/null", ":memory:", ...copies(4, `.read ${SQL}`)],
  },
  {
    name: "gzip",
    group: "compression",
    package: "gzip",
    binary: /^(usr\/)?bin\/gzip$/,
    arguments: () => ["-nc", ...copies(4, CORPUS)],
  },
  {
    name: "bzip2",
    group: "compression",
    package: "bzip2",
    binary: /^(usr\/)?bin\/bzip2$/,
    arguments: () => ["-c", ...copies(2, CORPUS)],
  },
  { ...XZ, name: "xz", arguments: () => ["-1", "-T1", "-c", ...copies(2, CORPUS)] },
  { ...XZ, name: "unxz", arguments: () => ["-d", "-T1", "-c", ...copies(6, CORPUS_XZ)] },
  {
    name: "zstd",
    group: "compression",
    package: "zstd",
    binary: /^usr\/bin\/zstd$/,
    arguments: () => ["-q", "-12", "--single-thread", "-c", ...copies(4, CORPUS)],
  },
  { ...OPENSSL, name: "openssl-sha256", arguments: () => ["dgst", "-sha256", ...copies(48, CORPUS)] },
  {
    ...OPENSSL,
    name: "openssl-aes",
    arguments: () => ["dgst", ...CMAC, ...copies(28, CORPUS)],
  },
  { ...OPENSSL, name: "openssl-prime", arguments: ({ times }) => ["prime", ...copies(times(13), MERSENNE)] },
];

/**
 * The same everywhere. What chooses among several codes for one function by the processor's features is kept to those of
 * x86-64-v2, so that the native run executes what the guests execute: glibc (GLIBC_TUNABLES), OpenSSL (OPENSSL_ia32cap(3): of
 * leaf 1 no PCLMULQDQ, FMA, AES, AVX, RDRAND; of leaf 7 nothing).
 */
export const ENVIRONMENT: Readonly<Record<string, string>> = {
  LC_ALL: "C",
  PYTHONHOME: "usr",
  PYTHONHASHSEED: "0",
  PERL_HASH_SEED: "0",
  PERL5LIB: "usr/lib/x86_64-linux-gnu/perl-base",
  OPENSSL_CONF: "/dev/null",
};
export const BASELINE_ENVIRONMENT: Readonly<Record<string, string>> = {
  GLIBC_TUNABLES:
    "glibc.cpu.hwcaps=-AVX,-AVX2,-AVX512F,-AVX512VL,-AVX512BW,-BMI1,-BMI2,-LZCNT,-MOVBE,-FMA,-ERMS,-FSRM,-RTM",
  OPENSSL_ia32cap: "~0x5200100200000000:0",
};
