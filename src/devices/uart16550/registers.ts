/**
 * The 16550A's registers: National Semiconductor PC16550D data sheet, section 8.0 and table II.
 * Offsets 0 and 1 lead to the divisor latch while LCR.DLAB is set (bank 1).
 */
import type { RegisterTable } from "../../machine/registers.ts";

export const UART_REGISTERS = {
  rbr: { offset: 0, bank: 0, access: "r" },
  thr: { offset: 0, bank: 0, access: "w" },
  dll: { offset: 0, bank: 1, access: "rw", reset: 0x0c },
  ier: { offset: 1, bank: 0, access: "rw", writable: 0x0f },
  dlm: { offset: 1, bank: 1, access: "rw" },
  iir: { offset: 2, access: "r", reset: 0x01 },
  fcr: { offset: 2, access: "w", writable: 0xc9 },
  lcr: { offset: 3, access: "rw" },
  mcr: { offset: 4, access: "rw", writable: 0x1f },
  lsr: { offset: 5, access: "r", reset: 0x60 },
  msr: { offset: 6, access: "r" },
  scr: { offset: 7, access: "rw" },
} as const satisfies RegisterTable;

/** Interrupt enable register. */
export const IER = { RECEIVED: 0x01, TRANSMIT_EMPTY: 0x02, LINE_STATUS: 0x04, MODEM_STATUS: 0x08 } as const;

/** Interrupt identification register: the cause (table IV, highest priority first) and the FIFO bits. */
export const IIR = {
  LINE_STATUS: 0x06,
  RECEIVED: 0x04,
  TIMEOUT: 0x0c,
  TRANSMIT_EMPTY: 0x02,
  MODEM_STATUS: 0x00,
  NONE: 0x01,
  FIFOS: 0xc0,
} as const;

/** FIFO control register. */
export const FCR = { ENABLE: 0x01, CLEAR_RECEIVE: 0x02 } as const;
/** Bytes in the receive FIFO that raise the interrupt, by FCR bits 7..6. */
export const TRIGGER_LEVELS = [1, 4, 8, 14] as const;
export const FIFO_SIZE = 16;

/** Line control register. */
export const LCR = { WORD_LENGTH: 0x03, STOP_BITS: 0x04, PARITY: 0x08, BREAK: 0x40, DLAB: 0x80 } as const;

/** Modem control register. On a PC OUT2 lets the interrupt through to the interrupt controller. */
export const MCR = { DTR: 0x01, RTS: 0x02, OUT1: 0x04, OUT2: 0x08, LOOP: 0x10 } as const;

/** Line status register. */
export const LSR = {
  DATA_READY: 0x01,
  OVERRUN: 0x02,
  PARITY: 0x04,
  FRAMING: 0x08,
  BREAK: 0x10,
  THR_EMPTY: 0x20,
  IDLE: 0x40,
  FIFO_ERROR: 0x80,
} as const;

/** Modem status register: the low half says what changed since the last read. */
export const MSR = {
  DCTS: 0x01,
  DDSR: 0x02,
  TERI: 0x04,
  DDCD: 0x08,
  CTS: 0x10,
  DSR: 0x20,
  RI: 0x40,
  DCD: 0x80,
} as const;

/** The input clock divided by 16: the rate of a divisor of one. */
export const BASE_BAUD = 115200;
