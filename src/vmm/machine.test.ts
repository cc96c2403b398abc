/** A whole machine with a vCPU that is a script: what the guest would do with its ports, a step for each slice. */
import { describe, expect, it } from "vitest";
import { bzImage } from "../../tests/kernel-images.ts";
import { MiB, ns } from "../base/index.ts";
import { HostLink, MachineLink, REQUEST } from "./link.ts";
import { type BootSpec, Machine, type MachineEnd } from "./machine.ts";
import type { SliceEnd, Vcpu, VcpuPorts } from "./vcpu.ts";

const latin1 = (bytes: Uint8Array): string => Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");

type Step = (ports: VcpuPorts, ram: Uint8Array) => SliceEnd | undefined;

const run = (steps: readonly Step[], boot: Partial<BootSpec> = {}, prepare?: (host: HostLink) => unknown) => {
  let now = 0;
  let slice = 0;
  const host = new HostLink();
  const ram = new Uint8Array(64 * MiB);
  const starts: { rip: number; ram: number }[] = [];
  const link = new MachineLink(host.buffer, () => drain());
  const printed = ["", "", "", ""];
  const drain = (): void => {
    host.answerDoorbell();
    host.serial.forEach(({ fromGuest }, port) => {
      const bytes = fromGuest.peek(1 << 20);
      fromGuest.consume(bytes.length);
      printed[port]! += latin1(bytes);
    });
    host.tookBytes();
  };
  let attention = 0;
  const machine = new Machine({
    boot: { kernel: bzImage(), commandLine: "", onReset: "exit", ...boot },
    readFile: () => bzImage(),
    clock: { now: () => ns((now += 1_000)), wallTime: () => 0 },
    entropy: { fill: (into) => void into.fill(7) },
    link,
    physicalAddressBits: 40,
    ram,
    createVcpu: (ports): Vcpu => ({
      instructions: 0,
      reset: () => undefined,
      start: (entry) => void starts.push({ rip: entry.rip, ram: ram[entry.rip]! }),
      requestAttention: () => void attention++,
      requestReturn: () => undefined,
      run: () => {
        const step = steps[slice++];
        if (step) return step(ports, ram) ?? "running";
        host.request(REQUEST.stop);
        return "running";
      },
    }),
  });
  prepare?.(host);
  machine.boot();
  const end: MachineEnd = machine.run();
  drain();
  return { end, starts, attention, ram, slices: slice, text: printed };
};

const out =
  (port: number, value: number, size: 1 | 2 | 4 = 1): Step =>
  (ports) => {
    ports.portWrite(port, size, value);
  };

/** The I/O APIC's entry of a pin: this vector to APIC 0, edge. And the local APIC on. */
const route = (ports: VcpuPorts, pin: number, vector: number): void => {
  ports.mmioWrite(0xfee000f0, 4, 0x1ff);
  ports.mmioWrite(0xfec00000, 4, 0x10 + 2 * pin);
  ports.mmioWrite(0xfec00010, 4, vector);
};
const endOfInterrupt = (ports: VcpuPorts): void => ports.mmioWrite(0xfee000b0, 4, 0);

