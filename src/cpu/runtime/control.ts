/** Finding the code that comes next: code TLB, code pages, jumps, and the handlers that are no instructions. */
import { type FunctionBuilder, type I32, type I64, type IndirectType, i32, i64, op } from "../../wasm/index.ts";
import { ACROSS, CODE_PAGE, RECORD, RECORD_SIZE } from "../interpreter/record.ts";
import {
  ARENA_BASE,
  CODE_PAGE_INDEX,
  RAM_BASE,
  REGION_ENTRIES,
  RETURN_SIZE,
  RETURN_STACK,
  RETURNS,
} from "../memory-map.ts";
import { offsetOf } from "../state.ts";
import { recordIn } from "./code-map.ts";
import { STEP, WATCH } from "./debug.ts";
import { type RuntimeEnv, runtime } from "./define.ts";
import { EXIT } from "./exits.ts";
import { remember, remembered } from "./jump-cache.ts";
import { ACCESS, NOT_CANONICAL } from "./paging.ts";
import { codeTlbOffset } from "./tlb.ts";

const SS = 2;
/** So many times code is come to before the compiler is told; no record has a count to begin with, and one goes on after the last. */
export const ENTERED_OFTEN = 1000;

/** Handlers that stand in the table before those of instructions. */
export const SPECIAL_HANDLERS = ["unused", "refetch", "go_on", "stop", "across", "undefined", "too_long"] as const;
export type SpecialHandler = (typeof SPECIAL_HANDLERS)[number];
export const slotOf = (name: SpecialHandler): number => SPECIAL_HANDLERS.indexOf(name);

/** Offset in CS of a linear address. */
const codeOffset = runtime("code_offset", "i64", "i64", (f, env) => {
  const linear = f.param(0, "i64").get();
  f.if(env.get("codeBits").eq(64), () => f.return(linear));
  f.return(linear.sub(env.get("cs.base", "i64")).and(0xffff_ffff));
});

/** 1 with #GP(0) pending where a near jump to this offset faults. */
const checkTarget = runtime("check_target", "i64", "i32", (f, env) => {
  const target = f.let(f.param(0, "i64").get());
  const good = f.choose(
    env.get("codeBits").eq(64),
    () => f.callFor("i32", env.fn("is_canonical"), target),
    () => f.let(target.leU(env.get("cs.limit").extendU())),
  );
  f.if(good, () => f.return(i32(0)));
  env.set("faultVector", i32(13));
  env.set("faultError", i32(0));
  f.return(i32(1));
});

/** Code page for a linear address, 0 with an exception pending. */
const fetchPage = runtime("fetch_page", "i64", "i32", (f, env) => {
  const target = f.let(f.param(0, "i64").get());
  const linear = f.let(target.and(-4096));
  const access = env.get("cpl").eq(3).shl(1).or(ACCESS.fetch);
  // CR2 is to name the byte, not its page.
  const host = f.callFor("i32", env.fn("translate"), target, access);
  f.if(host.eqz(), () => f.return(i32(0)));
  // Code in device memory is not modelled: it reads as undefined instructions.
  f.if(host.eq(1), () => {
    env.set("faultVector", i32(6));
    env.set("faultError", i32(-1));
    f.return(i32(0));
  });
  const ramOffset = f.let(host.and(-4096).sub(RAM_BASE));
  const key = env.get("codeKey");
  const page = f.variable(f.load("i32.load", ramOffset.shrU(12).shl(2), CODE_PAGE_INDEX));
  f.block((found) => {
    f.while(
      () => page.get(),
      () => {
        f.brIf(found, f.load("i32.load", page.get(), CODE_PAGE.mode).eq(key));
        page.set(f.load("i32.load", page.get(), CODE_PAGE.next));
      },
    );
    page.set(f.callFor("i32", env.fn("new_code_page"), ramOffset, key));
  });
  // In a page with an instruction breakpoint, or with the end of the code segment, instructions run one at a time: it stays
  // out of the code TLB, and run_step looks at each.
  const stepped = f.variable(env.get("watch").and(WATCH.code));
  f.if(stepped.get(), () => stepped.set(f.callFor("i32", env.fn("watched_page"), linear, i32(1))));
  f.if(env.get("codeBits").ne(64), () => {
    const end = f.callFor("i64", env.fn("code_offset"), f.let(linear.or(4095))).wrap();
    stepped.set(stepped.get().or(end.gtU(env.get("cs.limit"))));
  });
  f.if(stepped.get().and(env.get("stepping").eqz()), () => {
    env.set("faultVector", i32(STEP));
    f.return(i32(0));
  });
  f.if(stepped.get(), () => f.return(page.get()));
  f.call(env.fn("enter_code"), linear, page.get(), env.get("walkFlags").shrU(1));
  f.return(page.get());
});

