/**
 * A copier that takes its time, as one on a thread of its own does: it looks at the guest's code some runs of that after it was told
 * what to copy, and what it made comes some runs later still. What the guest changes in between must not be seen to matter.
 */
import { software } from "../../src/cpu/index.ts";
import {
  type CopiedBatch,
  Copier,
  type CopierLink,
  type CopyOrder,
  MAX_SLOTS,
} from "../../src/cpu/templates/copier.ts";
import { TemplateSet } from "../../src/cpu/templates/template-set.ts";

/** Runs of generated code until it looks, and until it is done. */
const LOOKS = 2;
const DONE = 4;

export function lateCopier(memory: WebAssembly.Memory, passes: number): CopierLink {
  const { handlers, effects } = software();
  const sizes = new Int32Array(MAX_SLOTS);
  const set = new TemplateSet(handlers.slots, effects, undefined);
  const copier = new Copier({ memory: memory.buffer, set, sizes, passes });
  let orders: readonly CopyOrder[] = [];
  let made: CopiedBatch | undefined;
  let asked = 0;
  return {
    sizes,
    send(sent) {
      orders = sent;
      made = undefined;
      asked = 0;
    },
    get isDone() {
      asked++;
      if (asked >= LOOKS) made ??= copier.copy(orders);
      return asked >= DONE;
    },
    take: () => made!,
  };
}
