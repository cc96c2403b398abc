/**
 * What the machine's thread and the host's share besides guest memory: a few words and two rings for each serial port.
 * The machine's thread never returns to an event loop, so whatever it is told goes through here. It tells the host by a
 * doorbell, rung at most once until the host has looked: however fast the guest sends, nothing piles up.
 *
 * Where a ring to the host is full the machine stands still until there is room; where one to the guest is full the bytes
 * stay with whoever sends. So memory is bounded in both directions.
 */
import { SERIAL_PORTS } from "../machine/platform.ts";
import { ByteRing } from "./ring.ts";
import { EXITS_SIZE, ExitTable } from "./sampling/exits.ts";

/** Int32 words at the start of the shared buffer. */
const WORD = {
  /** Counts what the host has done; the machine sleeps on it. */
  wake: 0,
  /** Bits of REQUEST. */
  requests: 1,
  /** 1 while the doorbell has rung and the host has not looked. */
  doorbell: 2,
  /** A bit for each serial port towards which the host waits for room. */
  hostWaits: 3,
  /** 1 while the machine waits for room towards the host. */
  machineWaits: 4,
} as const;
const WORDS = 5;

/** What the host may ask. `paused` and `watched` are states, the others happen once. */
export const REQUEST = {
  stop: 1,
  paused: 2,
  powerButton: 4,
  nmi: 8,
  reset: 16,
  /** A state too: samples are taken, or exits counted, as the sample area says. */
  watched: 32,
} as const;
const ONCE = REQUEST.powerButton | REQUEST.nmi | REQUEST.reset;

/** Towards the guest: a terminal's typing, a command's input. */
const TO_GUEST = 16 * 1024;
/** From the guest: what it may print while the host is busy before the machine has to wait. */
const FROM_GUEST = 256 * 1024;

const PORT_SIZE = ByteRing.size(TO_GUEST) + ByteRing.size(FROM_GUEST);
const EXITS_AT = Math.ceil((WORDS * Int32Array.BYTES_PER_ELEMENT + SERIAL_PORTS.length * PORT_SIZE) / 8) * 8;
export const LINK_SIZE = EXITS_AT + EXITS_SIZE;

interface PortRings {
  readonly toGuest: ByteRing;
  readonly fromGuest: ByteRing;
}

/** Both ends see the same words and rings. */
class Link {
  readonly buffer: SharedArrayBuffer;
  protected readonly words: Int32Array;
  readonly serial: readonly PortRings[];
  readonly exits: ExitTable;

  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer;
    this.words = new Int32Array(buffer, 0, WORDS);
    this.exits = new ExitTable(buffer, EXITS_AT);
    this.serial = SERIAL_PORTS.map((_, i) => {
      const at = this.words.byteLength + i * PORT_SIZE;
      return {
        toGuest: new ByteRing(buffer, at, TO_GUEST),
        fromGuest: new ByteRing(buffer, at + ByteRing.size(TO_GUEST), FROM_GUEST),
      };
    });
  }
}

/** The host's end. */
export class HostLink extends Link {
  /** `buffer`: of a link that there is already, for another thread of the host's. */
  constructor(buffer = new SharedArrayBuffer(LINK_SIZE)) {
    super(buffer);
  }

  request(bits: number): void {
    Atomics.or(this.words, WORD.requests, bits);
    this.wake();
  }

  /** Of what was asked: what happens once only until the machine has seen it. */
  asked(bits: number): boolean {
    return (Atomics.load(this.words, WORD.requests) & bits) !== 0;
  }

  withdraw(bits: number): void {
    Atomics.and(this.words, WORD.requests, ~bits);
    this.wake();
  }

  /** The machine looks at once. */
  wake(): void {
    Atomics.add(this.words, WORD.wake, 1);
    Atomics.notify(this.words, WORD.wake);
  }

  /** The host is about to look; from now on the doorbell rings again. */
  answerDoorbell(): void {
    Atomics.store(this.words, WORD.doorbell, 0);
  }

  /** The host took bytes: a machine that stands still for want of room goes on. */
  tookBytes(): void {
    if (Atomics.load(this.words, WORD.machineWaits) !== 0) this.wake();
  }

  /** Whether the doorbell shall ring when the guest took bytes of this serial port. */
  waitForRoom(port: number, waits: boolean): void {
    if (waits) Atomics.or(this.words, WORD.hostWaits, 1 << port);
    else Atomics.and(this.words, WORD.hostWaits, ~(1 << port));
  }
}

/** The machine's end. */
export class MachineLink extends Link {
  readonly #ring: () => void;
  #seen = 0;

  /** `ring` sends the host a message. */
  constructor(buffer: SharedArrayBuffer, ring: () => void) {
    super(buffer);
    this.#ring = ring;
  }

  /** True where the host has done something since the last call, which then has to be looked at. */
  changed(): boolean {
    const now = Atomics.load(this.words, WORD.wake);
    const changed = now !== this.#seen;
    this.#seen = now;
    return changed;
  }

  /** Sleeps for `milliseconds`, or until the host does something that `changed` has not told yet. */
  sleep(milliseconds: number): void {
    Atomics.wait(this.words, WORD.wake, this.#seen, milliseconds);
  }

  /** Sleeps until `done`, which is asked again each time the host takes bytes or asks for something. */
  waitForHost(done: () => boolean): void {
    Atomics.store(this.words, WORD.machineWaits, 1);
    for (;;) {
      const wake = Atomics.load(this.words, WORD.wake);
      if (done()) break;
      Atomics.wait(this.words, WORD.wake, wake);
    }
    Atomics.store(this.words, WORD.machineWaits, 0);
  }

  /** The requests there are; those that happen once are taken. */
  takeRequests(): number {
    return Atomics.and(this.words, WORD.requests, ~ONCE);
  }

  get stopping(): boolean {
    return (Atomics.load(this.words, WORD.requests) & REQUEST.stop) !== 0;
  }

  hostWaits(port: number): boolean {
    return (Atomics.load(this.words, WORD.hostWaits) & (1 << port)) !== 0;
  }

  ringDoorbell(): void {
    if (Atomics.exchange(this.words, WORD.doorbell, 1) === 0) this.#ring();
  }
}