/** 1 with #GP(0) pending where `length` bytes of code from a linear address on reach beyond the segment. Records of what is no
 *  instruction have no length: one byte of it is looked at. */
const beyondLimit = runtime("beyond_limit", "i64 i32", "i32", (f, env) => {
  f.if(env.get("codeBits").eq(64), () => f.return(i32(0)));
  const first = f.callFor("i64", env.fn("code_offset"), f.param(0, "i64").get()).wrap();
  const length = f.let(f.param(1, "i32").get());
  const last = f.let(first.add(length).sub(length.nez()));
  f.if(last.leU(env.get("cs.limit")), () => f.return(i32(0)));
  env.set("faultVector", i32(13));
  env.set("faultError", i32(0));
  f.return(i32(1));
});

/** Record at a linear address, decoded if need be; 0 with an exception pending. */
const lookup = runtime("lookup", "i64", "i32", (f, env) => {
  const linear = f.let(f.param(0, "i64").get());
  const entry = codeTlbEntry(f, env, linear);
  const page = f.choose(
    f.loadExpr("i64.load", entry, 0).eq(linear.and(-4096)),
    () => f.load("i32.load", entry, 8),
    () => {
      const fetched = f.callFor("i32", env.fn("fetch_page"), linear);
      f.if(fetched.eqz(), () => f.return(i32(0)));
      return fetched;
    },
  );
  const low = f.let(linear.wrap());
  const record = recordIn(f, page, low);
  f.if(record, () => f.return(record));
  f.return(f.callFor("i32", env.fn("decode"), page, low.and(4095)));
});

function codeTlbEntry(f: FunctionBuilder, env: RuntimeEnv, linear: I64): I32 {
  return f.let(codeTlbOffset(linear.wrap()).add(env.get("codeTlb")));
}

/** Host address of the page after the one whose records run, for fetching; 0 with an exception pending, 1 where there is no RAM. */
const fetchFollowing = runtime("fetch_following", "", "i32", (f, env) => {
  const next = f.let(env.get("ripPage", "i64").add(4096));
  const linear = f.choose(
    env.get("codeBits").eq(64),
    () => next,
    () => f.let(next.and(0xffff_ffff)),
  );
  const access = env.get("cpl").eq(3).shl(1).or(ACCESS.fetch);
  f.return(f.callFor("i32", env.fn("translate"), linear, access));
});

