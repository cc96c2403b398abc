export { LockstepCpu, type LockstepOptions } from "./lockstep.ts";
