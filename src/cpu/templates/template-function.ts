/** The function that a template's code is written in: where its holes are, which locals it uses, which state fields it has in them. */
import {
  type Callable,
  type Expr,
  type ExprOf,
  FunctionBuilder,
  type I32,
  i32,
  Local,
  typed,
  type ValType,
} from "../../wasm/index.ts";
import { HANDLER } from "../interpreter/build.ts";
import { STATE_BASE } from "../memory-map.ts";
import type { CodeObserver } from "../runtime/define.ts";
import { offsetOf } from "../state.ts";
import { CACHED, temporaryFrom } from "./cached-fields.ts";
import { HOLE, HOLE_BYTES, type HoleKind } from "./template.ts";

/** The instruction is left to the interpreter. The message says why. */
export class NoTemplate extends Error {}

export class TemplateFunction extends FunctionBuilder {
  readonly #next = new Map<ValType, number>();
  readonly zeroed: Local[] = [];
  /** One more than the highest index in use. */
  locals = 0;

  /** Three numbers for each hole: offset, kind, argument. */
  readonly holes: number[] = [];
  /** It stores something, to the guest's memory or the state. */
  stores = false;
  /** It would be done again behind something it has set. */
  replaysLate = false;
  /** Cached fields that have been set, see Template. */
  readonly writes = new Set<number>();

  readonly #observer: CodeObserver | undefined;

  constructor(name: string, observer: CodeObserver | undefined) {
    super(name, 0, HANDLER);
    this.#observer = observer;
  }
  /** Whatever is left for takes the budget last. */
  override returnCall(target: Callable, ...values: Expr[]): void {
    this.storeWaiting();
    this.#observer?.regionLeft(this, values.at(-1) as I32);
    super.returnCall(target, ...values);
  }
  /** To the run loop, which finds the budget in the state. */
  override return(...values: Expr[]): void {
    this.storeWaiting();
    this.#observer?.regionLeft(this, this.loadExpr("i32.load", i32(0), STATE_BASE + offsetOf("budget")) as I32);
    super.return(...values);
  }
  /** To whoever waits for a call, with so much budget left. */
  endCall(left: I32): void {
    this.storeWaiting();
    this.#observer?.regionLeft(this, left);
    super.return(left.xor(-1));
  }
  /** Brings the state up to date, where others are to see it. */
  storeWaiting(): void {
    this.hole(HOLE.stores, this.writes.size);
  }
  /** Leaves to be done again, from wherever that is possible. */
  replay(): void {
    this.replaysLate ||= this.writes.size > 0;
    this.hole(HOLE.replay, 0);
  }
  override store(...operands: Parameters<FunctionBuilder["store"]>): void {
    this.stores = true;
    super.store(...operands);
  }
  override copy(...operands: Parameters<FunctionBuilder["copy"]>): void {
    this.stores = true;
    super.copy(...operands);
  }
  override fill(...operands: Parameters<FunctionBuilder["fill"]>): void {
    this.stores = true;
    super.fill(...operands);
  }
  /** On to whoever waits, with the exit that a call ended in. */
  pass(exit: I32): void {
    super.return(exit);
  }
  protected override writeCallee(target: Callable): void {
    this.hole(HOLE.callee, target.index);
  }
  uses(index: number): void {
    this.locals = Math.max(this.locals, index + 1);
  }
  hole(kind: HoleKind, argument: number): void {
    this.holes.push(this.code.length, kind, argument);
    for (let n = HOLE_BYTES[kind]; n > 0; n--) this.code.u8(0);
  }
  override hint(likely: boolean): void {
    this.hole(HOLE.hint, likely ? 1 : 0);
  }
  override temporary<T extends ValType>(type: T): Local<T> {
    const index = temporaryFrom(this.#next.get(type) ?? 0, type);
    if (index === undefined) throw new NoTemplate(`${this.name} needs too many locals`);
    this.#next.set(type, index + 1);
    this.uses(index);
    return new Local(this, type, index);
  }
  /** Others have used it before: it is made zero in front of the code. */
  override local<T extends ValType>(type: T): Local<T> {
    const local = this.temporary(type);
    this.zeroed.push(local);
    return local;
  }
}

/** State fields in locals, as one template reads and writes them. */
export class Cache {
  readonly #code: TemplateFunction;
  readonly #reads = new Set<number>();
  /** Kinds of fields that a runtime function may have changed by now. */
  clobbers = 0;
  /** Something was called that is not generated code. */
  outside = false;
  /** Nothing has been done that shows: no store, no runtime function. */
  repeatable = true;
  /** What is set goes to the state at once, see Template. */
  readonly through: boolean;

  constructor(code: TemplateFunction, through: boolean) {
    this.#code = code;
    this.through = through;
  }
  get reads(): readonly number[] {
    return [...this.#reads];
  }

  /** Whether fields of a kind are still in their locals. */
  holds(kind: number): boolean {
    return (this.clobbers & kind) === 0;
  }
  get<T extends ValType>(field: number, type: T): ExprOf<T> {
    const { local } = CACHED[field]!;
    this.#reads.add(field);
    this.#code.uses(local);
    return this.#code.let(new Local(this.#code, type, local).get() as never);
  }
  set(field: number, value: ExprOf<ValType>): void {
    const { local, type } = CACHED[field]!;
    // Where it may not come here, the local has to hold what the field does.
    if (this.#code.depth > 0) this.#reads.add(field);
    this.#code.writes.add(field);
    this.#code.uses(local);
    new Local(this.#code, type, local).set(value);
  }

  /** The same for the field that a field of the record names. */
  getNamed<T extends ValType>(at: number, type: T): ExprOf<T> {
    this.#reads.add(~at);
    const code = this.#code;
    code.uses(CACHED[type === "v128" ? CACHED.length - 1 : 0]!.local);
    const read = typed(type, () => {
      code.code.u8(0x20);
      code.hole(HOLE.local, at);
    });
    return code.let(read as never);
  }
  setNamed(at: number, value: ExprOf<ValType>): void {
    if (this.#code.depth > 0) this.#reads.add(~at);
    this.#code.writes.add(~at);
    this.#code.uses(CACHED[value.type === "v128" ? CACHED.length - 1 : 0]!.local);
    value.write(this.#code.code);
    this.#code.code.u8(0x21);
    this.#code.hole(HOLE.local, at);
  }
}
