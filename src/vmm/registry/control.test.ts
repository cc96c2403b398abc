/** Both ends of a control connection, without a socket between them. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { VivError } from "../../base/index.ts";
import { ClientConnection } from "./client.ts";
import type { Connection, ControlPort } from "./connection.ts";
import { WINDOW } from "./flow.ts";
import { encodeFrame, KIND } from "./frame.ts";
import { controlRequest } from "./requests.ts";
import { GuestControls, ServerConnection } from "./server.ts";
import { count, list, record, text } from "./shape.ts";

const soon = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const bytes = (of: string): Uint8Array => Buffer.from(of);

const texts = {
  encode: (text: string) => Buffer.from(text),
  decode: (data: Uint8Array) => Buffer.from(data).toString(),
};

/** A port whose other end is given later; counts what is under way. */
class Wire implements ControlPort {
  to: Connection | undefined;
  sent = 0;
  isClosed = false;
  readonly encode = texts.encode;
  readonly decode = texts.decode;
  #queue: Uint8Array[] = [];

  send(frame: Uint8Array): void {
    this.sent += frame.length;
    this.#queue.push(frame);
    if (this.#queue.length === 1) {
      setImmediate(() => {
        const frames = this.#queue.splice(0);
        this.to?.receive(Buffer.concat(frames));
      });
    }
  }

  close(): void {
    this.isClosed = true;
    setImmediate(() => this.to?.closed());
  }
}

const ECHO = controlRequest("echo", {
  parameters: record({ times: count(10) }),
  input: ["in"],
  output: ["out", "copy"],
  message: record({ word: text(9) }),
  answer: record({ words: list(text(), 10) }),
});
const FLOOD = controlRequest("flood", { parameters: record({ size: count() }), output: ["out"] });
const QUICK = controlRequest("quick", { early: true });
const BROKEN = controlRequest("broken", { answer: record({ n: count() }) });
const FOREVER = controlRequest("forever");

function connected() {
  const log: string[] = [];
  let rest = 0;
  const controls = new GuestControls();
  controls.handle(ECHO, async ({ parameters, input, output, onMessage }) => {
    const words: string[] = [];
    onMessage(({ word }) => words.push(word));
    for await (const data of input.in) {
      for (let i = 0; i < parameters.times; i++) await output.out.write(data);
      await output.copy.write(data);
    }
    return { words };
  });
  controls.handle(FLOOD, async ({ parameters, output, onCancel, cancelled }) => {
    onCancel(() => log.push("cancelled"));
    for (rest = parameters.size; rest > 0 && !cancelled(); rest -= 1024) await output.out.write(new Uint8Array(1024));
    return {};
  });
  controls.handle(QUICK, () => ({}));
  controls.handle(BROKEN, () => ({ n: -1 }));
  controls.handle(FOREVER, ({ onCancel }) => new Promise((_, reject) => onCancel(() => reject(new Error("over")))));
  const [up, down] = [new Wire(), new Wire()];
  const server = new ServerConnection(down, controls);
  const client = new ClientConnection(up);
  up.to = server;
  down.to = client;
  client.answered.catch(() => undefined);
  return { client, server, up, down, log, left: () => rest };
}

