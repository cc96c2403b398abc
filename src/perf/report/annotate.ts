/**
 * A function's instructions as they were in the guest's memory, with the weight of the samples at each: `perf annotate`, with our own
 * disassembler.
 */

import { forTerminal } from "../../guest/escape.ts";
import { Decoded, Decoder } from "../../isa/decode.ts";
import { disassemble } from "../../isa/disassemble.ts";
import { ROWS } from "../../isa/rows.ts";
import type { CodeOf } from "../code.ts";
import { dsoShortName, hexadecimal } from "../names.ts";
import { type SampleFilter, Sieve } from "./filter.ts";
import type { FrameNames } from "./frame-names.ts";

/** A symbol that samples were seen in. */
export interface AnnotationTarget {
  /** Index in the profile. */
  readonly symbol: number;
  readonly weight: number;
  readonly samples: number;
}

export interface AnnotatedInstruction {
  /** In the DSO. */
  readonly address: number;
  readonly bytes: Uint8Array;
  readonly text: string;
  readonly weight: number;
  readonly samples: number;
  /** Of a direct branch: where it leads, in the DSO. */
  readonly target?: number;
}

export interface Annotation {
  readonly name: string;
  readonly dso: string;
  /** Of all samples in the function. */
  readonly weight: number;
  readonly samples: number;
  readonly instructions: readonly AnnotatedInstruction[];
  /** Weight of samples at addresses beyond what could be read. */
  readonly outside: number;
}

/** Longest function that is taken apart: a guest may claim any size for its symbols. */
const MOST_CODE = 1024 * 1024;
/** Taken where a symbol's size is not known, up to the next one. */
const SIZE_UNKNOWN = 4096;

/** Symbols of that name with samples in them, the heaviest first. */
export function annotationTargets(names: FrameNames, name: string, filter: SampleFilter): readonly AnnotationTarget[] {
  const { symbols } = names.profile;
  const found = new Map<number, { symbol: number; weight: number; samples: number }>();
  eachLeaf(names, filter, (frame, weight) => {
    const symbol = names.profile.frames.symbol[frame] ?? -1;
    if (symbols[symbol]?.name !== name) return;
    // Of several guests with the same file, each has symbols of its own: they are told apart by the user.
    let target = found.get(symbol);
    if (target === undefined) found.set(symbol, (target = { symbol, weight: 0, samples: 0 }));
    target.weight += weight;
    target.samples++;
  });
  return [...found.values()].sort((a, b) => b.weight - a.weight || a.symbol - b.symbol);
}

/** The function with symbol number `index`; undefined where its code was not recorded. */
export function annotate(
  names: FrameNames,
  index: number,
  codeOf: CodeOf,
  filter: SampleFilter,
): Annotation | undefined {
  const { symbols, frames } = names.profile;
  const symbol = symbols[index];
  if (symbol === undefined) return undefined;
  const code = codeOf(symbol.dso, symbol.start, sizeOf(names, index));
  if (code === undefined || code.length === 0) return undefined;
  const weights = new Map<number, { weight: number; samples: number }>();
  eachLeaf(names, filter, (frame, weight) => {
    if (frames.symbol[frame] !== index) return;
    const at = frames.offset[frame]! - symbol.start;
    let sum = weights.get(at);
    if (sum === undefined) weights.set(at, (sum = { weight: 0, samples: 0 }));
    sum.weight += weight;
    sum.samples++;
  });
  const all = [...weights.values()];
  const instructions = instructionsOf(code, symbol.start, weights);
  const weight = all.reduce((sum, here) => sum + here.weight, 0);
  return {
    name: symbol.name,
    dso: dsoShortName(names.profile, symbol.dso),
    weight,
    samples: all.reduce((sum, here) => sum + here.samples, 0),
    instructions,
    outside: weight - instructions.reduce((sum, here) => sum + here.weight, 0),
  };
}

/** `name in dso`, and whose. */
export function annotationTitle({ profile }: FrameNames, index: number): string {
  const { name, dso } = profile.symbols[index]!;
  const guest = profile.guests[profile.dsos[dso]?.guest ?? -1];
  const whose = guest === undefined ? "" : ` of ${forTerminal(guest.name)}`;
  return `${forTerminal(name)} in ${forTerminal(dsoShortName(profile, dso))}${whose}`;
}

/** A line for each of several functions to choose from. */
export function* targetLines(names: FrameNames, targets: readonly AnnotationTarget[]): Generator<string> {
  for (const { symbol, samples } of targets) {
    const start = hexadecimal(names.profile.symbols[symbol]!.start);
    yield `${start}  ${annotationTitle(names, symbol)}  ${samples} samples`;
  }
}

/** Bytes of a symbol; where that is not said, up to the next known one. */
function sizeOf(names: FrameNames, index: number): number {
  const { symbols } = names.profile;
  const symbol = symbols[index]!;
  if (symbol.size > 0) return Math.min(symbol.size, MOST_CODE);
  const next = symbols.reduce(
    (least, { dso, start }) => (dso === symbol.dso && start > symbol.start ? Math.min(least, start) : least),
    symbol.start + SIZE_UNKNOWN,
  );
  return next - symbol.start;
}

let decoder: Decoder | undefined;

function instructionsOf(
  code: Uint8Array,
  start: number,
  weights: ReadonlyMap<number, { weight: number; samples: number }>,
): readonly AnnotatedInstruction[] {
  // Every instruction we know: what the guest's CPU lacks, its code does not run.
  decoder ??= new Decoder(ROWS, new Set(ROWS.flatMap((row) => row.features)));
  const decoded = new Decoded();
  const instructions: AnnotatedInstruction[] = [];
  for (let at = 0; at < code.length; ) {
    const left = code.subarray(at);
    const outcome = decoder.decode(left, 0, left.length, { codeBits: 64, protectedMode: true }, decoded);
    const length = outcome === "ok" ? decoded.length : 1;
    let [weight, samples] = [0, 0];
    for (let i = at; i < at + length; i++) {
      weight += weights.get(i)?.weight ?? 0;
      samples += weights.get(i)?.samples ?? 0;
    }
    const relative = outcome === "ok" && decoded.row.syntax.some((operand) => operand.kind === "rel");
    instructions.push({
      address: start + at,
      bytes: code.slice(at, at + length),
      text: disassemble(decoded, BigInt(start + at)),
      weight,
      samples,
      ...(relative ? { target: start + at + length + (decoded.immediateLow | 0) } : {}),
    });
    at += length;
  }
  return instructions;
}

/** Each sample's own frame. */
function eachLeaf(names: FrameNames, filter: SampleFilter, visit: (frame: number, weight: number) => void): void {
  const { samples } = names.profile;
  const sieve = new Sieve(names, filter);
  for (let i = 0; i < samples.stack.length; i++) {
    if (sieve.passes(i)) visit(sieve.leaf(i), samples.weight[i]!);
  }
}
