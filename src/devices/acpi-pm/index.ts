/**
 * ACPI fixed hardware: PM1 event and control registers, the power management timer, one block of general-purpose events,
 * the SMI command port that switches ACPI on, and the reset register. ACPI 6.5, 4.8.
 * Not modelled: sleep states other than S5 (the request is dropped), bus-master status, the global lock's SMI.
 */
import type { AccessSize, IoDevice } from "../../machine/bus.ts";
import { ACPI_PM } from "../../machine/platform.ts";
import type { Clock, IrqLine } from "../../machine/ports.ts";
import { decoder } from "../../machine/registers.ts";
import type { Section } from "../../machine/state.ts";
import { TickRate } from "../../machine/ticks.ts";
import type { Timer, Timers } from "../../machine/timers.ts";
import { ACPI_REGISTERS, PM_TIMER_HZ, PM1, PM1_CONTROL, RESET_CONTROL } from "./registers.ts";

export { PM_TIMER_HZ } from "./registers.ts";

export interface AcpiPmOptions {
  readonly clock: Clock;
  readonly timers: Timers;
  /** The system control interrupt: level-triggered, shared. */
  readonly sci: IrqLine;
  /** The guest asked for S5. */
  onPowerOff(): void;
  /** The guest wrote the reset register. */
  onReset(): void;
}

export interface AcpiPmState {
  pm1Status: number;
  pm1Enable: number;
  pm1Control: number;
  gpe0Status: number;
  gpe0Enable: number;
  /** Ticks up to which the timer's carry has been taken into TMR_STS. */
  timerSeen: number;
  smiCommand: number;
  smiData: number;
  resetControl: number;
}

const RATE = new TickRate(PM_TIMER_HZ);
const readable = decoder(ACPI_REGISTERS, "r");
const writable = decoder(ACPI_REGISTERS, "w");
/** TMR_STS is set each time the timer's highest bit changes. */
const CARRY = 2 ** (ACPI_PM.timerBits - 1);

const powerUp = (): AcpiPmState => ({
  pm1Status: 0,
  pm1Enable: 0,
  pm1Control: 0,
  gpe0Status: 0,
  gpe0Enable: 0,
  timerSeen: 0,
  smiCommand: 0,
  smiData: 0,
  resetControl: 0,
});

export class AcpiPm implements IoDevice, Section<AcpiPmState> {
  readonly name = "ACPI PM";
  readonly section = { name: "acpi-pm", version: 1 };
  /** Ports ACPI_PM.smiCommand (2 bytes: command, data). */
  readonly smi: IoDevice = {
    name: "SMI command",
    read: (offset) => (offset === 0 ? this.#state.smiCommand : this.#state.smiData),
    write: (offset, size, value) => {
      if (offset === 0) this.#command(value & 0xff);
      if (offset === 1 || size > 1) this.#state.smiData = (value >>> (8 * (1 - offset))) & 0xff;
    },
  };
  /** Port ACPI_PM.reset.port (1 byte). */
  readonly resetControl: IoDevice = {
    name: "reset control",
    read: () => this.#state.resetControl,
    write: (_offset, _size, value) => this.#reset(value & RESET_CONTROL.writable),
  };
  readonly #options: AcpiPmOptions;
  #state = powerUp();
  #armed: Timer | undefined;

  constructor(options: AcpiPmOptions) {
    this.#options = options;
  }

  get state(): AcpiPmState {
    return this.#state;
  }

  restore(state: AcpiPmState): void {
    this.#state = state;
    this.#update();
  }

  /** RESET. The timer runs on. */
  reset(): void {
    this.restore({ ...powerUp(), timerSeen: this.#ticks });
  }

  /** The host's power button; a guest with an ACPI driver shuts down. */
  pressPowerButton(): void {
    this.#state.pm1Status |= PM1.powerButton;
    this.#update();
  }

  /** A device signals general-purpose event `number`, 0 to 15. */
  raiseEvent(number: number): void {
    this.#state.gpe0Status |= (1 << number) & 0xffff;
    this.#update();
  }

  /** The value of the power management timer. */
  get timer(): number {
    return this.#ticks % 2 ** ACPI_PM.timerBits;
  }

  read(offset: number, size: AccessSize): number {
    this.#takeCarry();
    let value = 0;
    const timer = this.timer;
    for (let i = 0; i < size; i++) {
      const name = readable(offset + i);
      if (name === undefined) continue;
      const whole = name === "timer" ? timer : this.#state[name];
      value |= ((whole >>> (8 * (offset + i - ACPI_REGISTERS[name].offset))) & 0xff) << (8 * i);
    }
    return value >>> 0;
  }

  write(offset: number, size: AccessSize, value: number): void {
    this.#takeCarry();
    for (let i = 0; i < size; i++) this.#writeByte(offset + i, (value >>> (8 * i)) & 0xff);
    this.#update();
  }

  get #ticks(): number {
    return RATE.at(this.#options.clock.now());
  }

  #writeByte(offset: number, byte: number): void {
    const name = writable(offset);
    if (name === undefined) return;
    const s = this.#state;
    const register = ACPI_REGISTERS[name];
    const shift = 8 * (offset - register.offset);
    const bits = ("writable" in register ? register.writable : 0xffff) & (0xff << shift);
    const value = byte << shift;
    if (name === "pm1Status" || name === "gpe0Status") s[name] &= ~(value & bits);
    else s[name] = (s[name] & ~bits) | (value & bits);
    if (name === "pm1Control" && (value & PM1_CONTROL.sleepEnable) !== 0) this.#sleep();
  }

  #sleep(): void {
    const type = (this.#state.pm1Control & PM1_CONTROL.sleepType) >> PM1_CONTROL.sleepTypeShift;
    if (type === ACPI_PM.s5) this.#options.onPowerOff();
  }

  /** The firmware behind the SMI command port: it gives the hardware to ACPI or takes it back. */
  #command(value: number): void {
    const s = this.#state;
    s.smiCommand = value;
    if (value === ACPI_PM.acpiEnable) s.pm1Control |= PM1_CONTROL.sciEnable;
    else if (value === ACPI_PM.acpiDisable) s.pm1Control &= ~PM1_CONTROL.sciEnable;
    this.#update();
  }

  /** RST_CPU going from 0 to 1 resets; SYS_RST and FULL_RST say how thoroughly, which makes no difference here. */
  #reset(value: number): void {
    const before = this.#state.resetControl;
    this.#state.resetControl = value;
    if ((value & ~before & RESET_CONTROL.cpu) !== 0) this.#options.onReset();
  }

  #takeCarry(): void {
    const s = this.#state;
    const ticks = this.#ticks;
    if (Math.floor(ticks / CARRY) !== Math.floor(s.timerSeen / CARRY)) s.pm1Status |= PM1.timer;
    s.timerSeen = ticks;
  }

  /** Drives SCI, and wakes for the next carry if it could interrupt. */
  #update(): void {
    this.#takeCarry();
    const s = this.#state;
    const events = (s.pm1Status & s.pm1Enable) | (s.gpe0Status & s.gpe0Enable);
    this.#options.sci.set(events !== 0 && (s.pm1Control & PM1_CONTROL.sciEnable) !== 0);
    this.#options.timers.cancel(this.#armed);
    this.#armed = undefined;
    if ((s.pm1Enable & PM1.timer) === 0 || (s.pm1Status & PM1.timer) !== 0) return;
    const carry = (Math.floor(s.timerSeen / CARRY) + 1) * CARRY;
    this.#armed = this.#options.timers.at(RATE.timeOf(carry), () => this.#update());
  }
}
