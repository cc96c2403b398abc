/**
 * i8042 keyboard controller (IBM PS/2 Hardware Interface Technical Reference) with a keyboard and an empty
 * auxiliary port, plus system control port A. The processor has no A20 gate: the bits that control
 * it keep what is written, and addresses are never masked.
 */
import type { IoDevice } from "../../machine/bus.ts";
import type { IrqLine } from "../../machine/ports.ts";
import { layout } from "../../machine/registers.ts";
import type { Section } from "../../machine/state.ts";
import { initialKeyboard, type KeyboardState, pressKey, sendToKeyboard, takeByte } from "./keyboard.ts";
import { ANSWER, COMMAND, CONTROL, CONTROLLER_RAM, FAST, OUTPUT_PORT, RAM_SIZE, STATUS } from "./registers.ts";
import { RELEASE_PREFIX, translate } from "./scancodes.ts";

export interface I8042Options {
  /** IRQ 1. */
  readonly keyboardIrq: IrqLine;
  /** IRQ 12. */
  readonly auxIrq: IrqLine;
  /** The guest pulled the processor's reset line. */
  readonly onReset: () => void;
}

interface Output {
  readonly value: number;
  readonly aux: boolean;
  /** The device did not answer. */
  readonly timeout: boolean;
}

export interface I8042State {
  ram: Uint8Array;
  /** The command whose data byte comes next; 0 for none. */
  awaiting: number;
  /** The last write went to the command port. */
  commandWritten: boolean;
  /** What the data port shows; `full` while it has not been read. */
  output: Output;
  full: boolean;
  /** Output that waits for the data port, before what the keyboard has. */
  waiting: Output[];
  /** The keyboard's last byte was the release prefix, which translation holds back. */
  releasing: boolean;
  /** A20 by the output port and by port 0x92. */
  a20: boolean;
  fastA20: boolean;
  keyboard: KeyboardState;
}

/** A guest that sends commands and never reads loses answers rather than grow this. */
const WAITING_LIMIT = 16;

const initialState = (): I8042State => ({
  ram: layout(CONTROLLER_RAM, RAM_SIZE).reset,
  awaiting: 0,
  commandWritten: false,
  output: { value: 0, aux: false, timeout: false },
  full: false,
  waiting: [],
  releasing: false,
  a20: true,
  fastA20: true,
  keyboard: initialKeyboard(),
});

export class I8042 implements Section<I8042State> {
  readonly section = { name: "i8042", version: 1 };
  /** Port 0x60. */
  readonly data: IoDevice;
  /** Port 0x64. */
  readonly command: IoDevice;
  /** Port 0x92. */
  readonly fastReset: IoDevice;
  readonly #options: I8042Options;
  #state = initialState();

  constructor(options: I8042Options) {
    this.#options = options;
    this.data = {
      name: "i8042-data",
      read: () => this.#readData(),
      write: (_offset, _size, value) => this.#writeData(value & 0xff),
    };
    this.command = {
      name: "i8042-command",
      read: () => this.#status(),
      write: (_offset, _size, value) => this.#writeCommand(value & 0xff),
    };
    this.fastReset = {
      name: "system-control-a",
      read: () => (this.#state.fastA20 ? FAST.A20 : 0),
      write: (_offset, _size, value) => {
        this.#state.fastA20 = (value & FAST.A20) !== 0;
        if (value & FAST.RESET) this.#options.onReset();
      },
    };
  }

  get state(): I8042State {
    return this.#state;
  }

  restore(state: I8042State): void {
    this.#state = state;
    this.#updateInterrupts();
  }

  reset(): void {
    this.restore(initialState());
  }

  /**
   * A key goes down or up on the host's keyboard. `code` is of scan code set 2, 0xe0xx for an extended key.
   * False when the guest has not read enough: try again later.
   */
  key(code: number, pressed: boolean): boolean {
    const taken = pressKey(this.#state.keyboard, code, pressed);
    this.#fill();
    return taken;
  }

  #readData(): number {
    const { value } = this.#state.output;
    this.#state.full = false;
    // The lines go low between two bytes, so that an edge-triggered interrupt sees each.
    this.#updateInterrupts();
    this.#fill();
    return value;
  }

  #status(): number {
    const { full, output, commandWritten, ram } = this.#state;
    let status: number = STATUS.UNLOCKED | (ram[0]! & CONTROL.SYSTEM ? STATUS.SYSTEM : 0);
    if (commandWritten) status |= STATUS.COMMAND;
    if (!full) return status;
    status |= STATUS.OUTPUT_FULL;
    if (output.aux) status |= STATUS.AUX_OUTPUT;
    if (output.timeout) status |= STATUS.TIMEOUT;
    return status;
  }