/** Functions that end in a handler need its type. */
export function controlFunctions(type: IndirectType) {
  const dispatch = (f: FunctionBuilder, record: I32, budget: I32) =>
    f.returnCallIndirect(type, f.loadExpr("i32.load16_u", record, RECORD.handler), record, budget);
  const exit = (f: FunctionBuilder, env: RuntimeEnv, code: number, rip: I64, budget: I32) => {
    env.set("rip", rip);
    env.set("budget", budget);
    f.return(i32(code));
  };
  const record = (f: FunctionBuilder) => f.param(0, "i32").get();
  const budgetOf = (f: FunctionBuilder) => f.param(1, "i32").get();
  const linearOf = (f: FunctionBuilder, env: RuntimeEnv, r: I32) =>
    env.get("ripPage", "i64").add(f.load("i64.load16_u", r, RECORD.pageOffset));

  /** Counts how often a record is come to that is not compiled, by way of compiled code or a jump to a computed address. */
  const countEntry = (f: FunctionBuilder, env: RuntimeEnv, r: I32) => {
    const cell = f.let(r.sub(ARENA_BASE).shrU(4));
    const count = f.let(f.loadExpr("i32.load16_u", cell, REGION_ENTRIES).add(1));
    f.store("i32.store16", cell, count, REGION_ENTRIES);
    f.if(count.eq(ENTERED_OFTEN), () => {
      env.set("scratch0", linearOf(f, env, r));
      f.call(env.fn("entered"));
    });
  };

  /** `known`: what to do first with the record of the target, where there is one at hand. */
  const writeEnter = (f: FunctionBuilder, env: RuntimeEnv, linear: I64, known?: (record: I32) => void) => {
    const budget = budgetOf(f);
    const offset = () => f.callFor("i64", env.fn("code_offset"), linear);
    f.if(budget.leS(env.get("attention")), () => exit(f, env, EXIT.budget, offset(), budget));
    // The common way without a call: the page is in the code TLB and the byte has a record.
    const entry = codeTlbEntry(f, env, linear);
    f.if(f.loadExpr("i64.load", entry, 0).eq(linear.and(-4096)), () => {
      const to = recordIn(f, f.loadExpr("i32.load", entry, 8) as I32, f.let(linear.wrap()));
      f.if(to, () => {
        env.set("ripPage", linear.and(-4096));
        known?.(to);
        const slot = f.load("i32.load16_u", to, RECORD.handler);
        f.if(slot.ltU(env.get("firstRegion")), () => countEntry(f, env, to));
        f.returnCallIndirect(type, slot, to, budget);
      });
    });
    const next = f.callFor("i32", env.fn("lookup"), linear);
    f.if(next.eqz(), () => exit(f, env, EXIT.fault, offset(), budget));
    env.set("ripPage", linear.and(-4096));
    dispatch(f, next, budget);
  };
  /** Runs on at a linear address. */
  const enter = runtime("enter", "i64 i32", "i32", (f, env) => writeEnter(f, env, f.let(f.param(0, "i64").get())));
  /** The same for the target of a computed jump, or a far one, which is remembered. */
  const enterComputed = runtime("enter_computed", "i64 i32", "i32", (f, env) => {
    const linear = f.let(f.param(0, "i64").get());
    writeEnter(f, env, linear, (record) => remember(f, env, linear, record));
  });

  const nextOf = (f: FunctionBuilder, env: RuntimeEnv, r: I32) =>
    f.let(linearOf(f, env, r).add(f.load("i64.load8_u", r, RECORD.length)));
  /** Where a relative jump leads, not yet cut to its size. */
  const targetOf = (f: FunctionBuilder, env: RuntimeEnv, r: I32, next = nextOf(f, env, r)) =>
    f.let(next.add(f.load("i64.load32_s", r, RECORD.immediate)));

  /** A jump whose count is used up: tells of it the first time, and goes on at the target. */
  const warmed = runtime("warmed", "i32 i64 i32", "i32", (f, env) => {
    const target = f.param(1, "i64").get() as I64;
    f.if(f.loadExpr("i32.load", record(f), RECORD.heat).eqz(), () => {
      env.set("scratch0", target);
      f.call(env.fn("hot"), record(f));
    });
    f.returnCall(env.fn("enter"), target, f.param(2, "i32").get());
  });
  /** The same for a relative jump in 64-bit mode. */
  const warmedRelative = runtime("warmed_relative", "i32 i32", "i32", (f, env) =>
    f.returnCall(env.fn("warmed"), record(f), targetOf(f, env, record(f)), budgetOf(f)),
  );
  const toCompiled = (f: FunctionBuilder, env: RuntimeEnv, r: I32, budget: I32) => {
    const slot = f.load("i32.load16_u", r, RECORD.handler);
    const compiled = slot.geU(env.get("firstRegion"));
    f.if(compiled.eqz(), () => f.returnCall(env.fn("dispatch_handler"), r, budget));
    f.returnCallIndirect(type, slot, r, budget);
  };
  /** For compiled code, which has no table of its own. What it calls it leaves to: it keeps nothing. */
  const dispatchRecord = runtime("dispatch", "i32 i32", "i32", (f, env) => toCompiled(f, env, record(f), budgetOf(f)));
  /** The same where the record is not compiled. */
  const dispatchHandler = runtime("dispatch_handler", "i32 i32", "i32", (f, env) => {
    f.if(env.get("flagKind"), () => f.call(env.fn("settle_flags")));
    countEntry(f, env, record(f));
    dispatch(f, record(f), budgetOf(f));
  });
  /** The same for the record's own handler: where a region that begins there may not be entered, or the interpreter is needed. */
  const dispatchSingle = runtime("dispatch_single", "i32 i32", "i32", (f, env) => {
    f.if(env.get("flagKind"), () => f.call(env.fn("settle_flags")));
    const single = f.loadExpr("i32.load16_u", record(f), RECORD.single);
    f.returnCallIndirect(type, single, record(f), budgetOf(f));
  });

  /** Counts a jump of copied code that is done; where the count is used up, to whatever has come into being at the target. */
  const countJump = (f: FunctionBuilder, leave: () => void) => {
    const left = f.let(f.load("i32.load", record(f), RECORD.heat).sub(1));
    f.store("i32.store", record(f), left, RECORD.heat);
    f.if(left.leS(0), leave);
  };
  /**
   * The record of a relative jump's target on another page, which becomes the one that runs: what was found there last time is at hand with
   * the jump itself. `forgotten`: does not come back.
   */
  const farRecord = (f: FunctionBuilder, env: RuntimeEnv, r: I32, target: I64, forgotten: () => void): I32 => {
    f.if(f.loadExpr("i32.load", r, RECORD.farMap).ne(env.get("codeMap")), () => {
      const { differs, record: found } = remembered(f, env, target);
      f.if(differs, forgotten);
      f.store("i32.store", r, found, RECORD.far);
      f.store("i32.store", r, env.get("codeMap"), RECORD.farMap);
    });
    env.set("ripPage", target.and(-4096));
    return f.load("i32.load", r, RECORD.far);
  };
  /** A relative jump in 64-bit mode from copied code to where that does not go, done. */
  const takeRelative = runtime("take_relative", "i32 i32", "i32", (f, env) => {
    const r = record(f);
    const budget = budgetOf(f);
    countJump(f, () => f.returnCall(env.fn("warmed_relative"), r, budget));
    const link = f.load("i32.load", r, RECORD.link);
    const search = () => f.returnCall(env.fn("branch64"), r, budget);
    f.if(budget.leS(env.get("attention")), search);
    f.if(link, () => toCompiled(f, env, link, budget));
    toCompiled(f, env, farRecord(f, env, r, targetOf(f, env, r), search), budget);
  });
  /** A return from copied code to where nobody waits for it. */
  const takeReturn = runtime("take_return", "i32 i64 i32", "i32", (f, env) => {
    const target = f.param(1, "i64").get() as I64;
    const budget = f.param(2, "i32").get() as I32;
    const { differs, record: to } = remembered(f, env, target);
    f.if(differs.or(budget.leS(env.get("attention"))), () => f.returnCall(env.fn("enter_computed"), target, budget));
    const found = f.let(to);
    countJump(f, () => f.returnCall(env.fn("warmed"), record(f), target, budget));
    env.set("ripPage", target.and(-4096));
    toCompiled(f, env, found, budget);
  });
  /**
   * A call from copied code, which waits for what is called to return: notes where to. Where too many wait, or the budget is used up, all
   * of them are told that the run ends. What is called goes on from there.
   */
  const waitFor = (f: FunctionBuilder, env: RuntimeEnv, target: I64, next: I64, budget: I32) => {
    const top = f.let(env.get("returnTop").add(RETURN_SIZE));
    const ready = budget.gtS(env.get("attention")).and(top.ltU(RETURNS * RETURN_SIZE));
    f.if(ready.eqz(), () => exit(f, env, EXIT.budget, target, budget));
    env.set("returnTop", top);
    f.store("i64.store", top, next, RETURN_STACK);
    f.store("i32.store", top, env.get("codeMap"), RETURN_STACK + 8);
  };
  const callRelative = runtime("call_relative", "i32 i32", "i32", (f, env) => {
    const r = record(f);
    const next = nextOf(f, env, r);
    const target = targetOf(f, env, r, next);
    const to = f.variable(f.load("i32.load", r, RECORD.link));
    f.if(to.get().eqz(), () => {
      const forgotten = () => f.returnCall(env.fn("call_computed"), r, target, budgetOf(f));
      to.set(farRecord(f, env, r, target, forgotten));
    });
    waitFor(f, env, target, next, budgetOf(f));
    toCompiled(f, env, to.get(), budgetOf(f));
  });
  const callComputed = runtime("call_computed", "i32 i64 i32", "i32", (f, env) => {
    const target = f.param(1, "i64").get() as I64;
    const budget = f.param(2, "i32").get() as I32;
    // What was pushed is taken back where the call faults; the run loop delivers that, for this function is to return.
    f.if(target.shl(16).shrS(16).ne(target), () =>
      f.if(f.callFor("i32", env.fn("check_target"), target), () => {
        env.set("rsp", env.get("rsp", "i64").add(8));
        exit(f, env, EXIT.fault, linearOf(f, env, record(f)), budget.add(1));
      }),
    );
    waitFor(f, env, target, nextOf(f, env, record(f)), budget);
    const { differs, record: to } = remembered(f, env, target);
    f.if(differs, () => f.returnCall(env.fn("enter_computed"), target, budget));
    const found = f.let(to);
    env.set("ripPage", target.and(-4096));
    toCompiled(f, env, found, budget);
  });

  /** For code that needs flags as they are in the state. */
  const dispatchSettled = runtime("dispatch_settled", "i32 i32", "i32", (f, env) => {
    f.call(env.fn("settle_flags"));
    dispatch(f, record(f), budgetOf(f));
  });

  /** Runs one instruction, then stops: its record is copied in front of a record that stops. */
  const step = runtime("step_record", "i64 i32", "i32", (f, env) => {
    const linear = f.let(f.param(0, "i64").get());
    const at = f.param(1, "i32").get();
    const offset = () => f.callFor("i64", env.fn("code_offset"), linear);
    const next = f.callFor("i32", env.fn("lookup"), linear);
    f.if(next.eqz(), () => exit(f, env, EXIT.fault, offset(), i32(0)));
    env.set("ripPage", linear.and(-4096));
    const copied = f.variable(next);
    // An instruction across two pages is decoded anew; what it finds is copied instead.
    f.if(f.load("i32.load16_u", next, RECORD.handler).eq(slotOf("across")), () => {
      const least = f.let(i32(4097).sub(linear.wrap().and(4095)));
      f.if(f.callFor("i32", env.fn("beyond_limit"), linear, least), () => exit(f, env, EXIT.fault, offset(), i32(0)));
      copied.set(f.callFor("i32", env.fn("decode_across"), next));
      f.if(copied.get().eqz(), () => exit(f, env, EXIT.fault, offset(), i32(0)));
    });
    // "Go on" is no instruction: it leads to the one to run.
    f.if(f.load("i32.load16_u", copied.get(), RECORD.handler).eq(slotOf("go_on")), () => {
      f.returnCall(env.fn("step_record"), linearOf(f, env, copied.get()), at);
    });
    const length = f.load("i32.load8_u", copied.get(), RECORD.length);
    f.if(f.callFor("i32", env.fn("beyond_limit"), linear, length), () => exit(f, env, EXIT.fault, offset(), i32(0)));
    f.copy(at, copied.get(), i32(RECORD_SIZE));
    f.store("i32.store16", at, f.load("i32.load16_u", copied.get(), RECORD.single), RECORD.handler);
    f.store("i32.store16", at, i32(slotOf("stop")), RECORD_SIZE + RECORD.handler);
    f.store(
      "i32.store16",
      at,
      f.load("i32.load16_u", copied.get(), RECORD.pageOffset).add(length),
      32 + RECORD.pageOffset,
    );
    dispatch(f, at, i32(0));
  });

  const linearRip = (f: FunctionBuilder, env: RuntimeEnv): I64 => {
    const rip = env.get("rip", "i64");
    return f.choose(
      env.get("codeBits").eq(64),
      () => rip,
      () => f.let(rip.add(env.get("cs.base", "i64")).and(0xffff_ffff)),
    );
  };
  /** Nobody waits for a call to return. No address that a jump may go to is -1. */
  const forgetCalls = (f: FunctionBuilder, env: RuntimeEnv) => {
    env.set("returnTop", i32(0));
    f.store("i64.store", i32(0), i64(-1), RETURN_STACK);
  };
  /** Runs from where the state's `rip` says. */
  const run = runtime("run", "i32", "i32", (f, env) => {
    forgetCalls(f, env);
    f.returnCall(env.fn("enter"), linearRip(f, env), f.param(0, "i32").get());
  });
  /** One instruction from there, at scratch records `at`. */
  const runStep = runtime("run_step", "i32", "i32", (f, env) => {
    forgetCalls(f, env);
    f.returnCall(env.fn("step_record"), linearRip(f, env), f.param(0, "i32").get());
  });

  /**
   * So many instructions from there, one at a time at scratch records `at`; fewer where something has to be looked at in between. The state's
   * `budget` says how many are left.
   */
  const runSteps = runtime("run_steps", "i32 i32", "i32", (f, env) => {
    const left = f.variable(f.param(0, "i32").get() as I32);
    const code = f.variable(i32(EXIT.budget));
    f.while(
      () => left.get().gtS(env.get("attention")).and(code.get().eq(EXIT.budget)),
      () => {
        code.set(f.callFor("i32", env.fn("run_step"), f.param(1, "i32").get()));
        // A step begins with a budget of 0.
        left.set(left.get().add(env.get("budget")));
      },
    );
    env.set("budget", left.get());
    f.return(code.get());
  });

  const jump = runtime("jump", "i64 i32", "i32", (f, env) => {
    const target = f.let(f.param(0, "i64").get());
    const linear = f.choose(
      env.get("codeBits").eq(64),
      () => target,
      () => f.let(target.add(env.get("cs.base", "i64")).and(0xffff_ffff)),
    );
    f.returnCall(env.fn("enter"), linear, budgetOf(f));
  });

  /** A taken relative branch that is not linked. `mask` cuts EIP outside 64-bit mode. */
  const branch = (name: string, mask: number | undefined, links: boolean) =>
    runtime(name, "i32 i32", "i32", (f, env) => {
      const r = f.let(record(f));
      const budget = budgetOf(f);
      let target = targetOf(f, env, r);
      if (mask !== undefined) {
        const base = env.get("cs.base", "i64");
        const offset = f.let(target.sub(base).and(mask));
        // A branch that faults did not retire; the handler counted it.
        f.if(f.callFor("i32", env.fn("check_target"), offset), () => f.returnCall(env.fn("fault"), r, budget.add(1)));
        target = f.let(offset.add(base).and(0xffff_ffff));
      }
      if (!links) {
        f.returnCall(env.fn("enter"), target, budget);
        return;
      }
      const same = f.let(target.xor(env.get("ripPage", "i64")).and(-4096).eqz());
      f.if(same.eqz(), () => {
        // Branches have no target that is not canonical (SDM vol. 2, JMP); the same page always is.
        if (mask === undefined)
          f.if(f.callFor("i32", env.fn("check_target"), target), () => f.returnCall(env.fn("fault"), r, budget.add(1)));
        f.returnCall(env.fn(mask === undefined ? "enter_computed" : "enter"), target, budget);
      });
      f.if(budget.leS(0), () => f.returnCall(env.fn("enter"), target, budget));
      const epoch = env.get("codeEpoch");
      const found = f.callFor("i32", env.fn("lookup"), target);
      f.if(found.eqz(), () => exit(f, env, EXIT.fault, f.callFor("i64", env.fn("code_offset"), target), budget));
      // Decoding the target may have dropped every record, this one too. Records of a single step stay unlinked.
      f.if(env.get("codeEpoch").eq(epoch).and(r.geU(ARENA_BASE)), () => f.store("i32.store", r, found, RECORD.link));
      dispatch(f, found, budget);
    });

  /** What PUSH, POP and the like found wrong with their own address is a stack fault. */
  const stackFault = runtime("stack_fault", "", "", (_, env) => {
    const wrong = env.get("walkFlags").eq(NOT_CANONICAL).and(env.get("faultVector").eq(13));
    env.set("faultVector", env.get("faultVector").sub(wrong));
  });

  const fault = runtime("fault", "i32 i32", "i32", (f, env) => {
    f.call(env.fn("settle_fault"), f.loadExpr("i32.load8_u", record(f), RECORD.segment).eq(SS));
    const linear = f.let(linearOf(f, env, record(f)));
    env.set("rip", f.callFor("i64", env.fn("code_offset"), linear));
    f.returnCall(env.fn("take_fault"), budgetOf(f));
  });

  /** Goes on in the handler of the pending exception of the instruction at `rip`, or leaves where that is not simple. */
  const takeFault = runtime("take_fault", "i32", "i32", (f, env) => {
    const budget = f.let(f.param(0, "i32").get());
    f.if(f.callFor("i32", env.fn("deliver_fault")), () => {
      // An instruction that faults is not retired. It costs budget nevertheless, or faults for ever would hold the host for good.
      env.set("faultsTaken", env.get("faultsTaken").add(1));
      f.returnCall(env.fn("enter"), env.get("rip", "i64"), budget.sub(1));
    });
    exit(f, env, EXIT.fault, env.get("rip", "i64"), budget);
  });

  /** The pending exception of compiled code; not zero: its access went through SS. */
  const settleFault = runtime("settle_fault", "i32", "", (f, env) => {
    env.set("alignmentFree", i32(0));
    f.if(env.get("walkFlags").eq(NOT_CANONICAL), () => {
      const throughSs = f.param(0, "i32").get();
      f.if(env.get("faultVector").eq(13).and(throughSs.nez()), () => env.set("faultVector", i32(12)));
      env.set("walkFlags", i32(0));
    });
  });

  const special: Record<SpecialHandler, (f: FunctionBuilder, env: RuntimeEnv) => void> = {
    unused: (f) => f.unreachable(),
    refetch: (f, env) => f.returnCall(env.fn("enter"), linearOf(f, env, record(f)), budgetOf(f)),
    go_on: (f, env) => f.returnCall(env.fn("enter"), linearOf(f, env, record(f)), budgetOf(f)),
    stop: (f, env) => {
      const linear = f.let(linearOf(f, env, record(f)));
      exit(f, env, EXIT.budget, f.callFor("i64", env.fn("code_offset"), linear), budgetOf(f));
    },
    across: (f, env) => {
      const linear = f.let(linearOf(f, env, record(f)));
      // The frequent way: the second page is in the code TLB, and holds the same bytes as when it was decoded.
      f.if(env.get("codeBits").eq(64), () => {
        const next = f.let(env.get("ripPage", "i64").add(4096));
        const entry = codeTlbEntry(f, env, next);
        const memo = f.let(record(f).add(ACROSS.memo));
        const known = f.loadExpr("i32.load8_u", memo, ACROSS.known);
        f.if(known.nez().and(f.loadExpr("i64.load", entry, 0).eq(next)), () => {
          const page = f.load("i32.load", f.loadExpr("i32.load", entry, 8), CODE_PAGE.ramOffset);
          const differing = [0, 8].map((half) =>
            f
              .load("i64.load", page, RAM_BASE + half)
              .xor(f.load("i64.load", memo, half))
              .and(f.load("i64.load", memo, ACROSS.mask + half)),
          );
          f.if(differing[0]!.or(differing[1]!).eqz(), () =>
            dispatch(f, f.let(record(f).add(RECORD_SIZE)), budgetOf(f)),
          );
        });
      });
      // Its page lies within the segment, the next one may not.
      const check = (length: I32) => {
        const beyond = f.callFor("i32", env.fn("beyond_limit"), linear, length);
        f.if(beyond, () => f.returnCall(env.fn("fault"), record(f), budgetOf(f)));
      };
      check(f.let(i32(4097).sub(linear.wrap().and(4095))));
      const found = f.callFor("i32", env.fn("decode_across"), record(f));
      f.if(found.eqz(), () => f.returnCall(env.fn("fault"), record(f), budgetOf(f)));
      check(f.load("i32.load8_u", found, RECORD.length));
      dispatch(f, found, budgetOf(f));
    },
    undefined: (f, env) => {
      env.set("faultVector", i32(6));
      env.set("faultError", i32(-1));
      f.returnCall(env.fn("fault"), record(f), budgetOf(f));
    },
    too_long: (f, env) => {
      env.set("faultVector", i32(13));
      env.set("faultError", i32(0));
      f.returnCall(env.fn("fault"), record(f), budgetOf(f));
    },
  };

  return [
    stackFault,
    codeOffset,
    checkTarget,
    fetchPage,
    fetchFollowing,
    beyondLimit,
    lookup,
    enter,
    enterComputed,
    dispatchRecord,
    warmed,
    warmedRelative,
    takeRelative,
    takeReturn,
    callRelative,
    callComputed,
    dispatchHandler,
    dispatchSingle,
    dispatchSettled,
    step,
    run,
    runStep,
    runSteps,
    jump,
    branch("branch64", undefined, true),
    branch("branch32", 0xffff_ffff, true),
    branch("branch16", 0xffff, false),
    settleFault,
    takeFault,
    fault,
    ...SPECIAL_HANDLERS.map((name) => runtime(`handler_${name}`, "i32 i32", "i32", special[name])),
  ];
}

