/**
 * Memory accesses that miss the inline TLB compare: page walks, accesses across two pages, device memory, and writes to
 * pages that hold decoded code. What is not plain RAM goes through the bounce buffer.
 */
import { type FunctionBuilder, type I32, type I64, i32, i64, type Local, op } from "../../wasm/index.ts";
import { CODE_MAP, CODE_PAGE, RECORD } from "../interpreter/record.ts";
import { CODE_PAGE_INDEX, EMPTY_MAP, RAM_BASE, TLB_NONE } from "../memory-map.ts";
import { WATCH } from "./debug.ts";
import { type RuntimeEnv, runtime } from "./define.ts";
import { ACCESS } from "./paging.ts";
import { dataTlbOffset } from "./tlb.ts";

/** Table slot of the handler that looks its record up again; see control.ts. */
export const REFETCH_SLOT = 1;

const userBit = (env: RuntimeEnv) => env.get("cpl").eq(3).shl(1);

/** The page after `linear`, with the wrap at 4 GiB outside 64-bit mode. */
const nextPage = (f: FunctionBuilder, env: RuntimeEnv, linear: I64): I64 => {
  const next = f.let(linear.or(4095).add(1));
  return f.choose(
    env.get("codeBits").eq(64),
    () => next,
    () => f.let(next.and(0xffff_ffff)),
  );
};

/** What a slow access looks for before anything else: 1 with an exception pending, or where the instruction has to run by itself. */
const checkAccess = runtime("check_access", "i64 i32 i32", "i32", (f, env) => {
  const [linear, length, write] = [f.param(0, "i64").get(), f.param(1, "i32").get(), f.param(2, "i32").get()];
  f.if(env.get("dataTlb").eq(TLB_NONE), () => {
    f.if(f.callFor("i32", env.fn("check_alignment"), linear, length), () => f.return(i32(1)));
  });
  f.if(env.get("watch").and(WATCH.data), () => {
    f.if(f.callFor("i32", env.fn("watch_data"), linear, length, write), () => f.return(i32(1)));
  });
  f.return(i32(0));
});

/** Reads device memory at the physical address into `to`, at most 4 bytes at a time. */
const deviceRead = runtime("device_read", "i32 i32 i64", "", (f, env) => {
  const to = f.variable(f.param(0, "i32").get());
  const left = f.variable(f.param(1, "i32").get());
  const at = f.variable(f.param(2, "i64").get());
  forPieces(f, to, left, at, (size) => {
    const value = f.callFor("i32", env.fn("mmio_read_split"), at.get(), size);
    f.if(
      size.eq(4),
      () => f.store("i32.store", to.get(), value),
      () => {
        f.if(
          size.eq(2),
          () => f.store("i32.store16", to.get(), value),
          () => f.store("i32.store8", to.get(), value),
        );
      },
    );
  });
});

const deviceWrite = runtime("device_write", "i32 i32 i64", "", (f, env) => {
  const from = f.variable(f.param(0, "i32").get());
  const left = f.variable(f.param(1, "i32").get());
  const at = f.variable(f.param(2, "i64").get());
  forPieces(f, from, left, at, (size) => {
    const value = f.choose(
      size.eq(4),
      () => f.load("i32.load", from.get()),
      () =>
        f.choose(
          size.eq(2),
          () => f.load("i32.load16_u", from.get()),
          () => f.load("i32.load8_u", from.get()),
        ),
    );
    f.call(env.fn("mmio_write_split"), at.get(), size, value);
  });
});

/** Physical addresses go to TypeScript as doubles: exact below 2^53. */
const mmioReadSplit = runtime("mmio_read_split", "i64 i32", "i32", (f, env) => {
  const physical = f.param(0, "i64").get();
  f.return(f.callFor("i32", env.fn("mmio_read"), toDouble(physical), f.param(1, "i32").get()));
});
const mmioWriteSplit = runtime("mmio_write_split", "i64 i32 i32", "", (f, env) => {
  const physical = f.param(0, "i64").get();
  f.call(env.fn("mmio_write"), toDouble(physical), f.param(1, "i32").get(), f.param(2, "i32").get());
});

