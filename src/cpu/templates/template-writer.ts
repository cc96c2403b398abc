/**
 * Writes the template of an instruction: its code as a handler's, with holes where the handler would read the record, and without the
 * dispatch at its end. Copied for one record after the other, and the holes filled, templates become compiled code without a look at what
 * the instructions mean (Xu and Kjolstad, "Copy-and-Patch Compilation", OOPSLA 2021).
 */
import {
  type ByteWriter,
  type Callable,
  type ExprOf,
  FunctionBuilder,
  type I32,
  i32,
  type LOADS,
  type LoadName,
  Local,
  typed,
  type ValType,
} from "../../wasm/index.ts";
import { HANDLER } from "../interpreter/build.ts";
import { RECORD_SIZE } from "../interpreter/record.ts";
import { RecordWriter } from "../interpreter/record-writer.ts";
import type { Variant } from "../instruction-writer.ts";
import { STATE_BASE } from "../memory-map.ts";
import type { CodeObserver, RuntimeEnv } from "../runtime/define.ts";
import { EXIT } from "../runtime/exits.ts";
import { FIELDS } from "../state.ts";
import { HOLE, HOLE_BYTES, type HoleKind, type Part, type Template } from "./template.ts";

/** Runtime functions; their indices are numbers in the template set. */
export interface TemplateModule {
  fn(name: string): Callable;
  readonly observer?: CodeObserver | undefined;
}

/**
 * Locals of copied code. All templates share them: each begins with none that means anything. Integers come first, in turns, so that
 * most functions need few.
 */
const INTEGERS = 48;
const FURTHER: readonly ValType[] = ["v128", "f64", "f32"];
const FIRST = 2;
const MAX_LOCALS = 400;

/** Type of the local with an index beyond the parameters. */
export function localType(index: number): ValType {
  const n = index - FIRST;
  return n < INTEGERS ? (n % 2 === 0 ? "i32" : "i64") : n < MAX_LOCALS / 2 ? FURTHER[n % 3]! : n % 2 === 0 ? "i32" : "i64";
}

class TemplateFunction extends FunctionBuilder {
  readonly #next = new Map<ValType, number>();
  readonly zeroed: Local[] = [];
  /** One more than the highest index in use. */
  locals = FIRST;

  /** Three numbers for each hole: offset, kind, argument. */
  readonly holes: number[] = [];

  constructor(name: string) {
    super(name, 0, HANDLER);
  }
  protected override writeCallee(target: Callable): void {
    this.hole(HOLE.callee, target.index);
  }
  hole(kind: HoleKind, argument: number): void {
    this.holes.push(this.code.length, kind, argument);
    for (let n = HOLE_BYTES[kind]; n > 0; n--) this.code.u8(0);
  }
  override temporary<T extends ValType>(type: T): Local<T> {
    let index = this.#next.get(type) ?? FIRST;
    while (localType(index) !== type) index++;
    if (index >= MAX_LOCALS) throw new Error(`${this.name} needs too many locals`);
    this.#next.set(type, index + 1);
    this.locals = Math.max(this.locals, index + 1);
    return new Local(this, type, index);
  }
  /** Others have used it before: it is made zero in front of the code. */
  override local<T extends ValType>(type: T): Local<T> {
    const local = this.temporary(type);
    this.zeroed.push(local);
    return local;
  }
}

const CONSTANT = { i32: 0x41, i64: 0x42 } as const;
const FIELD_HOLES: Partial<Record<LoadName, readonly [HoleKind, "i32" | "i64"]>> = {
  "i32.load8_u": [HOLE.u8, "i32"],
  "i32.load16_u": [HOLE.u16, "i32"],
  "i32.load": [HOLE.s32, "i32"],
  "i64.load8_u": [HOLE.u8, "i64"],
  "i64.load16_u": [HOLE.u16, "i64"],
  "i64.load32_s": [HOLE.s32, "i64"],
  "i64.load": [HOLE.s64, "i64"],
};

/** What one template is made of: an instruction, or two that run as one; without flags: nobody sees those that it sets. */
export interface TemplateSource {
  readonly first: Variant;
  readonly second?: Variant | undefined;
  readonly flagless: boolean;
}

export function writeTemplate(module: TemplateModule, source: TemplateSource): Template {
  for (const stackLocal of [false, true]) {
    const made = TemplateWriter.write(module, source, stackLocal);
    if (made) return made;
  }
  throw new Error("unreachable");
}

