/**
 * The code that takes a sample: a small WebAssembly module of its own. It runs once in a million guest instructions, when nothing of it is in
 * any cache, so what counts is how few cache lines it touches: as TypeScript it took four times as long. Made when somebody watches.
 */
import { HIGH_RAM_START, LOW_RAM_END } from "../../base/index.ts";
import { MAX_PAGES, RAM_BASE, STATE_BASE } from "../../cpu/memory-map.ts";
import { ADDRESS_MASK } from "../../cpu/runtime/paging.ts";
import { offsetOf } from "../../cpu/state.ts";
import { PAGE_SIZE } from "../../guest/memory.ts";
import { type Callable, type I32, type I64, i32, i64, ModuleBuilder, op } from "../../wasm/index.ts";
import { AREA, COMM_SIZE, RAW_PIECE, RAW_SAMPLE, RING_SIZE } from "./area.ts";

/** THREAD_SIZE with all that has ever been configured: no kernel stack is longer. */
const KERNEL_STACK = 32 * 1024;
/** Of a stack that another one was switched to from: what lies at its end, the registers of the user's code among it. */
const OTHER_STACK = 4096;
/** Most of a user stack that is copied. */
export const MOST_USER_STACK = 64 * 1024;
/** Below a user stack: what a function has just popped is where its call frame information still says it is. */
const RED_ZONE = 128;
/** From the end of a task's stack back (x86 struct pt_regs): SS, RSP, EFLAGS, CS. */
const SAVED_RSP = -16;
const SAVED_CS = -32;
const CR4_LA57 = 1 << 12;
const USER = 3;
const PRESENT = 1;
const LARGE = 0x80;
/** Longest of all samples. */
const MOST = RAW_SAMPLE.size + KERNEL_STACK + OTHER_STACK + MOST_USER_STACK + 3 * RAW_PIECE.size + 64;

const at = RAW_SAMPLE.offsets;

/** What is known of the moment without looking at the vCPU. */
export interface CaptureFunctions {
  /** Writes a sample into the ring; 0: there is no room. `time`: nanoseconds; `instructions`: retired. */
  take(work: number, detail: number, weight: number, time: number, instructions: number): number;
}

const state = (field: string): I32 => i32(STATE_BASE + offsetOf(field));

/** The module's bytes. It imports the machine's memory, and is for one vCPU. */
export function captureModule(vcpu: number): Uint8Array {
  const module = new ModuleBuilder({ initial: 1, maximum: MAX_PAGES, shared: true });
  const walk = walkFunction(module, hostFunction(module));
  const copy = copyFunction(module, walk);
  module.export("take", takeFunction(module, walk, copy, vcpu));
  return module.encode();
}

/** Where a physical address lies in memory; 0: no RAM. */
function hostFunction(module: ModuleBuilder): Callable {
  const f = module.func("host", { params: ["i64"], results: ["i32"] });
  const physical = f.param(0, "i64").get();
  f.if(physical.ltU(f.loadExpr("i64.load", state("ramLow"))), () => f.return(physical.wrap().add(RAM_BASE)));
  const high = f.let(physical.sub(HIGH_RAM_START));
  const isHigh = high.ltU(f.loadExpr("i64.load", state("ramHigh")));
  f.if(isHigh, () => f.return(high.wrap().add(RAM_BASE + LOW_RAM_END)));
  f.return(i32(0));
  return f;
}

/**
 * Where a linear address lies in memory, to the end of its page; 0: it is not mapped to RAM. IA-32e paging (SDM vol. 3A, 4.5) from the top table
 * `root` on, whose entries choose by the bits from `shift` on. Unlike the processor's walk it sets no accessed bit: the guest does not notice.
 */
