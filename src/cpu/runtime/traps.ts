/**
 * Traps in 64-bit mode, the frequent ways only: interrupt delivery to CPL 0 through a 64-bit gate (SDM vol. 3A, 6.14), IRETQ to
 * 64-bit code, SYSCALL and SYSRET. Each decides before it changes anything; what it does not cover it leaves to the
 * general operations in cpu/system.
 */
import { type FunctionBuilder, type I32, type I64, i32, i64 } from "../../wasm/index.ts";
import { LazyFlags } from "../flags.ts";
import { TLB_BASE } from "../memory-map.ts";
import { WATCH } from "./debug.ts";
import { type RuntimeEnv, runtime } from "./define.ts";
import { ATTENTION } from "./exits.ts";
import { ACCESS } from "./paging.ts";
import { dataTlbOffset } from "./tlb.ts";

/** EFLAGS bits. */
const TF = 0x100;
const IF = 0x200;
const NT = 0x4000;
const RF = 0x1_0000;
const VM = 0x2_0000;
/** Arithmetic flags, which state.ts keeps apart. */
export const ARITHMETIC = 0x8d5;
/** DR6.BS. */
const SINGLE_STEP = 0x4000;
/** Flags IRETQ at CPL 0 and SYSRET take over. */
const IRET_FLAGS = 0x3f_7fd7 & ~VM;
const SYSRET_FLAGS = 0x3c_7fd7;

/** Descriptor attributes (bits 40-55) of the flat segments SYSCALL and SYSRET load (SDM vol. 2, SYSCALL). */
const CODE64 = 0xa09b;
const CODE32 = 0xc09b;
const DATA = 0xc093;
const DPL3 = 0x60;
const UNUSABLE = 0x1_0000;

/** How deliver64 was reached. */
export const TRAP = { external: 0, software: 1, fault: 2, trap: 3 } as const;

const flagsOf = (f: FunctionBuilder, env: RuntimeEnv) =>
  new LazyFlags(f, { read: (name, type) => env.get(name, type), write: (name, value) => env.set(name, value) });

const getEflags = runtime("get_eflags", "", "i32", (f, env) => {
  f.return(env.get("eflags").or(flagsOf(f, env).get()));
});
const setEflags = runtime("set_eflags", "i32", "", (f, env) => {
  const image = f.let(f.param(0, "i32").get());
  flagsOf(f, env).set(image);
  env.set("eflags", image.and(~ARITHMETIC).or(2));
});

const enter64 = runtime("enter_mode64", "", "", (_, env) => {
  env.set("codeKey", i32(3));
  env.set("codeLimit", i32(-1));
  env.set("codeBits", i32(64));
  env.set("stackMask", i64(-1));
});

/** Host address of 8 bytes that the CPU itself touches as supervisor; 0 where that faults, crosses a page, or is no RAM. */
const systemHost = runtime("system_host", "i64 i32", "i32", (f, env) => {
  const linear = f.let(f.param(0, "i64").get());
  const write = f.let(f.param(1, "i32").get());
  const low = f.let(linear.wrap());
  f.if(low.and(4095).gtU(4088), () => f.return(i32(0)));
  const entry = f.let(dataTlbOffset(low));
  const tag = f.load("i64.load", entry.add(write.shl(3)), TLB_BASE);
  f.if(linear.and(-4096).eq(tag), () => f.return(low.add(f.loadExpr("i32.load", entry, TLB_BASE + 16))));
  const host = f.callFor("i32", env.fn("translate"), linear, write.or(ACCESS.implicit));
  const complicated = () => {
    env.set("faultVector", i32(-1));
    f.return(i32(0));
  };
  f.if(host.leU(1), complicated);
  f.if(write, () => f.if(f.callFor("i32", env.fn("has_code"), host), complicated));
  f.return(host);
});

/** Reads 8 bytes as the CPU; `otherwise` runs where that is not simple. */
function read(f: FunctionBuilder, env: RuntimeEnv, linear: I64, otherwise: () => void): I64 {
  const host = f.callFor("i32", env.fn("system_host"), linear, i32(0));
  f.if(host.eqz(), otherwise);
  return f.load("i64.load", host);
}

