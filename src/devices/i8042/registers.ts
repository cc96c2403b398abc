/**
 * The keyboard controller's ports and commands: IBM PS/2 Hardware Interface Technical Reference, "Keyboard
 * and Auxiliary Device Controller" (PS/2 type: one keyboard, one auxiliary port).
 */
import type { RegisterTable } from "../../machine/registers.ts";

/** Internal RAM, read and written by commands 0x20.. and 0x60..; byte 0 is the command byte. */
export const RAM_SIZE = 32;

/** Command byte. */
export const CONTROL = {
  KEYBOARD_INTERRUPT: 0x01,
  AUX_INTERRUPT: 0x02,
  SYSTEM: 0x04,
  KEYBOARD_DISABLED: 0x10,
  AUX_DISABLED: 0x20,
  TRANSLATE: 0x40,
} as const;

/** The RAM a firmware leaves: keyboard on, translated and interrupting, auxiliary port off. */
export const CONTROLLER_RAM = {
  control: {
    offset: 0,
    access: "rw",
    writable: 0x7f,
    reset: CONTROL.KEYBOARD_INTERRUPT | CONTROL.SYSTEM | CONTROL.AUX_DISABLED | CONTROL.TRANSLATE,
  },
} as const satisfies RegisterTable;

/** Status register, port 0x64. */
export const STATUS = {
  OUTPUT_FULL: 0x01,
  SYSTEM: 0x04,
  COMMAND: 0x08,
  UNLOCKED: 0x10,
  AUX_OUTPUT: 0x20,
  TIMEOUT: 0x40,
} as const;

/** Controller commands, port 0x64. */
export const COMMAND = {
  READ_RAM: 0x20,
  WRITE_RAM: 0x60,
  PASSWORD_TEST: 0xa4,
  AUX_DISABLE: 0xa7,
  AUX_ENABLE: 0xa8,
  AUX_TEST: 0xa9,
  SELF_TEST: 0xaa,
  KEYBOARD_TEST: 0xab,
  KEYBOARD_DISABLE: 0xad,
  KEYBOARD_ENABLE: 0xae,
  READ_INPUT_PORT: 0xc0,
  READ_OUTPUT_PORT: 0xd0,
  WRITE_OUTPUT_PORT: 0xd1,
  WRITE_KEYBOARD_OUTPUT: 0xd2,
  WRITE_AUX_OUTPUT: 0xd3,
  WRITE_AUX: 0xd4,
  /** 0xf0 to 0xff pull output port lines low for 6 µs, those whose bit is 0. */
  PULSE: 0xf0,
} as const;

/** What the controller answers. */
export const ANSWER = {
  SELF_TEST_PASSED: 0x55,
  TEST_PASSED: 0x00,
  NO_PASSWORD: 0xf1,
  INPUT_PORT: 0x80,
  TIMEOUT: 0xfe,
} as const;

/** Output port: bit 0 is the processor's reset line, active low. */
export const OUTPUT_PORT = { NOT_RESET: 0x01, A20: 0x02, KEYBOARD_FULL: 0x10, AUX_FULL: 0x20, IDLE: 0xc0 } as const;

/** System control port A, port 0x92. */
export const FAST = { RESET: 0x01, A20: 0x02 } as const;

/** Keyboard commands, port 0x60 (same book, "Keyboard", "Commands from the System"). */
export const KEYBOARD = {
  SET_LEDS: 0xed,
  ECHO: 0xee,
  SCAN_SET: 0xf0,
  IDENTIFY: 0xf2,
  SET_RATE: 0xf3,
  ENABLE: 0xf4,
  DISABLE: 0xf5,
  DEFAULTS: 0xf6,
  ALL_TYPEMATIC: 0xf7,
  ALL_BOTH: 0xfa,
  KEY_TYPEMATIC: 0xfb,
  KEY_MAKE: 0xfd,
  RESEND: 0xfe,
  RESET: 0xff,
} as const;

/** What the keyboard answers. */
export const REPLY = { ACK: 0xfa, RESEND: 0xfe, SELF_TEST_PASSED: 0xaa, ID: [0xab, 0x83] } as const;