/** Fills `count` bytes of the bounce buffer from what they stand for on one page: RAM, or (host address 1) a device. */
const bounceIn = runtime("bounce_in", "i32 i32 i32 i64", "", (f, env) => {
  const [to, host, count] = [f.param(0, "i32").get(), f.param(1, "i32").get(), f.param(2, "i32").get()];
  f.if(
    host.eq(1),
    () => f.call(env.fn("device_read"), to, count, f.param(3, "i64").get()),
    () => f.copy(to, host, count),
  );
});

/** Host address to read `length` bytes from; 0: an exception is pending. */
const slowRead = runtime("slow_read", "i64 i32", "i32", (f, env) => {
  const linear = f.let(f.param(0, "i64").get());
  const length = f.let(f.param(1, "i32").get());
  const access = f.let(userBit(env));
  const bounce = i32(env.address("bounce"));
  f.if(f.callFor("i32", env.fn("check_access"), linear, length, i32(0)), () => f.return(i32(0)));
  const first = f.callFor("i32", env.fn("translate"), linear, access);
  f.if(first.eqz(), () => f.return(i32(0)));
  const physical = env.get("walkPhysical", "i64");
  const split = f.let(i32(4096).sub(linear.wrap().and(4095)));
  f.if(length.leU(split), () => {
    f.if(first.ne(1), () => f.return(first));
    f.call(env.fn("device_read"), bounce, length, physical);
    f.return(bounce);
  });
  const second = f.callFor("i32", env.fn("translate"), nextPage(f, env, linear), access);
  f.if(second.eqz(), () => f.return(i32(0)));
  f.call(env.fn("bounce_in"), bounce, first, split, physical);
  f.call(env.fn("bounce_in"), bounce.add(split), second, length.sub(split), env.get("walkPhysical", "i64"));
  f.return(bounce);
});

/** Host address to write `length` bytes to, or the bounce buffer (commit_write then carries it out); 0: an exception is pending. */
const slowWrite = runtime("slow_write", "i64 i32", "i32", (f, env) => {
  const linear = f.let(f.param(0, "i64").get());
  const length = f.let(f.param(1, "i32").get());
  const access = f.let(userBit(env).or(ACCESS.write));
  const bounce = i32(env.address("bounce"));
  f.if(f.callFor("i32", env.fn("check_access"), linear, length, i32(1)), () => f.return(i32(0)));
  const split = f.let(i32(4096).sub(linear.wrap().and(4095)));
  const crosses = f.let(length.gtU(split));
  const second = f.variable(i32(0));
  f.if(crosses, () => {
    second.set(f.callFor("i32", env.fn("translate"), nextPage(f, env, linear), access));
    f.if(second.get().eqz(), () => {
      // The first page faults first.
      f.if(f.callFor("i32", env.fn("walk"), linear, access), () => f.return(i32(0)));
      f.if(f.callFor("i32", env.fn("walk"), nextPage(f, env, linear), access), () => f.return(i32(0)));
    });
    env.set("bouncePhysical2", env.get("walkPhysical", "i64"));
  });
  const first = f.callFor("i32", env.fn("translate"), linear, access);
  f.if(first.eqz(), () => f.return(i32(0)));
  f.if(crosses.eqz().and(first.ne(1)), () => {
    f.if(f.callFor("i32", env.fn("has_code"), first).eqz(), () => f.return(first));
  });
  env.set("bouncePhysical", env.get("walkPhysical", "i64"));
  env.set("bounceHost", first);
  env.set("bounceHost2", second.get());
  env.set(
    "bounceSplit",
    f.choose(
      crosses,
      () => split,
      () => length,
    ),
  );
  env.set("bounceLength", length);
  f.return(bounce);
});

