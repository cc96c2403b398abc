/** The guest's end of its control socket: requests to their handlers, streams and cancellation with them. */
import { VivError } from "../../base/index.ts";
import { Connection, type ControlPort, creditOf, failureOf } from "./connection.ts";
import { Inflow, Outflow, WINDOW } from "./flow.ts";
import { type Frame, KIND } from "./frame.ts";
import type { ControlRequest } from "./requests.ts";
import { record, text } from "./shape.ts";

/** Requests under way in one connection: stops a client from opening them without end. */
const MAX_CHANNELS = 256;
/** Bytes that may come for a request which cannot be served yet: what a client may send without credit, and some messages. */
const MAX_EARLY = 2 * WINDOW;
/** What a frame without payload counts as there. */
const FRAME_COST = 256;

const REQUEST = record({ request: text(64) });

export interface OutputStream {
  /** Settles when the client has room for more; at once where it is gone. */
  write(data: Uint8Array): Promise<void>;
}

/** One request under way, as its handler sees it. */
export interface ControlCall<Parameters, Message, Input extends string, Output extends string> {
  readonly parameters: Parameters;
  readonly input: Readonly<Record<Input, AsyncIterable<Uint8Array>>>;
  readonly output: Readonly<Record<Output, OutputStream>>;
  /** The client wants no answer any more, or is gone. */
  cancelled(): boolean;
  /** At most once, and at once where it is so already. */
  onCancel(listener: () => void): void;
  /** From the first message on. What the listener throws is dropped. */
  onMessage(listener: (message: Message) => void): void;
}

export type Handler<P, A, M, I extends string, O extends string> = (call: ControlCall<P, M, I, O>) => Promise<A> | A;
// A table of rows with different types: each row's own were checked when it was entered.
type AnyHandler = Handler<never, unknown, never, string, string>;

/** What a guest can be asked: rows with their handlers. */
export class GuestControls {
  readonly #rows = new Map<string, { readonly row: ControlRequest; readonly handler: AnyHandler }>();
  readonly #complete: () => Promise<unknown>;

  /** `complete` enters all rows; it is called for each request that is not an early one. */
  constructor(complete: () => Promise<unknown> = () => Promise.resolve()) {
    this.#complete = complete;
  }

  handle<P, A, M, I extends string, O extends string>(
    row: ControlRequest<P, A, M, I, O>,
    handler: Handler<P, A, M, I, O>,
  ): void {
    if (this.#rows.has(row.name)) throw new RangeError(`two handlers for ${row.name}`);
    this.#rows.set(row.name, { row: row as unknown as ControlRequest, handler: handler as unknown as AnyHandler });
  }

  /** Throws VivError `control.unknown`. */
  async find(name: string): Promise<{ readonly row: ControlRequest; readonly handler: AnyHandler }> {
    const early = this.#rows.get(name);
    if (early?.row.early === true) return early;
    await this.#complete();
    const found = this.#rows.get(name);
    if (found) return found;
    throw new VivError(
      "control.unknown",
      `this guest does not know the request "${name}": it runs under another version`,
    );
  }
}

/** A request between its first frame and its answer. Frames that come before its row is known wait. */
class Channel {
  call: Call | undefined;
  cancelled = false;
  readonly early: Frame[] = [];
  #size = 0;

  keep(frame: Frame): void {
    this.#size += FRAME_COST + frame.payload.length;
    if (this.#size > MAX_EARLY) throw new VivError("control.protocol", "too much for a request that still waits");
    this.early.push({ ...frame, payload: frame.payload.slice() });
  }
}

class Call {
  readonly row: ControlRequest;
  readonly parameters: unknown;
  readonly inflows: readonly Inflow[];
  readonly outflows: readonly Outflow[];
  readonly input: Record<string, AsyncIterable<Uint8Array>> = {};
  readonly output: Record<string, OutputStream> = {};
  readonly cancelled = (): boolean => this.#cancelled;
  #cancelled = false;
  #onCancel: () => void = () => undefined;
  #onMessage: ((message: unknown) => void) | undefined;
  /** Until the handler listens. */
  readonly #messages: unknown[] = [];

  constructor(
    row: ControlRequest,
    parameters: unknown,
    flows: { in(stream: number): Inflow; out(stream: number): Outflow },
  ) {
    this.row = row;
    this.parameters = parameters;
    this.inflows = row.input.map((_, stream) => flows.in(stream));
    this.outflows = row.output.map((_, stream) => flows.out(stream));
    for (const [i, name] of row.input.entries()) this.input[name] = this.inflows[i]!;
    for (const [i, name] of row.output.entries()) this.output[name] = this.outflows[i]!;
  }

