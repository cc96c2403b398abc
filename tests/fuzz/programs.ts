/** What drivers do to devices, with hostile numbers: noise alone hardly ever arms a timer. */
import type { CpuPorts } from "../../src/cpu/index.ts";
import type { Random } from "./random.ts";

type Program = (random: Random, ports: CpuPorts) => void;

/** Periods and counts: as short as can be, sometimes any. */
const small = (random: Random): number => random.pick([0, 1, 1, 2, 3, 100, 0x80, 0xffff, 0xffff_ffff, random.next()]);

const HPET = 0xfed0_0000;
const APIC = 0xfee0_0000;
const IO_APIC = 0xfec0_0000;

const PROGRAMS: readonly Program[] = [
  // 8254: any mode, the count in one or two bytes.
  (random, ports) => {
    const channel = random.below(3);
    ports.portWrite(
      0x43,
      1,
      (channel << 6) | random.pick([0x10, 0x30, 0x30]) | (random.below(6) << 1) | random.below(2),
    );
    const count = small(random);
    ports.portWrite(0x40 + channel, 1, count & 0xff);
    ports.portWrite(0x40 + channel, 1, (count >>> 8) & 0xff);
    ports.portWrite(0x61, 1, random.below(4));
  },
  // RTC: rate, periodic, alarm and update interrupts; any time of day.
  (random, ports) => {
    const set = (register: number, value: number) => {
      ports.portWrite(0x70, 1, register);
      ports.portWrite(0x71, 1, value);
    };
    set(0x0a, 0x20 | random.below(16));
    set(0x0b, random.below(256));
    if (random.once(2)) set(random.below(10), random.below(256));
    set(0x0b, 0x72 & random.next());
  },
  // HPET: periodic comparators, 32 or 64 bits wide.
  (random, ports) => {
    const timer = HPET + 0x100 + 0x20 * random.below(3);
    ports.mmioWrite(HPET + 0x10, 4, random.pick([1, 3, 0]));
    ports.mmioWrite(timer, 4, random.pick([0x4c, 0x14c, 0x0c, 0x4e, 0x44c]) | (random.below(24) << 9));
    ports.mmioWrite(timer + 8, 4, small(random));
    ports.mmioWrite(timer + 8, 4, small(random));
    if (random.once(3)) ports.mmioWrite(HPET + 0xf0, 4, small(random));
    ports.mmioWrite(HPET + 0x10, 4, random.pick([1, 3]));
  },
  // Local APIC timer: divider, mode, vector, count; or a TSC deadline.
  (random, ports) => {
    ports.mmioWrite(APIC + 0xf0, 4, 0x1ff);
    ports.mmioWrite(APIC + 0x3e0, 4, random.below(16));
    ports.mmioWrite(APIC + 0x320, 4, (random.below(4) << 17) | random.below(256));
    ports.mmioWrite(APIC + 0x380, 4, small(random));
    if (random.once(3)) ports.apic.setTscDeadline(small(random));
    ports.mmioWrite(APIC + 0xb0, 4, 0);
  },
  // I/O APIC and 8259: every pin leads somewhere.
  (random, ports) => {
    for (let i = 0; i < 4; i++) {
      ports.mmioWrite(IO_APIC, 4, 0x10 + random.below(48));
      ports.mmioWrite(IO_APIC + 0x10, 4, random.next() & 0xff00_a7ff);
    }
    for (const base of [0x20, 0xa0]) {
      ports.portWrite(base, 1, 0x11);
      ports.portWrite(base + 1, 1, random.below(256) & 0xf8);
      ports.portWrite(base + 1, 1, random.pick([4, 2]));
      ports.portWrite(base + 1, 1, random.pick([1, 3, 0x11]));
      ports.portWrite(base + 1, 1, random.once(2) ? 0 : random.below(256));
    }
  },
  // ACPI: timer overflow, power button, sleep without the type for off.
  (random, ports) => {
    ports.portWrite(0x602, 2, random.next() & 0xffff);
    ports.portWrite(0x600, 2, random.next() & 0xffff);
    ports.portWrite(0x604, 2, random.once(4) ? random.next() & 0xffff : 1);
  },
  // 16550: FIFOs and interrupts on, a divisor, bytes out.
  (random, ports) => {
    const base = random.pick([0x3f8, 0x2f8, 0x3e8, 0x2e8]);
    ports.portWrite(base + 3, 1, 0x80);
    ports.portWrite(base, 1, small(random) & 0xff);
    ports.portWrite(base + 1, 1, small(random) & 0xff);
    ports.portWrite(base + 3, 1, random.below(128));
    ports.portWrite(base + 2, 1, random.below(256));
    ports.portWrite(base + 1, 1, random.below(16));
    ports.portWrite(base + 4, 1, random.below(32));
    for (let i = random.below(20); i > 0; i--) ports.portWrite(base, 1, random.below(256));
  },
];

export function program(random: Random, ports: CpuPorts): void {
  random.pick(PROGRAMS)(random, ports);
}