describe("a machine", () => {
  it("starts the kernel that its files hold", () => {
    const { starts, end } = run([]);
    expect(starts).toEqual([{ rip: 0x1000200, ram: 0xf4 }]);
    expect(end).toEqual({ reason: "stopped" });
  });

  it.each<[string, Step]>([
    ["the ACPI reset register", out(0xcf9, 0x06)],
    ["the keyboard controller", out(0x64, 0xfe)],
    ["system control port A", out(0x92, 0x01)],
  ])("is reset by %s", (_, step) => {
    expect(run([step]).end).toEqual({ reason: "reset" });
  });

  it.each<[string, Step]>([
    ["a reset", out(0xcf9, 0x06)],
    ["a triple fault", () => "shutdown"],
  ])("boots again after %s, with its devices as new", (_, step) => {
    const scratch: number[] = [];
    const look: Step = (ports) => void scratch.push(ports.portRead(0x3ff, 1));
    const { starts, end } = run([out(0x3ff, 0x5a), look, step, look], { onReset: "reboot" });
    expect(starts.length).toBe(2);
    expect(scratch).toEqual([0x5a, 0]);
    expect(end).toEqual({ reason: "stopped" });
  });

  it("puts kernel and ACPI tables back into RAM the guest has written over", () => {
    const wipe: Step = (_, ram) => void ram.fill(0, 0, 32 * MiB);
    const { starts, ram } = run([wipe, out(0xcf9, 0x06)], { onReset: "reboot" });
    expect(starts[1]).toEqual(starts[0]);
    expect(String.fromCharCode(...ram.subarray(0xe0000, 0xe0008))).toBe("RSD PTR ");
  });

  it("says that it died of a triple fault", () => {
    expect(run([() => "shutdown"]).end).toEqual({ reason: "triple-fault" });
  });

  it("powers off by ACPI, as Linux and as kernels without tables do it", () => {
    expect(run([out(0x604, 0x2000, 2)]).end).toEqual({ reason: "power-off" });
  });

  it("ends with the status given to the debug exit device", () => {
    expect(run([out(0xf4, 0x10, 4)]).end).toEqual({ reason: "exit", status: 0x21 });
  });

  it("takes the first of two wishes", () => {
    const both: Step = (ports) => {
      ports.portWrite(0x604, 2, 0x2000);
      ports.portWrite(0xcf9, 1, 0x06);
      return undefined;
    };
    expect(run([both]).end).toEqual({ reason: "power-off" });
  });

  it("starts anew where INIT sends the only processor to firmware that is not there", () => {
    const init: Step = (ports) => {
      ports.mmioWrite(0xfee000f0, 4, 0x1ff);
      // ICR: INIT, assert, all including self.
      ports.mmioWrite(0xfee00300, 4, 0x00084500);
      return undefined;
    };
    expect(run([init]).end).toEqual({ reason: "reset" });
  });

  it("has the serial ports' bytes come and go", () => {
    const print: Step = (ports) => {
      for (const [port, letter] of [0x3f8, 0x2f8, 0x3e8, 0x2e8].map((p, i) => [p, 0x41 + i] as const)) {
        ports.portWrite(port, 1, letter);
      }
      return undefined;
    };
    const typed: string[] = [];
    const read: Step = (ports) => {
      while (ports.portRead(0x3fd, 1) & 1) typed.push(String.fromCharCode(ports.portRead(0x3f8, 1)));
      return undefined;
    };
    const typing = Uint8Array.from("a line longer than a FIFO", (c) => c.charCodeAt(0));
    let host: HostLink | undefined;
    const type: Step = () => {
      host?.serial[0]?.toGuest.write(typing);
      host?.wake();
      return undefined;
    };
    const { text } = run([out(0x3fa, 0x01), type, print, read], {}, (h) => (host = h));
    expect(text).toEqual(["A", "B", "C", "D"]);
    expect(typed.join("")).toBe("a line longer than a FIFO");
  });

  it("stands still, losing nothing, while the host has no room for what it prints", () => {
    const megabyte = 1 << 20;
    const flood: Step = (ports) => {
      for (let i = 0; i < megabyte; i++) ports.portWrite(0x3f8, 1, 0x30 + (i % 10));
      return undefined;
    };
    // The doorbell of `run` empties the rings, as a host that is slow but alive.
    const { text } = run([flood]);
    expect(text[0]!.length).toBe(megabyte);
    expect(text[0]!.slice(-10)).toBe(Array.from({ length: 10 }, (_, i) => (megabyte - 10 + i) % 10).join(""));
  });

  it("shares IRQ 4 between COM1 and COM3", () => {
    const vectors: number[] = [];
    const interrupts: Step = (ports) => {
      route(ports, 4, 0x44);
      for (const base of [0x3f8, 0x3e8]) {
        ports.portWrite(base + 4, 1, 0x08);
        ports.portWrite(base + 1, 1, 0x02);
      }
      vectors.push(ports.apic.pending());
      ports.apic.acknowledge();
      endOfInterrupt(ports);
      // COM1 is served: the wire stays high for COM3, and there is no new edge.
      ports.portRead(0x3fa, 1);
      vectors.push(ports.apic.pending());
      ports.portRead(0x3ea, 1);
      ports.portWrite(0x3f8, 1, 0x41);
      vectors.push(ports.apic.pending());
      return undefined;
    };
    const { attention } = run([interrupts]);
    expect(vectors).toEqual([0x44, -1, 0x44]);
    expect(attention).toBeGreaterThan(0);
  });

  it("answers the local APIC's page where the guest has moved it", () => {
    const versions: number[] = [];
    const move: Step = (ports) => {
      versions.push(ports.mmioRead(0xfee00030, 4) & 0xff);
      ports.apic.writeApicBase(0xfe000000 | 0x900, 0);
      versions.push(ports.mmioRead(0xfe000030, 4) & 0xff, ports.mmioRead(0xfee00030, 4));
      return undefined;
    };
    run([move]);
    expect(versions).toEqual([versions[0], versions[0], 0xffffffff]);
    expect(versions[0]).toBeGreaterThanOrEqual(0x10);
  });

  it("presses the power button when asked, and raises NMI unless the guest masks it", () => {
    const seen: unknown[] = [];
    const enable: Step = (ports) => {
      ports.portWrite(0xb2, 1, 0x02);
      ports.portWrite(0x602, 2, 0x0100);
      return undefined;
    };
    const look: Step = (ports) => void seen.push(ports.portRead(0x600, 2) & 0x100, ports.apic.takeNmi());
    run([enable, look], {}, (host) => host.request(REQUEST.powerButton | REQUEST.nmi));
    expect(seen).toEqual([0x100, true]);
  });

  it("shows the PCI host bridge", () => {
    let id = 0;
    const look: Step = (ports) => {
      ports.portWrite(0xcf8, 4, 0x80000000);
      id = ports.portRead(0xcfc, 4);
      return undefined;
    };
    run([look]);
    expect(id).toBe(0x12378086);
  });
});
