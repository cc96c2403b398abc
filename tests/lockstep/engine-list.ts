/** The engines by name; by themselves, as vitest's configuration reads them too. */
export interface Engine {
  /** What CpuOptions has. */
  readonly jit: { readonly threshold: number } | false;
  /** Instructions between two comparisons with the interpreter; absent: nothing is compared. */
  readonly slice?: number;
}

export const ENGINE_VARIABLE = "VIVARIUM_ENGINE";

/**
 * "forced": all is compiled, nothing compared. "steps": the interpreter beside itself at single steps. "compiled": all is, and compared
 * after each block. "warm": what runs often is compiled, and compared now and then.
 */
export const ENGINES: Readonly<Record<string, Engine>> = {
  interpreter: { jit: false },
  forced: { jit: { threshold: 0 } },
  steps: { jit: false, slice: 1 },
  compiled: { jit: { threshold: 0 }, slice: 1 },
  warm: { jit: { threshold: 2 }, slice: 300 },
};
