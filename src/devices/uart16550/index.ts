/**
 * 16550A UART (National Semiconductor PC16550D data sheet). Sends without delay, so the transmitter is
 * always empty; receives as fast as the guest reads. Not modelled: bit timing, parity and framing errors
 * (the line is perfect), the break the guest sends (LCR bit 6).
 */
import { ns } from "../../base/index.ts";
import type { AccessSize, IoDevice } from "../../machine/bus.ts";
import type { Clock, IrqLine } from "../../machine/ports.ts";
import { decoder, resetValues, writableBits } from "../../machine/registers.ts";
import type { Section } from "../../machine/state.ts";
import type { Timer, Timers } from "../../machine/timers.ts";
import {
  BASE_BAUD,
  FCR,
  FIFO_SIZE,
  IER,
  IIR,
  LCR,
  LSR,
  MCR,
  MSR,
  TRIGGER_LEVELS,
  UART_REGISTERS,
} from "./registers.ts";

/** Where sent bytes go. */
export interface SerialBackend {
  /** Takes what the guest sent; the array is the back end's to keep. */
  write(bytes: Uint8Array): void;
}

export interface UartOptions {
  /** Names the device and its state section, such as `com1`. */
  readonly name: string;
  readonly irq: IrqLine;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly backend: SerialBackend;
  /** Called when the guest can take bytes again after `receive` took fewer than it was given. */
  readonly onRoom?: () => void;
}

const initialState = () => {
  const { ier, lcr, mcr, scr, dll, dlm } = resetValues(UART_REGISTERS);
  return {
    ier,
    lcr,
    mcr,
    scr,
    dll,
    dlm,
    /** FCR is write-only; its enable and trigger bits stay in force. */
    fcr: 0,
    /** Received characters, oldest first; the bits above the byte are the LSR bits it brings along. */
    receive: [] as number[],
    /** LSR bits 1..4: set by a character, cleared when LSR is read. */
    lineErrors: 0,
    /** The transmitter became empty and IIR has not told so yet. */
    transmitEmpty: false,
    /** The character timeout has passed with bytes below the trigger level. */
    timeout: false,
    msr: MSR.CTS | MSR.DSR | MSR.DCD,
    /** The modem lines as the host drives them: MSR's high half. */
    lines: MSR.CTS | MSR.DSR | MSR.DCD,
    /** The guest has raised RTS since reset, so a low RTS means "hold". */
    usesRts: false,
  };
};

export type UartState = ReturnType<typeof initialState>;

const DLAB_BANKS = 2;
const readable = decoder(UART_REGISTERS, "r", DLAB_BANKS);
const writable = decoder(UART_REGISTERS, "w", DLAB_BANKS);

const LINE_ERRORS = LSR.OVERRUN | LSR.PARITY | LSR.FRAMING | LSR.BREAK;
const MODEM_LINES = MSR.CTS | MSR.DSR | MSR.RI | MSR.DCD;
/** Data sheet, 8.4.A: a byte waits four character times before the timeout interrupt. */
const TIMEOUT_CHARACTERS = 4;

export class Uart16550 implements IoDevice, Section<UartState> {
  readonly name: string;
  readonly section: { readonly name: string; readonly version: number };
  readonly #options: UartOptions;
  #state = initialState();
  #raised = false;
  #timer: Timer | undefined;
  /** `receive` left bytes with the host, who waits for `onRoom`. */
  #hostWaits = false;

  constructor(options: UartOptions) {
    this.name = options.name;
    this.section = { name: options.name, version: 1 };
    this.#options = options;
  }

  get state(): UartState {
    return this.#state;
  }

  restore(state: UartState): void {
    this.#state = state;
    this.#hostWaits = true;
    this.#startTimeout();
    this.#options.irq.set(false);
    this.#raised = false;
    this.#update();
    this.#offerRoom();
  }

  /** Master reset. The lines the host drives stay as they are. */
  reset(): void {
    const { lines } = this.#state;
    this.restore({ ...initialState(), lines, msr: lines });
  }

  /** Gives the guest bytes; returns how many it took. The rest must be offered again at `onRoom`. */
  receive(bytes: Uint8Array): number {
    const taken = this.#receiving() ? Math.min(bytes.length, this.#room()) : 0;
    for (let i = 0; i < taken; i++) this.#arrive(bytes[i]!);
    this.#hostWaits = taken < bytes.length;
    if (taken > 0) this.#update();
    return taken;
  }