const SEGMENT_STRIDE = offsetOf("cs.selector") - offsetOf("es.selector");
for (const name of ["ss", "ds", "fs", "gs"]) {
  const expected = offsetOf("es.base") + ["es", "cs", "ss", "ds", "fs", "gs"].indexOf(name) * SEGMENT_STRIDE;
  if (offsetOf(`${name}.base`) !== expected) throw new Error("segment fields are not evenly spaced");
}

/**
 * Linear address of an offset in segment 0-5, checked for an access of `length` bytes (SDM vol. 3A, 5.3 to 5.5).
 * On a violation an exception is pending: #SS(0) for SS, else #GP(0).
 */
const segmentAddress = runtime("segment_address", "i32 i64 i32 i32", "i64", (f, env) => {
  const segment = f.let(f.param(0, "i32").get());
  const offset = f.let(f.param(1, "i64").get());
  const at = f.let(segment.mul(SEGMENT_STRIDE));
  const field = (name: "attributes" | "limit") => f.load("i32.load", at, env.address(`es.${name}`));
  const base = f.load("i64.load", at, env.address("es.base"));
  f.if(env.get("codeBits").eq(64), () => {
    f.if(segment.geU(4), () => f.return(offset.add(base)));
    f.return(offset);
  });
  const fail = () => {
    env.set("faultVector", f.let(i32(13).sub(segment.eq(2))));
    env.set("faultError", i32(0));
    f.return(i64(0));
  };
  const attributes = field("attributes");
  f.if(attributes.and(0x10000), fail);
  const isCode = attributes.and(8);
  f.if(
    f.param(3, "i32").get(),
    () => f.if(isCode.nez().or(attributes.and(2).eqz()), fail),
    () => f.if(isCode.nez().and(attributes.and(2).eqz()), fail),
  );
  const limit = f.let(field("limit").extendU());
  const last = f.let(offset.add(f.param(2, "i32").get().extendU()).sub(1));
  const expandDown = f.let(attributes.and(0xc).eq(4));
  f.if(
    expandDown,
    () => {
      // Valid offsets lie above the limit, up to 64 KiB or 4 GiB by the B bit.
      const top = f.choose(
        attributes.and(0x4000),
        () => i64(0xffff_ffff),
        () => i64(0xffff),
      );
      f.if(offset.leU(limit).or(last.gtU(top)), fail);
    },
    () => f.if(last.gtU(limit), fail),
  );
  f.return(offset.add(base).and(0xffff_ffff));
});