/** slow_write, with the bounce buffer filled with what is there now. */
const slowRmw = runtime("slow_rmw", "i64 i32", "i32", (f, env) => {
  const host = f.callFor("i32", env.fn("slow_write"), f.param(0, "i64").get(), f.param(1, "i32").get());
  const bounce = i32(env.address("bounce"));
  f.if(host.eq(bounce), () => {
    const split = env.get("bounceSplit");
    f.call(env.fn("bounce_in"), bounce, env.get("bounceHost"), split, env.get("bouncePhysical", "i64"));
    const rest = f.let(env.get("bounceLength").sub(split));
    f.if(rest, () => {
      const [second, physical] = [env.get("bounceHost2"), env.get("bouncePhysical2", "i64")];
      f.call(env.fn("bounce_in"), bounce.add(split), second, rest, physical);
    });
  });
  f.return(host);
});

const commitPart = runtime("commit_part", "i32 i32 i32 i64", "", (f, env) => {
  const host = f.param(0, "i32").get();
  const from = f.param(1, "i32").get();
  const length = f.param(2, "i32").get();
  f.if(host.eq(1), () => {
    f.call(env.fn("device_write"), from, length, f.param(3, "i64").get());
    f.return();
  });
  f.copy(host, from, length);
  f.call(env.fn("code_write"), host, length);
});

const commitWrite = runtime("commit_write", "", "", (f, env) => {
  const bounce = i32(env.address("bounce"));
  const split = env.get("bounceSplit");
  f.call(env.fn("commit_part"), env.get("bounceHost"), bounce, split, env.get("bouncePhysical", "i64"));
  const rest = f.let(env.get("bounceLength").sub(split));
  f.if(rest, () => {
    const [second, physical] = [env.get("bounceHost2"), env.get("bouncePhysical2", "i64")];
    f.call(env.fn("commit_part"), second, bounce.add(split), rest, physical);
  });
});

/** 1 with an exception pending if a write of `length` bytes would fault, else 0. */
const probeWrite = runtime("probe_write", "i64 i32", "i32", (f, env) => {
  const linear = f.let(f.param(0, "i64").get());
  const left = f.variable(f.param(1, "i32").get());
  const at = f.variable(linear);
  f.if(f.callFor("i32", env.fn("check_access"), linear, left.get(), i32(1)), () => f.return(i32(1)));
  f.while(
    () => left.get().gtS(0),
    () => {
      // Allocators of kernels compare and exchange 16 bytes all the time: what the TLB lets be written is not walked to.
      const entry = f.let(dataTlbOffset(f.let(at.get().wrap())).add(env.get("dataTlb")));
      f.if(
        at
          .get()
          .and(-4096)
          .ne(f.loadExpr("i64.load", entry, 8)),
        () => {
          const host = f.callFor("i32", env.fn("translate"), at.get(), userBit(env).or(ACCESS.write));
          f.if(host.eqz(), () => f.return(i32(1)));
        },
      );
      left.set(left.get().sub(i32(4096).sub(at.get().wrap().and(4095))));
      at.set(nextPage(f, env, f.let(at.get())));
    },
  );
  f.return(i32(0));
});

/** Host address valid to the end of the page, from the TLB alone; 0 where the slow way must go. */
const hostLookup = (name: string, tag: number) =>
  runtime(name, "i64", "i32", (f, env) => {
    const linear = f.let(f.param(0, "i64").get());
    // A repeated instruction that runs by itself does one element.
    f.if(env.get("elementwise"), () => f.return(i32(0)));
    const low = f.let(linear.wrap());
    const entry = f.let(dataTlbOffset(low).add(env.get("dataTlb")));
    f.if(linear.and(-4096).ne(f.loadExpr("i64.load", entry, tag)), () => f.return(i32(0)));
    f.return(low.add(f.loadExpr("i32.load", entry, 16)));
  });

// ---- code pages

const codePageSlot = (host: I32): I32 => host.sub(RAM_BASE).shrU(12).shl(2);