  #writeData(value: number): void {
    const state = this.#state;
    const { awaiting } = state;
    state.commandWritten = false;
    state.awaiting = 0;
    if (awaiting >= COMMAND.WRITE_RAM && awaiting < COMMAND.WRITE_RAM + RAM_SIZE) {
      const index = awaiting - COMMAND.WRITE_RAM;
      state.ram[index] = index === 0 ? value & CONTROLLER_RAM.control.writable : value;
    } else if (awaiting === COMMAND.WRITE_OUTPUT_PORT) {
      state.a20 = (value & OUTPUT_PORT.A20) !== 0;
      if ((value & OUTPUT_PORT.NOT_RESET) === 0) this.#options.onReset();
    } else if (awaiting === COMMAND.WRITE_KEYBOARD_OUTPUT) {
      this.#answer(value);
    } else if (awaiting === COMMAND.WRITE_AUX_OUTPUT) {
      this.#answer(value, true);
    } else if (awaiting === COMMAND.WRITE_AUX) {
      this.#answer(ANSWER.TIMEOUT, true, true);
    } else {
      // A byte for the keyboard turns its clock on.
      state.ram[0]! &= ~CONTROL.KEYBOARD_DISABLED;
      sendToKeyboard(state.keyboard, value);
    }
    this.#updateInterrupts();
    this.#fill();
  }

  #writeCommand(value: number): void {
    const state = this.#state;
    state.commandWritten = true;
    state.awaiting = 0;
    if (value >= COMMAND.READ_RAM && value < COMMAND.READ_RAM + RAM_SIZE)
      this.#answer(state.ram[value - COMMAND.READ_RAM]!);
    else if (value >= COMMAND.WRITE_RAM && value < COMMAND.WRITE_RAM + RAM_SIZE) state.awaiting = value;
    else if (value >= COMMAND.PULSE) {
      if ((value & OUTPUT_PORT.NOT_RESET) === 0) this.#options.onReset();
    } else this.#execute(value);
    this.#fill();
  }

  /** Unknown commands do nothing. */
  #execute(value: number): void {
    const state = this.#state;
    switch (value) {
      case COMMAND.AUX_DISABLE:
        state.ram[0]! |= CONTROL.AUX_DISABLED;
        break;
      case COMMAND.AUX_ENABLE:
        state.ram[0]! &= ~CONTROL.AUX_DISABLED;
        break;
      case COMMAND.KEYBOARD_DISABLE:
        state.ram[0]! |= CONTROL.KEYBOARD_DISABLED;
        break;
      case COMMAND.KEYBOARD_ENABLE:
        state.ram[0]! &= ~CONTROL.KEYBOARD_DISABLED;
        break;
      case COMMAND.SELF_TEST:
        state.ram[0]! |= CONTROL.SYSTEM;
        this.#answer(ANSWER.SELF_TEST_PASSED);
        break;
      case COMMAND.AUX_TEST:
      case COMMAND.KEYBOARD_TEST:
        this.#answer(ANSWER.TEST_PASSED);
        break;
      case COMMAND.PASSWORD_TEST:
        this.#answer(ANSWER.NO_PASSWORD);
        break;
      case COMMAND.READ_INPUT_PORT:
        this.#answer(ANSWER.INPUT_PORT);
        break;
      case COMMAND.READ_OUTPUT_PORT:
        this.#answer(this.#outputPort());
        break;
      case COMMAND.WRITE_OUTPUT_PORT:
      case COMMAND.WRITE_KEYBOARD_OUTPUT:
      case COMMAND.WRITE_AUX_OUTPUT:
      case COMMAND.WRITE_AUX:
        state.awaiting = value;
        break;
    }
  }

  #outputPort(): number {
    const { a20, full, output } = this.#state;
    const filled = !full ? 0 : output.aux ? OUTPUT_PORT.AUX_FULL : OUTPUT_PORT.KEYBOARD_FULL;
    return OUTPUT_PORT.NOT_RESET | OUTPUT_PORT.IDLE | (a20 ? OUTPUT_PORT.A20 : 0) | filled;
  }

  #answer(value: number, aux = false, timeout = false): void {
    if (this.#state.waiting.length < WAITING_LIMIT) this.#state.waiting.push({ value, aux, timeout });
  }

  /** Moves the next byte into the data port once it is free. */
  #fill(): void {
    const state = this.#state;
    if (state.full) return;
    const next = state.waiting.shift() ?? this.#fromKeyboard();
    if (next === undefined) return;
    state.output = next;
    state.full = true;
    this.#updateInterrupts();
  }

  #fromKeyboard(): Output | undefined {
    const state = this.#state;
    const control = state.ram[0]!;
    if (control & CONTROL.KEYBOARD_DISABLED) return undefined;
    for (;;) {
      const byte = takeByte(state.keyboard);
      if (byte === undefined) return undefined;
      if ((control & CONTROL.TRANSLATE) === 0) return { value: byte, aux: false, timeout: false };
      if (byte === RELEASE_PREFIX) {
        state.releasing = true;
        continue;
      }
      const value = translate(byte, state.releasing);
      state.releasing = false;
      return { value, aux: false, timeout: false };
    }
  }

  #updateInterrupts(): void {
    const { full, output, ram } = this.#state;
    const control = ram[0]!;
    this.#options.keyboardIrq.set(full && !output.aux && (control & CONTROL.KEYBOARD_INTERRUPT) !== 0);
    this.#options.auxIrq.set(full && output.aux && (control & CONTROL.AUX_INTERRUPT) !== 0);
  }
}
