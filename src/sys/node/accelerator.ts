/** Which accelerator runs guests on this host, and why. */
import { constants } from "node:fs";
import { access } from "node:fs/promises";

export interface Accelerator {
  readonly name: "software";
  readonly title: string;
  /** Why this one and no other. */
  readonly reason: string;
}

/** Whether this user could use the host's virtualisation, were there an accelerator for it. */
export async function kvmState(): Promise<"absent" | "forbidden" | "usable"> {
  try {
    await access("/dev/kvm", constants.R_OK | constants.W_OK);
    return "usable";
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "ENOENT" ? "absent" : "forbidden";
  }
}

const REASONS = {
  absent: "this host has no /dev/kvm",
  forbidden: "/dev/kvm is not yours to open, and this version has no KVM accelerator",
  usable: "this version has no KVM accelerator",
} as const;

export const chooseAccelerator = async (): Promise<Accelerator> => ({
  name: "software",
  title: "software CPU",
  reason: REASONS[await kvmState()],
});
