/**
 * The engines that tests run guests on. What holds on one has to hold on all: the suites that vitest.config.ts names run once for each,
 * on the one that this variable of the environment names.
 */
import { Cpu, type CpuOptions, LockstepCpu } from "../../src/cpu/index.ts";
import { ENGINE_VARIABLE, ENGINES, type Engine } from "./engine-list.ts";

/** The engine of this run. */
export const ENGINE: Engine = ENGINES[process.env[ENGINE_VARIABLE] ?? "interpreter"]!;

export const createCpu = (options: CpuOptions, { jit, slice }: Engine = ENGINE): Cpu =>
  slice === undefined ? new Cpu({ ...options, jit }) : new LockstepCpu({ ...options, jit, slice });