function walkFunction(module: ModuleBuilder, host: Callable): Callable {
  const f = module.func("walk", { params: ["i64", "i64", "i64"], results: ["i32"] });
  const linear = f.param(0, "i64").get();
  const table = f.param(1, "i64");
  const shift = f.param(2, "i64");
  const unused = f.let(i64(55).sub(shift.get()));
  f.if(linear.shl(unused).shrS(unused).ne(linear), () => f.return(i32(0)));
  f.loop((again) => {
    const index = linear.shrU(shift.get()).and(511);
    const entry = f.callFor("i32", host, table.get().add(index.shl(3)));
    f.if(entry.eqz(), () => f.return(i32(0)));
    const pte = f.load("i64.load", entry);
    f.if(pte.wrap().and(PRESENT).eqz(), () => f.return(i32(0)));
    const isLarge = f.let(pte.wrap().and(LARGE).nez());
    f.if(isLarge.and(shift.get().gtU(30)), () => f.return(i32(0)));
    f.if(shift.get().eq(12).or(isLarge), () => {
      const within = f.let(i64(1).shl(shift.get()).sub(1));
      const physical = pte.and(ADDRESS_MASK).and(within.not()).or(linear.and(within));
      f.return(f.callFor("i32", host, physical));
    });
    table.set(pte.and(ADDRESS_MASK));
    shift.set(shift.get().sub(9));
    f.br(again);
  });
  f.unreachable();
  return f;
}

/** Copies guest memory to `to`, from a linear address on, as far as it is mapped; how many bytes that were. */
function copyFunction(module: ModuleBuilder, walk: Callable): Callable {
  const f = module.func("copy", { params: ["i32", "i64", "i32", "i64", "i64"], results: ["i32"] });
  const to = f.param(0, "i32").get();
  const from = f.param(1, "i64").get();
  const length = f.param(2, "i32").get();
  const done = f.variable(i32(0));
  f.while(
    () => done.get().ltU(length),
    (leave) => {
      const here = f.let(from.add(done.get().extendU()));
      const place = f.callFor("i32", walk, here, f.param(3, "i64").get(), f.param(4, "i64").get());
      f.brIf(leave, place.eqz());
      const rest = f.let(length.sub(done.get()));
      const page = f.let(i32(PAGE_SIZE).sub(here.wrap().and(PAGE_SIZE - 1)));
      const part = f.choose(
        rest.ltU(page),
        () => rest,
        () => page,
      );
      f.copy(to.add(done.get()), place, part);
      done.set(done.get().add(part));
    },
  );
  f.return(done.get());
  return f;
}

