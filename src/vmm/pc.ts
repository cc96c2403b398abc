/**
 * The PC: every device, wired and attached where platform.ts says. One vCPU so far.
 * What the guest does to the whole machine (power off, reset, exit) is only noted here; the run loop acts on it once
 * the vCPU is at rest, so no device is reset in the middle of its own access.
 */
import { AcpiPm } from "../devices/acpi-pm/index.ts";
import { debugExit } from "../devices/debug-exit/index.ts";
import { HPET_MINIMUM_TICK, HPET_REGISTERS, Hpet } from "../devices/hpet/index.ts";
import { I8042 } from "../devices/i8042/index.ts";
import { IoApic } from "../devices/ioapic/index.ts";
import { hostBridge, PciBus } from "../devices/pci/index.ts";
import { Pic } from "../devices/pic8259/index.ts";
import { Pit } from "../devices/pit8254/index.ts";
import { Rtc } from "../devices/rtc/index.ts";
import { type SerialBackend, Uart16550 } from "../devices/uart16550/index.ts";
import { buildAcpi } from "../machine/acpi/index.ts";
import { type AccessSize, Bus, type IoDevice } from "../machine/bus.ts";
import { isaLines } from "../machine/interrupts/isa-lines.ts";
import { LocalApic } from "../machine/interrupts/local-apic.ts";
import { InterruptRouter } from "../machine/interrupts/router.ts";
import type { GuestRam } from "../machine/memory.ts";
import {
  ACPI_PM,
  DEBUG_EXIT,
  HPET_BLOCK,
  I8042 as I8042_PORTS,
  IO_APIC,
  LOCAL_APIC,
  PCI_CONFIG,
  PCI_GSI_BASE,
  PCI_GSI_COUNT,
  PIC_PORTS,
  PIT_PORTS,
  RTC,
  SERIAL_PORTS,
} from "../machine/platform.ts";
import type { Clock, Entropy, IrqLine } from "../machine/ports.ts";
import type { Timers } from "../machine/timers.ts";
import { sharedLine } from "./irq-sharing.ts";
import type { VcpuPorts } from "./vcpu.ts";

export interface PcOptions {
  readonly ram: GuestRam;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly entropy: Entropy;
  /** MAXPHYADDR of the CPU model. */
  readonly physicalAddressBits: number;
  /** Where the serial ports send to, COM1 first. */
  readonly serial: readonly SerialBackend[];
  /** Serial port `port` takes bytes again after it refused some. */
  onSerialRoom(port: number): void;
  /** The vCPU should look at its local APIC. */
  onPending(): void;
  /** The run loop should look at takeRequest: the guest has done its last instruction. */
  onRequest(): void;
}

/** What the guest asked of the machine as a whole. */
export type MachineRequest =
  | { readonly kind: "power-off" }
  | { readonly kind: "reset" }
  | { readonly kind: "exit"; readonly status: number };

const BOOTSTRAP = 0;

