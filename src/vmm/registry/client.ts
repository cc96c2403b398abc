/** The asking end of a guest's control socket. */
import { VivError } from "../../base/index.ts";
import { Connection, creditOf } from "./connection.ts";
import { Inflow, Outflow } from "./flow.ts";
import { type Frame, KIND } from "./frame.ts";
import type { ControlRequest } from "./requests.ts";

/** Takes bytes of an answer's stream. Where it returns a promise, no more come until that settles. */
export type StreamListener = (data: Uint8Array) => void | Promise<void>;
/** What a stream to the guest's process is fed with. */
export type StreamSource = Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

export interface RequestOptions<Input extends string, Output extends string> {
  /** A stream without a source is ended at once. */
  readonly input?: { readonly [Name in Input]?: StreamSource | undefined };
  /** What nobody listens to is dropped. */
  readonly output?: { readonly [Name in Output]?: StreamListener | undefined };
}

/** A request under way. */
export interface PendingRequest<Answer, Message> {
  /** Settles when all that came before it was taken by the listeners. Rejects with a VivError; a listener's own error is passed on. */
  readonly answer: Promise<Answer>;
  send(message: Message): void;
  /** The guest's process ends the request as it can, and answers. */
  cancel(): void;
}

class Waiting {
  readonly inflows: readonly Inflow[];
  readonly outflows: readonly Outflow[];
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: unknown) => void;

  constructor(
    flows: { readonly inflows: readonly Inflow[]; readonly outflows: readonly Outflow[] },
    resolve: (answer: unknown) => void,
    reject: (error: unknown) => void,
  ) {
    this.inflows = flows.inflows;
    this.outflows = flows.outflows;
    this.resolve = resolve;
    this.reject = reject;
  }

  end(): void {
    for (const flow of this.inflows) flow.end();
    for (const flow of this.outflows) flow.abandon();
  }
}

export class ClientConnection extends Connection {
  readonly #waiting = new Map<number, Waiting>();
  #number = 0;
  #onGreeted: (() => void) | undefined;
  #onLost: ((reason: VivError) => void) | undefined;

  /** Settles when the guest's process has answered at all; rejects where the connection ends before. */
  readonly answered: Promise<void> = new Promise((resolve, reject) => {
    this.#onGreeted = resolve;
    this.#onLost = reject;
  });

  request<P, A, M, I extends string, O extends string>(
    row: ControlRequest<P, A, M, I, O>,
    parameters: P,
    options: RequestOptions<I, O> = {},
  ): PendingRequest<A, M> {
    const channel = ++this.#number;
    const answer = this.#ask(row, channel, parameters, options);
    // Whoever cancels does not always wait.
    answer.catch(() => undefined);
    return {
      answer,
      send: (message) => this.send(channel, KIND.message, message),
      cancel: () => this.sendBytes(channel, KIND.cancel, 0, new Uint8Array(0)),
    };
  }

  async #ask<P, A, M, I extends string, O extends string>(
    row: ControlRequest<P, A, M, I, O>,
    channel: number,
    parameters: P,
    { input, output }: RequestOptions<I, O>,
  ): Promise<A> {
    if (this.over) throw this.over;
    const inflows = row.output.map((_, stream) => new Inflow((bytes) => this.sendCredit(channel, stream, bytes)));
    const outflows = row.input.map(
      (_, stream) =>
        new Outflow((piece) =>
          piece
            ? this.sendBytes(channel, KIND.data, stream, piece)
            : this.sendBytes(channel, KIND.end, stream, new Uint8Array(0)),
        ),
    );
    let failure: { readonly error: unknown } | undefined;
    const cancel = (error: unknown): void => {
      failure ??= { error };
      this.sendBytes(channel, KIND.cancel, 0, new Uint8Array(0));
    };
    const settled = new Promise((resolve, reject) => {
      this.#waiting.set(channel, new Waiting({ inflows, outflows }, resolve, reject));
    });
    try {
      this.send(channel, KIND.request, { request: row.name, parameters });
    } catch (error) {
      this.#waiting.delete(channel);
      throw error;
    }
    const feeders = row.input.map((name, i) => new Feeder(outflows[i]!, input?.[name], cancel));
    const taken = row.output.map((name, i) => hear(inflows[i]!, output?.[name]).catch(cancel));
    const answer = await settled.finally(() => {
      for (const feeder of feeders) feeder.stop();
      return Promise.all(taken);
    });
    if (failure) throw failure.error;
    return row.answer.check(answer, `the answer to ${row.name}`);
  }

  protected frame(frame: Frame): void {
    const waiting = this.#waiting.get(frame.channel);
    if (!waiting) return;
    switch (frame.kind) {
      case KIND.data:
        waiting.inflows[frame.stream]?.push(frame.payload);
        break;
      case KIND.end:
        waiting.inflows[frame.stream]?.end();
        break;
      case KIND.credit:
        waiting.outflows[frame.stream]?.addCredit(creditOf(frame));
        break;
      case KIND.answer:
      case KIND.error:
        this.#waiting.delete(frame.channel);
        waiting.end();
        if (frame.kind === KIND.answer) waiting.resolve(this.json(frame));
        else waiting.reject(this.error(frame));
    }
  }

  protected override greeted(): void {
    this.#onGreeted?.();
  }

  protected ended(reason: VivError): void {
    this.#onLost?.(reason);
    for (const waiting of this.#waiting.values()) {
      waiting.end();
      waiting.reject(reason);
    }
    this.#waiting.clear();
  }

  /** Ends the connection; what is under way is rejected. */
  close(): void {
    this.closed(new VivError("control.closed", "the connection to the guest was closed"));
    this.port.close();
  }
}

/** Brings what a source gives into a stream. */
class Feeder {
  readonly #iterator: Iterator<Uint8Array> | AsyncIterator<Uint8Array>;
  #stopped = false;

  constructor(flow: Outflow, source: StreamSource = [], failed: (error: unknown) => void) {
    this.#iterator = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
    void this.#run(flow)
      .catch(failed)
      .finally(() => flow.end());
  }

  async #run(flow: Outflow): Promise<void> {
    for (;;) {
      const step = await this.#iterator.next();
      if (step.done === true || this.#stopped) return;
      await flow.write(step.value);
    }
  }

  /** Nobody wants the rest. A source that still waits for data is told, not waited for. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    void Promise.resolve(this.#iterator.return?.()).catch(() => undefined);
  }
}

async function hear(flow: Inflow, listener: StreamListener | undefined): Promise<void> {
  if (!listener) flow.drop();
  else for await (const data of flow) await listener(data);
}
