import { writeCpio } from "./cpio.ts";
import type { GuestDeclaration } from "./guest/declaration.ts";

/**
 * The initramfs of a declared guest. Not compressed: it is some two megabytes that the host copies in no time, whereas
 * the guest's CPU, an interpreter, would spend a hundred million instructions and more to inflate it.
 */
export function initramfs(guest: GuestDeclaration, busybox: Uint8Array): Uint8Array<ArrayBuffer> {
  return writeCpio(guest.root(busybox));
}
