/**
 * A copier on a thread of its own, beside the vCPU that it works for. The two share the vCPU's memory and a board; orders and what comes of
 * them go in messages, however the host sends those. The vCPU does not wait: it looks at the board between two runs of generated code.
 */
import { Registers } from "../registers.ts";
import { softwareTables } from "../software.ts";
import { countingObserver } from "../statistics/observer.ts";
import { type CopiedBatch, Copier, type CopierLink, type CopyOrder, MAX_SLOTS } from "./copier.ts";
import { TemplateSet } from "./template-set.ts";

/** What a copier is told first. */
export interface CopierStart {
  readonly memory: WebAssembly.Memory;
  readonly board: SharedArrayBuffer;
  /** CopierPorts.passes. */
  readonly passes: number;
  /** Whether its vCPU counts what it does: code is of another kind then. */
  readonly counts: boolean;
}

/** Orders, and `codeEpoch` as they were given. */
export interface CopyOrders {
  readonly orders: readonly CopyOrder[];
  readonly epoch: number;
}

/** The way to a copier's thread and back. */
export interface CopierChannel {
  send(message: CopierStart | CopyOrders): void;
  /** The message that lies there: the board has said so. */
  receive(): CopiedBatch;
}

/** The board has sizes by slot, and in the word behind them how many lots of orders are done. */
const DONE = MAX_SLOTS;

/** The vCPU's end. */
export function linkToCopier(channel: CopierChannel, start: Omit<CopierStart, "board">): CopierLink {
  const board = new SharedArrayBuffer((DONE + 1) * 4);
  const words = new Int32Array(board);
  let sent = 0;
  channel.send({ ...start, board });
  return {
    sizes: words.subarray(0, MAX_SLOTS),
    send(orders, epoch) {
      sent++;
      channel.send({ orders, epoch });
    },
    get isDone() {
      return Atomics.load(words, DONE) === sent;
    },
    take: () => channel.receive(),
  };
}

const NOTHING: CopiedBatch = { module: undefined, bytes: 0, imports: [], functions: [], inside: [] };

/** The copier's end: does what it is told, and sends what came of it. */
export function serveCopies(
  { memory, board, passes, counts }: CopierStart,
  send: (batch: CopiedBatch) => void,
): (orders: CopyOrders) => void {
  const words = new Int32Array(board);
  const { handlers, effects } = softwareTables();
  const set = new TemplateSet(handlers.slots, effects, counts ? countingObserver : undefined);
  const registers = new Registers(memory.buffer);
  const copier = new Copier({ memory: memory.buffer, set, sizes: words.subarray(0, MAX_SLOTS), passes });
  const copy = ({ orders, epoch }: CopyOrders): CopiedBatch => {
    try {
      return copier.copy(orders);
    } catch (error) {
      // All decoded code was dropped meanwhile: what was read there may have been anything.
      if (registers.get("codeEpoch") !== epoch) return NOTHING;
      throw error;
    }
  };
  return (orders) => {
    send(copy(orders));
    Atomics.add(words, DONE, 1);
  };
}