  /** A break on the line (Linux: SysRq). Returns false when the guest has no room for it now. */
  receiveBreak(): boolean {
    if (!this.#receiving() || this.#room() === 0) return false;
    this.#arrive(LSR.BREAK << 8);
    this.#update();
    return true;
  }

  /** Sets the modem lines the host drives; a line left out keeps its level. */
  setModemLines(lines: { cts?: boolean; dsr?: boolean; ri?: boolean; dcd?: boolean }): void {
    const apply = (on: boolean | undefined, bit: number): void => {
      if (on !== undefined) this.#state.lines = on ? this.#state.lines | bit : this.#state.lines & ~bit;
    };
    apply(lines.cts, MSR.CTS);
    apply(lines.dsr, MSR.DSR);
    apply(lines.ri, MSR.RI);
    apply(lines.dcd, MSR.DCD);
    this.#updateModemStatus();
    this.#update();
  }

  read(offset: number, size: AccessSize): number {
    let value = 0;
    for (let i = 0; i < size; i++) value |= this.#readByte(offset + i) << (8 * i);
    return value >>> 0;
  }

  write(offset: number, size: AccessSize, value: number): void {
    for (let i = 0; i < size; i++) this.#writeByte(offset + i, (value >>> (8 * i)) & 0xff);
  }

  #bank(): number {
    return this.#state.lcr & LCR.DLAB ? 1 : 0;
  }

  #readByte(offset: number): number {
    const state = this.#state;
    const name = readable(offset, this.#bank());
    switch (name) {
      case undefined:
        return 0xff;
      case "rbr":
        return this.#take();
      case "iir": {
        const cause = this.#cause();
        if (cause === IIR.TRANSMIT_EMPTY) {
          state.transmitEmpty = false;
          this.#update();
        }
        return cause | (state.fcr & FCR.ENABLE ? IIR.FIFOS : 0);
      }
      case "lsr": {
        const value = this.#lineStatus();
        state.lineErrors = 0;
        this.#update();
        return value;
      }
      case "msr": {
        const value = state.msr;
        state.msr &= MODEM_LINES;
        this.#update();
        return value;
      }
      default:
        return state[name];
    }
  }

  #writeByte(offset: number, value: number): void {
    const state = this.#state;
    const name = writable(offset, this.#bank());
    switch (name) {
      case undefined:
        return;
      case "thr":
        this.#send(value);
        break;
      case "ier": {
        const bits = value & writableBits(UART_REGISTERS.ier);
        // Turning the interrupt on while the transmitter is empty raises it again (data sheet, 8.6).
        if ((bits ^ state.ier) & IER.TRANSMIT_EMPTY) state.transmitEmpty = (bits & IER.TRANSMIT_EMPTY) !== 0;
        state.ier = bits;
        break;
      }
      case "fcr":
        this.#writeFifoControl(value);
        break;
      case "mcr":
        state.mcr = value & writableBits(UART_REGISTERS.mcr);
        if (state.mcr & MCR.RTS) state.usesRts = true;
        this.#updateModemStatus();
        this.#offerRoom();
        break;
      default:
        state[name] = value;
    }
    this.#update();
  }

  #send(value: number): void {
    const state = this.#state;
    state.transmitEmpty = true;
    if ((state.mcr & MCR.LOOP) === 0) this.#options.backend.write(Uint8Array.of(value));
    else if (this.#room() > 0) this.#arrive(value);
    else state.lineErrors |= LSR.OVERRUN;
  }