/** 1 where the RAM page at a host address holds decoded instructions. */
const hasCode = runtime("has_code", "i32", "i32", (f) => {
  const page = f.variable(f.load("i32.load", codePageSlot(f.param(0, "i32").get()), CODE_PAGE_INDEX));
  f.while(
    () => page.get(),
    () => {
      f.if(f.load("i64.load", page.get(), CODE_PAGE.coverage).eqz().eqz(), () => f.return(i32(1)));
      page.set(f.load("i32.load", page.get(), CODE_PAGE.next));
    },
  );
  f.return(i32(0));
});

/** RAM at `host` changed: decoded instructions that overlap it are dropped. `length` stays within the page. */
const codeWrite = runtime("code_write", "i32 i32", "", (f, env) => {
  const host = f.let(f.param(0, "i32").get());
  const page = f.variable(f.load("i32.load", codePageSlot(host), CODE_PAGE_INDEX));
  f.if(page.get().eqz(), () => f.return());
  const first = f.let(host.shrU(6).and(63));
  const last = f.let(host.add(f.param(1, "i32").get()).sub(1).shrU(6).and(63));
  const mask = f.let(
    i64(-1)
      .shl(first.extendU())
      .and(i64(-1).shrU(i32(63).sub(last).extendU())),
  );
  f.while(
    () => page.get(),
    () => {
      const hit = f.load("i64.load", page.get(), CODE_PAGE.coverage).and(mask).eqz().eqz();
      f.if(hit, () => f.call(env.fn("invalidate_page"), page.get()));
      page.set(f.load("i32.load", page.get(), CODE_PAGE.next));
    },
  );
});

/** Drops all decoded instructions of a code page. Records that still run, or that jumps are linked to, look themselves up again. */
const invalidatePage = runtime("invalidate_page", "i32", "", (f, env) => {
  const page = f.let(f.param(0, "i32").get());
  f.if(f.load("i32.load", page, CODE_PAGE.regions), () => f.call(env.fn("drop_regions"), page));
  const part = f.variable(page);
  const behind = f.let(page.add(CODE_MAP.parts * 4));
  f.loop((nextPart) => {
    const at = f.variable(f.load("i32.load", part.get(), CODE_PAGE.maps));
    f.if(at.get().ne(EMPTY_MAP), () => {
      const end = f.let(at.get().add(CODE_MAP.size));
      f.loop((again) => {
        const record = f.load("i32.load", at.get());
        f.if(record, () => {
          f.store("i32.store", record, i32(REFETCH_SLOT | (REFETCH_SLOT << 16)), RECORD.handler);
          f.store("i32.store", at.get(), i32(0));
        });
        at.set(at.get().add(4));
        f.brIf(again, at.get().ltU(end));
      });
    });
    part.set(part.get().add(4));
    f.brIf(nextPart, part.get().ltU(behind));
  });
  f.store("i64.store", page, i64(0), CODE_PAGE.coverage);
});

function toDouble(physical: I64) {
  return op("f64.convert_i64_u", physical);
}

/** Splits an access into pieces of 4, 2 and 1 bytes. */
function forPieces(
  f: FunctionBuilder,
  cursor: Local<"i32">,
  left: Local<"i32">,
  at: Local<"i64">,
  piece: (size: I32) => void,
) {
  f.while(
    () => left.get().gtS(0),
    () => {
      const size = f.let(
        f.choose(
          left.get().geS(4),
          () => i32(4),
          () =>
            f.let(
              f.choose(
                left.get().geS(2),
                () => i32(2),
                () => i32(1),
              ),
            ),
        ),
      );
      piece(size);
      cursor.set(cursor.get().add(size));
      left.set(left.get().sub(size));
      at.set(at.get().add(size.extendU()));
    },
  );
}

export const ACCESS_FUNCTIONS = [
  checkAccess,
  deviceRead,
  deviceWrite,
  mmioReadSplit,
  mmioWriteSplit,
  bounceIn,
  slowRead,
  slowWrite,
  slowRmw,
  commitPart,
  commitWrite,
  probeWrite,
  hostLookup("host_read", 0),
  hostLookup("host_write", 8),
  hasCode,
  codeWrite,
  invalidatePage,
];
