import { describe, expect, it } from "vitest";
import { MODULE_TEXT, SYNTHETIC_LAYOUTS, syntheticKernel } from "../../tests/guest/synthetic-kernel.ts";
import { MODULE_LAYOUTS, syntheticModules } from "../../tests/guest/synthetic-modules.ts";
import { gva } from "../base/index.ts";
import { findKernel } from "./find-kernel.ts";
import type { LinuxKernel } from "./linux-kernel.ts";

const layout = SYNTHETIC_LAYOUTS[6]!;
const kernelOf = (...[options]: Parameters<typeof syntheticKernel>) => {
  const written = syntheticKernel(options);
  const result = findKernel(written.memory, [written.registers]);
  if (!result.found) throw new Error(result.message);
  const { ram, places } = written;
  const view = new DataView(ram.buffer);
  return { kernel: result.kernel as LinuxKernel, ram, view, places, text: places["image"]! + MODULE_TEXT };
};

describe.each(MODULE_LAYOUTS)("modules that have %s", (modules) => {
  it("are listed, but not before they are born", () => {
    const { kernel, text } = kernelOf({ layout, modules });
    const [first, second] = syntheticModules(text);
    expect(
      kernel.modules.map(({ name, state, base, srcversion, size }) => ({ name, state, base, srcversion, size })),
    ).toEqual([
      { name: "first", state: "live", base: first!.text, srcversion: "SRCfirst", size: 0x1800 },
      { name: "second", state: "going", base: second!.text, srcversion: "SRCsecond", size: 0x1800 },
    ]);
    expect(kernel.modules[0]!.text).toEqual([{ start: first!.text, end: first!.text + 0x1000 }]);
  });

  it("have symbols, in upper case what all may use", () => {
    const { kernel, text } = kernelOf({ layout, modules });
    expect(kernel.modules[1]!.symbols).toEqual([
      { name: "second_init", type: "t", start: text + 0x2000, module: "second" },
      { name: "second_do", type: "T", start: text + 0x2040, module: "second" },
      { name: "second_data", type: "d", start: text + 0x3800, module: "second" },
    ]);
    expect(kernel.symbols.address("first_do")).toBe(text + 0x40);
    expect(kernel.symbols.find(gva(text + 0x50))).toMatchObject({
      name: "first_do",
      module: "first",
      end: text + 0x1000,
    });
    expect(kernel.symbols.find(gva(text + 0x1800))).toBeUndefined();
    expect([...kernel.symbols.all()].filter((symbol) => symbol.module !== undefined).length).toBe(6);
  });

  it("are read again when one goes, and only then", () => {
    const { kernel, view, places, text } = kernelOf({ layout, modules });
    expect(kernel.refresh()).toBe(false);
    // The list's head to itself.
    const head = places["data"]! + 0x4000;
    for (const at of [head, head + 8])
      view.setBigUint64(at, BigInt.asUintN(64, BigInt(head + places["distance"]!)), true);
    expect(kernel.refresh()).toBe(true);
    expect(kernel.modules).toEqual([]);
    expect(kernel.symbols.find(gva(text))).toBeUndefined();
    expect(kernel.symbols.address("first_do")).toBeUndefined();
  });

  it("stay as they were while their list is torn, or has no end", () => {
    const { kernel, view, places } = kernelOf({ layout, modules });
    const node = places["data"]! + 0x5000 + 8;
    const old = view.getBigUint64(node, true);
    // To itself, and consistent with that.
    for (const at of [node, node + 8])
      view.setBigUint64(at, BigInt.asUintN(64, BigInt(node + places["distance"]!)), true);
    expect(kernel.refresh()).toBe(false);
    view.setBigUint64(node, old, true);
    expect(kernel.refresh()).toBe(false);
    expect(kernel.modules.map(({ name }) => name)).toEqual(["first", "second"]);
  });

  it("have no symbols where their count is beyond reason", () => {
    const { kernel, ram, view, places } = kernelOf({ layout, modules });
    const tables =
      Number(BigInt.asIntN(64, view.getBigUint64(places["data"]! + 0x5000 + 88, true))) - places["distance"]!;
    view.setUint32(tables + 8, 0xffff_ffff, true);
    ram[places["data"]! + 0x5000 + 24] = "F".charCodeAt(0);
    expect(kernel.refresh()).toBe(true);
    expect(kernel.modules.map(({ name, symbols }) => [name, symbols.length])).toEqual([
      ["First", 0],
      ["second", 3],
    ]);
  });
});
