/** For CPUs on their own: ports where nothing is, no time, no randomness, a local APIC that has never anything. */
import type { CpuPorts } from "../src/cpu/index.ts";

const nothing = () => undefined;

export const noDevices = (): CpuPorts => ({
  portRead: () => 0xffff_ffff,
  portWrite: nothing,
  mmioRead: () => 0xffff_ffff,
  mmioWrite: nothing,
  tsc: () => 0,
  wallTime: () => 0,
  random: nothing,
  apic: {
    pending: () => -1,
    acknowledge: () => -1,
    takeNmi: () => false,
    readMsr: () => -1,
    readMsrHigh: () => 0,
    writeMsr: () => false,
    apicBaseLow: 0xfee0_0900,
    apicBaseHigh: 0,
    writeApicBase: () => true,
    cr8: 0,
    tscDeadline: 0,
    setTscDeadline: nothing,
  },
});
