/**
 * Numbers that carry their unit in the type. A brand exists only for the compiler.
 * Gpa and Gva fit a JavaScript number only while they are below 2^53; whole 64-bit
 * guest values stay inside WebAssembly.
 */
declare const unit: unique symbol;
type Branded<Name extends string> = number & { readonly [unit]: Name };

/** A guest physical address, in bytes. */
export type Gpa = Branded<"Gpa">;
/** A guest virtual (linear) address, in bytes. */
export type Gva = Branded<"Gva">;
/** A size or length, in bytes. */
export type Bytes = Branded<"Bytes">;
/** A point in time or a duration, in nanoseconds. */
export type Ns = Branded<"Ns">;

export const gpa = (value: number): Gpa => value as Gpa;
export const gva = (value: number): Gva => value as Gva;
export const bytes = (value: number): Bytes => value as Bytes;
export const ns = (value: number): Ns => value as Ns;

export const KiB = 1024;
export const MiB = 1024 * KiB;
export const GiB = 1024 * MiB;
