/** One serial port of the guest, as the host's end of the link serves it. */
import type { SerialLine } from "../image/index.ts";
import type { HostLink } from "./link.ts";
import type { ByteRing } from "./ring.ts";

/** Passed on at a time. */
const CHUNK = 64 * 1024;

interface Pending {
  readonly data: Uint8Array;
  at: number;
  readonly sent: () => void;
}

export class HostSerialLine implements SerialLine {
  readonly #link: HostLink;
  readonly #toGuest: ByteRing;
  readonly #fromGuest: ByteRing;
  readonly #pending: Pending[] = [];
  #listener: (data: Uint8Array) => void = () => undefined;
  #held = false;
  #closed = false;
  readonly #port: number;

  constructor(link: HostLink, port: number) {
    this.#link = link;
    this.#port = port;
    const { toGuest, fromGuest } = link.serial[port]!;
    this.#toGuest = toGuest;
    this.#fromGuest = fromGuest;
  }

  /** The listener has everything the guest has sent. */
  get drained(): boolean {
    return this.#fromGuest.available === 0 && !this.#held;
  }

  write(data: Uint8Array): void {
    void this.send(data);
  }

  /** As `write`; settles when the last byte is on its way, so that a fast sender can keep to the guest's pace. */
  send(data: Uint8Array): Promise<void> {
    if (data.length === 0 || this.#closed) return Promise.resolve();
    return new Promise((sent) => {
      // The caller may use its array again before the guest has taken the bytes.
      this.#pending.push({ data: data.slice(), at: 0, sent });
      this.pump();
    });
  }

  listen(listener: (data: Uint8Array) => void): void {
    this.#listener = listener;
    this.drain();
  }

  hold(held: boolean): void {
    this.#held = held;
    if (!held) this.drain();
  }

  /** Moves what waits into the ring, and asks to be called again when there is room for the rest. */
  pump(): void {
    if (this.#pending.length === 0 || this.#move()) return;
    this.#link.waitForRoom(this.#port, true);
    // The guest may have made room before it could know that somebody waits for it.
    if (this.#move()) this.#link.waitForRoom(this.#port, false);
  }

  /** True when nothing waits any more. */
  #move(): boolean {
    let moved = false;
    for (let first = this.#pending[0]; first !== undefined; first = this.#pending[0]) {
      const count = this.#toGuest.write(first.data, first.at);
      first.at += count;
      moved ||= count > 0;
      if (first.at < first.data.length) break;
      this.#pending.shift();
      first.sent();
    }
    if (moved) this.#link.wake();
    return this.#pending.length === 0;
  }

  /**
   * Hands the listener what the guest has sent. One look at most at what the ring holds now: a guest that never stops
   * sending must not keep the host's thread.
   */
  drain(): void {
    for (let left = this.#fromGuest.available; left > 0 && !this.#held; ) {
      const data = this.#fromGuest.peek(Math.min(left, CHUNK));
      this.#fromGuest.consume(data.length);
      left -= data.length;
      this.#listener(data);
    }
    this.#link.tookBytes();
  }

  /** The machine is gone: nothing waits any more. */
  close(): void {
    this.#closed = true;
    for (const { sent } of this.#pending.splice(0)) sent();
  }
}
