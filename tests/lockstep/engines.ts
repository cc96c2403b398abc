/**
 * The engines that tests run guests on. What holds on one has to hold on all: the suites that vitest.config.ts names run once for each,
 * on the one that this variable of the environment names.
 */
import { Cpu, type CpuOptions, LockstepCpu } from "../../src/cpu/index.ts";
import { ENGINE_VARIABLE, ENGINES, type Engine } from "./engine-list.ts";
import { lateCopier } from "./late-copier.ts";

/** The engine of this run. */
export const ENGINE: Engine = ENGINES[process.env[ENGINE_VARIABLE] ?? "interpreter"]!;

export function createCpu(options: CpuOptions, { jit, late, slice }: Engine = ENGINE): Cpu {
  const copier = jit && late ? lateCopier(options.memory, jit.templates ?? jit.threshold) : undefined;
  const all = { ...options, jit: jit && { ...jit, copier } };
  return slice === undefined ? new Cpu(all) : new LockstepCpu({ ...all, slice });
}