/** A descriptor from the GDT; LDT and null selectors go the general way. */
function descriptor(f: FunctionBuilder, env: RuntimeEnv, selector: I32, otherwise: () => void): I64 {
  const offset = f.let(selector.and(0xfff8));
  f.if(
    selector
      .and(4)
      .nez()
      .or(offset.eqz())
      .or(offset.add(7).gtU(env.get("gdtr.limit"))),
    otherwise,
  );
  return read(f, env, f.let(env.get("gdtr.base", "i64").add(offset.extendU())), otherwise);
}

const attributesOf = (f: FunctionBuilder, d: I64): I32 => f.let(d.shrU(40).wrap().and(0xf0ff));

function setSegment(env: RuntimeEnv, name: "cs" | "ss", selector: I32, attributes: I32): void {
  env.set(`${name}.selector`, selector);
  env.set(`${name}.attributes`, attributes);
  env.set(`${name}.limit`, i32(-1));
  env.set(`${name}.base`, i64(0));
}

/** (vector, error code or -1, TRAP kind) → 0: delivered; 1: nothing done, the general way must go. `rip` is what is pushed. */
const deliver64 = runtime("deliver64", "i32 i32 i32", "i32", (f, env) => {
  const vector = f.let(f.param(0, "i32").get());
  const error = f.let(f.param(1, "i32").get());
  const kind = f.let(f.param(2, "i32").get());
  const general = () => f.return(i32(1));
  f.if(env.get("efer", "i64").wrap().and(0x400).eqz(), general);
  const at = f.let(vector.shl(4));
  f.if(at.add(15).gtU(env.get("idtr.limit")), general);
  const gate = f.let(env.get("idtr.base", "i64").add(at.extendU()));
  const low = read(f, env, gate, general);
  const high = read(f, env, f.let(gate.add(8)), general);
  const type = f.let(low.shrU(40).wrap());
  // Present 64-bit interrupt (14) or trap (15) gate.
  f.if(type.and(0x9e).ne(0x8e), general);
  const cpl = env.get("cpl");
  f.if(kind.eq(TRAP.software).and(type.shrU(5).and(3).ltU(cpl)), general);
  const selector = f.let(low.shrU(16).wrap().and(0xffff));
  const code = descriptor(f, env, selector, general);
  const attributes = attributesOf(f, code);
  // Present, DPL 0, accessed non-conforming code, L without D.
  f.if(attributes.and(0x60fd).ne(0x2099), general);
  const target = f.let(low.and(0xffff).or(low.shrU(32).and(0xffff_0000)).or(high.shl(32)));
  f.if(f.callFor("i32", env.fn("is_canonical"), target).eqz(), general);
  const ist = f.let(low.shrU(32).wrap().and(7));
  const stack = f.variable(env.get("rsp", "i64"));
  f.if(ist.or(cpl), () => {
    const where = f.choose(
      ist,
      () => ist.sub(1).shl(3).add(36),
      () => i32(4),
    );
    f.if(where.add(7).gtU(env.get("tr.limit")), general);
    stack.set(read(f, env, f.let(env.get("tr.base", "i64").add(where.extendU())), general));
  });
  const withError = f.let(error.ne(-1));
  const top = f.let(stack.get().and(-16).sub(40).sub(withError.extendU().shl(3)));
  const first = f.callFor("i32", env.fn("system_host"), top, i32(1));
  // All on one page. Linux has the stack that user code is interrupted on end with its page.
  f.if(first.eqz().or(first.and(4095).gtU(i32(4096 - 40).sub(withError.shl(3)))), general);
  const frame = f.let(first.add(withError.shl(3)));
  const eflags = f.callFor("i32", env.fn("get_eflags"));
  const saved = f.let(eflags.or(kind.eq(TRAP.fault).mul(RF)));
  f.if(withError, () => f.store("i64.store", first, error.extendU()));
  f.store("i64.store", frame, env.get("rip", "i64"), 0);
  f.store("i64.store", frame, env.get("cs.selector").extendU(), 8);
  f.store("i64.store", frame, saved.extendU(), 16);
  f.store("i64.store", frame, env.get("rsp", "i64"), 24);
  f.store("i64.store", frame, env.get("ss.selector").extendU(), 32);
  const kept = f.let(eflags.and(~(TF | NT | RF | VM | ARITHMETIC)));
  env.set(
    "eflags",
    f.choose(
      type.and(1),
      () => kept,
      () => f.let(kept.and(~IF)),
    ),
  );
  env.set("rsp", top);
  env.set("rip", target);
  f.if(cpl, () => {
    env.set("ss.selector", i32(0));
    env.set("ss.attributes", i32(UNUSABLE));
  });
  setSegment(env, "cs", f.let(selector.and(0xfffc)), attributes);
  env.set("cpl", i32(0));
  f.call(env.fn("enter_mode64"));
  f.call(env.fn("update_privilege"));
  f.return(i32(0));
});

