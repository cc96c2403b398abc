/** What both ends of a control connection have in common: frames, the greeting, and the way of an error. */
import { VivError } from "../../base/index.ts";
import { encodeFrame, type Frame, FrameReader, KIND, type Kind, MAX_PAYLOAD } from "./frame.ts";
import { count, type Of, record, text } from "./shape.ts";

/** Changes with the frames, not with the requests: a request that the other end does not know is answered so. */
export const PROTOCOL_VERSION = 1;

const HELLO = record({ vivarium: count() });
const MAX_MESSAGE = 16 * 1024;
const FAILURE = record({ code: text(256), message: text(MAX_MESSAGE) });
type Failure = Of<typeof FAILURE>;

/** The host's side of a connection: a socket, and texts. */
export interface ControlPort {
  send(frame: Uint8Array): void;
  /** Closes, when what was sent is on its way. */
  close(): void;
  encode(text: string): Uint8Array;
  decode(bytes: Uint8Array): string;
}

export const gone = (): VivError =>
  new VivError("guest.gone", "the guest's process is gone: it ended, or was killed, meanwhile");

const wrongVersion = (theirs: number): VivError =>
  new VivError(
    "control.version",
    `the other end speaks version ${theirs} of the control protocol, this one ${PROTOCOL_VERSION}: use the viv that started the guest`,
  );

/** What goes over the wire of an error. An error that is not meant for users keeps its text, too: it is a fault of ours. */
export const failureOf = (error: unknown): Failure => ({
  code: error instanceof VivError ? error.code : "control.failed",
  message: (error instanceof Error ? error.message : String(error)).slice(0, MAX_MESSAGE),
});

export abstract class Connection {
  protected readonly port: ControlPort;
  readonly #reader = new FrameReader();
  #greeted = false;
  #over: VivError | undefined;

  constructor(port: ControlPort) {
    this.port = port;
    this.send(0, KIND.hello, { vivarium: PROTOCOL_VERSION });
  }

  /** Why it is over; undefined while it is not. */
  get over(): VivError | undefined {
    return this.#over;
  }

  /** Bytes that came. Whatever they are, nothing is thrown: a connection that makes no sense is closed. */
  receive(data: Uint8Array): void {
    try {
      for (const frame of this.#reader.push(data)) {
        if (this.#over) return;
        this.#take(frame);
      }
    } catch (error) {
      this.fail(error instanceof VivError ? error : new VivError("control.failed", String(error), { cause: error }));
    }
  }

  /** The other end is gone. */
  closed(reason: VivError = gone()): void {
    if (this.#over) return;
    this.#over = reason;
    this.ended(reason);
  }

  #take(frame: Frame): void {
    if (frame.kind === KIND.hello) {
      const { vivarium } = HELLO.check(this.json(frame), "the greeting");
      if (vivarium !== PROTOCOL_VERSION) throw wrongVersion(vivarium);
      this.#greeted = true;
      this.greeted();
    } else if (frame.kind === KIND.error && frame.channel === 0) {
      // The other end's reason to close.
      this.closed(this.error(frame));
      this.port.close();
    } else if (!this.#greeted) throw new VivError("control.protocol", "the other end does not greet");
    else this.frame(frame);
  }

  /** Tells the other end why, and closes. */
  protected fail(error: VivError): void {
    if (this.#over) return;
    this.send(0, KIND.error, failureOf(error));
    this.closed(error);
    this.port.close();
  }

  /** Throws VivError `control.too-large`: what has no bound goes by a stream. */
  protected send(channel: number, kind: Kind, value: unknown): void {
    const payload = this.port.encode(JSON.stringify(value));
    if (payload.length > MAX_PAYLOAD) {
      throw new VivError(
        "control.too-large",
        `${payload.length} bytes are more than a message may have (${MAX_PAYLOAD})`,
      );
    }
    this.sendBytes(channel, kind, 0, payload);
  }

  protected sendBytes(channel: number, kind: Kind, stream: number, payload: Uint8Array): void {
    if (!this.#over) this.port.send(encodeFrame(channel, kind, stream, payload));
  }

  protected sendCredit(channel: number, stream: number, bytes: number): void {
    const payload = new Uint8Array(4);
    new DataView(payload.buffer).setUint32(0, bytes, true);
    this.sendBytes(channel, KIND.credit, stream, payload);
  }

  /** Throws VivError where it is no JSON. */
  protected json({ payload }: Frame): unknown {
    try {
      return JSON.parse(this.port.decode(payload));
    } catch (cause) {
      throw new VivError("control.protocol", "the other end breaks the protocol: that is no JSON", { cause });
    }
  }

  protected error(frame: Frame): VivError {
    const { code, message } = FAILURE.check(this.json(frame), "an error");
    return new VivError(code, message);
  }

  protected greeted(): void {}
  /** A frame of a channel. May throw VivError, which ends the connection. */
  protected abstract frame(frame: Frame): void;
  /** The connection is over. Called once. */
  protected abstract ended(reason: VivError): void;
}

export function creditOf({ payload }: Frame): number {
  if (payload.length !== 4)
    throw new VivError("control.protocol", "the other end breaks the protocol: a credit of no size");
  return new DataView(payload.buffer, payload.byteOffset, 4).getUint32(0, true);
}
