/** An annotated function as text: share, address, arrows of the jumps inside, instruction. */

import { forTerminal } from "../../guest/escape.ts";
import { hexadecimal } from "../names.ts";
import type { AnnotatedInstruction, Annotation } from "./annotate.ts";

export interface AnnotationLine {
  /** In percent of the function's samples. */
  readonly percent: number;
  readonly text: string;
}

/** Arrows beside each other: with more, the code would be pushed off the screen. */
const MOST_LANES = 6;

interface Jump {
  /** Numbers of instructions. */
  readonly from: number;
  readonly to: number;
}

/** One line for each instruction. */
export function annotationLines(annotation: Annotation): readonly AnnotationLine[] {
  const { instructions, weight, name } = annotation;
  const byAddress = new Map(instructions.map(({ address }, i) => [address, i]));
  const jumps = instructions.flatMap((instruction, from): Jump[] => {
    const to = instruction.target === undefined ? undefined : byAddress.get(instruction.target);
    // A call of itself is no jump.
    return to === undefined || instruction.text.startsWith("call") ? [] : [{ from, to }];
  });
  const arrows = arrowsOf(jumps, instructions.length);
  const last = instructions[instructions.length - 1]?.address ?? 0;
  const digits = Math.max(4, hex(last).length);
  const start = instructions[0]?.address ?? 0;
  return instructions.map((instruction, i) => ({
    percent: weight > 0 ? (100 * instruction.weight) / weight : 0,
    text: `${hex(instruction.address).padStart(digits)}: ${arrows[i]} ${instruction.text}${targetNote(instruction, start, byAddress, name)}`,
  }));
}

const hex = (address: number): string => hexadecimal(address).slice(2);

/** ` <name+0x12>` behind a branch that stays inside. */
function targetNote(
  { target }: AnnotatedInstruction,
  start: number,
  byAddress: ReadonlyMap<number, number>,
  name: string,
): string {
  if (target === undefined || !byAddress.has(target)) return "";
  return ` <${forTerminal(name)}+0x${(target - start).toString(16)}>`;
}

/**
 * For each line what stands left of it. A jump has a lane to itself between its ends; the shorter it is, the nearer to the code.
 * Those that find no lane free have none: the target stands behind the instruction all the same.
 */
function arrowsOf(jumps: readonly Jump[], lines: number): readonly string[] {
  const lanes: Jump[][] = [];
  const span = ({ from, to }: Jump): [number, number] => [Math.min(from, to), Math.max(from, to)];
  const size = (jump: Jump): number => span(jump)[1] - span(jump)[0];
  for (const jump of [...jumps].sort((a, b) => size(a) - size(b) || a.from - b.from)) {
    const [low, high] = span(jump);
    const free = (lane: readonly Jump[]): boolean =>
      lane.every((other) => span(other)[1] < low || span(other)[0] > high);
    const lane = lanes.find(free);
    if (lane !== undefined) lane.push(jump);
    else if (lanes.length < MOST_LANES) lanes.push([jump]);
  }
  const width = lanes.length + 1;
  const grid = Array.from({ length: lines }, () => [..." ".repeat(width)]);
  for (const [number, lane] of lanes.entries()) {
    const column = lanes.length - 1 - number;
    for (const jump of lane) {
      const [low, high] = span(jump);
      for (let line = low + 1; line < high; line++) grid[line]![column] = "|";
      for (const end of [low, high]) {
        grid[end]![column] = low === high ? "o" : end === low ? "," : "'";
        for (let i = column + 1; i < width - 1; i++) if (grid[end]![i] !== "|") grid[end]![i] = "-";
        if (grid[end]![width - 1] === " ") grid[end]![width - 1] = "-";
      }
      grid[jump.to]![width - 1] = ">";
    }
  }
  return grid.map((row) => row.join(""));
}

/** As `perf annotate --stdio`: a heading, then share and code. */
export function* annotationText(annotation: Annotation, unit: string): Generator<string> {
  const { name, dso, samples, weight, outside } = annotation;
  yield `# ${forTerminal(name)} in ${forTerminal(dso)}: ${samples} samples, ${Math.round(weight)} ${unit}`;
  if (outside > 0) yield `# ${((100 * outside) / weight).toFixed(2)}% of them beyond the code that was recorded`;
  yield " Percent | Address: code";
  yield "-".repeat(40);
  for (const { percent, text } of annotationLines(annotation)) {
    yield `${(percent > 0 ? percent.toFixed(2) : "").padStart(8)} | ${text}`;
  }
}