/**
 * 1 where ES, CS, SS and DS span 4 GiB from 0 and SS, DS and ES can be written: an offset is a linear address then, and no
 * access through them faults.
 */
const flatSegments = runtime("flat_segments", "", "i32", (f, env) => {
  for (const name of ["es", "cs", "ss", "ds"]) {
    f.if(
      env
        .get(`${name}.base`, "i64")
        .eqz()
        .eqz()
        .or(env.get(`${name}.limit`).ne(-1)),
      () => f.return(i32(0)),
    );
    // Usable, expand up, and writable data unless it is the code segment.
    const bits = name === "cs" ? 0x10000 : 0x1000e;
    f.if(
      env
        .get(`${name}.attributes`)
        .and(bits)
        .ne(name === "cs" ? 0 : 2),
      () => f.return(i32(0)),
    );
  }
  f.return(env.get("stackMask", "i64").eq(0xffff_ffff));
});

const random = runtime("random", "", "i64", (f, env) => {
  f.call(env.fn("read_random"));
  f.return(env.get("scratch0", "i64"));
});
const tsc = runtime("tsc", "", "i64", (f, env) => {
  const now = op("i64.trunc_sat_f64_u", f.callFor("f64", env.fn("read_tsc"))) as I64;
  f.return(now.add(env.get("tscOffset", "i64")));
});

export const CONTROL_FUNCTIONS = [segmentAddress, flatSegments, random, tsc];
