export * from "./bytes.ts";
export * from "./errors.ts";
export * from "./ram-layout.ts";
export * from "./struct.ts";
export * from "./units.ts";
export * from "./utf8.ts";