  #writeFifoControl(value: number): void {
    const state = this.#state;
    const switched = ((value ^ state.fcr) & FCR.ENABLE) !== 0;
    // The other bits count only together with the enable bit (data sheet, 8.5).
    state.fcr = value & FCR.ENABLE ? value & writableBits(UART_REGISTERS.fcr) : 0;
    if (switched || (value & FCR.ENABLE && value & FCR.CLEAR_RECEIVE)) {
      state.receive.length = 0;
      state.timeout = false;
      this.#startTimeout();
      this.#offerRoom();
    }
  }

  #capacity(): number {
    return this.#state.fcr & FCR.ENABLE ? FIFO_SIZE : 1;
  }

  #room(): number {
    return this.#capacity() - this.#state.receive.length;
  }

  /** Whether the line leads to the guest: not in loopback, and not held by a guest that uses RTS. */
  #receiving(): boolean {
    const { mcr, usesRts } = this.#state;
    return (mcr & MCR.LOOP) === 0 && (!usesRts || (mcr & MCR.RTS) !== 0);
  }

  /** Puts a character into the FIFO, which has room. */
  #arrive(character: number): void {
    this.#state.receive.push(character);
    this.#exposeErrors();
    this.#startTimeout();
  }

  #take(): number {
    const state = this.#state;
    const character = state.receive.shift() ?? 0;
    state.timeout = false;
    this.#exposeErrors();
    this.#startTimeout();
    if (state.receive.length === 0) this.#offerRoom();
    this.#update();
    return character & 0xff;
  }

  /** Errors of a character show in LSR once it is the next to be read (data sheet, 8.4). */
  #exposeErrors(): void {
    const state = this.#state;
    const first = state.receive[0];
    if (first === undefined || first < 0x100) return;
    state.lineErrors |= first >> 8;
    state.receive[0] = first & 0xff;
  }

  #lineStatus(): number {
    const { receive, lineErrors, fcr } = this.#state;
    let status = LSR.THR_EMPTY | LSR.IDLE | (lineErrors & LINE_ERRORS);
    if (receive.length > 0) status |= LSR.DATA_READY;
    const errors = (lineErrors & ~LSR.OVERRUN) !== 0 || receive.some((character) => character > 0xff);
    if (fcr & FCR.ENABLE && errors) status |= LSR.FIFO_ERROR;
    return status;
  }

  #updateModemStatus(): void {
    const state = this.#state;
    const before = state.msr & MODEM_LINES;
    let now = state.lines;
    if (state.mcr & MCR.LOOP) {
      now = 0;
      if (state.mcr & MCR.RTS) now |= MSR.CTS;
      if (state.mcr & MCR.DTR) now |= MSR.DSR;
      if (state.mcr & MCR.OUT1) now |= MSR.RI;
      if (state.mcr & MCR.OUT2) now |= MSR.DCD;
    }
    const changed = before ^ now;
    let deltas = state.msr & ~MODEM_LINES;
    if (changed & MSR.CTS) deltas |= MSR.DCTS;
    if (changed & MSR.DSR) deltas |= MSR.DDSR;
    if (changed & before & MSR.RI) deltas |= MSR.TERI;
    if (changed & MSR.DCD) deltas |= MSR.DDCD;
    state.msr = now | deltas;
  }

  #triggered(): boolean {
    const { receive, fcr } = this.#state;
    return receive.length >= (fcr & FCR.ENABLE ? TRIGGER_LEVELS[(fcr >> 6) as 0 | 1 | 2 | 3] : 1);
  }

  #cause(): number {
    const state = this.#state;
    if (state.ier & IER.LINE_STATUS && state.lineErrors !== 0) return IIR.LINE_STATUS;
    if (state.ier & IER.RECEIVED && this.#triggered()) return IIR.RECEIVED;
    if (state.ier & IER.RECEIVED && state.timeout) return IIR.TIMEOUT;
    if (state.ier & IER.TRANSMIT_EMPTY && state.transmitEmpty) return IIR.TRANSMIT_EMPTY;
    if (state.ier & IER.MODEM_STATUS && (state.msr & ~MODEM_LINES) !== 0) return IIR.MODEM_STATUS;
    return IIR.NONE;
  }

  /** Drives the interrupt. In loopback the OUT2 pin is inactive whatever MCR says (data sheet, 8.7). */
  #update(): void {
    const open = (this.#state.mcr & (MCR.OUT2 | MCR.LOOP)) === MCR.OUT2;
    const raised = open && this.#cause() !== IIR.NONE;
    if (raised === this.#raised) return;
    this.#raised = raised;
    this.#options.irq.set(raised);
  }

  /** Every character that comes or goes starts the timeout anew. */
  #startTimeout(): void {
    const { clock, timers } = this.#options;
    const state = this.#state;
    timers.cancel(this.#timer);
    this.#timer = undefined;
    if ((state.fcr & FCR.ENABLE) === 0 || state.receive.length === 0 || state.timeout) return;
    this.#timer = timers.at(ns(clock.now() + this.#timeoutNs()), () => {
      this.#timer = undefined;
      state.timeout = true;
      this.#update();
    });
  }

  #timeoutNs(): number {
    const { lcr, dll, dlm } = this.#state;
    const bits = 1 + 5 + (lcr & LCR.WORD_LENGTH) + (lcr & LCR.PARITY ? 1 : 0) + (lcr & LCR.STOP_BITS ? 2 : 1);
    const divisor = Math.max(1, dll | (dlm << 8));
    return Math.round((TIMEOUT_CHARACTERS * bits * divisor * 1e9) / BASE_BAUD);
  }

  /** Tells a waiting host. It may call `receive` from inside. */
  #offerRoom(): void {
    if (!this.#hostWaits || !this.#receiving() || this.#room() === 0) return;
    this.#hostWaits = false;
    this.#options.onRoom?.();
  }
}
