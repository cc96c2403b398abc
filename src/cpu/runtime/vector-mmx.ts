/** What writing an MMX register does besides its 64 bits (SDM vol. 3, 13.2). */
import { i32 } from "../../wasm/index.ts";
import { offsetOf } from "../state.ts";
import { runtime } from "./define.ts";

const STRIDE = offsetOf("fpr1") - offsetOf("fpr0");

export const VECTOR_MMX = [
  /** Sets sign and exponent of physical register `n` (0-7) to ones. */
  runtime("mmxWritten", "i32", "", (f, env) => {
    f.store("i32.store16", f.param(0, "i32").get().mul(STRIDE), i32(0xffff), env.address("fpr0") + 8);
  }),
];