describe("a control connection", () => {
  it("carries parameters, streams both ways, messages and the answer", async () => {
    const { client } = connected();
    let [out, copy] = ["", ""];
    const given = ["one ", "two ", "three"];
    const pending = client.request(
      ECHO,
      { times: 2 },
      {
        input: { in: given.map(bytes) },
        output: { out: (data) => void (out += texts.decode(data)), copy: (data) => void (copy += texts.decode(data)) },
      },
    );
    pending.send({ word: "hello" });
    expect(await pending.answer).toEqual({ words: ["hello"] });
    expect([copy, out]).toEqual(["one two three", "one one two two threethree"]);
  });

  it("carries many megabytes in little memory, at the listener's pace, and other requests meanwhile", async () => {
    const { client, down } = connected();
    const size = 8 * 1024 * 1024;
    let got = 0;
    let go: () => void = () => undefined;
    const pending = client.request(
      FLOOD,
      { size },
      {
        output: {
          out: (data) => {
            got += data.length;
            return got > 100_000 && got < 200_000
              ? new Promise((resolve) => {
                  go = resolve;
                })
              : undefined;
          },
        },
      },
    );
    while (got < 100_000) await soon();
    for (let i = 0; i < 50; i++) await soon();
    // The listener is busy: what was sent is what the window lets through.
    expect(down.sent).toBeLessThan(got + WINDOW + 64 * 1024);
    expect(await client.request(QUICK, {}).answer).toEqual({});
    let isDone = false;
    void pending.answer.then(() => (isDone = true));
    while (!isDone) {
      go();
      await soon();
    }
    expect(got).toBe(size);
  });

  it("cancels on the way, and when the client is gone", async () => {
    const first = connected();
    let got = 0;
    const output = { out: (data: Uint8Array) => void (got += data.length) };
    const pending = first.client.request(FLOOD, { size: 1e9 }, { output });
    while (got === 0) await soon();
    pending.cancel();
    expect(await pending.answer).toEqual({});
    expect([first.log, first.left() > 1e8]).toEqual([["cancelled"], true]);

    const second = connected();
    const lost = second.client.request(FLOOD, { size: 1e9 }, { output });
    const failed = expect(lost.answer).rejects.toMatchObject({ code: "control.closed" });
    await soon();
    second.client.close();
    await failed;
    for (let i = 0; i < 5; i++) await soon();
    expect([second.log, second.server.idle]).toEqual([["cancelled"], true]);
  });

  it("passes a listener's own error to the caller, and cancels", async () => {
    const { client, log } = connected();
    const pending = client.request(
      FLOOD,
      { size: 1e9 },
      {
        output: {
          out: () => {
            throw new Error("disk full");
          },
        },
      },
    );
    await expect(pending.answer).rejects.toThrow("disk full");
    expect(log).toEqual(["cancelled"]);
  });

  it("tells a source that nobody wants the rest", async () => {
    const { client } = connected();
    let returned = false;
    const source: AsyncIterableIterator<Uint8Array> = {
      [Symbol.asyncIterator]: () => source,
      next: () => new Promise(() => undefined),
      return: async () => {
        returned = true;
        return { done: true, value: undefined };
      },
    };
    const pending = client.request(ECHO, { times: 1 }, { input: { in: source } });
    await soon();
    pending.cancel();
    expect(await pending.answer).toEqual({ words: [] });
    expect(returned).toBe(true);
  });

  it.each<[string, (client: ClientConnection) => Promise<unknown>, string]>([
    ["a request nobody serves", (c) => c.request(controlRequest("nonsense"), {}).answer, "control.unknown"],
    ["parameters of another shape", (c) => c.request(ECHO, { times: 99 }).answer, "control.value"],
    ["an answer of another shape", (c) => c.request(BROKEN, {}).answer, "control.value"],
    [
      "more than fits a message",
      (c) => c.request(ECHO, { times: "x".repeat(3e6) as never }).answer,
      "control.too-large",
    ],
  ])("answers %s with an error, and goes on", async (_, ask, code) => {
    const { client } = connected();
    await expect(ask(client)).rejects.toMatchObject({ code });
    expect(await client.request(QUICK, {}).answer).toEqual({});
  });

  it("bounds the requests under way", async () => {
    const { client } = connected();
    const pending = Array.from({ length: 300 }, () => client.request(FOREVER, {}));
    await expect(pending.at(-1)!.answer).rejects.toMatchObject({ code: "control.busy" });
    for (const one of pending) one.cancel();
    await expect(pending[0]!.answer).rejects.toThrow("over");
    expect(await client.request(QUICK, {}).answer).toEqual({});
  });

  it("ends with both ends' versions in the message where they differ", async () => {
    const { client } = connected();
    const answer = client.request(QUICK, {}).answer;
    client.receive(encodeFrame(0, KIND.hello, 0, bytes('{"vivarium":2}')));
    await expect(answer).rejects.toMatchObject({ code: "control.version", message: expect.stringMatching(/2.*1/) });
  });

  it("hands everyone who waits the end of the connection", async () => {
    const { client } = connected();
    const answer = client.request(FOREVER, {}).answer;
    client.closed();
    await expect(answer).rejects.toMatchObject({ code: "guest.gone" });
    await expect(client.request(QUICK, {}).answer).rejects.toMatchObject({ code: "guest.gone" });
  });
});

describe("a server that is sent anything whatever", () => {
  const hello = encodeFrame(0, KIND.hello, 0, bytes('{"vivarium":1}'));
  const requests = ["echo", "flood", "quick", "broken", "forever", "what"].map((request) =>
    bytes(JSON.stringify({ request, parameters: { times: 1, size: 4096 } })),
  );
  const junk = fc.uint8Array({ maxLength: 64 });
  const frames = fc.array(
    fc.tuple(
      fc.nat(3),
      fc.constantFrom(...Object.values(KIND)),
      fc.nat(3),
      fc.oneof(fc.constantFrom(...requests), junk, fc.constant(bytes('{"word":"x"}')), fc.constant(new Uint8Array(4))),
    ),
    { maxLength: 12 },
  );

  it("throws nothing, serves others, and leaves nothing under way", async () => {
    await fc.assert(
      fc.asyncProperty(frames, junk, fc.boolean(), async (sent, tail, greets) => {
        const controls = new GuestControls();
        controls.handle(ECHO, async ({ input }) => {
          for await (const data of input.in) void data;
          return { words: [] };
        });
        controls.handle(FOREVER, ({ onCancel }) => new Promise((resolve) => onCancel(() => resolve({}))));
        controls.handle(QUICK, () => ({}));
        const port = new Wire();
        const server = new ServerConnection(port, controls);
        if (greets) server.receive(hello);
        for (const [channel, kind, stream, payload] of sent) {
          server.receive(encodeFrame(channel, kind, stream, payload));
          if (payload.length % 2 === 0) await soon();
        }
        server.receive(tail);
        await soon();
        server.closed(new VivError("test.over", "over"));
        for (let i = 0; i < 3; i++) await soon();
        expect(server.idle).toBe(true);
        expect(port.sent).toBeLessThan(100_000);
      }),
      { numRuns: 400 },
    );
  });
});
