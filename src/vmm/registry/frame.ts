/**
 * How the two ends of a guest's control socket cut their bytes: frames of
 *
 *   u32 length of what follows · u32 channel · u8 kind · u8 stream · payload          (little-endian)
 *
 * A channel is one request, numbered by the client. Kinds say what the payload is.
 */
import { VivError } from "../../base/index.ts";

export const KIND = {
  /** First in both directions, on channel 0: JSON, the version. */
  hello: 0,
  /** Client: opens the channel; JSON. */
  request: 1,
  /** Client: more about a request under way; JSON. */
  message: 2,
  /** Bytes of the stream. */
  data: 3,
  /** The stream has ended. */
  end: 4,
  /** u32: so many more bytes of the stream may come. */
  credit: 5,
  /** Client: wants no answer any more. The request ends with an answer or an error all the same. */
  cancel: 6,
  /** Server: closes the channel; JSON. */
  answer: 7,
  /** Server: closes the channel, or on channel 0 the connection; JSON. */
  error: 8,
} as const;
export type Kind = (typeof KIND)[keyof typeof KIND];
const LAST_KIND = KIND.error;

export interface Frame {
  readonly channel: number;
  readonly kind: Kind;
  readonly stream: number;
  /** Valid until the reader is given more. */
  readonly payload: Uint8Array;
}

const LENGTH = 4;
const HEADER = 6;
/** A command's arguments are up to 256 KiB (image/exec/protocol.ts), and JSON may need six characters for one. */
export const MAX_PAYLOAD = 2 * 1024 * 1024;
/** What an end keeps of a frame that has not come whole: stops a length without bytes from taking memory. */
const FIRST_BUFFER = 4096;

const broken = (what: string): VivError =>
  new VivError("control.protocol", `the other end breaks the protocol: ${what}`);

export function encodeFrame(channel: number, kind: Kind, stream: number, payload: Uint8Array): Uint8Array {
  const frame = new Uint8Array(LENGTH + HEADER + payload.length);
  const view = new DataView(frame.buffer);
  view.setUint32(0, HEADER + payload.length, true);
  view.setUint32(LENGTH, channel, true);
  frame[LENGTH + 4] = kind;
  frame[LENGTH + 5] = stream;
  frame.set(payload, LENGTH + HEADER);
  return frame;
}

/** Puts frames together again. Holds as many bytes as came, at most one frame. */
export class FrameReader {
  #held = new Uint8Array(FIRST_BUFFER);
  #size = 0;

  /** The frames that `data` completes. Throws VivError `control.protocol`, after which the rest means nothing. */
  *push(data: Uint8Array): Generator<Frame, void, undefined> {
    let rest = data;
    while (rest.length > 0) {
      if (this.#size === 0 && rest.length >= LENGTH) {
        const whole = wholeLength(rest);
        if (rest.length >= whole) {
          yield parse(rest.subarray(0, whole));
          rest = rest.subarray(whole);
          continue;
        }
      }
      const wanted = this.#size < LENGTH ? LENGTH : wholeLength(this.#held);
      const part = rest.subarray(0, wanted - this.#size);
      this.#keep(part);
      rest = rest.subarray(part.length);
      if (this.#size < LENGTH || this.#size < wholeLength(this.#held)) continue;
      yield parse(this.#held.subarray(0, this.#size));
      this.#size = 0;
      this.#held = new Uint8Array(FIRST_BUFFER);
    }
  }

  #keep(part: Uint8Array): void {
    const size = this.#size + part.length;
    if (size > this.#held.length) {
      const larger = new Uint8Array(Math.max(size, 2 * this.#held.length));
      larger.set(this.#held.subarray(0, this.#size));
      this.#held = larger;
    }
    this.#held.set(part, this.#size);
    this.#size = size;
  }
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** With the length itself. */
function wholeLength(bytes: Uint8Array): number {
  const length = viewOf(bytes).getUint32(0, true);
  if (length < HEADER || length > HEADER + MAX_PAYLOAD) throw broken(`a frame of ${length} bytes`);
  return LENGTH + length;
}

function parse(frame: Uint8Array): Frame {
  const kind = frame[LENGTH + 4]!;
  if (kind > LAST_KIND) throw broken(`a frame of kind ${kind}`);
  return {
    channel: viewOf(frame).getUint32(LENGTH, true),
    kind: kind as Kind,
    stream: frame[LENGTH + 5]!,
    payload: frame.subarray(LENGTH + HEADER),
  };
}
