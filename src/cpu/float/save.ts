/** What FXSAVE, XSAVE and their kin need beyond the x87's own functions: XMM registers by number, initial state. */
import { type FunctionBuilder, type I32, i32, i64 } from "../../wasm/index.ts";
import { type RuntimeEnv, type RuntimeFunction, runtime } from "../runtime/define.ts";

/** Address of XMM register `number`. */
function xmmAddress(f: FunctionBuilder, env: RuntimeEnv, number: I32): I32 {
  const first = env.address("ymm0");
  return f.let(number.mul(env.address("ymm1") - first).add(first));
}

export const SAVE_FUNCTIONS: readonly RuntimeFunction[] = [
  runtime("save.xmm", "i32", "v128", (f, env) =>
    f.return(f.load("v128.load", xmmAddress(f, env, f.param(0, "i32").get()))),
  ),
  runtime("save.setXmm", "i32 v128", "", (f, env) =>
    f.store("v128.store", xmmAddress(f, env, f.param(0, "i32").get()), f.param(1, "v128").get()),
  ),
  /** The x87's initial configuration (SDM vol. 1, 13.6): as FNINIT leaves it, and the registers zero. */
  runtime("save.initX87", "", "", (f, env) => {
    f.call(env.fn("x87.init"));
    for (let i = 0; i < 8; i++) f.call(env.fn("x87.put"), i32(i), i64(0), i32(0));
  }),
];
