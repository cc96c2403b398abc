export * from "./errors.ts";
export * from "./struct.ts";
export * from "./units.ts";
