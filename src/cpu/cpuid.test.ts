/** CPUID as a guest reads it, beside what the SDM (vol. 2, CPUID; vol. 4, table 2-2) says of the bits. */
import { describe, expect, it } from "vitest";
import { cpuid } from "./cpuid.ts";
import { type CpuModel, featuresOf } from "./models.ts";
import { MSR, MSR_ROWS } from "./msr.ts";

const ask = (model: CpuModel, leaf: number, subleaf: number) =>
  cpuid(leaf, subleaf, {
    features: featuresOf(model),
    brand: "",
    apicId: 0,
    physicalBits: 40,
    linearBits: 48,
    apicEnabled: true,
    osxsave: false,
    xcr0: 1,
  });

describe("CPUID leaf 7", () => {
  it("counts its subleaves in subleaf 0 alone", () => {
    expect(ask("max", 7, 0).eax).toBe(2);
    expect(ask("max", 7, 1).eax).toBe(0);
    expect(ask("max", 7, 2).eax).toBe(0);
  });

  it("announces BHI_CTRL in subleaf 2 where IA32_SPEC_CTRL takes BHI_DIS_S", () => {
    const BHI_CTRL = 1 << 4;
    const BHI_DIS_S = 1n << 10n;
    expect(ask("max", 7, 2).edx & BHI_CTRL).toBe(BHI_CTRL);
    expect(ask("x86-64", 7, 2).edx & BHI_CTRL).toBe(0);
    const writable = MSR_ROWS.get(MSR.specCtrl)![3];
    expect(typeof writable === "bigint" && (writable & BHI_DIS_S) !== 0n).toBe(true);
  });
});