export class Pc {
  readonly serial: readonly Uart16550[];
  readonly apic: LocalApic;
  readonly pm: AcpiPm;
  readonly vcpuPorts: VcpuPorts;
  /** The guest physical address of the ACPI root pointer. */
  readonly rsdp: number;
  readonly #ports = new Bus();
  readonly #memory = new Bus();
  readonly #options: PcOptions;
  readonly #router = new InterruptRouter();
  readonly #rtc: Rtc;
  readonly #acpi = buildAcpi({
    cpus: 1,
    hpet: { id: HPET_REGISTERS.capabilities.reset >>> 0, minimumTick: HPET_MINIMUM_TICK },
  });
  /** In the order they are reset: interrupt controllers first, so that what a device lets go of is not latched. */
  readonly #devices: readonly { reset(): void }[];
  #request: MachineRequest | undefined;

  constructor(options: PcOptions) {
    this.#options = options;
    this.rsdp = this.#acpi.rsdp;
    const { clock, timers, ram } = options;
    const router = this.#router;
    const onReset = () => this.#ask({ kind: "reset" });

    const pic = new Pic(router.extInt);
    this.apic = new LocalApic(
      BOOTSTRAP,
      { bootstrap: true, physicalAddressBits: options.physicalAddressBits },
      {
        clock,
        timers,
        pic,
        ipi: (sender, shorthand, message) => router.ipi(sender, shorthand, message),
        endOfInterrupt: (vector) => router.endOfInterrupt(vector),
        onPending: () => options.onPending(),
      },
    );
    router.attach(this.apic);
    const ioApic = new IoApic(router);
    router.attachIoApic(ioApic);
    const isa = isaLines(pic, ioApic);

    const hpet = new Hpet({ clock, timers, irq0: isa[0]!, irq8: isa[8]!, pin: (pin) => ioApic.line(pin) });
    const pit = new Pit({ clock, timers, irq: hpet.irq0 });
    this.#rtc = new Rtc({ clock, timers, ram, irq: hpet.irq8 });
    this.pm = new AcpiPm({
      clock,
      timers,
      sci: isa[ACPI_PM.sciIrq]!,
      onPowerOff: () => this.#ask({ kind: "power-off" }),
      onReset,
    });
    const i8042 = new I8042({
      keyboardIrq: isa[I8042_PORTS.keyboardIrq]!,
      auxIrq: isa[I8042_PORTS.mouseIrq]!,
      onReset,
    });
    this.serial = this.#serialPorts(isa);
    const pci = new PciBus({
      ports: this.#ports,
      memory: this.#memory,
      interrupts: Array.from({ length: PCI_GSI_COUNT }, (_, i) => ioApic.line(PCI_GSI_BASE + i)),
    });
    pci.attach(0, 0, hostBridge());

    this.#attach([
      [PIC_PORTS.master, PIC_PORTS.length, pic.master],
      [PIC_PORTS.slave, PIC_PORTS.length, pic.slave],
      [PIC_PORTS.elcr, PIC_PORTS.length, pic.elcr],
      [PIT_PORTS.base, PIT_PORTS.length, pit],
      [PIT_PORTS.control, 1, pit.control],
      [I8042_PORTS.data, 1, i8042.data],
      [I8042_PORTS.command, 1, i8042.command],
      [I8042_PORTS.fastReset, 1, i8042.fastReset],
      [RTC.port, RTC.length, this.#rtc],
      [DEBUG_EXIT.port, DEBUG_EXIT.length, debugExit((status) => this.#ask({ kind: "exit", status }))],
      [ACPI_PM.base, ACPI_PM.length, this.pm],
      [ACPI_PM.smiCommand, 2, this.pm.smi],
      [PCI_CONFIG.address, 1, pci.address],
      [ACPI_PM.reset.port, 1, this.pm.resetControl],
      [PCI_CONFIG.data, 4, pci.data],
      ...SERIAL_PORTS.map(({ port, length }, i) => [port, length, this.serial[i]!] as const),
    ]);
    this.#memory.attach(IO_APIC.address, IO_APIC.length, ioApic);
    this.#memory.attach(HPET_BLOCK.address, HPET_BLOCK.length, hpet);

    this.#devices = [this.apic, pic, ioApic, hpet, pit, this.#rtc, this.pm, i8042, pci, ...this.serial];
    this.vcpuPorts = {
      portRead: (port, size) => this.#ports.read(port, size),
      portWrite: (port, size, value) => this.#ports.write(port, size, value),
      mmioRead: (gpa, size) => this.#mmioRead(gpa, size),
      mmioWrite: (gpa, size, value) => this.#mmioWrite(gpa, size, value),
      tsc: () => clock.now(),
      wallTime: () => clock.wallTime(),
      random: (into) => options.entropy.fill(into),
      apic: this.apic,
    };
  }

  /**
   * Power-up or RESET, and then what firmware would do: ACPI tables into RAM, the local APIC in virtual wire mode.
   * The rest of RAM keeps what it holds, as memory does over a reset.
   */
  reset(): void {
    this.#request = undefined;
    for (const device of this.#devices) device.reset();
    for (const { gpa, bytes } of this.#acpi.tables) this.#options.ram.view(gpa, bytes.length)?.set(bytes);
    this.apic.enterVirtualWire();
  }

  /** Names of all devices that the guest's code reaches. */
  get deviceNames(): readonly string[] {
    return [...new Set([this.apic.name, ...[...this.#ports.devices, ...this.#memory.devices].map(({ name }) => name)])];
  }
  /** The name of the device at a port or a guest physical address. */
  deviceAt(bus: "port" | "memory", address: number): string | undefined {
    if (bus === "port") return this.#ports.at(address)?.name;
    return this.#apicAt(address) >= 0 ? this.apic.name : this.#memory.at(address)?.name;
  }

  /** What the guest asked of the machine since the last call. */
  takeRequest(): MachineRequest | undefined {
    // There is no firmware at the reset vector: a processor that INIT sends there starts the machine anew.
    if (this.apic.takeInit()) this.#ask({ kind: "reset" });
    const request = this.#request;
    this.#request = undefined;
    return request;
  }

  /** The host's NMI button. */
  raiseNmi(): void {
    if (this.#rtc.nmiMasked) return;
    this.#router.nmi.set(true);
    this.#router.nmi.set(false);
  }

  /** The first request counts: a guest that powers off and resets in one breath powers off. */
  #ask(request: MachineRequest): void {
    this.#request ??= request;
    this.#options.onRequest();
  }

  #attach(rows: readonly (readonly [port: number, length: number, device: IoDevice])[]): void {
    for (const [port, length, device] of rows) this.#ports.attach(port, length, device);
  }

  #serialPorts(isa: readonly IrqLine[]): Uart16550[] {
    const { clock, timers, serial } = this.#options;
    const wires = new Map<number, IrqLine[]>();
    for (const { irq } of SERIAL_PORTS) {
      if (!wires.has(irq)) wires.set(irq, sharedLine(isa[irq]!, SERIAL_PORTS.length));
    }
    return SERIAL_PORTS.map(
      ({ irq }, i) =>
        new Uart16550({
          name: `com${i + 1}`,
          irq: wires.get(irq)![i]!,
          clock,
          timers,
          backend: serial[i] ?? { write: () => undefined },
          onRoom: () => this.#options.onSerialRoom(i),
        }),
    );
  }

  /** The local APIC's page lies over everything else at its address, and the guest may move it (SDM vol. 3A 11.4.5). */
  #apicAt(gpa: number): number {
    const offset = gpa - this.apic.address;
    return this.apic.address >= 0 && offset >= 0 && offset < LOCAL_APIC.length ? offset : -1;
  }
  #mmioRead(gpa: number, size: AccessSize): number {
    const offset = this.#apicAt(gpa);
    return offset >= 0 ? this.apic.read(offset, size) : this.#memory.read(gpa, size);
  }
  #mmioWrite(gpa: number, size: AccessSize, value: number): void {
    const offset = this.#apicAt(gpa);
    if (offset >= 0) this.apic.write(offset, size, value);
    else this.#memory.write(gpa, size, value);
  }
}
