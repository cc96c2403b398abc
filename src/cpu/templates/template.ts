/** The code of an instruction with holes, and how it is copied for a record. */
import type { ByteWriter } from "../../wasm/index.ts";
import { CACHED, fieldAt } from "./cached-fields.ts";

/**
 * What fills a hole: a field of the record (its offset is the argument), the record's address, the place in the block, the index of a
 * runtime function in the module (its number in the template set is the argument), the local of the state field that a field of the
 * record names, the place of an 8-bit register in its register, in bits; the slot of the function, how many blocks there are around the
 * code of a template (the argument is added) up to the loop around all of it; stores of what waits in locals, where control leaves (the
 * argument: how many of the template's `writes` were made); that the branch which follows is likely (1) or not (0);
 * the locals of host addresses, of an earlier access and of this one, and the distance between the two; the way out for an access that
 * misses the TLB (replay.ts).
 */
export const HOLE = {
  record: 0,
  done: 1,
  u8: 2,
  u16: 3,
  s32: 4,
  s64: 5,
  callee: 6,
  local: 7,
  shift: 8,
  slot: 9,
  depth: 10,
  stores: 11,
  hint: 12,
  knownHost: 13,
  host: 14,
  distance: 15,
  replay: 16,
} as const;
export type HoleKind = (typeof HOLE)[keyof typeof HOLE];
/** Bytes of the constant in a hole: LEB128 as long as its largest value needs, always. */
export const HOLE_BYTES = [5, 2, 2, 3, 5, 10, 2, 1, 1, 3, 2, 0, 0, 1, 1, 5, 0] as const;

export interface Part {
  readonly bytes: Uint8Array;
  /** Three numbers for each hole: offset in `bytes`, kind, argument. */
  readonly holes: Int32Array;
}

interface AnyTemplate {
  readonly body: Part;
  /** One more than the highest index of a local it uses; those that are zero at its start. */
  readonly locals: number;
  readonly zeroed: readonly number[];
  /** Cached fields that have to be in their locals, by number or (below zero) by the field of the record that names them, inverted. */
  readonly reads: readonly number[];
  /** Those that are there afterwards, in the order in which it sets them, and kinds of fields that are not. */
  readonly writes: readonly number[];
  readonly clobbers: number;
  /** It has to find the state as it is, and leaves it so: it calls what looks at it. */
  readonly through: boolean;
  /** Its body may leave to be done again from an earlier point. */
  readonly replays: boolean;
  /** Its body may leave otherwise. */
  readonly settles: boolean;
  /** Its body may be done again: it sets nothing but fields that wait. */
  readonly repeatable: boolean;
  /** It may call what is not generated code. */
  readonly outside: boolean;
  readonly access: FirstAccess | undefined;
  /** The same for an access near an earlier one. */
  readonly near: (() => Template) | undefined;
}

/** The access that a template makes first, where it is at its base register and displacement, or (stack) where the stack pointer says. */
export interface FirstAccess {
  readonly stack: boolean;
  readonly write: boolean;
  readonly bytes: number;
}

/** Control goes on behind it, or (ends) does not, or (call) comes back there, all that was done counted. */
export interface PlainTemplate extends AnyTemplate {
  readonly kind: "plain" | "ends" | "call";
}

/** A jump to a computed target, which is in a local behind `body`. */
export interface ComputedTemplate extends AnyTemplate {
  readonly kind: "computed";
  readonly target: number;
  /** Looks for the target, goes to an entry of this function if it is one, and leaves it. */
  readonly seek: Part;
  readonly inner: Part;
  readonly leave: Part;
}

/** A jump to a static target. */
export interface JumpTemplate extends AnyTemplate {
  /** branch: `body` leaves on the stack whether the jump is taken. */
  readonly kind: "branch" | "jump";
  /** Counts it, where it is taken within this function and may be part of a loop. */
  readonly warm: Part;
  /** Jumps to where no copied code of this function is, and counts it. */
  readonly leave: Part;
  /** In front of going on within this function. */
  readonly flush: Part;
  /** In front of what follows, where it is not taken. */
  readonly next: Part;
}
export type Template = PlainTemplate | ComputedTemplate | JumpTemplate;

/** Where a template is copied to. */
export interface Surroundings {
  readonly view: DataView;
  readonly slot: number;
  /** Blocks and loops that are open, from the loop around all on. */
  depth: number;
  /** Index of a runtime function in the module. */
  callee(number: number): number;
  /** Stores what waits in locals, the first so many fields that the template sets among it. */
  store(writes: number): void;
  /** Leaves for the interpreter, from the point where it takes over. */
  replay(): void;
  /** The branch at an offset in the code is likely to be taken, or unlikely. */
  hint(likely: boolean, at: number): void;
  /** Locals of host addresses, and their distance: see HOLE. */
  knownHost: number;
  host: number;
  distance: number;
}

/** Appends a part, its holes filled for a record and for a place in its block. */
export function copyPart(out: ByteWriter, part: Part, around: Surroundings, record: number, done: number): void {
  const { view } = around;
  const { holes, bytes: source } = part;
  /** Where the part's first byte would be, had nothing been put in between. */
  let start = out.length;
  out.raw(source);
  for (let i = 0; i < holes.length; i += 3) {
    const offset = holes[i]!;
    const at = start + offset;
    const argument = holes[i + 2]!;
    const kind = holes[i + 1] as HoleKind;
    const bytes = HOLE_BYTES[kind];
    switch (kind) {
      case HOLE.record:
        out.patch(at, record + argument, bytes);
        break;
      case HOLE.done:
        out.patch(at, done + argument, bytes);
        break;
      case HOLE.u8:
        out.patch(at, view.getUint8(record + argument), bytes);
        break;
      case HOLE.u16:
        out.patch(at, view.getUint16(record + argument, true), bytes);
        break;
      case HOLE.s32:
        out.patch(at, view.getInt32(record + argument, true), bytes);
        break;
      case HOLE.local:
        out.patchByte(at, CACHED[fieldAt(view.getUint16(record + argument, true))]!.local);
        break;
      case HOLE.shift:
        out.patchByte(at, (view.getUint16(record + argument, true) & 7) * 8);
        break;
      case HOLE.slot:
        out.patch(at, around.slot, bytes);
        break;
      case HOLE.depth:
        out.patchIndex(at, around.depth + argument);
        break;
      case HOLE.callee:
        out.patchIndex(at, around.callee(argument));
        break;
      case HOLE.knownHost:
        out.patchByte(at, around.knownHost);
        break;
      case HOLE.host:
        out.patchByte(at, around.host);
        break;
      case HOLE.distance:
        out.patch(at, around.distance, bytes);
        break;
      case HOLE.hint:
        around.hint(argument !== 0, at);
        break;
      case HOLE.stores:
      case HOLE.replay: {
        // What follows comes behind them.
        out.length = at;
        if (kind === HOLE.replay) around.replay();
        else around.store(argument);
        start = out.length - offset;
        out.raw(source.subarray(offset));
        break;
      }
      default:
        out.patch64(at, view.getUint32(record + argument, true), view.getInt32(record + argument + 4, true));
    }
  }
}
