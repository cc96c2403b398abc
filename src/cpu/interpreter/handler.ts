/**
 * The interpreter's side of a meaning: writes one handler, a WebAssembly function (record, budget) → exit code that
 * executes one instruction and tail-calls the handler of the next record. `budget` counts instructions down; it is looked at
 * by every jump.
 */
import type { ExprOf, FunctionBuilder, I32, IndirectType, LOADS, LoadName } from "../../wasm/index.ts";
import type { Variant } from "../instruction-writer.ts";
import type { RuntimeEnv } from "../runtime/define.ts";
import { RECORD, RECORD_SIZE } from "./record.ts";
import { RecordWriter } from "./record-writer.ts";

/** What the module that holds the handlers provides. */
export interface HandlerEnv extends RuntimeEnv {
  readonly handlerType: IndirectType;
}

export class Handler extends RecordWriter {
  readonly #type: IndirectType;

  private constructor(f: FunctionBuilder, env: HandlerEnv, variant: Variant, stackLocal: boolean, before?: Handler) {
    super(f, env, variant, stackLocal, before);
    this.#type = env.handlerType;
  }

  /**
   * Writes the handler of a variant into a new function. Written twice where the meaning turns out to move the stack pointer: its new
   * value then waits in a local until the instruction can no longer fault.
   */
  static write(
    make: () => FunctionBuilder,
    env: (f: FunctionBuilder) => HandlerEnv,
    variant: Variant,
  ): FunctionBuilder {
    for (const stackLocal of [false, true]) {
      const f = make();
      const handler = new Handler(f, env(f), variant, stackLocal);
      handler.#write();
      if (stackLocal || !handler.usesStack) return f;
    }
    throw new Error("unreachable");
  }

  /** Writes one handler for two instructions in a row: `first` only computes and sets flags, `second` is a conditional branch. */
  static writePair(f: FunctionBuilder, env: HandlerEnv, first: Variant, second: Variant): void {
    const computes = new Handler(f, env, first, false);
    computes.flags.remember();
    computes.writeBody();
    if (computes.usesStack || computes.ended) throw new Error(`${first.row.mnemonic} cannot come first in a pair`);
    new Handler(f, env, second, false, computes).#write();
  }

  /** Writes the handler of an instruction whose flags nobody will see. */
  static writeFlagless(f: FunctionBuilder, env: HandlerEnv, variant: Variant): void {
    const isFlag = (name: string) => name.startsWith("flag");
    const set: HandlerEnv["set"] = (name, value) => (isFlag(name) ? undefined : env.set(name, value));
    new Handler(f, { ...env, set }, variant, false).#write();
  }

  #write(): void {
    this.writeBody();
    if (!this.ended) this.next();
  }

  // ---- record

  recordField<N extends LoadName>(name: N, at: number): ExprOf<(typeof LOADS)[N][1]> {
    return this.f.load(name, this.f.param(0, "i32").get(), at + this.position * RECORD_SIZE) as ExprOf<
      (typeof LOADS)[N][1]
    >;
  }
  protected record(): I32 {
    return this.f
      .param(0, "i32")
      .get()
      .add(this.position * RECORD_SIZE);
  }
  protected budget(more: number): I32 {
    return this.f
      .param(1, "i32")
      .get()
      .sub(this.position + more);
  }

  // ---- control

  jumpRelative(condition?: I32, undo?: () => void): void {
    const take = () => {
      this.warmRelative();
      this.takeRelative(undo);
    };
    if (condition) this.f.if(condition, take);
    else take();
    if (condition) this.next();
    this.ended = true;
  }
  againIf(condition: I32): void {
    this.flushStack();
    this.f.if(condition, () => {
      this.stopIfDue();
      // An instruction across two pages is looked up again: this pass may have changed either part of it.
      const at = this.recordField("i64.load16_u", RECORD.pageOffset);
      this.f.if(at.add(this.recordField("i64.load8_u", RECORD.length)).gtU(4096), () => {
        this.f.returnCall(this.fn("enter"), this.get("ripPage", "i64").add(at), this.budget(1));
      });
      this.dispatch(this.record());
    });
    this.next();
    this.ended = true;
  }
  protected dispatch(record: I32): void {
    const slot = this.f.loadExpr("i32.load16_u", record, RECORD.handler);
    this.f.returnCallIndirect(this.#type, slot, record, this.budget(1));
  }
  protected next(): void {
    this.flushStack();
    this.leaveLate();
    const record = this.f.param(0, "i32").get();
    const further = (this.position + 1) * RECORD_SIZE;
    const slot = this.f.loadExpr("i32.load16_u", record, further + RECORD.handler);
    this.f.returnCallIndirect(this.#type, slot, record.add(further), this.budget(1));
  }
}
