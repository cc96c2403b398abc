import { describe, expect, it } from "vitest";
import { HostLink, MachineLink, REQUEST } from "./link.ts";

const link = () => {
  const host = new HostLink();
  const rung = { times: 0 };
  const machine = new MachineLink(host.buffer, () => rung.times++);
  return { host, machine, rung };
};

describe("the link between the threads", () => {
  it("takes requests that happen once, and leaves those that last", () => {
    const { host, machine } = link();
    host.request(REQUEST.nmi | REQUEST.paused);
    expect(machine.takeRequests()).toBe(REQUEST.nmi | REQUEST.paused);
    expect(machine.takeRequests()).toBe(REQUEST.paused);
    host.withdraw(REQUEST.paused);
    expect(machine.takeRequests()).toBe(0);
  });

  it("rings the doorbell once until the host answers", () => {
    const { host, machine, rung } = link();
    machine.ringDoorbell();
    machine.ringDoorbell();
    expect(rung.times).toBe(1);
    host.answerDoorbell();
    machine.ringDoorbell();
    expect(rung.times).toBe(2);
  });

  it("does not sleep when the host did something since the last look", () => {
    const { host, machine } = link();
    expect(machine.changed()).toBe(false);
    host.wake();
    // With the wake-up lost this would sleep for ever.
    machine.sleep(Number.POSITIVE_INFINITY);
    expect(machine.changed()).toBe(true);
    expect(machine.changed()).toBe(false);
  });

  it("keeps the ports' bytes apart, in both directions", () => {
    const { host, machine } = link();
    host.serial.forEach(({ toGuest }, i) => {
      toGuest.write(Uint8Array.of(i, i));
    });
    machine.serial.forEach(({ fromGuest }, i) => {
      fromGuest.write(Uint8Array.of(0x10 + i));
    });
    expect(machine.serial.map(({ toGuest }) => [...toGuest.peek(9)])).toEqual([0, 1, 2, 3].map((i) => [i, i]));
    expect(host.serial.map(({ fromGuest }) => [...fromGuest.peek(9)])).toEqual(
      [0x10, 0x11, 0x12, 0x13].map((b) => [b]),
    );
  });

  it("knows which port the host waits for", () => {
    const { host, machine } = link();
    host.waitForRoom(2, true);
    expect([machine.hostWaits(1), machine.hostWaits(2)]).toEqual([false, true]);
    host.waitForRoom(2, false);
    expect(machine.hostWaits(2)).toBe(false);
  });
});
