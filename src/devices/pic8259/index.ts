/**
 * The pair of 8259A interrupt controllers of the PC: the slave's INT is the master's IRQ 2, the master's INT
 * is `output` (LINT0 of the local APICs). Each chip is in chip.ts; the edge/level control registers are here.
 */
import type { AccessSize, IoDevice } from "../../machine/bus.ts";
import type { ExtIntSource } from "../../machine/interrupts/messages.ts";
import type { IrqLine } from "../../machine/ports.ts";
import type { Section } from "../../machine/state.ts";
import { Chip, type ChipState, chipPowerUp } from "./chip.ts";
import { CASCADE, ELCR_WRITABLE } from "./registers.ts";

export * from "./registers.ts";

export interface PicState {
  master: ChipState;
  slave: ChipState;
}

const IRQS = 16;

export class Pic implements ExtIntSource, Section<PicState> {
  readonly section = { name: "pic8259", version: 1 };
  readonly #output: IrqLine;
  readonly #master = new Chip(chipPowerUp(0x08), true, () => this.#output.set(this.#master.interrupting));
  readonly #slave = new Chip(chipPowerUp(0x70), false, () => this.#master.setLine(CASCADE, this.#slave.interrupting));

  /** What sits at PIC_PORTS (machine/platform.ts). */
  readonly master: IoDevice = ports("8259 master", this.#master);
  readonly slave: IoDevice = ports("8259 slave", this.#slave);
  readonly elcr: IoDevice = {
    name: "edge/level control",
    read: (offset, size) => (size === 1 ? this.#chip(offset * 8).state.elcr : this.#elcrPair()),
    write: (offset, size, value) => {
      for (let i = 0; i < size && offset + i < 2; i++) {
        const chip = offset + i;
        this.#chip(chip * 8).setElcr((value >>> (8 * i)) & ELCR_WRITABLE[chip]!);
      }
    },
  };

  constructor(output: IrqLine) {
    this.#output = output;
  }

  get state(): PicState {
    return { master: this.#master.state, slave: this.#slave.state };
  }

  restore(state: PicState): void {
    this.#master.state = state.master;
    this.#slave.state = state.slave;
    this.#output.set(this.#master.interrupting);
  }

  /** RESET: everything masked until the guest initialises the chips. The wires stay as they are. */
  reset(): void {
    const slaveLines = this.#slave.state.lines;
    const masterLines = this.#master.state.lines & ~(1 << CASCADE);
    this.restore({
      master: { ...chipPowerUp(0x08), lines: masterLines },
      slave: { ...chipPowerUp(0x70), lines: slaveLines },
    });
  }

  /** The wire into `irq`; throws RangeError if there is none. */
  line(irq: number): IrqLine {
    if (!(irq >= 0 && irq < IRQS) || irq === CASCADE) throw new RangeError(`no device can use IRQ ${irq}`);
    return { set: (high) => this.#chip(irq).setLine(irq & 7, high) };
  }

  pending(): number {
    const irq = this.#master.pending();
    if (irq !== CASCADE) return irq < 0 ? -1 : this.#master.state.vectorBase + irq;
    const slaveIrq = this.#slave.pending();
    return this.#slave.state.vectorBase + (slaveIrq < 0 ? 7 : slaveIrq);
  }

  acknowledge(): number {
    const irq = this.#master.acknowledge();
    if (irq !== CASCADE) return this.#master.state.vectorBase + irq;
    const slaveIrq = this.#slave.acknowledge();
    return this.#slave.state.vectorBase + slaveIrq;
  }

  #chip(irq: number): Chip {
    return irq < 8 ? this.#master : this.#slave;
  }

  #elcrPair(): number {
    return this.#master.state.elcr | (this.#slave.state.elcr << 8);
  }
}

/** Byte-wide ports; a wider access is one to each port in turn. */
const ports = (name: string, chip: Chip): IoDevice => ({
  name,
  read: (offset: number, size: AccessSize) => {
    let value = 0;
    for (let i = 0; i < size && offset + i < 2; i++) {
      value |= (offset + i === 0 ? chip.readCommand() : chip.readData()) << (8 * i);
    }
    return value;
  },
  write: (offset, size, value) => {
    for (let i = 0; i < size && offset + i < 2; i++) {
      const byte = (value >>> (8 * i)) & 0xff;
      if (offset + i === 0) chip.writeCommand(byte);
      else chip.writeData(byte);
    }
  },
});
