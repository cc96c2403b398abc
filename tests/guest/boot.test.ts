import { describe, expect, it } from "vitest";
import { bootTestGuest } from "./boot.ts";
import { kernelMissing, TEST_KERNEL_NAMES } from "./kernels.ts";

describe.each(TEST_KERNEL_NAMES)("Debian's %s", async (kernel) => {
  it.skipIf(await kernelMissing(kernel))("boots, with its own modules", async () => {
    await using guest = await bootTestGuest(kernel, { modules: ["libdes"] });
    expect(await guest.sh("uname -r")).toBe(`${guest.release}\n`);
    expect(await guest.sh("cut -d' ' -f1 /proc/modules")).toBe("libdes\n");
    expect(guest.registers()[0]!.lstar).toBeLessThan(0);
  });
});
