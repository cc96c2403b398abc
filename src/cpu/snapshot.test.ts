import { describe, expect, it } from "vitest";
import { noDevices } from "../../tests/no-devices.ts";
import { Cpu } from "./cpu.ts";
import { memoryPages } from "./memory-map.ts";

const RAM = 0x20_0000;
function cpu(): Cpu {
  const pages = memoryPages(RAM);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  return new Cpu({ memory, ramSize: RAM, model: "max", ports: noDevices(), id: 0 });
}

/** 32-bit code: a loop that mixes EAX, counts ECX down, and keeps results in memory and in XMM0. */
const PROGRAM = [
  0x69,
  0xc0,
  0x0d,
  0x66,
  0x19,
  0x00, // imul eax, eax, 0x19660d
  0x11,
  0xc8, // adc eax, ecx
  0x66,
  0x0f,
  0x6e,
  0xc0, // movd xmm0, eax
  0x89,
  0x05,
  0x00,
  0x00,
  0x10,
  0x00, // mov [0x100000], eax
  0xd8,
  0xc0, // fadd st0, st0
  0x49, // dec ecx
  0x75,
  0xe9, // jnz
  0xf4, // hlt
];

function start(): Cpu {
  const made = cpu();
  made.ram.set(PROGRAM, 0x1000);
  made.start({
    mode: "flat32",
    rip: 0x1000,
    registers: { rax: 1, rcx: 1000 },
    gdt: { base: 0, limit: 0 },
    selectors: { cs: 0x10, ss: 0x18 },
  });
  made.r.setPair("cr4", 0x600, 0);
  made.r.set("fcw", 0x37f);
  made.updateMode();
  return made;
}

describe("a vCPU's snapshot", () => {
  it("goes on in another vCPU as if nothing had happened", () => {
    const whole = start();
    expect(whole.run(1_000_000)).toBe("halted");
    const first = start();
    first.run(2_345);
    const saved = structuredClone(first.save());
    expect(saved.fields["rcx"]).not.toBe(1000n);
    const second = cpu();
    second.ram.set(first.ram);
    second.restore(saved);
    expect(second.run(1_000_000)).toBe("halted");
    expect(second.save()).toEqual(whole.save());
    expect(second.ram).toEqual(whole.ram);
  });

  it("refuses what is none", () => {
    const made = cpu();
    const saved = made.save();
    expect(() => made.restore({ ...saved, fields: { ...saved.fields, rax: 1 } })).toThrow("field rax");
    expect(() => made.restore({ ...saved, fields: { ...saved.fields, budget: 1 } })).toThrow("no field budget");
    expect(() => made.restore({ ...saved, fields: { ...saved.fields, ymm3: new Uint8Array(3) } })).toThrow("ymm3");
  });
});
