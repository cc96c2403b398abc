import { describe, expect, it } from "vitest";
import type { CpuStatistics } from "../cpu/index.ts";
import { MachineHandle, ownBuffers } from "./machine-handle.ts";

const handle = () => {
  const terminated: string[] = [];
  return { terminated, machine: new MachineHandle(async () => void terminated.push("terminated")) };
};

describe("the host's end of a machine's thread", () => {
  it("has started when the thread says so, and ended as it says", async () => {
    const { machine } = handle();
    machine.receive({ kind: "started" });
    await machine.started;
    machine.receive({ kind: "ended", end: { reason: "exit", status: 7 } });
    machine.gone();
    expect(await machine.ended).toEqual({ reason: "exit", status: 7 });
  });

  it("keeps what the thread counted", async () => {
    const { machine } = handle();
    expect(machine.statistics).toBeUndefined();
    const statistics = { instructions: { retired: 5, compiled: 3 } } as CpuStatistics;
    machine.receive({ kind: "ended", end: { reason: "power-off" }, statistics });
    expect([await machine.ended, machine.statistics]).toEqual([{ reason: "power-off" }, statistics]);
  });

  it("fails at the start and later with the error that the thread took apart", async () => {
    const { machine } = handle();
    machine.receive({ kind: "failed", code: "kernel.truncated", message: "cut short" });
    await expect(machine.started).rejects.toMatchObject({ code: "kernel.truncated", message: "cut short" });
    await expect(machine.ended).rejects.toMatchObject({ name: "VivError", code: "kernel.truncated" });
  });

  it("takes a thread's death for a crash", async () => {
    const { machine } = handle();
    machine.crashed(new Error("out of memory"));
    machine.gone();
    await expect(machine.ended).rejects.toMatchObject({
      code: "vm.crashed",
      message: expect.stringContaining("out of memory"),
    });
  });

  it("is stopped by force", async () => {
    const { machine, terminated } = handle();
    await machine.terminate();
    expect([await machine.ended, terminated]).toEqual([{ reason: "stopped" }, ["terminated"]]);
  });

  it("answers a doorbell that rang before anyone listened", () => {
    const { machine } = handle();
    machine.receive({ kind: "doorbell" });
    let answers = 0;
    machine.onDoorbell(() => answers++);
    machine.receive({ kind: "doorbell" });
    expect(answers).toBe(2);
  });

  it("hands over only bytes that have a buffer of their own", () => {
    const [whole, part] = [new Uint8Array(8), new Uint8Array(8).subarray(1)];
    const shared = new Uint8Array(new SharedArrayBuffer(8));
    expect(ownBuffers(whole, part, shared, undefined)).toEqual([whole.buffer]);
  });
});
