/** ELF files against what readelf and nm say of them. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Elf } from "../../src/guest/elf/elf.ts";
import { EXECUTABLE, SEGMENT } from "../../src/guest/elf/format.ts";
import { ElfSymbols } from "../../src/guest/elf/symbols.ts";
import { bytesOf, fileOf, has, library, output } from "./tools.ts";

const equipped = has("gcc") && has("readelf") && has("nm");
/** Symbols that share addresses, lie in one another, or have no size. */
const SOURCE = `
.text
.globl b_global, __under, _under, longer_name, short
.weak a_weak
.type a_local, @function
.type a_weak, @function
.type b_global, @function
a_local: a_weak: b_global: nop
.size a_local, 1
.size a_weak, 1
.size b_global, 1
.p2align 4
.type __under, @function
.type _under, @function
__under: _under: nop
.size __under, 1
.size _under, 1
.p2align 4
.type short, @function
.type longer_name, @function
short: longer_name: nop
.size short, 1
.size longer_name, 1
.p2align 4
.globl unsized, sized
.type sized, @function
unsized: sized: nop
.size sized, 1
.p2align 4
.globl outer, inner
.type outer, @function
.type inner, @function
outer: nop; nop
inner: nop; nop
.size inner, 2
nop; nop
.size outer, 6
.p2align 4
.globl label
label: nop
.globl after
after: nop; nop
.globl end
.type end, @function
end: ret
.size end, 1
.section .note.GNU-stack,"",@progbits
`;

let directory = "";
let named = "";
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "vivarium-elf-"));
  if (!equipped) return;
  named = join(directory, "named");
  writeFileSync(`${named}.s`, SOURCE);
  execFileSync("gcc", ["-nostdlib", "-shared", "-Wl,--hash-style=gnu", "-o", named, `${named}.s`]);
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const open = (path: string): Elf => Elf.open(fileOf(path))!;
const hex = (text: string | undefined): number => Number.parseInt(text ?? "", 16);

describe.skipIf(!equipped)("ELF files", () => {
  const path = equipped ? library("libc.so.6")! : "";
  it("have the segments and sections that readelf lists", () => {
    const elf = open(path);
    const segments = [
      ...output("readelf", "-lW", path).matchAll(/^ +(\w+) +0x(\w+) 0x(\w+) 0x\w+ 0x(\w+) 0x(\w+) ([R W E]{3})/gm),
    ];
    expect(
      elf.segments.map(({ offset, address, fileSize, memorySize, flags }) => [
        offset,
        address,
        fileSize,
        memorySize,
        flags & EXECUTABLE,
      ]),
    ).toEqual(
      segments.map(([, , offset, address, file, memory, flags]) => [
        hex(offset),
        hex(address),
        hex(file),
        hex(memory),
        flags!.includes("E") ? 1 : 0,
      ]),
    );
    const sections = [...output("readelf", "-SW", path).matchAll(/^ +\[ *\d+\] (\S+) +\S+ +(\w{16}) (\w+) (\w+)/gm)];
    expect(sections.length).toBeGreaterThan(30);
    for (const [, name, address, offset, size] of sections) {
      expect(elf.sectionNamed(name!)).toMatchObject({ address: hex(address), offset: hex(offset), size: hex(size) });
    }
  });
  it("have the build-id that readelf shows, and the name of their debug file", () => {
    expect(output("readelf", "-n", path)).toContain(`Build ID: ${open(path).buildId}`);
    const link = /^ +\[ +0\] +(\S+)/m.exec(output("readelf", "-p", ".gnu_debuglink", path));
    expect(open(path).debugLink).toBe(link?.[1]);
    expect(open(named).debugLink).toBeUndefined();
  });

  it("have all dynamic symbols without section headers, by either hash table", () => {
    for (const style of ["gnu", "sysv", "both"]) {
      const file = join(directory, `hash-${style}`);
      execFileSync("gcc", ["-nostdlib", "-shared", "-s", `-Wl,--hash-style=${style}`, "-o", file, `${named}.s`]);
      const bytes = Uint8Array.from(fileOf(file).read(0, 64)!);
      const whole = Uint8Array.from(execFileSync("cat", [file]));
      // e_shoff, e_shnum and e_shstrndx.
      new DataView(whole.buffer).setBigUint64(40, 0n, true);
      new DataView(whole.buffer).setUint32(60, 0, true);
      const cut = Elf.open(bytesOf(whole))!;
      expect([cut.sections.length, bytes.length]).toEqual([0, 64]);
      const [one] = cut.symbolSources();
      const listed = output("readelf", "--dyn-syms", "-W", file)
        .split("\n")
        .filter((line) => /^ +\d+: /.test(line));
      expect(one!.symbols.length, style).toBe(24 * listed.length);
      expect(new ElfSymbols([one!]).count).toBe(new ElfSymbols(open(file).symbolSources()).count);
    }
  });
});