  cancel(): void {
    if (this.#cancelled) return;
    this.#cancelled = true;
    for (const flow of this.outflows) flow.abandon();
    for (const flow of this.inflows) flow.end();
    this.#onCancel();
  }

  // Handlers take the call apart: these have to know whose they are.
  readonly onCancel = (listener: () => void): void => {
    this.#onCancel = listener;
    if (this.#cancelled) listener();
  };

  readonly onMessage = (listener: (message: never) => void): void => {
    this.#onMessage = listener as (message: unknown) => void;
    for (const message of this.#messages.splice(0)) this.message(message);
  };

  message(message: unknown): void {
    if (!this.#onMessage) {
      if (this.#messages.length < MAX_CHANNELS) this.#messages.push(message);
      return;
    }
    try {
      this.#onMessage(message);
    } catch {
      // A message has no answer of its own.
    }
  }
}

export class ServerConnection extends Connection {
  readonly #controls: GuestControls;
  readonly #channels = new Map<number, Channel>();
  readonly #onIdle: () => void;

  /** `onIdle`: no request is under way any more. */
  constructor(port: ControlPort, controls: GuestControls, onIdle: () => void = () => undefined) {
    super(port);
    this.#controls = controls;
    this.#onIdle = onIdle;
  }

  get idle(): boolean {
    return this.#channels.size === 0;
  }

  protected frame(frame: Frame): void {
    if (frame.kind === KIND.request) {
      this.#open(frame.channel, this.json(frame));
      return;
    }
    const channel = this.#channels.get(frame.channel);
    // The answer and this frame have crossed.
    if (!channel) return;
    if (channel.call) this.#pass(channel.call, frame);
    else if (frame.kind === KIND.cancel) channel.cancelled = true;
    else channel.keep(frame);
  }

  #pass(call: Call, frame: Frame): void {
    switch (frame.kind) {
      case KIND.message:
        call.message(call.row.message.check(this.json(frame), "the message"));
        break;
      case KIND.data:
        call.inflows[frame.stream]?.push(frame.payload);
        break;
      case KIND.end:
        call.inflows[frame.stream]?.end();
        break;
      case KIND.credit:
        call.outflows[frame.stream]?.addCredit(creditOf(frame));
        break;
      case KIND.cancel:
        call.cancel();
    }
  }

  #open(number: number, request: unknown): void {
    if (this.#channels.has(number) || number === 0) throw new VivError("control.protocol", "a channel opened twice");
    if (this.#channels.size >= MAX_CHANNELS) {
      const message = `more than ${MAX_CHANNELS} requests at once: wait for some to end`;
      this.send(number, KIND.error, { code: "control.busy", message });
      return;
    }
    const channel = new Channel();
    this.#channels.set(number, channel);
    const served = this.#serve(number, channel, request).then((answer) => this.send(number, KIND.answer, answer));
    const told = served.catch((error: unknown) => this.send(number, KIND.error, failureOf(error)));
    void told.finally(() => {
      this.#channels.delete(number);
      if (this.idle) this.#onIdle();
    });
  }

  async #serve(number: number, channel: Channel, request: unknown): Promise<unknown> {
    const { row, handler } = await this.#controls.find(REQUEST.check(request, "the request").request);
    const { parameters } = request as { readonly parameters?: unknown };
    const call = new Call(row, row.parameters.check(parameters ?? {}, row.name), {
      in: (stream) => new Inflow((bytes) => this.sendCredit(number, stream, bytes)),
      out: (stream) =>
        new Outflow((piece) =>
          piece
            ? this.sendBytes(number, KIND.data, stream, piece)
            : this.sendBytes(number, KIND.end, stream, new Uint8Array(0)),
        ),
    });
    channel.call = call;
    if (channel.cancelled || this.over) call.cancel();
    try {
      for (const frame of channel.early.splice(0)) this.#pass(call, frame);
      const answer = await handler(call as never);
      await Promise.all(call.outflows.map((flow) => flow.end()));
      return row.answer.check(answer, `the answer to ${row.name}`);
    } finally {
      for (const flow of call.inflows) flow.drop();
      for (const flow of call.outflows) flow.abandon();
    }
  }

  protected ended(): void {
    for (const channel of this.#channels.values()) {
      channel.cancelled = true;
      channel.call?.cancel();
    }
  }
}