function takeFunction(module: ModuleBuilder, walk: Callable, copy: Callable, vcpu: number): Callable {
  const f = module.func("take", { params: ["i32", "i32", "i32", "f64", "f64"], results: ["i32"] });
  const [work, detail, weight] = [0, 1, 2].map((i) => f.param(i, "i32").get());
  const given = (word: Parameters<typeof AREA.word>[0]): I32 => f.load("i32.load", i32(AREA.word(word)));
  const known = (name: Parameters<typeof AREA.address>[0]): I64 => f.load("i64.load", i32(AREA.address(name)));
  const register = (name: string): I64 => f.load("i64.load", state(name));

  // Room in the ring, as a whole (see area.ts).
  const written = f.variable(given("written"));
  const place = f.variable(written.get().and(RING_SIZE - 1));
  // No sample lies across its end.
  const rest = f.let(i32(RING_SIZE).sub(place.get()));
  const skipped = f.variable(i32(0));
  f.if(rest.ltU(MOST), () => skipped.set(rest));
  const used = f.let(written.get().sub(f.load("i32.atomic.load", i32(AREA.word("read")))));
  f.if(used.add(skipped.get()).add(MOST).gtU(RING_SIZE), () => f.return(i32(0)));
  f.if(skipped.get(), () => {
    f.store("i32.store", place.get(), i32(0), AREA.ring);
    written.set(written.get().add(rest));
    place.set(i32(0));
  });
  const start = f.let(place.get().add(AREA.ring));

  const put = (offset: number, value: I64): void => f.store("i64.store", start, value, offset);
  const put32 = (offset: number, value: I32): void => f.store("i32.store", start, value, offset);
  const integer = (i: number): I64 => op("i64.trunc_sat_f64_u", f.param(i, "f64").get()) as I64;
  f.store("i32.store16", start, work!, at.work);
  f.store("i32.store16", start, i32(vcpu), at.vcpu);
  put32(at.detail, detail!);
  put32(at.weight, weight!);
  put(at.time, integer(3));
  put(at.instructions, integer(4));
  const cpl = f.load("i32.load", state("cpl"));
  f.store("i32.store8", start, cpl, at.cpl);
  f.store("i32.store8", start, f.load("i32.load", state("codeBits")), at.codeBits);
  // General registers lie side by side, and RIP behind them, here as there.
  for (let part = 0; part < 16 * 8; part += 16) {
    f.store("v128.store", start, f.loadExpr("v128.load", state("rax"), part), at.gpr + part);
  }
  put(at.rip, register("rip"));
  const cr3 = register("cr3");
  put(at.cr3, cr3);
  put(at.gsBase, register("gs.base"));
  put(at.kernelGsBase, register("kernelGsBase"));

  const levels = f.choose(
    register("cr4").wrap().and(CR4_LA57),
    () => i64(48),
    () => i64(39),
  );
  const root = f.let(cr3.and(ADDRESS_MASK).and(i64(-1).shl(given("rootBits").extendU())));
  const tables = [root, f.let(levels)] as const;
  const copied = (to: I32, from: I64, length: I32): I32 => f.callFor("i32", copy, to, from, length, ...tables);
  /** Eight bytes of the kernel's, 0 where they are not mapped. */
  const pointer = (from: I64): I64 => {
    const value = f.variable(i64(0));
    f.if(from.nez().and(from.wrap().and(7).eqz()), () => {
      const found = f.callFor("i32", walk, from, ...tables);
      f.if(found, () => value.set(f.load("i64.load", found)));
    });
    return value.get();
  };

  const end = f.variable(start.add(RAW_SAMPLE.size));
  const pieces = f.variable(i32(0));
  const piece = (from: I64, length: I32): void => {
    const bytes = copied(end.get().add(RAW_PIECE.size), from, length);
    f.if(bytes, () => {
      f.store("i64.store", end.get(), from, RAW_PIECE.offsets.start);
      f.store("i32.store", end.get(), bytes, RAW_PIECE.offsets.length);
      end.set(end.get().add(bytes.add(RAW_PIECE.size + 7).and(-8)));
      pieces.set(pieces.get().add(1));
    });
  };

  const task = f.let(pointer(known("currentTask")));
  const top = f.let(pointer(known("topOfStack")));
  const hasTask = f.let(task.ltS(0));
  put32(at.hasTask, hasTask);
  f.if(hasTask, () => {
    put(at.task, task);
    // What is not mapped stays zero.
    put32(at.pid, i32(0));
    put32(at.tgid, i32(0));
    for (let part = 0; part < COMM_SIZE; part += 8) put(at.comm + part, i64(0));
    const member = (offset: I32): I64 => task.add(offset.extendU());
    for (const [word, to, size] of [
      ["taskPid", at.pid, 4],
      ["taskTgid", at.tgid, 4],
      ["taskComm", at.comm, COMM_SIZE],
    ] as const) {
      copied(start.add(to), member(given(word)), i32(size));
    }
  });

  const rsp = register("rsp");
  const userStack = f.variable(rsp);
  f.if(cpl.ne(USER), () => {
    const onTasks = f.let(top.ltS(0).and(rsp.leU(top)).and(top.sub(rsp).ltU(KERNEL_STACK)));
    f.if(
      onTasks,
      () => piece(rsp, top.sub(rsp).wrap()),
      () => {
        piece(rsp, i32(KERNEL_STACK).sub(rsp.wrap().and(KERNEL_STACK - 1)));
        f.if(top.ltS(0), () => piece(top.sub(OTHER_STACK), i32(OTHER_STACK)));
      },
    );
    userStack.set(i64(0));
    f.if(top.ltS(0), () => {
      const saved = pointer(top.add(SAVED_CS));
      f.if(saved.and(USER).eq(USER), () => userStack.set(pointer(top.add(SAVED_RSP))));
    });
  });
  f.if(userStack.get().gtS(0), () => {
    // The user's own half of the page tables is in the kernel's as well.
    const wanted = given("userStack");
    const length = f.choose(
      wanted.ltU(MOST_USER_STACK),
      () => wanted,
      () => i32(MOST_USER_STACK),
    );
    piece(userStack.get().and(-8).sub(RED_ZONE), length);
  });
  f.store("i32.store16", start, pieces.get(), at.pieces);
  const length = f.let(end.get().sub(start));
  put32(at.length, length);
  f.store("i32.atomic.store", i32(AREA.word("written")), written.get().add(length));
  f.return(i32(1));
  return f;
}
