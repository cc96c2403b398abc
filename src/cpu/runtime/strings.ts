/**
 * REP MOVS and REP STOS a page at a time. Both do as many elements as lie in one page of plain RAM (of each side) and
 * say how many; 0 means that the instruction must do the next element by itself: it may fault, be a device,
 * cross a page, or hold code.
 *
 * They lean on `host_read` and `host_write`: (linear i64) → i32, the address in our memory of that byte, good to the end of its 4 KiB page,
 * or 0 where the page is no plain RAM, not in the TLB, or (writing) not writable or holds code.
 */
import { type FunctionBuilder, type I32, type I64, i32, select } from "../../wasm/index.ts";
import { runtime } from "./define.ts";

const PAGE = 0x1000;

/** How many whole elements from `linear` on, in the direction of the copy, lie in its page. */
function inPage(f: FunctionBuilder, linear: I64, size: I32, down: I32): I32 {
  const offset = f.let(linear.wrap().and(PAGE - 1));
  const room = f.let(i32(PAGE).sub(offset));
  return f.choose<I32>(
    down,
    // The element at `linear` itself must not reach into the next page.
    () => select(room.ltU(size), i32(0), offset.divU(size).add(1)),
    () => room.divU(size),
  );
}

const smaller = (f: FunctionBuilder, a: I32, b: I32): I32 => f.let(select(a.ltU(b), a, b));

/** A count that may be any 64-bit number, cut to what one page can hold. */
const clamp = (f: FunctionBuilder, count: I64): I32 => f.let(select(count.gtU(PAGE), i32(PAGE), count.wrap()));

/** The lowest address of a run of `bytes`: where it starts, or for a downward run, where it ends. */
const lowest = (f: FunctionBuilder, linear: I64, bytes: I32, size: I32, down: I32): I64 =>
  f.let(select(down, linear.sub(bytes.sub(size).extendU()), linear));

/** The first `length` bytes of `bytes` at `target` are there; the rest becomes copies of them, each twice as long. */
const repeat = (f: FunctionBuilder, target: I32, length: I32, bytes: I32): void => {
  const done = f.variable(length);
  f.while(
    () => done.get().ltU(bytes),
    () => {
      const rest = f.let(bytes.sub(done.get()));
      const chunk = f.let(select(rest.ltU(done.get()), rest, done.get()));
      f.copy(target.add(done.get()), target, chunk);
      done.set(done.get().add(chunk));
    },
  );
};

export const STRING_FUNCTIONS = [
  /** (destination, source, elements wanted, element size, direction flag) → elements done. */
  runtime("rep_movs", "i64 i64 i64 i32 i32", "i32", (f, env) => {
    const to = f.param(0, "i64").get();
    const from = f.param(1, "i64").get();
    const size = f.param(3, "i32").get();
    const down = f.param(4, "i32").get();
    const here = smaller(f, inPage(f, to, size, down), inPage(f, from, size, down));
    const count = smaller(f, clamp(f, f.param(2, "i64").get()), here);
    f.if(count.eqz(), () => f.return(i32(0)));
    const bytes = f.let(count.mul(size));
    const target = f.callFor("i32", env.fn("host_write"), lowest(f, to, bytes, size, down));
    f.if(target.eqz(), () => f.return(i32(0)));
    const source = f.callFor("i32", env.fn("host_read"), lowest(f, from, bytes, size, down));
    f.if(source.eqz(), () => f.return(i32(0)));

    // The distance by which the destination runs ahead of the source. Inside it a copy sees only bytes from before.
    // Host addresses are compared, as two linear addresses may mean the same RAM.
    const ahead = f.let(select(down, source.sub(target), target.sub(source)));
    f.if(ahead.eqz().or(ahead.geU(bytes)), () => {
      f.copy(target, source, bytes);
      f.return(count);
    });
    // Overlapping: the pattern of `ahead` bytes repeats. Downward runs, and elements that overlap themselves, are left to the slow way.
    f.if(down.or(ahead.ltU(size)), () => f.return(i32(0)));
    f.copy(target, source, ahead);
    repeat(f, target, ahead, bytes);
    f.return(count);
  }),

  /** (destination, value, elements wanted, element size, direction flag) → elements done. */
  runtime("rep_stos", "i64 i64 i64 i32 i32", "i32", (f, env) => {
    const to = f.param(0, "i64").get();
    const value = f.param(1, "i64").get();
    const size = f.param(3, "i32").get();
    const down = f.param(4, "i32").get();
    const count = smaller(f, clamp(f, f.param(2, "i64").get()), inPage(f, to, size, down));
    f.if(count.eqz(), () => f.return(i32(0)));
    const bytes = f.let(count.mul(size));
    const target = f.callFor("i32", env.fn("host_write"), lowest(f, to, bytes, size, down));
    f.if(target.eqz(), () => f.return(i32(0)));
    f.if(size.eq(1).or(value.eqz()), () => {
      f.fill(target, value.wrap(), bytes);
      f.return(count);
    });
    // One element, then copies of it.
    f.if(
      size.eq(2),
      () => f.store("i64.store16", target, value),
      () =>
        f.if(
          size.eq(4),
          () => f.store("i64.store32", target, value),
          () => f.store("i64.store", target, value),
        ),
    );
    repeat(f, target, size, bytes);
    f.return(count);
  }),
];
