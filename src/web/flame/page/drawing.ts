/**
 * Boxes onto a canvas. Changing a canvas's colour costs more than a rectangle: boxes of one colour are filled together, then outlined, then named.
 */
import type { Box, Paint } from "../model/layout.ts";
import type { Labels } from "./labels.ts";
import type { Palette } from "./palette.ts";

export const ROW = 19;
/** Text needs that much room, and this much beside it. */
const NARROWEST_LABEL = 22;
const PADDING = 4;
/** How solid boxes are that the search does not match, those that stand for many, and text of the first. */
const DIMMED = 0.35;
const PALE = 0.6;
const DIMMED_TEXT = 0.7;

export type Drawn = Parameters<Paint>;

export interface Scene {
  readonly names: readonly string[];
  readonly labels: Labels;
  readonly palette: Palette;
  readonly found: Uint8Array | undefined;
  readonly selected: Box | undefined;
  /** Weight at the left edge, and pixels for a unit of it. */
  readonly from: number;
  readonly scale: number;
  readonly width: number;
  readonly height: number;
  /** Where row 0 begins, and how far down the next one does. */
  readonly top: number;
  readonly step: number;
}

interface Shape {
  readonly x: number;
  readonly y: number;
  readonly width: number;
}

function shapeOf(scene: Scene, start: number, weight: number, depth: number, isMany: boolean): Shape | undefined {
  const y = scene.top + depth * scene.step;
  if (y + ROW <= 0 || y >= scene.height) return undefined;
  const x = Math.max(-1, (start - scene.from) * scene.scale);
  const wide = Math.min(scene.width + 1, (start + weight - scene.from) * scene.scale) - x;
  // Neighbours are told apart by a gap, where there is room for one.
  return { x, y, width: wide - (isMany ? 0 : wide > 3 ? 1 : wide > 2 ? 0.5 : 0) };
}

export function drawBoxes(context: CanvasRenderingContext2D, boxes: readonly Drawn[], scene: Scene): void {
  const { palette, found, selected } = scene;
  /** Places of equal look: x, y, width, one after the other. */
  const fills = new Map<string, number[]>();
  const named: { readonly box: number; readonly shape: Shape }[] = [];
  const outlined: { readonly shape: Shape; readonly isIt: boolean }[] = [];
  for (const [box, depth, start, weight, a, b, isMany] of boxes) {
    const shape = shapeOf(scene, start, weight, depth, isMany);
    if (shape === undefined) continue;
    const isFound = found?.[box] === 1;
    const fill = isFound ? palette.theme.found : palette.fill(box, a, b);
    const look = `${isMany ? "pale" : "solid"} ${found === undefined || isFound ? "clear" : "dimmed"} ${fill}`;
    const places = fills.get(look);
    if (places === undefined) fills.set(look, [shape.x, shape.y, shape.width]);
    else places.push(shape.x, shape.y, shape.width);
    if (isMany) continue;
    if (selected?.box === box && shape.width > 2) {
      outlined.push({ shape, isIt: selected.depth === depth && selected.start === start });
    }
    if (shape.x + shape.width - Math.max(0, shape.x) >= NARROWEST_LABEL) named.push({ box, shape });
  }
  for (const [look, places] of fills) {
    const [pale, dimmed] = look.split(" ", 2);
    context.globalAlpha = (pale === "pale" ? PALE : 1) * (dimmed === "dimmed" ? DIMMED : 1);
    context.fillStyle = look.slice(pale!.length + dimmed!.length + 2);
    for (let at = 0; at < places.length; at += 3) {
      context.fillRect(places[at]!, places[at + 1]!, places[at + 2]!, ROW - 1);
    }
  }
  context.strokeStyle = palette.theme.text;
  for (const { shape, isIt } of outlined) {
    context.globalAlpha = isIt ? 1 : 0.45;
    context.lineWidth = isIt ? 2 : 1;
    context.strokeRect(shape.x + 1, shape.y + 1, shape.width - 2, ROW - 3);
  }
  context.fillStyle = palette.theme.text;
  for (const { box, shape } of named) {
    const left = Math.max(0, shape.x);
    const text = scene.labels.fit(context, scene.names[box]!, shape.x + shape.width - left - PADDING * 2);
    context.globalAlpha = found === undefined || found[box] === 1 ? 1 : DIMMED_TEXT;
    context.fillText(text, left + PADDING, shape.y + ROW / 2);
  }
  context.globalAlpha = 1;
}
