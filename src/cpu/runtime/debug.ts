/**
 * Data breakpoints (SDM vol. 3B, 18.2) and alignment checks (vol. 3A, 6.15, #AC) on the slow way of an access. While they are off nothing
 * looks for them: pages with a data breakpoint are kept out of the TLB, and with alignment checks on the TLB in use is an
 * empty one, so that each access of concern misses and comes here. Not modelled: data breakpoints on what the CPU accesses by
 * itself (descriptor tables, stacks of traps).
 */
import { type FunctionBuilder, type I32, type I64, i32, select } from "../../wasm/index.ts";
import { type RuntimeEnv, runtime } from "./define.ts";

/** Bits of the field `watch`. */
export const WATCH = { data: 1, code: 2, io: 4 } as const;

/**
 * In faultVector: no exception, but an instruction the run loop has to run by itself, with `stepping` set. All an instruction
 * changes before that is restartable, as for a fault.
 */
export const STEP = 256;

const AC_VECTOR = 17;
const BREAKPOINTS = [0, 1, 2, 3] as const;
const ENABLED = 3;
/** RW field of DR7. */
const RW = { execute: 0, write: 1, io: 2, access: 3 } as const;

/** RW and LEN of a breakpoint. LEN 2 means eight bytes, the others their number less one. */
const control = (f: FunctionBuilder, env: RuntimeEnv, n: number): { rw: I32; length: I32; on: I32 } => {
  const dr7 = f.let(env.get("dr7", "i64").wrap());
  const len = f.let(dr7.shrU(18 + 4 * n).and(3));
  const length = f.choose(
    len.eq(2),
    () => i32(8),
    () => f.let(len.add(1)),
  );
  return { rw: f.let(dr7.shrU(16 + 4 * n).and(3)), length, on: dr7.and(ENABLED << (2 * n)) };
};

/** 1 where a page has a data (0) or instruction (1) breakpoint. */
const watchedPage = runtime("watched_page", "i64 i32", "i32", (f, env) => {
  const page: I64 = f.let(f.param(0, "i64").get().and(-4096));
  const code = f.param(1, "i32").get();
  for (const n of BREAKPOINTS) {
    const { rw, on } = control(f, env, n);
    const kind = f.choose(
      code,
      () => f.let(rw.eq(RW.execute)),
      () => f.let(rw.and(1)),
    );
    const here = env.get(`dr${n}`, "i64").and(-4096).eq(page);
    f.if(on.nez().and(kind).and(here), () => f.return(i32(1)));
  }
  f.return(i32(0));
});

/**
 * Looks for data breakpoints on an access; the last operand is 1 for writes. 0: none, or noted in pendingDebug; 1: the instruction
 * has to be run by itself.
 */
const watchData = runtime("watch_data", "i64 i32 i32", "i32", (f, env) => {
  const linear = f.param(0, "i64").get();
  const bytes = f.param(1, "i32").get();
  const write = f.param(2, "i32").get();
  const hits = f.variable(i32(0));
  for (const n of BREAKPOINTS) {
    const { rw, length, on } = control(f, env, n);
    const first = f.let(env.get(`dr${n}`, "i64").and(length.sub(1).extendU().xor(-1)));
    const kind = rw.eq(RW.access).or(rw.eq(RW.write).and(write));
    const before = linear.sub(first).ltU(length.extendU());
    const after = first.sub(linear).ltU(bytes.extendU());
    f.if(on.nez().and(kind).and(before.or(after)), () => hits.set(hits.get().or(1 << n)));
  }
  f.if(hits.get().eqz(), () => f.return(i32(0)));
  f.if(env.get("stepping"), () => {
    env.set("pendingDebug", env.get("pendingDebug").or(hits.get()));
    f.return(i32(0));
  });
  env.set("faultVector", i32(STEP));
  f.return(i32(1));
});

/**
 * 1 with #AC(0) pending where an access is not aligned. An 80-bit operand wants 8 bytes, longer areas 16 or what their length
 * has; vectors of 16 and 32 bytes nothing: whether they are checked is the processor's choice (SDM vol. 2, MOVUPS), and Intel's does not.
 */
const checkAlignment = runtime("check_alignment", "i64 i32", "i32", (f, env) => {
  const low = f.let(f.param(0, "i64").get().wrap());
  const length = f.let(f.param(1, "i32").get());
  f.if(env.get("alignmentFree"), () => f.return(i32(0)));
  // The lowest bit of the length is the alignment of all but 80 bits (table 6-7).
  const lowest = f.let(length.and(i32(0).sub(length)));
  const alignment = f.choose(
    length.eq(10),
    () => i32(8),
    () => select(length.eq(16).or(length.eq(32)), i32(1), lowest),
  );
  f.if(low.and(alignment.sub(1)).eqz(), () => f.return(i32(0)));
  env.set("faultVector", i32(AC_VECTOR));
  env.set("faultError", i32(0));
  f.return(i32(1));
});

export const DEBUG_FUNCTIONS = [watchedPage, watchData, checkAlignment];
