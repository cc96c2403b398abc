/** Checks the tables against the specification's layout and against ACPICA's compiler, `iasl`. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type AcpiTable, buildAcpi } from "./index.ts";

const OPTIONS = { cpus: 3, hpet: { id: 0x8086a201, minimumTick: 100 } };

const named = (tables: readonly AcpiTable[], name: string): AcpiTable => {
  const found = tables.find((table) => table.name === name);
  if (found === undefined) throw new Error(`no ${name}`);
  return found;
};
const view = ({ bytes }: AcpiTable) => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
const sum = (bytes: Uint8Array) => bytes.reduce((total, byte) => (total + byte) & 0xff, 0);
const signature = ({ bytes }: AcpiTable, length = 4) => String.fromCharCode(...bytes.subarray(0, length));

describe("the ACPI tables", () => {
  const { tables, rsdp } = buildAcpi(OPTIONS);
  const at = (address: number): AcpiTable => {
    const found = tables.find((table) => table.gpa === address);
    if (found === undefined) throw new Error(`nothing at ${address.toString(16)}`);
    return found;
  };

  it("are found from the RSDP, by both roads, with right lengths and checksums", () => {
    const root = at(rsdp);
    expect(rsdp % 16).toBe(0);
    expect(rsdp).toBeGreaterThanOrEqual(0xe0000);
    expect(signature(root, 8)).toBe("RSD PTR ");
    expect([root.bytes[15], view(root).getUint32(20, true)]).toEqual([2, 36]);
    expect([sum(root.bytes.subarray(0, 20)), sum(root.bytes)]).toEqual([0, 0]);
    const rsdt = at(view(root).getUint32(16, true));
    const xsdt = at(view(root).getUint32(24, true));
    expect([signature(rsdt), signature(xsdt)]).toEqual(["RSDT", "XSDT"]);
    const listed32 = Array.from({ length: (rsdt.bytes.length - 36) / 4 }, (_, i) =>
      view(rsdt).getUint32(36 + 4 * i, true),
    );
    const listed64 = Array.from({ length: (xsdt.bytes.length - 36) / 8 }, (_, i) =>
      Number(view(xsdt).getBigUint64(36 + 8 * i, true)),
    );
    expect(listed64).toEqual(listed32);
    expect(listed32.map((address) => signature(at(address)))).toEqual(["FACP", "APIC", "HPET", "WAET"]);
    const fadt = at(listed32[0]!);
    const [facs, dsdt] = [at(view(fadt).getUint32(36, true)), at(view(fadt).getUint32(40, true))];
    expect([signature(facs), signature(dsdt), facs.gpa % 64]).toEqual(["FACS", "DSDT", 0]);
    expect(view(fadt).getBigUint64(140, true)).toBe(BigInt(dsdt.gpa));
    for (const table of [rsdt, xsdt, dsdt, ...listed32.map(at)]) {
      expect([table.name, view(table).getUint32(4, true), sum(table.bytes)]).toEqual([
        table.name,
        table.bytes.length,
        0,
      ]);
    }
  });

  it("do not overlap and stay below 1 MiB, for the largest machine too", () => {
    const all = buildAcpi({ ...OPTIONS, cpus: 255 }).tables.toSorted((a, b) => a.gpa - b.gpa);
    for (const [i, table] of all.entries()) {
      expect(table.gpa + table.bytes.length).toBeLessThanOrEqual(all[i + 1]?.gpa ?? 0x100000);
    }
  });

  it("refuse machines that cannot be", () => {
    for (const cpus of [0, 256, 1.5]) {
      expect(() => buildAcpi({ ...OPTIONS, cpus })).toThrow(expect.objectContaining({ code: "cpus.count" }));
    }
  });

  it("leave out what is not there", () => {
    const names = buildAcpi({ cpus: 1 }).tables.map((table) => table.name);
    expect(names).not.toContain("HPET");
  });
});

const iasl = spawnSync("iasl", ["-v"]).status === 0;
if (!iasl) console.warn("iasl is not installed (Debian: acpica-tools): the ACPI tables are not checked against it");

describe.skipIf(!iasl)("ACPICA", () => {
  const run = (...args: string[]): string => execFileSync("iasl", args, { encoding: "utf8", stdio: "pipe" });

  /** Disassembles a table, compiles the result, and returns both. */
  const roundTrip = (table: AcpiTable): { source: string; compiled: Uint8Array; report: string } => {
    const folder = mkdtempSync(join(tmpdir(), "viv-acpi-"));
    try {
      const file = (extension: string): string => join(folder, `${table.name}.${extension}`);
      writeFileSync(file("dat"), table.bytes);
      run("-d", file("dat"));
      const source = readFileSync(file("dsl"), "utf8");
      const report = run("-p", join(folder, "out"), file("dsl"));
      return { source, report, compiled: new Uint8Array(readFileSync(join(folder, "out.aml"))) };
    } finally {
      rmSync(folder, { recursive: true });
    }
  };

  const { tables } = buildAcpi(OPTIONS);
  /** The compiler signs the header and then sums it anew. */
  const withoutSignature = (bytes: Uint8Array): number[] => {
    const copy = Array.from(bytes);
    copy.fill(0, 28, 36);
    copy[9] = 0;
    return copy;
  };

  it.each(["DSDT", "FACP", "APIC", "HPET", "WAET", "RSDT", "XSDT"])(
    "takes %s apart and puts it together again",
    (name) => {
      const table = named(tables, name);
      const { source, compiled, report } = roundTrip(table);
      expect(report).toMatch(/Compilation successful\. 0 Errors, 0 Warnings/);
      expect(source).not.toMatch(/incorrect checksum|should be|Invalid|ERROR|Warning/i);
      expect(withoutSignature(compiled)).toEqual(withoutSignature(table.bytes));
    },
  );

  it("takes the FACS apart and puts it together again", () => {
    const table = named(tables, "FACS");
    expect(Array.from(roundTrip(table).compiled)).toEqual(Array.from(table.bytes));
  });

  it.each([
    { cpus: 1, serialPorts: 0 },
    { cpus: 255, serialPorts: 4 },
  ])("takes the DSDT of a machine with $cpus CPUs", (options) => {
    const table = named(buildAcpi(options).tables, "DSDT");
    expect(withoutSignature(roundTrip(table).compiled)).toEqual(withoutSignature(table.bytes));
  });

  it("reads in the tables what we meant", () => {
    const dsdt = roundTrip(named(tables, "DSDT")).source.replace(/\s+/g, " ");
    expect(dsdt).toMatch(/Name \(\\?_S5,? ?(_S5_)?.*?Package \(0x04\).*?\{ Zero, Zero/);
    for (const id of ["PNP0A03", "PNP0501", "PNP0B00", "PNP0303", "PNP0F13", "PNP0103"])
      expect(dsdt).toContain(`EisaId ("${id}")`);
    expect(dsdt.match(/EisaId \("PNP0501"\)/g)).toHaveLength(4);
    expect(dsdt).toMatch(/0xC0000000, \/\/ Range Minimum 0xFEBFFFFF, \/\/ Range Maximum/);
    expect(dsdt).toMatch(/WordBusNumber \(.*?0x00FF, \/\/ Range Maximum/);
    const fadt = roundTrip(named(tables, "FACP")).source;
    const value = (source: string, field: string): string | undefined =>
      new RegExp(`${field.replace(/[()]/g, "\\$&")} : (\\S+)`).exec(source)?.[1];
    expect(value(fadt, "SCI Interrupt")).toBe("0009");
    expect(value(fadt, "PM1A Event Block Address")).toBe("00000600");
    expect(value(fadt, "PM Timer Block Address")).toBe("00000608");
    expect(value(fadt, "Value to cause reset")).toBe("06");
    expect(value(fadt, "Hardware Reduced (V5)")).toBe("0");
    expect(value(fadt, "8042 Present on ports 60/64 (V2)")).toBe("1");
    expect(value(fadt, "RTC Century Index")).toBe("32");
    const madt = roundTrip(named(tables, "APIC")).source;
    expect(madt.match(/\[Processor Local APIC\]/g)).toHaveLength(3);
    expect(madt).toMatch(/Address : FEC00000/);
    expect(madt).toMatch(/Source : 00\n.*Interrupt : 00000002/);
    expect(madt).toMatch(/Source : 09\n.*Interrupt : 00000009\n.*000D/);
    expect(madt).toMatch(/Interrupt Input LINT : 01/);
  });
});
