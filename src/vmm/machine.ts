/**
 * One machine, as it lives in its thread: loads the kernel, runs until the guest or the host ends it, and brings the
 * serial ports' bytes to and from the link.
 */
import type { Ns } from "../base/index.ts";
import { WORK } from "../cpu/host-work.ts";
import type { SamplingPorts } from "../cpu/sampling.ts";
import { type ImageSource, loadKernel } from "../machine/boot/index.ts";
import { GuestRam } from "../machine/memory.ts";
import type { Clock, Entropy } from "../machine/ports.ts";
import { Timers } from "../machine/timers.ts";
import { MachineClock } from "./clock.ts";
import { type MachineLink, REQUEST } from "./link.ts";
import { type MachineRequest, Pc } from "./pc.ts";
import { RunLoop } from "./run-loop.ts";
import type { SampleArea } from "./sampling/area.ts";
import type { CaptureOptions } from "./sampling/capture.ts";
import { Watch } from "./sampling/watch.ts";
import type { SliceEnd, Vcpu, VcpuPorts } from "./vcpu.ts";

/** Bytes, or the name of a file, which the host reads anew for each boot: a large initramfs is not kept beside the guest. */
export type BootFile = Uint8Array | string;

/** What to boot. */
export interface BootSpec {
  readonly kernel: BootFile;
  readonly initrd?: BootFile | undefined;
  readonly commandLine: string;
  /** What happens when the guest resets the machine or dies of a triple fault. */
  readonly onReset: "reboot" | "exit";
}

/** How a run ended. `reset` and `triple-fault` end it only where `onReset` says so. */
export type MachineEnd =
  | { readonly reason: "power-off" | "reset" | "triple-fault" | "stopped" }
  | { readonly reason: "exit"; readonly status: number };

export interface MachineOptions {
  readonly boot: BootSpec;
  /** A file that `boot` names; `what` explains it in messages. It and its methods throw a VivError where it cannot be read. */
  readFile(name: string, what: string): ImageSource;
  readonly clock: Clock;
  readonly entropy: Entropy;
  readonly link: MachineLink;
  readonly physicalAddressBits: number;
  /** All of guest RAM. */
  readonly ram: Uint8Array;
  createVcpu(ports: VcpuPorts): Vcpu;
  /** What is shared with whoever watches, and what makes that which takes samples of the vCPU. Absent: it cannot be watched. */
  readonly sampling?: {
    readonly area: SampleArea;
    capture(options: Pick<CaptureOptions, "now" | "deviceAt">): SamplingPorts;
  };
}

/** Offered to a serial port at a time: more than any FIFO. */
const INPUT_CHUNK = 64;
/**
 * A guest that does nothing but reset makes the host load its kernel over and over. Between two boots at least this long
 * passes, so that the host stays usable.
 */
const MIN_BOOT_INTERVAL_MS = 100;
const NS_PER_MS = 1e6;

export class Machine {
  readonly #options: MachineOptions;
  readonly #link: MachineLink;
  readonly #clock: MachineClock;
  readonly #timers: Timers;
  readonly #pc: Pc;
  readonly #ram: GuestRam;
  readonly #vcpu: Vcpu;
  #end: MachineEnd | undefined;
  #watch: Watch | undefined;
  #held = false;
  /** The guest sent bytes in this slice. */
  #sent = false;
  #bootedAt = Number.NEGATIVE_INFINITY;

