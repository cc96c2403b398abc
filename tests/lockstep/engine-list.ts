/** The engines by name; by themselves, as vitest's configuration reads them too. */
import type { Bounds } from "../../src/cpu/jit/jit.ts";

export interface Engine {
  /** What CpuOptions has. */
  readonly jit: { readonly threshold: number; readonly templates?: number; readonly bounds?: Bounds } | false;
  /** Copies come late, as from another thread. */
  readonly late?: boolean;
  /** Instructions between two comparisons with the interpreter; absent: nothing is compared. */
  readonly slice?: number;
}

export const ENGINE_VARIABLE = "VIVARIUM_ENGINE";

const NEVER = 1 << 30;
/** Whatever is copied, all that was before comes to rest. */
const NO_ROOM: Bounds = {
  templates: { regions: NEVER, bytes: 1 },
  resting: { regions: NEVER, bytes: NEVER },
  region: { regions: NEVER, bytes: NEVER },
};

/**
 * "forced": all is compiled, nothing compared. "steps": the interpreter beside itself at single steps. "compiled": all is, and compared
 * after each block. "warm": what runs often is compiled, and compared now and then. "templates": all is copied, nothing compared; "copied":
 * the same, compared after each block. "tiers": what runs often is copied, what runs more often is compiled. "resting": what is copied has to
 * make room for what comes next. "late": what is copied comes some time after it was asked for.
 */
export const ENGINES: Readonly<Record<string, Engine>> = {
  interpreter: { jit: false },
  forced: { jit: { threshold: 0 } },
  steps: { jit: false, slice: 1 },
  compiled: { jit: { threshold: 0 }, slice: 1 },
  warm: { jit: { threshold: 2 }, slice: 300 },
  templates: { jit: { threshold: NEVER, templates: 0 } },
  copied: { jit: { threshold: NEVER, templates: 0 }, slice: 1 },
  tiers: { jit: { threshold: 9, templates: 2 }, slice: 300 },
  late: { jit: { threshold: 9, templates: 2 }, late: true, slice: 300 },
  resting: { jit: { threshold: NEVER, templates: 2, bounds: NO_ROOM }, slice: 300 },
};
