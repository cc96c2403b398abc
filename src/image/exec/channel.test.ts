import { beforeEach, describe, expect, it } from "vitest";
import { VivError } from "../../base/index.ts";
import { utf8 } from "../text.ts";
import { ExecChannel, type ExecOptions, type SerialLine } from "./channel.ts";
import { MAX_FRAME } from "./protocol.ts";

/** A serial line whose guest end is in the test's hands. */
class Line implements SerialLine {
  sent = "";
  held = false;
  onSent: (text: string) => void = () => undefined;
  #listener: (data: Uint8Array) => void = () => undefined;
  write(data: Uint8Array): void {
    const text = Buffer.from(data).toString("latin1");
    this.sent += text;
    this.onSent(text);
  }
  listen(listener: (data: Uint8Array) => void): void {
    this.#listener = listener;
  }
  hold(held: boolean): void {
    this.held = held;
  }
  guestSays(text: string): void {
    this.#listener(utf8(text));
  }
  /** What was sent since the last call. */
  take(): string {
    const { sent } = this;
    this.sent = "";
    return sent;
  }
}

const TOKEN = "07".repeat(16);
/** Lets all settled promises run on. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("the exec channel", () => {
  let control: Line;
  let output: Line;
  let errors: Line;
  let channel: ExecChannel;
  let begins: boolean;

  beforeEach(() => {
    control = new Line();
    output = new Line();
    errors = new Line();
    channel = new ExecChannel({ control, output, errors }, (into) => into.fill(7));
    // The agent begins both streams with the token.
    control.onSent = (request) => {
      if (!begins || !request.includes(`run `)) return;
      output.guestSays(TOKEN);
      errors.guestSays(TOKEN);
    };
    begins = true;
  });

  const exec = (argv: string[], options: ExecOptions = {}) => {
    const said = { out: "", err: "" };
    const done = channel.exec(argv, {
      ...options,
      onStdout: (data) => void (said.out += Buffer.from(data).toString()),
      onStderr: (data) => void (said.err += Buffer.from(data).toString()),
    });
    return { said, done };
  };
  const hello = (): void => control.guestSays("vivarium ready 1\n");
  const finish = (id: number, status: number): void => {
    output.guestSays(TOKEN);
    errors.guestSays(TOKEN);
    control.guestSays(`exit ${id} ${status}\n`);
  };

  it("sends nothing before the guest's greeting, whatever else the guest says", async () => {
    const { done } = exec(["true"]);
    control.guestSays("\x00\xff[    0.1] noise\nvivarium ready\nready 1\n");
    expect(control.sent).toBe("");
    hello();
    await channel.ready;
    expect(control.take()).toBe(`run 1 ${TOKEN} none '/root' setsid -- 'true'\n`);
    finish(1, 0);
    expect(await done).toEqual({ exitCode: 0 });
    expect(control.take()).toBe("end\n");
  });

  it("settles when exit and both ends are there, in any order", async () => {
    hello();
    const { said, done } = exec(["x"]);
    let result: unknown;
    void done.then((r) => {
      result = r;
    });
    control.guestSays("exit 1 7\n");
    output.guestSays(`out${TOKEN.slice(0, 9)}`);
    errors.guestSays(`err${TOKEN}`);
    await settled();
    expect([result, said]).toEqual([undefined, { out: "out", err: "err" }]);
    output.guestSays(TOKEN.slice(9));
    await settled();
    expect([result, said]).toEqual([{ exitCode: 7 }, { out: "out", err: "err" }]);
  });

  it("runs one command after the other and drops what comes between", async () => {
    hello();
    const first = exec(["a"]);
    const second = exec(["b"]);
    expect(control.take()).not.toContain("'b'");
    finish(1, 1);
    expect(control.take()).toBe(`end\nrun 2 ${TOKEN} none '/root' setsid -- 'b'\n`);
    control.guestSays("exit 1 9\n");
    output.guestSays("two");
    finish(2, 2);
    output.guestSays("late");
    expect([await first.done, await second.done]).toEqual([{ exitCode: 1 }, { exitCode: 2 }]);
    expect([first.said.out, second.said.out]).toEqual(["", "two"]);
  });

  it("drops what was on its way from a background process when the next command began", async () => {
    hello();
    begins = false;
    const { said, done } = exec(["x"]);
    output.guestSays("noise\n");
    output.guestSays(`more${TOKEN.slice(0, 5)}`);
    output.guestSays(`${TOKEN.slice(5)}own`);
    errors.guestSays(`noise${TOKEN}own${TOKEN}`);
    output.guestSays(TOKEN);
    control.guestSays("exit 1 0\n");
    expect([await done, said]).toEqual([{ exitCode: 0 }, { out: "own", err: "own" }]);
  });

  it("hands input out a frame for each want, split, and then its end", async () => {
    hello();
    const { done } = exec(["cat"], {
      stdin: [utf8("ab"), new Uint8Array(0), new Uint8Array(MAX_FRAME + 1).fill(0x78)],
    });
    await settled();
    expect(output.take()).toBe("");
    const asked: string[] = [];
    for (let i = 0; i < 5; i++) {
      control.guestSays("want 1\n");
      await settled();
      asked.push(output.take());
    }
    expect(asked).toEqual(["2\nab", `${MAX_FRAME}\n${"x".repeat(MAX_FRAME)}`, "1\nx", "0\n", ""]);
    finish(1, 0);
    await done;
  });

  it("ends the input of a command that ended first, whether the guest asked before or asks after", async () => {
    hello();
    let returned = 0;
    const endless = (): AsyncIterableIterator<Uint8Array> => ({
      [Symbol.asyncIterator]() {
        return this;
      },
      next: () => new Promise(() => undefined),
      return: async () => {
        returned++;
        return { done: true, value: undefined };
      },
    });
    const before = exec(["a"], { stdin: endless() });
    control.guestSays("want 1\n");
    finish(1, 0);
    await before.done;
    expect([output.take(), returned]).toEqual(["0\n", 1]);
    const after = exec(["b"], { stdin: endless() });
    const next = exec(["c"], { stdin: endless() });
    finish(2, 0);
    await after.done;
    control.guestSays("want 2\nwant 2\nwant 9\n");
    await settled();
    expect(output.take()).toBe("0\n");
    channel.close(new VivError("test.end", "end"));
    await expect(next.done).rejects.toThrow("end");
  });

  it("fails the caller where the input's source fails, and ends the input", async () => {
    hello();
    async function* bad(): AsyncGenerator<Uint8Array> {
      yield utf8("x");
      throw new Error("no more");
    }
    const { done } = exec(["cat"], { stdin: bad() });
    const failed = expect(done).rejects.toThrow("no more");
    control.guestSays("want 1\n");
    await settled();
    control.guestSays("want 1\n");
    await failed;
    expect(output.take()).toBe("1\nx0\n");
    finish(1, 0);
    expect(control.take()).toMatch(/end\n$/);
  });

  it("holds the guest back while a listener is busy", async () => {
    hello();
    let free: () => void = () => undefined;
    const done = channel.exec(["x"], {
      onStdout: () =>
        new Promise<void>((resolve) => {
          free = resolve;
        }),
    });
    output.guestSays("data");
    expect([output.held, errors.held]).toEqual([true, false]);
    free();
    await settled();
    expect(output.held).toBe(false);
    finish(1, 0);
    await done;
  });

  it("reports a listener that throws, and goes on with the next command", async () => {
    hello();
    const bad = channel.exec(["x"], {
      onStdout: () => {
        throw new Error("full");
      },
    });
    output.guestSays("data");
    await expect(bad).rejects.toThrow("full");
    finish(1, 0);
    const { done } = exec(["y"]);
    finish(2, 3);
    expect(await done).toEqual({ exitCode: 3 });
  });

  it("refuses an impossible command and runs the next", async () => {
    hello();
    await expect(channel.exec(["a\0"])).rejects.toMatchObject({ code: "exec.nul" });
    const { done } = exec(["ok"]);
    finish(2, 0);
    expect(await done).toEqual({ exitCode: 0 });
  });

  it("fails the running command when the agent greets anew", async () => {
    hello();
    const { done } = exec(["a"]);
    const next = exec(["b"]);
    hello();
    await expect(done).rejects.toMatchObject({ code: "guest.agent-restarted" });
    finish(2, 0);
    expect(await next.done).toEqual({ exitCode: 0 });
  });

  it("rejects an agent of another version", async () => {
    control.guestSays("vivarium ready 2\n");
    await expect(channel.ready).rejects.toMatchObject({ code: "guest.agent-version" });
  });

  it("rejects everything when it closes, and whatever comes later", async () => {
    const waiting = exec(["a"]);
    const reason = new VivError("vm.stopped", "the machine was stopped");
    channel.close(reason);
    await expect(waiting.done).rejects.toBe(reason);
    await expect(channel.ready).rejects.toBe(reason);
    await expect(channel.exec(["b"])).rejects.toBe(reason);
    hello();
    expect(control.sent).toBe("");
  });

  it("sends signals and window sizes on the side", async () => {
    hello();
    channel.signal("TERM");
    expect(errors.take()).toBe("");
    const { done } = exec(["a"]);
    channel.signal("TERM");
    channel.resize(24, 80);
    channel.resize(-1, 1e9);
    expect(errors.take()).toBe("signal TERM\nsize 24 80\nsize 1 65535\n");
    expect(() => channel.signal("TERM; rm -rf /")).toThrow(/no signal/);
    finish(1, 143);
    await done;
  });

  it("takes a command out of the queue, signals the one that runs, and no other", async () => {
    hello();
    const first = channel.run(["a"]);
    const second = channel.run(["b"]);
    const third = channel.run(["c"]);
    expect([first.signal("INT"), second.signal("INT")]).toEqual([true, false]);
    expect(errors.take()).toBe("signal INT\n");
    second.cancel();
    await expect(second.result).rejects.toMatchObject({ code: "exec.cancelled" });
    finish(1, 130);
    expect(await first.result).toEqual({ exitCode: 130 });
    expect(control.take()).toMatch(/^run 1 .*\nend\nrun 2 .*'c'\n$/s);
    first.cancel();
    expect([first.signal("TERM"), errors.take()]).toEqual([false, ""]);
    third.cancel();
    expect(errors.take()).toBe("signal KILL\n");
    finish(2, 137);
    expect(await third.result).toEqual({ exitCode: 137 });
    expect(() => third.signal("9")).toThrow(/no signal/);
  });

  it("asks a guest that is up to shut down", () => {
    channel.powerDown();
    expect(errors.take()).toBe("");
    hello();
    channel.powerDown();
    expect(errors.take()).toBe("down\n");
  });

  it("tells when the console's shell ends", async () => {
    hello();
    control.guestSays("console 5\n");
    expect(await channel.consoleExit).toBe(5);
  });
});
