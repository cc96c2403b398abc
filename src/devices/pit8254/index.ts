/**
 * The 8254 timer of the PC: channel 0 drives IRQ 0, channel 1 once paced memory refresh, channel 2 drives the speaker and is
 * gated and read through port 0x61. Each channel is in counter.ts.
 * Channel 0 interrupts on rises of OUT, one host timer each; rises missed while the guest was slow are coalesced
 * into one. Not modelled: sound.
 */
import type { AccessSize, IoDevice } from "../../machine/bus.ts";
import type { Clock, IrqLine } from "../../machine/ports.ts";
import type { Section } from "../../machine/state.ts";
import { MIN_TIMER_PERIOD, TickRate } from "../../machine/ticks.ts";
import type { Timer, Timers } from "../../machine/timers.ts";
import { Counter, type CounterState, counterPowerUp } from "./counter.ts";
import {
  ACCESS,
  CONTROL,
  PIT_CHANNELS,
  PIT_CONTROL,
  PIT_HZ,
  PORT_61,
  READ_BACK,
  READ_BACK_CHANNEL,
  REFRESH_NS,
} from "./registers.ts";

export { PIT_HZ } from "./registers.ts";

export interface PitOptions {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly irq: IrqLine;
}

export interface PitState {
  channels: CounterState[];
  /** What was written to port 0x61. */
  port61: number;
}

const RATE = new TickRate(PIT_HZ);
const MIN_PERIOD = RATE.at(MIN_TIMER_PERIOD);

/** Gates 0 and 1 are tied high; gate 2 is bit 0 of port 0x61. */
const powerUp = (): PitState => ({
  channels: Array.from({ length: PIT_CHANNELS }, (_, channel) => counterPowerUp(channel < 2)),
  port61: 0,
});

export class Pit implements IoDevice, Section<PitState> {
  readonly name = "8254";
  readonly section = { name: "pit8254", version: 1 };
  /** Port 0x61. */
  readonly control: IoDevice = {
    name: "port 0x61",
    read: () => this.#readPort61(),
    write: (_offset, _size, value) => this.#writePort61(value),
  };
  readonly #clock: Clock;
  readonly #timers: Timers;
  readonly #irq: IrqLine;
  readonly #counters: readonly Counter[];
  #state = powerUp();
  #armed: Timer | undefined;

  constructor({ clock, timers, irq }: PitOptions) {
    this.#clock = clock;
    this.#timers = timers;
    this.#irq = irq;
    this.#counters = this.#state.channels.map((state) => new Counter(state));
    this.#drive();
  }

  get state(): PitState {
    return this.#state;
  }

  restore(state: PitState): void {
    this.#state = state;
    for (const [channel, counter] of this.#counters.entries()) counter.state = state.channels[channel]!;
    this.#drive();
  }

  reset(): void {
    this.restore(powerUp());
  }

  /** Byte-wide ports; a wider access is one to each port in turn. */
  read(offset: number, size: AccessSize): number {
    let value = 0;
    for (let i = 0; i < size; i++) value |= this.#readByte(offset + i) << (8 * i);
    return value >>> 0;
  }

  write(offset: number, size: AccessSize, value: number): void {
    for (let i = 0; i < size; i++) this.#writeByte(offset + i, (value >>> (8 * i)) & 0xff);
  }

  get #tick(): number {
    return RATE.at(this.#clock.now());
  }

  #readByte(offset: number): number {
    return offset < PIT_CHANNELS ? this.#counters[offset]!.read(this.#tick) : 0xff;
  }

  #writeByte(offset: number, value: number): void {
    if (offset < PIT_CHANNELS) {
      if (offset === 0) this.#settle();
      this.#counters[offset]!.write(value, this.#tick);
      if (offset === 0) this.#drive();
    } else if (offset === PIT_CONTROL) this.#command(value);
  }

  #command(value: number): void {
    const channel = value >> CONTROL.channelShift;
    const tick = this.#tick;
    if (channel === READ_BACK_CHANNEL) {
      for (const [i, counter] of this.#counters.entries()) {
        if ((value & (2 << i)) === 0) continue;
        if ((value & READ_BACK.noCount) === 0) counter.latchCount(tick);
        if ((value & READ_BACK.noStatus) === 0) counter.latchStatus(tick);
      }
      return;
    }
    const counter = this.#counters[channel]!;
    if (((value >> CONTROL.accessShift) & 3) === ACCESS.latch) counter.latchCount(tick);
    else {
      if (channel === 0) this.#settle();
      counter.setControl(value);
      if (channel === 0) this.#drive();
    }
  }

  #readPort61(): number {
    const refresh = Math.floor(this.#clock.now() / REFRESH_NS) & 1;
    return (
      this.#state.port61 |
      (refresh === 1 ? PORT_61.refresh : 0) |
      (this.#counters[2]!.out(this.#tick) ? PORT_61.out2 : 0)
    );
  }

  #writePort61(value: number): void {
    this.#state.port61 = value & PORT_61.writable;
    this.#counters[2]!.setGate((value & PORT_61.gate2) !== 0, this.#tick);
  }

  /** A rise that was due before the guest reprograms channel 0 happens first. */
  #settle(): void {
    if (this.#armed === undefined || this.#armed.deadline > this.#clock.now()) return;
    this.#timers.cancel(this.#armed);
    this.#fire();
  }

  /** Brings IRQ 0 to channel 0's OUT and waits for its next rise. */
  #drive(): void {
    this.#irq.set(this.#counters[0]!.out(this.#tick));
    this.#arm();
  }

  #arm(): void {
    this.#timers.cancel(this.#armed);
    const counter = this.#counters[0]!;
    const { period } = counter;
    // Rises that come faster than the floor are left out.
    const skipped = period > 0 ? Math.max(0, MIN_PERIOD - period) : 0;
    const rise = counter.nextRise(this.#tick + skipped);
    this.#armed = rise === Number.POSITIVE_INFINITY ? undefined : this.#timers.at(RATE.timeOf(rise), this.#fire);
  }

  readonly #fire = (): void => {
    this.#irq.set(false);
    this.#irq.set(true);
    this.#drive();
  };
}
