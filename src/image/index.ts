export * from "./build.ts";
export * from "./console.ts";
export type { Compression } from "./deb.ts";
export * from "./exec/index.ts";
export { DEFAULT_GUEST, type GuestDeclaration } from "./guest/declaration.ts";
export { initramfs } from "./initramfs.ts";
export type * from "./ports.ts";
