import { expect, it } from "vitest";
import { Bus } from "../../machine/bus.ts";
import { DEBUG_EXIT } from "../../machine/platform.ts";
import { debugExit } from "./index.ts";

it("turns a write into an odd exit status and reads zero", () => {
  const ports = new Bus();
  const statuses: number[] = [];
  ports.attach(
    DEBUG_EXIT.port,
    DEBUG_EXIT.length,
    debugExit((status) => statuses.push(status)),
  );
  ports.write(0xf4, 4, 0);
  ports.write(0xf4, 4, 0x10);
  ports.write(0xf4, 1, 0x7f);
  ports.write(0xf4, 4, 0xffffffff);
  expect(statuses).toEqual([1, 0x21, 0xff, 0xffffffff]);
  expect([ports.read(0xf4, 4), ports.read(0xf4, 1)]).toEqual([0, 0]);
});
