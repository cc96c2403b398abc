/**
 * An AT keyboard on the controller's first port. Speaks scan code sets 2 and 1. Not modelled: set 3,
 * typematic repeat (the host's keyboard repeats).
 */
import { KEYBOARD, REPLY } from "./registers.ts";
import { EXTENDED_PREFIX, RELEASE_PREFIX, translateAll } from "./scancodes.ts";

/** A real keyboard's buffer; more keys are refused until the guest has read. */
const KEY_BUFFER = 16;
/** Answers may come on top of it. A guest that sends commands and reads nothing gets no further ones: no growth. */
const BUFFER_LIMIT = 32;
/** Values from here on are commands even where a parameter is awaited. */
const FIRST_COMMAND = 0xed;

export interface KeyboardState {
  queue: number[];
  scanning: boolean;
  scanSet: number;
  /** The command whose parameter comes next; 0 for none. */
  awaiting: number;
  leds: number;
  /** For the resend command. */
  last: number;
}

export const initialKeyboard = (): KeyboardState => ({
  queue: [],
  scanning: true,
  scanSet: 2,
  awaiting: 0,
  leds: 0,
  last: 0,
});

/** Puts a key's bytes into the queue, all or none. `code` is of set 2, 0xe0xx for an extended key. */
export const pressKey = (state: KeyboardState, code: number, pressed: boolean): boolean => {
  if (!state.scanning) return true;
  const bytes = [...(code > 0xff ? [EXTENDED_PREFIX] : []), ...(pressed ? [] : [RELEASE_PREFIX]), code & 0xff];
  const sent = state.scanSet === 1 ? translateAll(bytes) : bytes;
  if (state.queue.length + sent.length > KEY_BUFFER) return false;
  state.queue.push(...sent);
  return true;
};

/** The next byte the keyboard has, or undefined. */
export const takeByte = (state: KeyboardState): number | undefined => {
  const byte = state.queue.shift();
  if (byte !== undefined) state.last = byte;
  return byte;
};

const defaults = (state: KeyboardState): void => {
  state.queue.length = 0;
  state.scanSet = 2;
};

/** A parameter of the command that awaited it; returns the answer. */
const parameter = (state: KeyboardState, command: number, value: number): readonly number[] => {
  switch (command) {
    case KEYBOARD.SET_LEDS:
      state.leds = value & 7;
      return [REPLY.ACK];
    case KEYBOARD.SCAN_SET:
      if (value === 0) return [REPLY.ACK, state.scanSet];
      if (value > 2) return [REPLY.RESEND];
      state.scanSet = value;
      return [REPLY.ACK];
    default:
      return [REPLY.ACK];
  }
};

const command = (state: KeyboardState, value: number): readonly number[] => {
  switch (value) {
    case KEYBOARD.SET_LEDS:
    case KEYBOARD.SCAN_SET:
    case KEYBOARD.SET_RATE:
      state.awaiting = value;
      return [REPLY.ACK];
    case KEYBOARD.ECHO:
      return [KEYBOARD.ECHO];
    case KEYBOARD.IDENTIFY:
      return [REPLY.ACK, ...REPLY.ID];
    case KEYBOARD.ENABLE:
      state.queue.length = 0;
      state.scanning = true;
      return [REPLY.ACK];
    case KEYBOARD.DISABLE:
      defaults(state);
      state.scanning = false;
      return [REPLY.ACK];
    case KEYBOARD.DEFAULTS:
      defaults(state);
      return [REPLY.ACK];
    case KEYBOARD.RESEND:
      return [state.last];
    case KEYBOARD.RESET:
      defaults(state);
      state.scanning = true;
      state.leds = 0;
      return [REPLY.ACK, REPLY.SELF_TEST_PASSED];
    default:
      if (value >= KEYBOARD.ALL_TYPEMATIC && value <= KEYBOARD.ALL_BOTH) return [REPLY.ACK];
      if (value >= KEYBOARD.KEY_TYPEMATIC && value <= KEYBOARD.KEY_MAKE) {
        state.awaiting = value;
        return [REPLY.ACK];
      }
      return [REPLY.RESEND];
  }
};

/** A byte from the system. */
export const sendToKeyboard = (state: KeyboardState, value: number): void => {
  const { awaiting } = state;
  state.awaiting = 0;
  const isParameter = awaiting !== 0 && value < FIRST_COMMAND;
  const reply = isParameter ? parameter(state, awaiting, value) : command(state, value);
  if (state.queue.length + reply.length <= BUFFER_LIMIT) state.queue.push(...reply);
};
