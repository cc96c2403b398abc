/** What the CPU needs of this host's WebAssembly, each told by a module that holds nothing else. */
import { type FunctionBuilder, ModuleBuilder, v128 } from "../wasm/index.ts";

export interface WasmFeature {
  readonly name: string;
  /** What the CPU does with it. */
  readonly use: string;
  readonly present: boolean;
}

const validates = (shared: boolean, body: (f: FunctionBuilder) => void): boolean => {
  const module = new ModuleBuilder({ initial: 1, maximum: 1, shared });
  body(module.func("probe", { params: [], results: [] }));
  return WebAssembly.validate(module.encode());
};

const PROBES: readonly { readonly name: string; readonly use: string; readonly probe: () => boolean }[] = [
  {
    name: "tail calls",
    use: "go from one instruction to the next",
    probe: () => validates(false, (f) => f.returnCall(f)),
  },
  {
    name: "SIMD",
    use: "run SSE",
    probe: () => validates(false, (f) => f.local("v128").set(v128(new Uint8Array(16)))),
  },
  {
    name: "shared memory",
    use: "keep guest memory where all threads see it",
    probe: () => validates(true, () => undefined),
  },
];

export const wasmFeatures = (): readonly WasmFeature[] =>
  PROBES.map(({ name, use, probe }) => ({ name, use, present: probe() }));