/** Faults that are delivered without a look of the run loop at anything else, and those of them that push an error code. */
const bitsOf = (vectors: readonly number[]): number => vectors.reduce((bits, vector) => bits | (1 << vector), 0);
const SIMPLE_FAULTS = bitsOf([0, 3, 4, 5, 6, 7, 10, 11, 12, 13, 14, 16, 17, 19]);
const WITH_ERROR_CODE = bitsOf([10, 11, 12, 13, 14, 17]);
const PAGE_FAULT = 14;

/** The pending exception of the instruction at `rip` in 64-bit code. 1: delivered; 0: nothing done, the run loop delivers it. */
const deliverFault = runtime("deliver_fault", "", "i32", (f, env) => {
  const vector = f.let(env.get("faultVector"));
  const busy = env.get("stepping").or(env.get("pendingDebug")).or(env.get("codeBits").ne(64));
  const simple = vector.ltU(32).and(i32(SIMPLE_FAULTS).shrU(vector).and(1));
  f.if(busy.nez().or(simple.eqz()), () => f.return(i32(0)));
  const error = f.let(env.get("faultError"));
  const address = f.let(env.get("faultAddress", "i64"));
  const pushed = f.choose(
    i32(WITH_ERROR_CODE).shrU(vector).and(1),
    () => error,
    () => i32(-1),
  );
  env.set("faultVector", i32(-1));
  f.if(f.callFor("i32", env.fn("deliver64"), vector, pushed, i32(TRAP.fault)), () => {
    env.set("faultVector", vector);
    env.set("faultError", error);
    env.set("faultAddress", address);
    f.return(i32(0));
  });
  f.if(vector.eq(PAGE_FAULT), () => env.set("cr2", address));
  f.return(i32(1));
});

/** IRETQ from CPL 0 to 64-bit code. 0: done, `rip` is set; 1: nothing done, the general way must go. */
const iret64 = runtime("iret64", "", "i32", (f, env) => {
  const general = () => f.return(i32(1));
  f.if(env.get("cpl").or(env.get("eflags").and(NT)), general);
  const rsp = env.get("rsp", "i64");
  const first = f.callFor("i32", env.fn("system_host"), rsp, i32(0));
  f.if(first.eqz().or(first.and(4095).gtU(4096 - 40)), general);
  const rip = f.load("i64.load", first, 0);
  const cs = f.load("i32.load16_u", first, 8);
  const flags = f.load("i32.load", first, 16);
  const newRsp = f.load("i64.load", first, 24);
  const ss = f.load("i32.load16_u", first, 32);
  const rpl = f.let(cs.and(3));
  f.if(f.callFor("i32", env.fn("is_canonical"), rip).eqz(), general);
  const code = attributesOf(f, descriptor(f, env, cs, general));
  // Present, accessed, non-conforming code with L, DPL = RPL.
  f.if(code.and(0x60fd).ne(rpl.shl(5).or(0x2099)), general);
  const stack = f.variable(i32(UNUSABLE));
  f.if(
    ss.and(0xfffc).nez(),
    () => {
      stack.set(attributesOf(f, descriptor(f, env, ss, general)));
      // Present, accessed, writable data, DPL = RPL.
      f.if(stack.get().and(0xfb).ne(rpl.shl(5).or(0x93)).or(ss.and(3).ne(rpl)), general);
    },
    () => f.if(rpl, general),
  );
  env.set("rip", rip);
  env.set("rsp", newRsp);
  setSegment(env, "cs", cs, code);
  setSegment(env, "ss", ss, f.let(stack.get()));
  f.call(env.fn("set_eflags"), f.let(flags.and(IRET_FLAGS)));
  f.if(env.get("nmiBlocked"), () => {
    env.set("nmiBlocked", i32(0));
    env.set("attention", i32(ATTENTION));
  });
  // RF matters to instruction breakpoints only. While there are any, the run loop clears it after the next instruction.
  f.if(flags.and(RF), () => {
    f.if(
      env.get("watch").and(WATCH.code),
      () => env.set("attention", i32(ATTENTION)),
      () => env.set("eflags", env.get("eflags").and(~RF)),
    );
  });
  f.if(rpl, () => {
    for (const name of ["es", "ds", "fs", "gs"]) {
      const attributes = env.get(`${name}.attributes`);
      const isUsable = attributes.and(UNUSABLE).eqz();
      const conforming = attributes.and(0x1c).eq(0x1c);
      f.if(isUsable.and(attributes.shrU(5).and(3).ltU(rpl)).and(conforming.eqz()), () => {
        env.set(`${name}.selector`, i32(0));
        env.set(`${name}.attributes`, i32(UNUSABLE));
      });
    }
    env.set("cpl", rpl);
  });
  f.call(env.fn("update_privilege"));
  f.return(i32(0));
});

