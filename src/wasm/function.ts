/** Builds one function body: locals, structured control flow, memory accesses, calls. */
import { ByteWriter } from "./bytes.ts";
import { type Expr, type ExprOf, type I32, i32, typed } from "./expression.ts";
import { LOADS, type LoadName, STORES, type StoreName, VAL_TYPE_CODE, type ValType } from "./opcodes.ts";

export interface Signature {
  readonly params: readonly ValType[];
  readonly results: readonly ValType[];
}

/** A function that can be called: one being built, or an import. */
export interface Callable extends Signature {
  readonly name: string;
  readonly index: number;
}

export interface IndirectType extends Signature {
  readonly typeIndex: number;
}

/** A variable. `get` reads it where it is used; `set` appends an assignment. */
export class Local<T extends ValType = ValType> {
  readonly type: T;
  readonly index: number;
  readonly #body: FunctionBuilder;

  constructor(body: FunctionBuilder, type: T, index: number) {
    this.#body = body;
    this.type = type;
    this.index = index;
  }

  get(): ExprOf<T> {
    const index = this.index;
    return typed(this.type, (out) => {
      out.u8(0x20);
      out.u32(index);
    });
  }

  set(value: Expr): void {
    if (value.type !== this.type) throw new TypeError(`local is ${this.type}, not ${value.type}`);
    const code = this.#body.code;
    value.write(code);
    code.u8(0x21);
    code.u32(this.index);
  }
}

/** Temporaries lent out: their types and numbers. */
export type Lent = [ValType, number][];

/** A place that `br` may go to: the end of a block, or the start of a loop. */
export interface Label {
  readonly depth: number;
}

type LoadExpr<N extends LoadName> = ExprOf<(typeof LOADS)[N][1]>;

export class FunctionBuilder implements Callable {
  readonly name: string;
  /** Its index in its module; where it is not called by index it may be given late (ModuleBuilder.adopt). */
  index: number;
  readonly params: readonly ValType[];
  readonly results: readonly ValType[];
  readonly #locals: ValType[] = [];
  #code = new ByteWriter();
  #depth = 0;
  /** Locals that may be used again, by type; and those handed out since, where someone gives them back. */
  readonly #free = new Map<ValType, number[]>();
  #lent: Lent | undefined;
  /** Branches of which it is known whether they are taken: where in the code, and that. */
  #hints: [number, boolean][] = [];

  constructor(name: string, index: number, signature: Signature) {
    this.name = name;
    this.index = index;
    this.params = signature.params;
    this.results = signature.results;
  }

  get code(): ByteWriter {
    return this.#code;
  }

  /** How many blocks and loops are open. */
  get depth(): number {
    return this.#depth;
  }

  /** Writes what `body` writes in front of all that is there already. */
  prepend(body: () => void): void {
    const rest = this.#code;
    const hints = this.#hints;
    this.#hints = [];
    this.#code = new ByteWriter(rest.length + 256);
    body();
    for (const [at, likely] of hints) this.#hints.push([at + this.#code.length, likely]);
    this.#code.raw(rest.view());
  }

  /**
   * From now on temporaries (of let, variable, choose, load and calls) are noted as lent, until they are given back. They hold nothing
   * when they are lent again, so that a variable has its first value only where it is set.
   */
  lend(): Lent {
    this.#lent = [];
    return this.#lent;
  }
  giveBack(lent: Lent): void {
    for (const [type, index] of lent) {
      const free = this.#free.get(type);
      if (free) free.push(index);
      else this.#free.set(type, [index]);
    }
  }