class TemplateWriter extends RecordWriter {
  readonly #code: TemplateFunction;
  /** Ends of parts. */
  readonly #marks: { branches: boolean; body: number; warm: number; taken: number; flushed: number } = {
    branches: false,
    body: -1,
    warm: -1,
    taken: -1,
    flushed: -1,
  };

  private constructor(
    f: TemplateFunction,
    env: RuntimeEnv,
    variant: Variant,
    stackLocal: boolean,
    before?: TemplateWriter,
  ) {
    super(f, env, variant, stackLocal, before);
    this.#code = f;
  }

  /** Undefined where it turns out that the stack pointer has to wait in a local. */
  static write(module: TemplateModule, source: TemplateSource, stackLocal: boolean): Template | undefined {
    const { first, second, flagless } = source;
    const f = new TemplateFunction(first.row.mnemonic);
    const env = environment(f, module, flagless);
    const head = new TemplateWriter(f, env, first, stackLocal);
    let writer = head;
    if (second) {
      head.flags.remember();
      head.writeBody();
      writer = new TemplateWriter(f, env, second, false, head);
    }
    writer.writeBody();
    if (!writer.ended) writer.next();
    if (writer.usesStack && !stackLocal) return undefined;
    return writer.#template();
  }

  #template(): Template {
    const marks = this.#marks;
    const end = this.#code.code.length;
    const whole = this.#code.code.view().slice();
    const part = (from: number, to: number): Part => {
      const holes: number[] = [];
      const all = this.#code.holes;
      for (let i = 0; i < all.length; i += 3) {
        const at = all[i]!;
        if (at >= from && at < to) holes.push(at - from, all[i + 1]!, all[i + 2]!);
      }
      return { bytes: whole.subarray(from, to), holes: Int32Array.from(holes) };
    };
    const locals = this.#code.locals;
    const zeroed = this.#code.zeroed.map((local) => local.index);
    if (marks.body < 0) return { kind: this.ended ? "ends" : "plain", body: part(0, end), locals, zeroed };
    return {
      kind: marks.branches ? "branch" : "jump",
      body: part(0, marks.body),
      warm: part(marks.body, marks.warm),
      leave: part(marks.warm, marks.taken),
      flush: part(marks.taken, marks.flushed),
      next: part(marks.flushed, end),
      locals,
      zeroed,
    };
  }

  // ---- record

  #hole<T extends "i32" | "i64">(type: T, kind: HoleKind, argument: number): ExprOf<T> {
    return typed(type, (out: ByteWriter) => {
      if (out !== this.#code.code) throw new Error("a hole outside its template");
      out.u8(CONSTANT[type]);
      this.#code.hole(kind, argument);
    });
  }
  recordField<N extends LoadName>(name: N, at: number): ExprOf<(typeof LOADS)[N][1]> {
    const row = FIELD_HOLES[name];
    if (!row) throw new Error(`no hole for ${name}`);
    return this.#hole(row[1], row[0], at + this.position * RECORD_SIZE) as unknown as ExprOf<(typeof LOADS)[N][1]>;
  }
  protected record(): I32 {
    return this.#hole("i32", HOLE.record, this.position * RECORD_SIZE);
  }
  protected budget(more: number): I32 {
    return (this.f.param(1, "i32").get() as I32).sub(this.#hole("i32", HOLE.done, this.position + more));
  }

  // ---- control

  jumpRelative(condition?: I32, undo?: () => void): void {
    const code = this.#code.code;
    // A call stays outside: what it leads to returns to an entry.
    const inside = this.variant.row.mnemonic !== "CALL" && this.size === 64;
    if (!inside && condition) throw new Error("a 16-bit branch has no template");
    if (!inside) {
      this.warmRelative();
      this.takeRelative(undo);
      this.ended = true;
      return;
    }
    const marks = this.#marks;
    condition?.write(code);
    marks.branches = condition !== undefined;
    marks.body = code.length;
    this.warmRelative();
    marks.warm = code.length;
    this.takeRelative(undo);
    marks.taken = code.length;
    this.flushStack();
    marks.flushed = code.length;
    if (condition) this.next();
    this.ended = true;
  }

  againIf(condition: I32): void {
    this.flushStack();
    this.f.if(condition, () => {
      const stop = this.budget(0).leS(0).or(this.get("attention").nez());
      this.f.if(stop, () => this.exit(EXIT.budget, this.rip()));
      this.f.returnCall(this.fn("dispatch_single"), this.record(), this.budget(1));
    });
    this.next();
  }
  protected dispatch(record: I32): void {
    this.f.returnCall(this.fn("dispatch"), record, this.budget(1));
  }
  protected next(): void {
    this.flushStack();
    this.leaveLate();
  }
}

function environment(f: FunctionBuilder, module: TemplateModule, flagless: boolean): RuntimeEnv {
  const find = (name: string) => {
    const found = FIELDS.get(name);
    if (!found) throw new Error(`no CPU state field ${name}`);
    return found;
  };
  return {
    get: <T extends ValType = "i32">(name: string, type?: T) =>
      f.load(`${(type ?? "i32") as "i32" | "i64"}.load`, i32(0), STATE_BASE + find(name).offset) as never,
    set: (name, value) => {
      if (flagless && name.startsWith("flag")) return;
      f.store(`${value.type as "i32" | "i64"}.store`, i32(0), value, STATE_BASE + find(name).offset);
    },
    address: (name) => STATE_BASE + find(name).offset,
    fn: (name) => module.fn(name),
    observer: module.observer,
  };
}
