/** A WebAssembly module: imports, functions, one table, exports, and its binary encoding (core specification 5.5). */
import { ByteWriter } from "./bytes.ts";
import { type Callable, FunctionBuilder, type IndirectType, type Signature } from "./function.ts";
import { VAL_TYPE_CODE } from "./opcodes.ts";

const MAGIC_AND_VERSION = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];

/** Size limits of the memory a module imports, in pages of 64 KiB. */
export interface MemoryLimits {
  readonly initial: number;
  readonly maximum: number;
  readonly shared: boolean;
}

/** How many slots of the function table this module takes, and which it fills. */
export interface TableImport {
  readonly initial: number;
}

export class ModuleBuilder {
  readonly #types: string[] = [];
  readonly #typeBodies: Signature[] = [];
  readonly #imports: Callable[] = [];
  readonly #importNames: [string, string][] = [];
  readonly #functions: FunctionBuilder[] = [];
  readonly #exports: [string, Callable][] = [];
  readonly #elements: [number, Callable[]][] = [];
  readonly #memory: MemoryLimits;
  #table: TableImport | undefined;

  /** The memory is always imported, as `env.memory`: it belongs to the machine, not to a module. */
  constructor(memory: MemoryLimits) {
    this.#memory = memory;
  }

  /** A function from outside. All imports come before the first function. */
  import(module: string, name: string, signature: Signature): Callable {
    if (this.#functions.length > 0) throw new Error(`import ${name} after the first function`);
    const callable = { name, index: this.#imports.length, ...signature };
    this.#imports.push(callable);
    this.#importNames.push([module, name]);
    return callable;
  }

  /** A new function. Build its body at once or later; it can be called by others from now on. */
  func(name: string, signature: Signature): FunctionBuilder {
    const f = new FunctionBuilder(name, this.#imports.length + this.#functions.length, signature);
    this.#functions.push(f);
    return f;
  }

  /** Index the next function will have. */
  get nextIndex(): number {
    return this.#imports.length + this.#functions.length;
  }

  /** Adds a function that was built apart, with the index that was next then. */
  append(f: FunctionBuilder): void {
    if (f.index !== this.nextIndex) throw new Error(`${f.name} was built for another place`);
    this.#functions.push(f);
  }

  /** Adds a function that was built apart, and gives it its index. */
  adopt(f: FunctionBuilder): void {
    f.index = this.nextIndex;
    this.#functions.push(f);
  }

  export(name: string, f: Callable): void {
    this.#exports.push([name, f]);
  }

  /** Imports the shared function table as `env.table`. */
  importTable(table: TableImport): void {
    this.#table = table;
  }

  /** Puts functions into the table from slot `first`. */
  elements(first: number, functions: Callable[]): void {
    this.#elements.push([first, functions]);
  }

  /** A signature as indirect calls name it. */
  indirect(signature: Signature): IndirectType {
    return { ...signature, typeIndex: this.#type(signature) };
  }

  get functions(): readonly FunctionBuilder[] {
    return this.#functions;
  }

  encode(): Uint8Array {
    const functionTypes = this.#functions.map((f) => this.#type(f));
    const importTypes = this.#imports.map((f) => this.#type(f));
    const out = new ByteWriter(64 * 1024);
    out.raw(MAGIC_AND_VERSION);
    section(out, 1, this.#typeBodies, (body, type) => {
      body.u8(0x60);
      for (const list of [type.params, type.results]) {
        body.u32(list.length);
        for (const t of list) body.u8(VAL_TYPE_CODE[t]);
      }
    });
    section(out, 2, this.#importSection(importTypes), (body, row) => body.raw(row.view()));
    section(out, 3, functionTypes, (body, type) => body.u32(type));
    section(out, 7, this.#exports, (body, [name, f]) => {
      body.name(name);
      body.u8(0x00);
      body.u32(f.index);
    });
    section(out, 9, this.#elements, (body, [first, functions]) => {
      body.raw([0x00, 0x41]);
      body.s32(first);
      body.u8(0x0b);
      body.u32(functions.length);
      for (const f of functions) body.u32(f.index);
    });
    this.#hintSection(out);
    section(out, 10, this.#functions, (body, f) => body.sized(f.encode()));
    this.#nameSection(out);
    return out.view();
  }

  #importSection(types: readonly number[]): ByteWriter[] {
    const rows: ByteWriter[] = [];
    const row = (module: string, name: string, rest: (r: ByteWriter) => void) => {
      const r = new ByteWriter(32);
      r.name(module);
      r.name(name);
      rest(r);
      rows.push(r);
    };
    this.#importNames.forEach(([module, name], i) => {
      row(module, name, (r) => {
        r.u8(0x00);
        r.u32(types[i]!);
      });
    });
    row("env", "memory", (r) => {
      r.u8(0x02);
      r.u8(this.#memory.shared ? 0x03 : 0x01);
      r.u32(this.#memory.initial);
      r.u32(this.#memory.maximum);
    });
    const table = this.#table;
    if (table) {
      row("env", "table", (r) => {
        r.raw([0x01, 0x70, 0x00]);
        r.u32(table.initial);
      });
    }
    return rows;
  }

  /** Custom section metadata.code.branch_hint (branch hinting proposal): engines without it ignore the section. */
  #hintSection(out: ByteWriter): void {
    const functions = this.#functions.map((f) => [f, f.hints()] as const).filter(([, hints]) => hints.length > 0);
    if (functions.length === 0) return;
    const body = new ByteWriter();
    body.name("metadata.code.branch_hint");
    body.u32(functions.length);
    for (const [f, hints] of functions) {
      body.u32(f.index);
      body.u32(hints.length);
      for (const [at, likely] of hints) {
        body.u32(at);
        body.u32(1);
        body.u8(likely ? 1 : 0);
      }
    }
    out.u8(0);
    out.sized(body);
  }

  /** Names of its own functions, so that profilers and traps can tell them apart (appendix "Name Section"). */
  #nameSection(out: ByteWriter): void {
    const names = new ByteWriter();
    names.u32(this.#functions.length);
    for (const f of this.#functions) {
      names.u32(f.index);
      names.name(f.name);
    }
    const body = new ByteWriter();
    body.name("name");
    body.u8(1);
    body.sized(names);
    out.u8(0);
    out.sized(body);
  }

  #type(signature: Signature): number {
    const key = `${signature.params.join(",")}>${signature.results.join(",")}`;
    let index = this.#types.indexOf(key);
    if (index < 0) {
      index = this.#types.length;
      this.#types.push(key);
      this.#typeBodies.push({ params: signature.params, results: signature.results });
    }
    return index;
  }
}

function section<Row>(out: ByteWriter, id: number, rows: readonly Row[], write: (body: ByteWriter, row: Row) => void) {
  if (rows.length === 0) return;
  const body = new ByteWriter(1024);
  body.u32(rows.length);
  for (const row of rows) write(body, row);
  out.u8(id);
  out.sized(body);
}
