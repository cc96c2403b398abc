/**
 * The same strings inside the whole PC: every port and every piece of device memory is hostile traffic for the real
 * devices, interrupts arrive, timers fire, and time makes jumps.
 */
import { type Ns, ns } from "../../src/base/index.ts";
import type { CpuPorts } from "../../src/cpu/index.ts";
import { GuestRam } from "../../src/machine/memory.ts";
import { type Timer, Timers } from "../../src/machine/timers.ts";
import { Pc } from "../../src/vmm/pc.ts";
import type { CaseOptions, Verdict } from "./case.ts";
import { brokenRule } from "./invariants.ts";
import { RAM_SIZE } from "./layout.ts";
import { program } from "./programs.ts";
import { Random } from "./random.ts";
import { chooseSetting, type Mode, writeState, writeTables } from "./setting.ts";
import { randomString } from "./strings.ts";
import { Subject } from "./subject.ts";

const MODES: readonly Mode[] = ["real16", "flat32", "flat32", "odd32", "long64", "compatibility"];
const KINDS = ["devices", "devices", "devices", "system", "mixed"] as const;
/** What a look at the clock takes: the least a timer's firing costs the host. */
const LOOK_NS = 300;
/** The host was closed for a night. */
const SLEEP = 4e13;
/** More firings at one time than this, and the host would do nothing else. */
const MAX_FIRINGS = 20_000;
/** A device has a few timers; they must not pile up. */
const MAX_TIMERS = 32;
/** Cases of the fuzzer: every so many-th runs here. */
export const MACHINE_EVERY = 5;
/** One machine serves cases so far apart. */
const LIFE = 50 * MACHINE_EVERY;
const SLICES = 4;
const OVERSHOOT = 160;

class FuzzTimers extends Timers {
  readonly #waiting = new Set<Timer>();
  firings = 0;

  override at(deadline: Ns, fire: () => void): Timer {
    if (Number.isNaN(deadline)) throw new Error("a timer at no time");
    const timer = super.at(deadline, () => {
      this.#waiting.delete(timer);
      if (++this.firings > MAX_FIRINGS) throw new Error("a storm of timers");
      fire();
    });
    this.#waiting.add(timer);
    if (this.#waiting.size > MAX_TIMERS) throw new Error("timers pile up");
    return timer;
  }
  override cancel(timer: Timer | undefined): void {
    if (timer) this.#waiting.delete(timer);
    super.cancel(timer);
  }
}

export class DeviceFuzzer {
  readonly #seed: number;
  readonly #base = new Uint8Array(RAM_SIZE);
  readonly #image = Buffer.alloc(RAM_SIZE);
  #random = new Random(0, 0);
  #now = 0;
  /** The first case of the machine in use, and the one that comes next on it. */
  #first = -1;
  #next = 0;
  #pc!: Pc;
  #timers!: FuzzTimers;
  #subject: Subject | undefined;

  constructor(seed: number) {
    this.#seed = seed;
    new Random(seed, -2).fill(this.#base);
  }

  /** The vCPU outlives the machine around it. */
  #ports(): CpuPorts {
    const pc = () => this.#pc;
    return {
      portRead: (port, size) => whole(pc().vcpuPorts.portRead(port, size)),
      portWrite: (port, size, value) => pc().vcpuPorts.portWrite(port, size, value),
      mmioRead: (gpa, size) => whole(pc().vcpuPorts.mmioRead(gpa, size)),
      mmioWrite: (gpa, size, value) => pc().vcpuPorts.mmioWrite(gpa, size, value),
      tsc: () => pc().vcpuPorts.tsc(),
      wallTime: () => pc().vcpuPorts.wallTime(),
      random: (into) => pc().vcpuPorts.random(into),
      get apic() {
        return pc().vcpuPorts.apic;
      },
    };
  }

  #create(): Subject {
    const subject = new Subject("max", this.#ports());
    this.#build(subject);
    return subject;
  }

  #build(subject: Subject): void {
    this.#now = 0;
    const clock = {
      now: () => ns((this.#now += LOOK_NS)),
      wallTime: () => 1_700_000_000_000 + this.#now / 1e6,
    };
    this.#timers = new FuzzTimers(clock);
    this.#pc = new Pc({
      ram: new GuestRam(subject.ram),
      clock,
      timers: this.#timers,
      entropy: { fill: (into) => this.#random.fill(into) },
      physicalAddressBits: 40,
      serial: [0, 1, 2, 3].map(() => ({ write: () => undefined })),
      onSerialRoom: () => undefined,
      onPending: () => subject.cpu.requestAttention(),
      onRequest: () => subject.cpu.requestAttention(),
    });
  }

