/** Guest memory in a Node process. */
import * as vmm from "../../vmm/index.ts";

const ADVICE = "give it less with --memory, or allow this process more address space (ulimit -v)";

export const createGuestMemory = (ramSize: number): WebAssembly.Memory => vmm.createGuestMemory(ramSize, ADVICE);
export { guestRam } from "../../vmm/index.ts";