/** A single-step trap comes after SYSCALL and SYSRET where the flags they leave have TF. */
const stepBySystemCall = runtime("step_by_system_call", "", "", (f, env) => {
  env.set("stepTrap", i32(0));
  f.if(env.get("eflags").and(TF), () => {
    env.set("pendingDebug", env.get("pendingDebug").or(SINGLE_STEP));
    env.set("attention", i32(ATTENTION));
  });
});

/** SYSCALL (SDM vol. 2): the operand is the address of the next instruction. Sets `rip`. Long mode only. */
const syscall = runtime("syscall", "i64", "", (f, env) => {
  const next = f.let(f.param(0, "i64").get());
  const flags = f.callFor("i32", env.fn("get_eflags"));
  env.set("rcx", next);
  env.set("r11", flags.and(~RF).extendU());
  const selector = f.let(env.get("star", "i64").shrU(32).wrap().and(0xfffc));
  env.set(
    "rip",
    f.choose(
      env.get("codeBits").eq(64),
      () => env.get("lstar", "i64"),
      () => env.get("cstar", "i64"),
    ),
  );
  f.call(env.fn("set_eflags"), f.let(flags.and(env.get("fmask", "i64").wrap().not()).and(~(RF | VM))));
  setSegment(env, "cs", selector, i32(CODE64));
  setSegment(env, "ss", f.let(selector.add(8)), i32(DATA));
  env.set("cpl", i32(0));
  f.call(env.fn("enter_mode64"));
  f.call(env.fn("update_privilege"));
  f.call(env.fn("step_by_system_call"));
});

/** SYSRET: the operand is 1 for the 64-bit form. The caller has checked that RCX is canonical. */
const sysret = runtime("sysret", "i32", "", (f, env) => {
  const wide = f.let(f.param(0, "i32").get());
  const base = f.let(env.get("star", "i64").shrU(48).wrap().and(0xffff));
  f.if(
    wide,
    () => {
      env.set("rip", env.get("rcx", "i64"));
      setSegment(env, "cs", f.let(base.add(16).or(3)), i32(CODE64 | DPL3));
    },
    () => {
      env.set("rip", env.get("rcx", "i64").and(0xffff_ffff));
      setSegment(env, "cs", f.let(base.or(3)), i32(CODE32 | DPL3));
      env.set("codeKey", i32(2));
      env.set("codeBits", i32(32));
      env.set("codeLimit", i32(-1));
      env.set("stackMask", i64(0xffff_ffff));
    },
  );
  setSegment(env, "ss", f.let(base.add(8).or(3)), i32(DATA | DPL3));
  f.call(env.fn("set_eflags"), f.let(env.get("r11", "i64").wrap().and(SYSRET_FLAGS)));
  env.set("cpl", i32(3));
  f.call(env.fn("update_privilege"));
  f.call(env.fn("step_by_system_call"));
});

export const TRAP_FUNCTIONS = [
  getEflags,
  setEflags,
  enter64,
  systemHost,
  deliver64,
  deliverFault,
  iret64,
  stepBySystemCall,
  syscall,
  sysret,
];