describe.skipIf(!equipped)("names", () => {
  const at = (name: string): number =>
    hex(
      output("nm", named)
        .split("\n")
        .find((line) => line.endsWith(` ${name}`)),
    );
  it("of one address are chosen as perf chooses", () => {
    const symbols = new ElfSymbols(open(named).symbolSources());
    const find = (name: string, offset = 0): string | undefined => symbols.find(at(name) + offset)?.name;
    expect(find("a_weak")).toBe("b_global");
    expect(find("__under")).toBe("_under");
    expect(find("short")).toBe("longer_name");
    expect(find("unsized")).toBe("sized");
  });
  it("of functions in one another are the inner one's where it is", () => {
    const symbols = new ElfSymbols(open(named).symbolSources());
    const names = Array.from({ length: 7 }, (_, i) => symbols.find(at("outer") + i)?.name);
    expect(names).toEqual(["outer", "outer", "inner", "inner", "outer", "outer", undefined]);
  });
  it("of labels reach to the next one", () => {
    const symbols = new ElfSymbols(open(named).symbolSources());
    expect(Array.from({ length: 4 }, (_, i) => symbols.find(at("label") + i)?.name)).toEqual([
      "label",
      "after",
      "after",
      "end",
    ]);
  });
  it.each(["libc.so.6", "libstdc++.so.6"])("of %s are those of nm", (name) => {
    const path = library(name);
    if (!path) return;
    const symbols = new ElfSymbols(open(path).symbolSources());
    let count = 0;
    for (const line of output("nm", "-DS", "--without-symbol-versions", path).split("\n")) {
      const [, start, size, symbol] = /^(\w+) (\w+) [TWi] (\S+)$/.exec(line) ?? [];
      if (!symbol) continue;
      const found = symbols.find(hex(start))!;
      expect(found.start).toBe(hex(start));
      // Another name of the same, maybe.
      if (found.name === symbol) expect(found.size).toBe(hex(size));
      expect(symbols.find(hex(start) + Math.max(0, hex(size) - 1))).toBeDefined();
      count++;
    }
    expect(count).toBeGreaterThan(1000);
  });
});

/** LLVM's linker: it comes with Rust. */
function lld(): string | undefined {
  if (!has("rustc")) return undefined;
  const path = join(output("rustc", "--print", "sysroot").trim(), "lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld");
  return has(path) || output("ls", path).trim() === path ? path : undefined;
}
const linker = equipped ? lld() : undefined;
if (equipped && !linker) console.warn("skipped: LLVM's linker is not installed (rustup)");

describe.skipIf(!linker)("code that shares a page of the file with other segments", () => {
  it("is where the loader maps it", () => {
    symlinkSync(linker!, join(directory, "ld.lld"));
    const file = join(directory, "shared-pages");
    writeFileSync(
      `${file}.c`,
      '#include <stdio.h>\n#include <string.h>\n#include <unistd.h>\nint main(void) { printf("%p\\n", (void *)main); fflush(stdout); char b[65536]; FILE *f = fopen("/proc/self/maps", "r"); size_t n; while ((n = fread(b, 1, sizeof b, f)) > 0) fwrite(b, 1, n, stdout); return 0; }\n',
    );
    execFileSync("gcc", ["-O2", `-B${directory}`, "-fuse-ld=lld", "-o", file, `${file}.c`], { stdio: "pipe" });
    const elf = open(file);
    const code = elf.segments.find(({ type, flags }) => type === SEGMENT.load && (flags & EXECUTABLE) !== 0)!;
    // Otherwise this tests nothing.
    expect(code.offset % 4096).not.toBe(0);
    const [main, ...maps] = output(file).split("\n");
    const [, start, , offset] = maps
      .map((line) => /^(\w+)-(\w+) r-xp (\w+) .*shared-pages$/.exec(line))
      .find((found) => found)!;
    const bias = hex(start) - elf.codeAddressOf(hex(offset));
    expect(new ElfSymbols(elf.symbolSources()).find(Number(main) - bias)).toMatchObject({
      name: "main",
      start: Number(main) - bias,
    });
  });
});