  constructor(options: MachineOptions) {
    this.#options = options;
    this.#link = options.link;
    this.#clock = new MachineClock(options.clock);
    this.#timers = new Timers(this.#clock);
    this.#ram = new GuestRam(options.ram);
    this.#pc = new Pc({
      ram: this.#ram,
      clock: this.#clock,
      timers: this.#timers,
      entropy: options.entropy,
      physicalAddressBits: options.physicalAddressBits,
      serial: this.#link.serial.map((_, port) => ({ write: (bytes) => this.#send(port, bytes) })),
      onSerialRoom: (port) => this.#feed(port),
      onPending: () => this.#vcpu?.requestAttention(),
      onRequest: () => this.#vcpu?.requestReturn(),
    });
    this.#vcpu = options.createVcpu(this.#pc.vcpuPorts);
  }

  /** Puts the kernel into RAM. Throws a VivError where it cannot be read, is none or does not fit. */
  boot(): void {
    const options = this.#options;
    const { boot } = options;
    const source = (file: BootFile, what: string): ImageSource =>
      typeof file === "string" ? options.readFile(file, what) : file;
    const kernel = source(boot.kernel, "kernel");
    const initrd = boot.initrd === undefined ? undefined : source(boot.initrd, "initrd");
    this.#bootedAt = this.#clock.now();
    this.#pc.reset();
    this.#vcpu.reset();
    const entry = loadKernel(this.#ram, kernel, {
      commandLine: boot.commandLine,
      initrd: initrd?.subarray(0, initrd.length),
      acpiRsdp: this.#pc.rsdp,
      entropy: options.entropy,
    });
    this.#vcpu.start({ ...entry, registers: { ...entry.registers }, selectors: { ...entry.selectors } });
  }

  /** Runs the booted machine to its end. */
  run(): MachineEnd {
    new RunLoop({
      clock: this.#clock,
      timers: { run: () => this.#runTimers(), next: () => this.#timers.next() },
      vcpu: this.#vcpu,
      waiter: { wait: (until) => this.#sleep(until) },
      look: () => this.#look(),
      flush: () => this.#flush(),
      settle: (end) => this.#settle(end),
    }).run();
    return this.#end ?? { reason: "stopped" };
  }

  #look(): "run" | "pause" | "stop" {
    if (!this.#link.changed()) return this.#held ? "pause" : "run";
    const requests = this.#link.takeRequests();
    if ((requests & REQUEST.stop) !== 0) return "stop";
    if ((requests & REQUEST.powerButton) !== 0) this.#pc.pm.pressPowerButton();
    if ((requests & REQUEST.nmi) !== 0) this.#pc.raiseNmi();
    if ((requests & REQUEST.reset) !== 0) this.#reboot();
    this.#watchAs((requests & REQUEST.watched) !== 0);
    this.#held = (requests & REQUEST.paused) !== 0;
    if (this.#held) {
      this.#clock.hold();
      return "pause";
    }
    this.#clock.release();
    for (const port of this.#link.serial.keys()) this.#feed(port);
    return "run";
  }

  /** Lets somebody watch, or nobody. */
  #watchAs(wanted: boolean): void {
    if (wanted === (this.#watch !== undefined)) return;
    this.#watch?.stop();
    this.#watch = undefined;
    const { sampling } = this.#options;
    const vcpu = this.#vcpu;
    const { sample, watchWork } = vcpu;
    if (!wanted || !sampling || !sample || !watchWork) return;
    const now = () => this.#options.clock.now();
    const deviceNames = this.#pc.deviceNames;
    const deviceAt = (work: number, detail: number) =>
      deviceNames.indexOf(this.#pc.deviceAt(work === WORK.port ? "port" : "memory", detail) ?? "") >>> 0;
    this.#watch = new Watch({
      area: sampling.area,
      exits: this.#link.exits,
      vcpu: {
        sample: sample.bind(vcpu),
        watchWork: watchWork.bind(vcpu),
        get instructions() {
          return vcpu.instructions;
        },
      },
      capture: () => sampling.capture({ now, deviceAt }),
      now,
      deviceNames,
      deviceAt,
    });
  }

  #runTimers(): void {
    if (this.#watch === undefined) {
      this.#timers.run();
      return;
    }
    this.#watch.begin(WORK.timers, 0);
    this.#timers.run();
    this.#watch.end();
  }

  #flush(): void {
    if (!this.#sent) return;
    this.#sent = false;
    this.#link.ringDoorbell();
  }

  #settle(end: SliceEnd): boolean {
    const request: MachineRequest | { kind: "triple-fault" } | undefined =
      this.#pc.takeRequest() ?? (end === "shutdown" ? { kind: "triple-fault" } : undefined);
    if (request === undefined) return true;
    const { onReset } = this.#options.boot;
    if (onReset === "reboot" && (request.kind === "reset" || request.kind === "triple-fault")) {
      this.#reboot();
      return true;
    }
    this.#end = request.kind === "exit" ? { reason: "exit", status: request.status } : { reason: request.kind };
    return false;
  }

  #reboot(): void {
    const rest = MIN_BOOT_INTERVAL_MS - (this.#clock.now() - this.#bootedAt) / NS_PER_MS;
    if (rest > 0) this.#link.sleep(rest);
    this.boot();
  }

  #sleep(until: Ns): void {
    this.#watch?.begin(WORK.halted, 0);
    this.#link.sleep(Math.max(0, (until - this.#clock.now()) / NS_PER_MS));
    this.#watch?.end();
  }

  /** Gives serial port `port` what the host has for it, as far as it takes it. */
  #feed(port: number): void {
    const { toGuest } = this.#link.serial[port]!;
    for (;;) {
      const bytes = toGuest.peek(INPUT_CHUNK);
      if (bytes.length === 0) return;
      const taken = this.#pc.serial[port]!.receive(bytes);
      toGuest.consume(taken);
      if (taken > 0 && this.#link.hostWaits(port)) this.#link.ringDoorbell();
      if (taken < bytes.length) return;
    }
  }

  /** Takes what a serial port sent to the host, and stands still while the host has no room for it. */
  #send(port: number, bytes: Uint8Array): void {
    const { fromGuest } = this.#link.serial[port]!;
    let sent = fromGuest.write(bytes);
    this.#sent = true;
    if (sent === bytes.length) return;
    this.#flush();
    this.#clock.hold();
    this.#link.waitForHost(() => {
      sent += fromGuest.write(bytes, sent);
      return sent === bytes.length || this.#link.stopping;
    });
    this.#clock.release();
    this.#sent = true;
    this.#vcpu.requestReturn();
  }
}
