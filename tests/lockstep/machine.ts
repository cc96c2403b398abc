/** Guest programs that run hot: loops of many passes, with handlers that do not halt. */
import { CODE, DATA, Guest, type GuestOptions } from "../system/guest.ts";
import { Assembler } from "./assembler.ts";

/** Passes of a loop: enough for every engine to have compiled it long before they end. */
export const PASSES = 400;
/** Where handlers lie, beside the code. */
const HANDLERS = 0x5_0000;
const HANDLER_BYTES = 0x40;
const IDT = 0x2000;
const CS0 = 8;
/** Instructions until a program must have come to its end. */
const PATIENCE = 2_000_000;

export class HotGuest extends Guest {
  readonly #wide: boolean;

  constructor(options: GuestOptions = {}) {
    super(options);
    this.#wide = options.mode !== "flat32";
    this.set("rdi", DATA);
  }

  /** Assembles code for an address, and puts it there, or where in RAM that is mapped to. */
  assemble(write: (a: Assembler) => void, at = CODE, place = at): Assembler {
    const a = new Assembler(at, this.#wide);
    write(a);
    this.cpu.ram.set(a.code(), place);
    return a;
  }

  /** Gives a vector a handler of its own. `gate`: 14 interrupt, 15 trap. */
  handle(vector: number, write: (a: Assembler) => void, gate = 0xee): void {
    const at = HANDLERS + vector * HANDLER_BYTES;
    if (this.assemble(write, at).here > at + HANDLER_BYTES) throw new Error("a handler is too long");
    const entry = IDT + vector * (this.#wide ? 16 : 8);
    this.view.setUint32(entry, (CS0 << 16) | (at & 0xffff), true);
    this.view.setUint32(entry + 4, (at & 0xffff_0000) | (gate << 8), true);
  }

  /** Runs to a HLT, in pieces of `piece` instructions, doing something between them. */
  finish(piece = PATIENCE, between: () => void = () => undefined): void {
    const { cpu } = this;
    for (let ran = 0; ran < PATIENCE; ran += piece) {
      const outcome = cpu.run(piece);
      if (outcome === "halted") return;
      if (outcome !== "running") throw new Error(`the guest is ${outcome} at 0x${this.get("rip").toString(16)}`);
      between();
    }
    throw new Error(`the guest does not end; it is at 0x${this.get("rip").toString(16)}`);
  }

  /** The program `write` makes, run to its HLT. */
  hot(write: (a: Assembler) => void): Assembler {
    const a = this.assemble((asm) => {
      write(asm);
      asm.hlt();
    });
    this.finish();
    return a;
  }

  word(at: number): number {
    return this.view.getUint32(at, true);
  }
}

/** The sum of f(n) for a counter n that goes down from `passes` to 1. */
export const sum = (passes: number, f: (n: number) => number): number =>
  Array.from({ length: passes }, (_, i) => f(passes - i)).reduce((a, b) => a + b, 0);