  /** A variable that is set before it is read. */
  temporary<T extends ValType>(type: T): Local<T> {
    if (!this.#lent) return this.local(type);
    const index = this.#free.get(type)?.pop() ?? this.local(type).index;
    this.#lent.push([type, index]);
    return new Local(this, type, index);
  }

  /** The i-th parameter, as a variable. */
  param<T extends ValType>(i: number, type: T): Local<T> {
    if (this.params[i] !== type) throw new TypeError(`${this.name}: parameter ${i} is ${this.params[i]}, not ${type}`);
    return new Local(this, type, i);
  }

  /** A new variable, zero at first. */
  local<T extends ValType>(type: T): Local<T> {
    this.#locals.push(type);
    return new Local(this, type, this.params.length + this.#locals.length - 1);
  }

  /** Computes `value` here and now, once; the result can be used any number of times. */
  let<E extends Expr>(value: E): E {
    if (value.known !== undefined) return value;
    const local = this.temporary(value.type);
    local.set(value);
    return local.get() as unknown as E;
  }

  /** A variable with a first value. */
  variable<T extends ValType>(value: Expr<T>): Local<T> {
    const local = this.temporary(value.type);
    local.set(value);
    return local;
  }

  /** `likely`: what to expect of the condition; an engine may move the other side out of the way. */
  if(condition: I32, then: () => void, otherwise?: () => void, likely?: boolean): void {
    if (condition.known !== undefined) {
      if (condition.known !== 0n) then();
      else otherwise?.();
      return;
    }
    condition.write(this.code);
    if (likely !== undefined) this.hint(likely);
    this.#open(0x04, then, otherwise);
  }

  /** `if` with a condition that hardly ever holds. */
  rarely(condition: I32, then: () => void): void {
    this.if(condition, then, undefined, false);
  }

  /** A value chosen by a branch; only the chosen side is computed. */
  choose<E extends Expr>(condition: I32, then: () => E, otherwise: () => NoInfer<E>, likely?: boolean): E {
    if (condition.known !== undefined) return condition.known !== 0n ? then() : otherwise();
    let result: Local | undefined;
    this.if(
      condition,
      () => {
        const value = then();
        result = this.temporary(value.type);
        result.set(value);
      },
      () => result!.set(otherwise()),
      likely,
    );
    return result!.get() as unknown as E;
  }

  block(body: (end: Label) => void): void {
    this.#open(0x02, () => body({ depth: this.#depth }));
  }

  loop(body: (again: Label) => void): void {
    this.#open(0x03, () => body({ depth: this.#depth }));
  }

  /** Repeats `body` while `condition` holds; the condition is written anew in front of each pass. */
  while(condition: () => I32, body: (leave: Label) => void): void {
    this.block((leave) => {
      this.loop((again) => {
        this.brIf(leave, condition().eqz());
        body(leave);
        this.br(again);
      });
    });
  }

  br(to: Label): void {
    this.code.u8(0x0c);
    this.code.u32(this.#depth - to.depth);
  }

  brIf(to: Label, condition: I32, likely?: boolean): void {
    condition.write(this.code);
    if (likely !== undefined) this.hint(likely);
    this.code.u8(0x0d);
    this.code.u32(this.#depth - to.depth);
  }

  /** Goes to the label number `selector`; every other number goes to `otherwise`. */
  brTable(labels: readonly Label[], otherwise: Label, selector: I32): void {
    selector.write(this.code);
    this.code.u8(0x0e);
    this.code.u32(labels.length);
    for (const label of [...labels, otherwise]) this.code.u32(this.#depth - label.depth);
  }

  /** Runs case number `selector`; every other number runs `otherwise`. Cases do not fall through. */
  switch(selector: I32, cases: readonly (() => void)[], otherwise: () => void): void {
    this.block((end) => {
      const nest = (n: number, labels: Label[]): void => {
        if (n < 0) {
          selector.write(this.code);
          this.code.u8(0x0e);
          this.code.u32(cases.length);
          // labels[0] is the outermost (default); case i is label cases.length - i.
          for (let i = 0; i < cases.length; i++) this.code.u32(this.#depth - labels[cases.length - i]!.depth);
          this.code.u32(this.#depth - labels[0]!.depth);
          return;
        }
        this.block((label) => nest(n - 1, [...labels, label]));
        if (n === cases.length) otherwise();
        else cases[n]!();
        if (n < cases.length) this.br(end);
      };
      // Outermost block ends in front of `otherwise`, the next one in front of the last case, and so on.
      const order = cases.length;
      nest(order, []);
    });
  }

  return(...values: Expr[]): void {
    this.#arguments(this.results, values, "return");
    this.code.u8(0x0f);
  }

  unreachable(): void {
    this.code.u8(0x00);
  }

  /** A call without a result, as a statement. */
  call(target: Callable, ...values: Expr[]): void {
    if (target.results.length > 0) throw new TypeError(`${target.name} has a result: use callFor`);
    this.#call(target, values);
  }

  /** A call with one result, made here and now. */
  callFor<T extends ValType>(type: T, target: Callable, ...values: Expr[]): ExprOf<T> {
    if (target.results.length !== 1 || target.results[0] !== type) throw new TypeError(`${target.name} is no ${type}`);
    const local = this.temporary(type);
    this.#call(target, values);
    this.code.u8(0x21);
    this.code.u32(local.index);
    return local.get();
  }

  /** A call with several results, made here and now. */
  callForAll(target: Callable, ...values: Expr[]): Expr[] {
    const locals = target.results.map((type) => this.temporary(type));
    this.#call(target, values);
    for (const local of [...locals].reverse()) {
      this.code.u8(0x21);
      this.code.u32(local.index);
    }
    return locals.map((local) => local.get());
  }

  /** Leaves this function into `target` (tail call). */
  returnCall(target: Callable, ...values: Expr[]): void {
    this.#arguments(target.params, values, target.name);
    this.code.u8(0x12);
    this.writeCallee(target);
  }

  /** Leaves this function into entry `slot` of the table (tail call). */
  returnCallIndirect(type: IndirectType, slot: I32, ...values: Expr[]): void {
    this.#arguments(type.params, values, "indirect call");
    slot.write(this.code);
    this.code.u8(0x13);
    this.code.u32(type.typeIndex);
    this.code.u32(0);
  }

  /** A load from linear memory, made here and now. `offset` is a constant added to the address. */
  load<N extends LoadName>(name: N, address: I32, offset = 0): LoadExpr<N> {
    const local = this.temporary(LOADS[name][1]);
    local.set(this.loadExpr(name, address, offset));
    return local.get() as unknown as LoadExpr<N>;
  }

  /** A load as an expression: only where no store can come between its making and its use. */
  loadExpr<N extends LoadName>(name: N, address: I32, offset = 0): LoadExpr<N> {
    const [code, type] = LOADS[name];
    const [base, at] = foldAddress(address, offset);
    return typed(type, (out) => {
      base.write(out);
      out.raw(code);
      out.u8(name === "i32.atomic.load" ? 2 : 0);
      out.u32(at);
    }) as unknown as LoadExpr<N>;
  }

  store(name: StoreName, address: I32, value: Expr, offset = 0): void {
    const [code, type] = STORES[name];
    if (value.type !== type) throw new TypeError(`${name} takes ${type}, not ${value.type}`);
    const [base, at] = foldAddress(address, offset);
    base.write(this.code);
    value.write(this.code);
    this.code.raw(code);
    this.code.u8(name === "i32.atomic.store" ? 2 : 0);
    this.code.u32(at);
  }

  /** memory.copy: bytes may overlap. */
  copy(to: I32, from: I32, length: I32): void {
    for (const e of [to, from, length]) e.write(this.code);
    this.code.raw([0xfc, 0x0a, 0, 0]);
  }

  /** memory.fill. */
  fill(to: I32, byte: I32, length: I32): void {
    for (const e of [to, byte, length]) e.write(this.code);
    this.code.raw([0xfc, 0x0b, 0]);
  }

  /** Hints for branches, with offsets in what `encode` gives (WebAssembly branch hinting proposal). */
  hints(): readonly (readonly [number, boolean])[] {
    if (this.#hints.length === 0) return [];
    const body = this.#encodeLocals().length;
    return this.#hints.map(([at, likely]) => [at + body, likely]);
  }

  /** The function as the code section wants it: locals in runs, body, end. */
  encode(): ByteWriter {
    const out = this.#encodeLocals();
    out.raw(this.code.view());
    out.u8(0x0b);
    return out;
  }

  #encodeLocals(): ByteWriter {
    const out = new ByteWriter(this.code.length + 16);
    const runs: [number, ValType][] = [];
    for (const type of this.#locals) {
      const last = runs.at(-1);
      if (last && last[1] === type) last[0]++;
      else runs.push([1, type]);
    }
    out.u32(runs.length);
    for (const [count, type] of runs) {
      out.u32(count);
      out.u8(VAL_TYPE_CODE[type]);
    }
    return out;
  }

  /** The branch that is written next, or at an offset in the code, is likely to be taken, or unlikely. */
  hint(likely: boolean, at = this.code.length): void {
    this.#hints.push([at, likely]);
  }

  #open(opcode: number, body: () => void, otherwise?: () => void): void {
    this.code.u8(opcode);
    this.code.u8(0x40);
    this.#depth++;
    body();
    if (otherwise) {
      this.code.u8(0x05);
      otherwise();
    }
    this.#depth--;
    this.code.u8(0x0b);
  }

  #call(target: Callable, values: readonly Expr[]): void {
    this.#arguments(target.params, values, target.name);
    this.code.u8(0x10);
    this.writeCallee(target);
  }

  /** Which function is called, behind the opcode of the call. */
  protected writeCallee(target: Callable): void {
    this.code.u32(target.index);
  }

  #arguments(types: readonly ValType[], values: readonly Expr[], of: string): void {
    if (values.length !== types.length || values.some((v, i) => v.type !== types[i])) {
      throw new TypeError(`${of} takes (${types.join(" ")}), not (${values.map((v) => v.type).join(" ")})`);
    }
    for (const value of values) value.write(this.code);
  }
}

/** A known address goes into the instruction's offset whole. */
function foldAddress(address: I32, offset: number): [I32, number] {
  if (address.known !== undefined && address.known >= 0n) return [i32(0), offset + Number(address.known)];
  return [address, offset];
}