  run(index: number, options: CaseOptions = {}): Verdict {
    // A machine serves a few cases, and a case must be the same by itself: those before it on its machine go first.
    const first = index - (index % LIFE);
    if (first !== this.#first || index < this.#next) {
      this.#first = first;
      this.#next = first;
      if (this.#subject) this.#build(this.#subject);
    }
    for (; this.#next < index; this.#next += MACHINE_EVERY) this.#one(this.#next, {});
    this.#next = index + MACHINE_EVERY;
    return this.#one(index, options);
  }

  #one(index: number, { log }: CaseOptions): Verdict {
    const random = new Random(this.#seed, index);
    this.#random = random;
    const mode = random.pick(MODES);
    const setting = chooseSetting(random, mode, random.once(2));
    const kind = random.pick(KINDS);
    const string = randomString(random, kind, setting.bits);
    const label = `PC ${setting.mode} CPL ${setting.cpl} ${setting.paging} ${kind}: ${Buffer.from(string).toString("hex")}`;
    log?.(label);
    const wrong = (instructions: number, what: string): Verdict => ({ instructions, failure: `${what}\n  ${label}` });
    try {
      const subject = (this.#subject ??= this.#create());
      const image = this.#image;
      image.set(this.#base);
      writeTables(image, random, setting);
      image.set(string, setting.at);
      subject.cpu.reset();
      this.#pc.reset();
      subject.ram.set(image);
      writeState(subject.cpu, random, setting);
      return this.#slices(subject, random, wrong);
    } catch (error) {
      this.#subject = undefined;
      return wrong(0, `the host threw ${(error as Error).stack}`);
    }
  }

  #slices(subject: Subject, random: Random, wrong: (instructions: number, what: string) => Verdict): Verdict {
    const { cpu } = subject;
    const before = cpu.instructions;
    for (let slice = 0; slice < SLICES; slice++) {
      this.#outside(random);
      this.#timers.firings = 0;
      this.#timers.run();
      const budget = 1 + random.below(80);
      const from = cpu.instructions;
      const end = cpu.run(budget);
      const retired = cpu.instructions - from;
      if (retired > budget + OVERSHOOT) return wrong(retired, `${retired} instructions retired`);
      const rule = brokenRule(cpu);
      if (rule) return wrong(retired, `does not hold: ${rule}`);
      if (this.#pc.takeRequest() || end === "shutdown") break;
      if (Number.isNaN(this.#timers.next())) return wrong(retired, "the next timer is at no time");
    }
    const disturbed = subject.disturbed(false);
    const instructions = cpu.instructions - before;
    return disturbed ? wrong(instructions, `overwritten: ${disturbed}`) : { instructions };
  }

  /** What comes from the host between two slices; and traffic that needs no instruction. */
  #outside(random: Random): void {
    const { vcpuPorts: ports, serial, pm } = this.#pc;
    this.#now += random.pick([0, 1000, 500_000, 500_000, 20_000_000, 1e9, SLEEP]);
    if (random.once(8)) this.#pc.raiseNmi();
    if (random.once(16)) pm.pressPowerButton();
    if (random.once(4)) {
      const bytes = new Uint8Array(random.below(64));
      random.fill(bytes);
      serial[random.below(serial.length)]!.receive(bytes);
    }
    for (let i = random.below(3); i > 0; i--) program(random, ports);
    const sizes = [1, 2, 4] as const;
    for (let i = random.below(8); i > 0; i--) {
      const size = random.pick(sizes);
      const port = random.once(4) ? random.below(0x1_0000) : random.pick(BASES) + random.below(8);
      if (random.once(2)) ports.portWrite(port, size, random.next() >>> (random.once(2) ? 24 : 0));
      else whole(ports.portRead(port, size));
      const gpa = random.pick(DEVICE_PAGES) + random.below(random.once(2) ? 0x400 : 0x1000);
      if (random.once(2)) ports.mmioWrite(gpa, size, random.next() >>> random.below(32));
      else whole(ports.mmioRead(gpa, size));
    }
  }
}

const BASES = [
  0x20, 0x40, 0x60, 0x70, 0x90, 0xa0, 0xb0, 0xf0, 0x2e8, 0x2f8, 0x3e8, 0x3f8, 0x4d0, 0x600, 0x608, 0x620, 0xcf8,
];
const DEVICE_PAGES = [0xfec0_0000, 0xfed0_0000, 0xfee0_0000, 0xc000_0000, 0x1_0000_0000];

/** What a device reads as must be a number of 32 bits. */
function whole(value: number): number {
  if (value !== value >>> 0 && value !== (value | 0)) throw new Error(`a device read as ${value}`);
  return value;
}
